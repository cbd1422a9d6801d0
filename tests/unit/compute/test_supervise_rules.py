"""The pure parts of the supervisor: how long to wait, what to call an end, what to keep of a log."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.compute.logfile import last_line, rotate, tail
from headrace.compute.supervise import FIRST_DELAY, LAST_DELAY, back_off, how_ended, read_state


@given(st.integers(1, 10_000))
def test_back_off_doubles_up_to_its_limit(failures: int) -> None:
    assert FIRST_DELAY <= back_off(failures) <= back_off(failures + 1) <= LAST_DELAY
    assert back_off(failures + 1) in (2 * back_off(failures), LAST_DELAY)


def test_first_restart_is_soon() -> None:
    assert [back_off(n) for n in (1, 2, 3)] == [0.2, 0.4, 0.8]


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exited with 0"), (3, "exited with 3"), (-9, "was ended by SIGKILL"), (-63, "was ended by signal 63")],
)
def test_how_ended(code: int, words: str) -> None:
    assert how_ended(code) == words


def test_state_that_is_not_there_or_not_ours(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    assert read_state(file) is None
    file.write_text("{")
    assert read_state(file) is None


def test_rotation_keeps_the_newest(tmp_path: Path) -> None:
    log = tmp_path / "data.log"
    assert not rotate(log, limit=10)
    with log.open("ab") as writer:
        for number in range(6):
            writer.write(f"line {number}, long enough\n".encode())
            writer.flush()
            assert rotate(log, limit=10, keep=3)
            assert not rotate(log, limit=10, keep=3)
        writer.write(b"now\n")
    assert log.read_text() == "now\n", "the writer appends to the truncated file"
    assert [(tmp_path / f"data.log.{n}").read_text()[:6] for n in (1, 2, 3)] == ["line 5", "line 4", "line 3"]
    assert not (tmp_path / "data.log.4").exists()


@given(
    st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=400), max_size=400),
    st.integers(0, 50),
)
def test_tail_is_the_end(tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int) -> None:
    file = tmp_path_factory.mktemp("tail") / "log"
    file.write_text("".join(line + "\n" for line in lines))
    assert tail(file, count) == (lines[-count:] if count else [])


def test_last_line_skips_blanks(tmp_path: Path) -> None:
    assert tail(tmp_path / "none", 3) == []
    assert last_line(tmp_path / "none") == "it wrote nothing"
    (tmp_path / "log").write_text("Traceback\n  File\nValueError: no\n\n")
    assert last_line(tmp_path / "log") == "ValueError: no"
