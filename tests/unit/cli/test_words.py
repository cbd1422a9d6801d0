"""How durations, shares, tables and child states are said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.cli.show import duration, plain, progress, share, table
from headrace.cli.starting import sentence
from headrace.compute.supervise import ChildStatus, State


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (185, "3 min 5 s"),
        (7440, "2 h 4 min"),
        (90_000, "1 d 1 h"),
        (8_640_000, "100 d 0 h"),
    ],
)
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@given(st.floats(0, 1e9))
def test_duration_has_words_for_all(seconds: float) -> None:
    assert duration(seconds)[0].isdigit()


def test_plain_and_share() -> None:
    assert [plain(v) for v in (None, "", 0, 1234.56, "x")] == ["–", "–", "0", "1,234.6", "x"]
    assert share(125) == "1.25 %"


def test_a_table_keeps_brackets_and_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    table(("name", "count"), [("a [b]", 1)], empty="nothing")
    table(("name",), [], empty="nothing yet: do this")
    out = capsys.readouterr().out
    assert "a [b]" in out
    assert "nothing yet: do this" in out


def test_progress_without_a_terminal_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("work") as tell:
        tell("one [x]")
        tell.now("not shown")
    with progress("work", quiet=True) as tell:
        tell("silent")
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.split("s  ")[1] for line in said.err.splitlines()] == ["one [x]"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (ChildStatus(name="data", state=State.STARTING), "data plane is starting"),
        (ChildStatus(name="data", state=State.STARTING, restarts=10), "data plane is starting for the 11th time"),
        (ChildStatus(name="data", state=State.STARTING, restarts=1), "data plane is starting for the 2nd time"),
        (ChildStatus(name="mlflow", state=State.READY, pid=5, ready_seconds=4.25), "MLflow is ready (pid 5, 4.2 s)"),
        (ChildStatus(name="x", state=State.WAITING, detail="exited with 1"), "x exited with 1"),
        (ChildStatus(name="x", state=State.STOPPED, detail="killed"), "x has stopped (killed)"),
        (ChildStatus(name="x", state=State.STOPPING), "x is stopping"),
    ],
)
def test_sentence(status: ChildStatus, words: str) -> None:
    assert sentence(status) == words
