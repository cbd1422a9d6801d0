"""kill -9 of a turn at every step's boundary and inside each step: it completes once, with one version, one release."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headrace.types.turn import StepName, StepState, Turn, TurnState
from tests.compile_world import learns, program_world
from tests.lm_server import fake_lm
from tests.turn_world import World, stored_in, world

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]
# `recorded`: the boundary to the next step. `made`: done, and DBOS has not been told.
POINTS = [f"{step}:{point}" for step in StepName for point in ("inside", "recorded")]
# While the user's program runs; when MLflow has made the version and has not answered.
MORE = ["train:running", "train:made", "register:told", "register:made", "release:made"]
# Of language models: a question about to be sent, an answer that came and was not kept, one that was.
ASKED = ["train:asked.1", "train:heard.3", "before:heard.5", "after:kept.30"]
COMPILING = ["curate:recorded", *ASKED, "train:inside", "train:recorded", "register:told"]
AT_ONCE = 4  # questions
ON_POSTGRES = ["export:recorded", "train:running", "train:made", "register:made", "release:recorded"]


def test_kill_everywhere(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        turn = place.begin()
        told = killed("table", place, turn, POINTS + MORE)
        ended = ended_once(place, turn)
    assert told["starts"] == len(POINTS + MORE) + 1
    assert ended.step(StepName.TRAIN).tries == 4, "begun, killed while running, inside, and once made"


@pytest.mark.postgres
def test_kill_on_postgresql(tmp_path: Path, postgres: str) -> None:
    """State, steps and DBOS's own books are on the server, and nothing of the turn in a SQLite file."""
    with stored_in(postgres) as database:
        place = World(tmp_path, database)
        place.fill()
        turn = place.begin()
        killed("table", place, turn, ON_POSTGRES)
        ended = ended_once(place, turn)
    assert ended.step(StepName.TRAIN).tries == 3
    assert not list(tmp_path.rglob("*.db"))


def test_kill_while_a_program_is_compiled(tmp_path: Path) -> None:
    """Every question that was sent is counted, those too whose answers nobody heard; what was answered is not asked
    again; and the version is the one that a turn makes which nobody killed."""
    with fake_lm(learns) as lm, program_world(tmp_path, lm.url) as place:
        turn = place.begin()
        killed("program", place, turn, COMPILING)
        ended = ended_once(place, turn)
        sent = len(lm.asked)
        trained, examined = ended.step(StepName.TRAIN).counts, ended.step(StepName.EVALUATE).counts
        counted = trained["lm_calls"] + examined["lm_calls"]
        assert sent < counted <= sent + len(ASKED) * AT_ONCE, "one that was about to be sent counts as sent"
        place.versions.unlink()
        place.releases.unlink()
    (tmp_path / "again").mkdir()
    with fake_lm(learns) as lm, program_world(tmp_path / "again", lm.url) as place:
        turn = place.begin()
        killed("program", place, turn, [])
        calm = ended_once(place, turn)
        assert len(lm.asked) < sent <= len(lm.asked) + len(ASKED) * AT_ONCE, "what was under way is asked again"
    assert calm.gains == ended.gains


def killed(kind: str, place: World, turn: Turn, points: list[str]) -> dict[str, Any]:
    url = place.database.url.render_as_string(hide_password=False)
    argv = [sys.executable, "-m", "tests.faults.turn_program", kind, str(place.folder), url, turn.id, ",".join(points)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["status"] == 0, done.stderr
    assert told["died"] == sorted(points), "it died at every point"
    return told


def ended_once(place: World, turn: Turn) -> Turn:
    ended = place.turn(turn.id)
    assert ended.state is TurnState.DONE, ended.error
    assert [step.state for step in ended.steps] == [StepState.DONE] * len(StepName)
    made, releases = json.loads(place.versions.read_text()), json.loads(place.releases.read_text())
    assert [version["version"] for version in made["versions"]] == ["2"]
    assert len(made["runs"]) == 1
    assert [release["id"] for release in releases] == [ended.release]
    assert ended.version == "models:/digits/2"
    return ended
