"""kill -9 of a turn at every step's boundary and inside each step: it completes once, with one version, one release."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.types.turn import StepName, StepState, TurnState
from tests.turn_world import world

pytestmark = pytest.mark.process
# `recorded`: the boundary to the next step. `made`: done, and DBOS has not been told.
POINTS = [f"{step}:{point}" for step in StepName for point in ("inside", "recorded")]
# While the user's program runs; when MLflow has made the version and has not answered.
MORE = ["train:running", "train:made", "register:told", "register:made", "release:made"]


def test_kill_everywhere(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        turn = place.begin()
        argv = [sys.executable, "-m", "tests.faults.turn_program", str(tmp_path), turn.id, ",".join(POINTS + MORE)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=240)
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["status"] == 0, done.stderr
        assert told["died"] == sorted(POINTS + MORE), "it died at every point"
        assert told["starts"] == len(POINTS + MORE) + 1
        ended = place.turn(turn.id)
        versions = json.loads(place.versions.read_text())
        releases = json.loads(place.releases.read_text())
    assert ended.state is TurnState.DONE, ended.error
    assert [step.state for step in ended.steps] == [StepState.DONE] * len(StepName)
    assert ended.step(StepName.TRAIN).tries == 4, "begun, killed while running, inside, and once made"
    assert [version["version"] for version in versions["versions"]] == ["2"]
    assert len(versions["runs"]) == 1
    assert [release["id"] for release in releases] == [ended.release]
    assert ended.version == "models:/digits/2"
