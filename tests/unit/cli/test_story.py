"""The demo's facts: a fact that must not be is a problem; the story says the numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.base.settings import Settings
from headrace.cli.demo.command import MARKER, make_new
from headrace.cli.demo.replay import Seen
from headrace.cli.demo.story import Exported, Facts, Trained, moved, prepared, problems, steps, tell
from headrace.types.errors import BadInput


def release(phase: str, *, shares: tuple[int, ...], ended: float) -> dict[str, Any]:
    history: list[dict[str, Any]] = [{"time": 101.0, "name": "prepared", "detail": "", "actor": "demo", "share": 0}]
    history += [
        {"time": 104.0 + 4 * n, "name": "step", "detail": "", "actor": "system", "share": s}
        for n, s in enumerate(shares)
    ]
    return {
        "id": f"rel_{phase}",
        "phase": phase,
        "created": 100.0,
        "ended": ended,
        "history": history,
        "judgement": {"verdict": "", "reason": f"it was {phase}"},
    }


def seen(**changes: Any) -> Seen:
    found = Seen(requests=5000, feedback=300, corrections=80, latencies=[1.0, 2.0, 3.0])
    found.versions.update({"1": 3000, "2": 1990, "3": 10})
    found.first, found.last = {"1": 90.0, "2": 104.0, "3": 140.0}, {"1": 119.0, "2": 180.0, "3": 151.0}
    for name, value in changes.items():
        setattr(found, name, value)
    return found


GOOD = Facts(
    urls={"data": "http://d", "control": "http://c", "mlflow": "http://c/mlflow"},
    home="/home",
    start_seconds=9.0,
    trained=tuple(Trained(version=n, name=f"m{n}", description="", accuracy=0.8 + n / 20) for n in (1, 2, 3)),
    proof=("parity: 512 rows compared",),
    better=release("promoted", shares=(100, 500, 2500, 5000), ended=120.0),
    worse=release("rolled_back", shares=(100,), ended=150.0),
    stages={1: "Archived", 2: "Production", 3: "None"},
    seen=seen(),
    began=80.0,
    exported=Exported(path="/home/digits.csv", dataset="ds_1", rows=300, labelled=200, corrected=80),
    trace="tr-1",
    assessments=2,
    traces_page="http://c/mlflow/#/experiments/1/traces",
    seconds=120.0,
)


def test_what_must_be() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seen": seen(failed=2, failures=["503: full"])}, "2 of 5000 requests failed, such as 503: full"),
        ({"seen": seen(requests=0)}, "no request was answered"),
        ({"better": release("paused", shares=(100,), ended=0.0)}, "version 2 is paused, not promoted: it was paused"),
        ({"worse": release("promoted", shares=(100,), ended=150.0)}, "version 3 is promoted, not rolled back"),
        ({"stages": {1: "Production", 2: "None"}}, "version 1 should be Archived"),
        ({"seen": seen(last={"3": 160.0})}, "version 3 still answered"),
        ({"exported": replace(GOOD.exported, rows=0)}, "data set is empty"),
        ({"exported": replace(GOOD.exported, corrected=0)}, "80 corrections were given, none is in the data set"),
        ({"assessments": 0}, "the feedback on tr-1 did not arrive"),
    ],
)
def test_what_must_not_be(change: dict[str, Any], words: str) -> None:
    found = problems(replace(GOOD, **change))
    assert len(found) == 1
    assert words in found[0]


def test_times_of_a_release() -> None:
    assert prepared(GOOD.better) == 4.0
    assert moved(GOOD.better) == 16.0
    assert steps(GOOD.better) == "1 % at 0 s, 5 % at 4 s, 25 % at 8 s, 50 % at 12 s"


def test_the_story_says_what_matters() -> None:
    story = "\n".join(tell(GOOD))
    for part in (
        *("5,000 requests", "0 failed", "promoted", "rolled back", "it was promoted", "it was rolled_back"),
        *("version 1 answered  3,000 of them, from 10 s to 39 s", "80 of these corrected", "ds_1"),
        *("http://c/releases/rel_rolled_back", "http://d/docs", "http://c/mlflow/#/experiments/1/traces"),
    ):
        assert part in story


def test_a_demo_makes_its_folder_anew_and_touches_no_other(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    make_new(Settings(home=home))
    (home / "headrace.db").touch()
    make_new(Settings(home=home))
    assert [p.name for p in home.iterdir()] == [MARKER]
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(BadInput, match="was not made by a demo"):
        make_new(Settings(home=tmp_path))
    assert (tmp_path / "thesis.txt").exists()
