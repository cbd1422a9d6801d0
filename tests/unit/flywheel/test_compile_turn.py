"""A turn whose training compiles a program: cached, taken up again without paying twice, cancelled, and never a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from headrace.compute.executors.base import Stopped
from headrace.flywheel.made import Kept, Made, Step
from headrace.flywheel.turn import Refused, take_turn
from headrace.programs.package import package_in, read_package
from headrace.types.turn import StepName
from tests.compile_world import SPEC, ProgramWorld, learns, program_world, text_of
from tests.lm_server import FakeLM, fake_lm

pytestmark = pytest.mark.process


@pytest.fixture
def lm() -> Iterator[FakeLM]:
    with fake_lm(learns) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path, lm: FakeLM) -> Iterator[ProgramWorld]:
    with program_world(tmp_path, lm.url) as made:
        yield made


def go(place: ProgramWorld, turn_id: str, stop: Event | None = None) -> dict[StepName, Made]:
    kept, made = Kept(place.state / "kept", turn=turn_id), dict[StepName, Made]()

    def run(step: Step) -> Made:
        found = kept.make(step, lambda *_: None) if step.kept else step.build(kept.scratch(step), lambda *_: None)
        if found.refused:
            raise Refused(found.refused)
        made[step.name] = found
        return found

    take_turn(place.shop(turn_id, stop=stop), run)
    return made


def test_what_people_said_is_compiled_into_the_next_version(place: ProgramWorld, lm: FakeLM) -> None:
    made = go(place, place.begin().id)
    trained, evaluated = made[StepName.TRAIN], made[StepName.EVALUATE]
    golden = next(gain for gain in evaluated.facts["gains"] if gain["on"] == "golden")
    assert (golden["baseline"], golden["candidate"]) == (0.4, 0.0)
    folder = package_in(trained.file("model"))
    assert folder is not None
    packed = read_package(folder)
    shown = {demo["text"] for demo in packed.state["self"]["demos"]}
    assert shown <= {text_of(n) for n in range(60)}
    assert packed.compiled["optimizer"] == "BootstrapFewShot"
    asked = trained.counts["lm_calls"] + evaluated.counts["lm_calls"]
    assert asked == len(lm.asked), "training asks for the training, the examination for both versions"
    assert trained.facts["cost"] == pytest.approx(trained.counts["lm_calls"] * 10 * 100 / 1e6)
    [registered] = json.loads(place.versions.read_text())["versions"]
    assert registered["tags"]["headrace.kind"] == "program"
    assert made[StepName.RELEASE].facts["release"]
    kept = [path for path in (place.state / "kept").rglob("*") if path.is_file()]
    assert not [path for path in kept if lm.url.encode() in path.read_bytes()], "no address stays"
    before = len(lm.asked)
    place.turns().cancel(place.turns().flywheel("digits") and _newest(place), actor="ann")
    again = go(place, place.begin().id)
    assert again[StepName.TRAIN].cached
    assert len(lm.asked) == before, "the same words, the same program: nothing is asked again"


def test_killed_while_it_compiles_it_goes_on_without_paying_again(place: ProgramWorld, lm: FakeLM) -> None:
    turn, stop, ended = place.begin(), Event(), Event()

    def until_then(body: dict[str, Any]) -> str:
        if len(lm.asked) >= 5:
            stop.set()
            ended.wait(60)
        return learns(body)

    lm.reply = until_then
    with pytest.raises(Stopped):
        go(place, turn.id, stop)
    ended.set()
    paid = len(lm.asked)
    assert list((place.state / "kept").glob(".train-*/work/answers.jsonl"))
    lm.reply = learns
    made = go(place, turn.id)
    calls = made[StepName.TRAIN].counts["lm_calls"] + made[StepName.EVALUATE].counts["lm_calls"]
    assert paid >= 5
    assert len(lm.asked) - calls <= 4, "at most what was under way when it was killed is asked again"


def test_a_budget_that_is_too_small_is_said(place: ProgramWorld) -> None:
    spec = {**SPEC["train"]["compile"], "budget": {"calls": 3}}
    (place.specs / "digits" / "flywheel.yaml").write_text(json.dumps({**SPEC, "train": {"compile": spec}}))
    with pytest.raises(Exception, match="found nothing before it was stopped: the budget of 3 calls is used up"):
        go(place, place.begin().id)


def _newest(place: ProgramWorld) -> str:
    return str(place.turns().seen("digits").last.id)  # type: ignore[union-attr]
