"""The example, in short: people's words make the next version better, and a poisoned turn is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.running import Platform
from examples.flywheel.classical import play, written

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]


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
    assert "held-out errors" in written(report)
