"""A turn whose training compiles a program: cached, taken up again without paying twice, cancelled, and never a key."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from lm_server import FakeLM, fake_lm

from headrace.compute.executors.base import Stopped
from headrace.flywheel.made import Kept, Made, Step
from headrace.flywheel.turn import Refused, take_turn
from headrace.programs.definition import read_program, signature_of
from headrace.programs.package import Packed, package_in, read_package, write_package
from headrace.serving.lm import Aliases
from headrace.store import endpoints, feedbacks
from headrace.store.programs import Registration, save_program
from headrace.types.model import ModelVersion
from headrace.types.turn import StepName
from tests.control_samples import START, call, corrected, endpoint, open_database, open_journal, version, write
from tests.turn_world import World

pytestmark = pytest.mark.process
TICKET: dict[str, Any] = {
    "name": "ticket",
    "lm": "fast",
    "inputs": [{"name": "text"}],
    "outputs": [{"name": "team", "choices": ["billing", "technical"]}],
}
SPEC: dict[str, Any] = {
    "train": {
        "compile": {
            "optimizer": "BootstrapFewShot",
            "seed": 3,
            "settings": {"demos": 8},
            "budget": {"calls": 200, "money": 1.0},
        }
    },
    "data": {"golden": "golden.jsonl", "min_rows": 5, "rules": [{"name": "near_duplicates", "on": False}]},
    "gates": {"min_golden": 10, "max_cost": 1.0, "max_latency": 1000},
}


def text_of(number: int, part: str = "mail") -> str:
    return f"{part} {number} about {'money' if number % 2 else 'a crash'}"


def label_of(number: int) -> str:
    return "billing" if number % 2 else "technical"


def learns(body: dict[str, Any]) -> str:
    """Right when it was shown examples, and for every tenth mail; else it says billing."""
    shown = len(body["messages"]) > 2
    asked = str(body["messages"][-1]["content"])
    crash = "crash" in asked and (shown or "0 about" in asked)
    return json.dumps({"team": "technical" if crash else "billing"})


class ProgramRegistry:
    """The live version is the program as it was written down."""

    def resolve(self, uri: str) -> ModelVersion:
        return version(int(uri.rpartition("/")[2]))

    def download(self, found: ModelVersion, folder: Path) -> Path:
        packed = Packed(program=read_program(TICKET))
        write_package(packed, folder / "packed")
        save_program(
            folder / "model",
            Registration(name="ticket", folder=folder / "packed", signature=signature_of(packed.program)),
        )
        return folder / "model"


class ProgramWorld(World):
    def fill(self, *, shift: int = 0, **spec: Any) -> None:
        with open_journal(self.journal) as journal, self.database.write() as conn:
            endpoints.replace_all(conn, [endpoint()])
            for number in range(60):
                one = call(
                    number,
                    input={"text": text_of(number)},
                    output=["billing"],
                    unit=f"u{number % 20}",
                    time=START + number,
                )
                write(journal, [one])
                feedbacks.put(conn, [corrected(one, [label_of(number)], rater=f"u{number % 20}")])
        place = self.specs / "digits"
        place.mkdir(parents=True)
        golden = [{"inputs": {"text": text_of(n, "letter")}, "label": label_of(n)} for n in range(40)]
        (place / "golden.jsonl").write_text("\n".join(json.dumps(case) for case in golden))
        (place / "program.yaml").write_text(json.dumps(TICKET))
        (place / "flywheel.yaml").write_text(json.dumps({**SPEC, **spec}))


@pytest.fixture
def lm() -> Iterator[FakeLM]:
    with fake_lm(learns) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path, lm: FakeLM) -> Iterator[ProgramWorld]:
    (tmp_path / "lms.yaml").write_text(json.dumps({"fast": {"url": lm.url, "model": "m", "price": {"input": 100}}}))
    with open_database(tmp_path) as database:
        made = ProgramWorld(tmp_path, database)
        made.aliases, made.registry = Aliases(tmp_path / "lms.yaml"), ProgramRegistry()
        made.fill()
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
