"""Where a release stands, as a picture of numbers; and that its numbers are those of the release."""

from __future__ import annotations

import pytest

from headrace.release.standing import Mark, Reading, Seconds, Standing, standing
from headrace.store import endpoints
from headrace.types.release import Phase
from tests.unit.release.test_turn import World, started, turn, world

__all__ = ["world"]


def pictured(world: World, release_id: str, **seen: Seconds) -> Standing:
    with world.parts.database.read() as conn:
        there = {e.name: e for e in endpoints.all(conn)}
    return standing(world.find(release_id), there, {"digits": seen}, world.clock.now())


def test_a_running_one(world: World) -> None:
    service, release = started(world)
    world.traffic()
    turn(world, service)
    seen = {"v1": Seconds(calls=900, rate=15.0), "v2": Seconds(calls=100, rate=1.7, errors=0.01, p99_ms=9.0)}
    found = pictured(world, release.id, **seen)
    assert (found.phase, found.step, found.of) == (Phase.PROGRESSING, 2, len(release.plan.steps))
    assert found.set_weight == release.plan.steps[1].share
    assert found.actual_weight == 0.1
    marks = [step.mark for step in found.steps]
    assert marks == [Mark.DONE, Mark.CURRENT, *[Mark.WAITING] * (len(marks) - 2)]
    (endpoint,) = found.endpoints
    assert [(v.name, v.role, v.set) for v in endpoint.variants] == [
        ("v1", "baseline", 10_000 - found.set_weight),
        ("v2", "candidate", found.set_weight),
    ]
    errors = next(m for m in found.metrics if m.name == "errors")
    assert (errors.guards, errors.reading, errors.candidate[0]) == (True, Reading.OPEN, 0)
    assert all(m.log_limit == 0 for m in found.metrics if not m.guards)
    assert found.events[0].name == "step"


def test_one_that_was_rolled_back(world: World) -> None:
    service, release = started(world)
    world.traffic(bad=True)
    turn(world, service)
    found = pictured(world, release.id)
    assert (found.phase, found.verdict, found.set_weight) == (Phase.ROLLED_BACK, "roll_back", 0)
    assert found.steps[0].mark is Mark.STOPPED
    assert "users were unhappy" in found.message
    assert [m.name for m in found.metrics if m.reading is Reading.HARM] == ["feedback"]


@pytest.mark.parametrize("end", ["promote", "pause", "abort"])
def test_what_a_person_decided(world: World, end: str) -> None:
    service, release = started(world)
    getattr(service, end)(release.id, actor="ann", reason="because")
    found = pictured(world, release.id)
    assert found.message == "because"
    assert found.set_weight == {"promote": 10_000, "pause": release.plan.steps[0].share, "abort": 0}[end]
    assert {step.mark for step in found.steps} == {
        "promote": {Mark.DONE},
        "pause": {Mark.CURRENT, Mark.WAITING},
        "abort": {Mark.STOPPED, Mark.WAITING},
    }[end]
