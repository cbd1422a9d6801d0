"""The last move of traffic taken back; and when that would be unsafe, why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.store import audit, endpoints, plans
from headrace.types.endpoint import Endpoint, PlaneReport
from headrace.types.errors import Conflict, ModelRefused, NotFound
from headrace.types.model import Stage
from tests.unit.release.test_history import shares, told
from tests.unit.release.test_turn import World, started, turn, world

__all__ = ["world"]


def live(world: World) -> Endpoint:
    with world.parts.database.read() as conn:
        found = endpoints.get(conn, "digits")
    assert found is not None
    return found


def deployed(world: World, *numbers: int) -> None:
    for number in numbers:
        world.service().deploy("digits", f"models:/digits/{number}", actor="ann")


def test_a_deploy_is_taken_back_and_that_too(world: World) -> None:
    service = world.service()
    deployed(world, 1, 2)
    found = service.find_undo("digits")
    assert (found.to.variant, found.entry.action, found.entry.actor) == ("v1", "endpoint.deploy", "ann")
    assert found.sentence == "digits: all traffic from v2 100 % back to v1"
    service.undo("digits", actor="bob", reason="wrong one")
    assert live(world).policy.baseline == "v1"
    entry = told(world, endpoint="digits")[-1]
    assert (entry.action, entry.actor, entry.about.reason) == ("endpoint.undo", "bob", "wrong one")
    assert entry.about.undoes == found.entry.id
    assert (shares(entry.about.before), shares(entry.about.after)) == ({"v2": 10_000}, {"v1": 10_000})
    service.sync()
    assert world.registry.known[1].stage is Stage.PRODUCTION
    service.undo("digits", actor="bob")
    assert live(world).policy.baseline == "v2"


def test_a_promotion_is_taken_back(world: World) -> None:
    service, release = started(world)
    service.promote(release.id, actor="ann")
    service.undo("digits", actor="ann")
    assert live(world).policy.baseline == "v1"


def test_an_unload_is_taken_back(world: World) -> None:
    deployed(world, 1)
    service = world.service()
    service.unload("digits", actor="ann")
    service.undo("digits", actor="ann")
    assert not live(world).parked


def test_one_that_is_not_loaded_any_more_is_made_ready(world: World) -> None:
    deployed(world, 1, 2, 3)
    world.service().undo("digits", actor="ann")
    world.service().undo("digits", actor="ann")
    with world.parts.database.write() as conn:
        (only,) = endpoints.all(conn)
        rest = replace(only, variants=tuple(v for v in only.variants if v.name == "v3"))
        plans.publish(conn, [rest], reason="by hand", now=0.0)
    world.service().undo("digits", actor="ann")
    assert live(world).policy.baseline == "v2"


def test_a_plan_that_was_refused_was_no_move(world: World) -> None:
    deployed(world, 1, 2)
    world.report = PlaneReport(revision=0, live=False, refused="torn")
    with pytest.raises(ModelRefused):
        deployed(world, 3)
    with pytest.raises(ModelRefused):  # a change of settings that is refused is no move either
        world.service().configure("digits", {"limits": {"timeout_ms": 5}}, actor="ann")
    world.report = None
    assert world.service().find_undo("digits").to.variant == "v1"


@pytest.mark.parametrize(("end", "why"), [("abort", "wrong"), ("harm", "users were unhappy")])
def test_what_was_taken_away_for_a_reason_is_not_given_back(world: World, end: str, why: str) -> None:
    service, release = started(world)
    if end == "abort":
        service.abort(release.id, actor="ann", reason="wrong")
    else:
        world.traffic(bad=True)
        turn(world, service)
    with pytest.raises(Conflict, match=f"took traffic away for a reason: .*{why}"):
        service.undo("digits", actor="ann")


def test_while_a_release_moves_traffic_it_is_that_ones(world: World) -> None:
    service, release = started(world)
    with pytest.raises(Conflict, match=f"release {release.id} is moving") as caught:
        service.undo("digits", actor="ann")
    assert caught.value.hint == "headrace release abort digits gives v1 all traffic"


def test_the_first_version_has_nobody_before_it(world: World) -> None:
    deployed(world, 1)
    with pytest.raises(Conflict, match="nobody had its traffic before"):
        world.service().undo("digits", actor="ann")
    with pytest.raises(NotFound, match="there is no endpoint 'odd'; there are: digits"):
        world.service().undo("odd", actor="ann")


def test_traffic_that_is_not_where_the_history_left_it_stays(world: World) -> None:
    deployed(world, 1, 2)
    with world.parts.database.write() as conn:
        (only,) = endpoints.all(conn)
        back = replace(only, policy=replace(only.policy, baseline="v1"))
        plans.publish(conn, [back], reason="by hand", now=0.0)
    with pytest.raises(Conflict, match=r"its traffic is with v1 100 %, and its last move .* gave it to v2 100 %"):
        world.service().undo("digits", actor="ann")


def test_another_move_meanwhile_is_not_the_one_that_was_meant(world: World) -> None:
    deployed(world, 1, 2)
    entry = world.service().find_undo("digits").entry.id
    deployed(world, 3)
    with pytest.raises(Conflict, match=f"not {entry}"):
        world.service().undo("digits", actor="ann", entry=entry)


def test_an_endpoint_without_a_history_has_nothing_to_undo(world: World) -> None:
    deployed(world, 1)
    with world.parts.database.write() as conn:
        (only,) = endpoints.all(conn)
        plans.publish(conn, [replace(only, name="other")], reason="by hand", now=0.0)
        assert audit.newest_id(conn) > 0
    with pytest.raises(Conflict, match="the history knows no move"):
        world.service().undo("other", actor="ann")
