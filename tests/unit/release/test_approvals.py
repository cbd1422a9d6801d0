"""What needs a second person: nothing moves without one, whichever way is taken, and a yes is for one deed, once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.release import approvals as rules
from headrace.release import deeds
from headrace.release.plans import default_plan
from headrace.release.record import RegistryCall
from headrace.release.service import Releases
from headrace.store import approvals, endpoints
from headrace.types.approval import Action, Approval, Approvals, ApprovalState, Deed
from headrace.types.endpoint import PlaneReport
from headrace.types.errors import ApprovalNeeded, BadInput, Conflict, Forbidden, HeadraceError, ModelRefused, NotFound
from headrace.types.model import Stage
from headrace.types.release import Phase
from tests.control_samples import endpoint
from tests.unit.release.made import START
from tests.unit.release.test_history import told
from tests.unit.release.test_turn import PLAN, World, world

__all__ = ["world"]

ALL = [action.value for action in Action]


def guarded(world: World, **setting: Any) -> Releases:
    """An endpoint on version 1 that needs a second person for what the setting says."""
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    service.sync()
    service.configure("digits", {"approvals": setting}, actor="ann")
    return service


def asked(world: World) -> Approval:
    """The one that waits, or else the last one."""
    world.clock.move(0.1)
    with world.parts.database.read() as conn:
        found = approvals.recent(conn)
    return next((one for one in found if one.state is ApprovalState.PENDING), found[0])


def live(world: World) -> str:
    with world.parts.database.read() as conn:
        found = endpoints.get(conn, "digits")
    assert found is not None
    return found.policy.baseline


def test_a_deploy_waits_for_another_person(world: World) -> None:
    service = guarded(world, actions=["deploy"])
    with pytest.raises(ApprovalNeeded, match="another person must approve it first") as caught:
        service.deploy("digits", "models:/digits/2", actor="ann", reason="better")
    request = asked(world)
    assert caught.value.hint == f"headrace approve {request.id}"
    assert (live(world), request.state, request.people) == ("v1", ApprovalState.PENDING, 1)
    done = service.approve(request.id, actor="bob", reason="looked at it")
    assert (live(world), done.state, done.failure) == ("v2", ApprovalState.DONE, "")
    deployed = told(world, action="endpoint.deploy")[-1]
    assert (deployed.actor, deployed.about.reason) == ("ann", "better")
    assert (deployed.about.approval, deployed.about.approvers) == (request.id, ("bob",))
    said = [(e.action, e.actor, e.about.reason) for e in told(world, action="approval.*")]
    assert said == [("approval.requested", "ann", "better"), ("approval.approved", "bob", "looked at it")]


def test_a_yes_is_used_up(world: World) -> None:
    service = guarded(world, actions=["deploy"])
    for _ in range(2):
        with pytest.raises(ApprovalNeeded):
            service.deploy("digits", "models:/digits/2", actor="ann")
        with pytest.raises(ApprovalNeeded):  # asking again is the same request
            service.deploy("digits", "models:/digits/2", actor="ann")
        service.approve(asked(world).id, actor="bob")
        assert live(world) == "v2"
        with pytest.raises(ApprovalNeeded):
            service.deploy("digits", "models:/digits/1", actor="ann")
        service.approve(asked(world).id, actor="bob")
        assert live(world) == "v1"
    with world.parts.database.read() as conn:
        assert len(approvals.recent(conn)) == 4


def test_a_yes_is_for_one_deed_of_one_person(world: World) -> None:
    service = guarded(world, actions=["deploy"])
    with pytest.raises(ApprovalNeeded):
        service.deploy("digits", "models:/digits/2", actor="ann")
    request = asked(world)
    with world.parts.database.write() as conn:
        approvals.put(conn, rules.approved(request, actor="bob", reason="", now=START))
    with pytest.raises(ApprovalNeeded):
        service.deploy("digits", "models:/digits/3", actor="ann")
    with pytest.raises(ApprovalNeeded):
        service.deploy("digits", "models:/digits/2", actor="cyd")
    assert live(world) == "v1"
    service.deploy("digits", "models:/digits/2", actor="ann")
    assert live(world) == "v2"


@pytest.mark.parametrize("name", ["ann", "ANN ", "Ann"])
def test_nobody_approves_their_own(world: World, name: str) -> None:
    service = guarded(world, actions=["deploy"])
    with pytest.raises(ApprovalNeeded):
        service.deploy("digits", "models:/digits/2", actor="ann")
    with pytest.raises(Forbidden, match="asked for it"):
        service.approve(asked(world).id, actor=name)
    with pytest.raises(BadInput, match="needs the name of a person"):
        service.approve(asked(world).id, actor="operator")
    with pytest.raises(NotFound, match="no request 'apr_0'"):
        service.approve("apr_0", actor="bob")


def test_two_people_are_two(world: World) -> None:
    service = guarded(world, actions=["deploy"], people=2)
    with pytest.raises(ApprovalNeeded, match="2 other people"):
        service.deploy("digits", "models:/digits/2", actor="ann")
    request = service.approve(asked(world).id, actor="bob")
    assert (request.state, live(world)) == (ApprovalState.PENDING, "v1")
    with pytest.raises(Conflict, match="has approved it already"):
        service.approve(request.id, actor="Bob")
    service.approve(request.id, actor="cyd")
    assert live(world) == "v2"
    assert told(world, action="endpoint.deploy")[-1].about.approvers == ("bob", "cyd")


def test_one_no_ends_it(world: World) -> None:
    service = guarded(world, actions=["deploy"])
    with pytest.raises(ApprovalNeeded):
        service.deploy("digits", "models:/digits/2", actor="ann")
    request = service.refuse(asked(world).id, actor="bob", reason="not today")
    with pytest.raises(Conflict, match="is refused, not pending"):
        service.approve(request.id, actor="cyd")
    with pytest.raises(ApprovalNeeded):
        service.deploy("digits", "models:/digits/2", actor="ann")
    assert asked(world).id != request.id


def test_a_request_is_void_after_its_time(world: World) -> None:
    service = guarded(world, actions=["deploy"], expires_seconds=60)
    with pytest.raises(ApprovalNeeded):
        service.deploy("digits", "models:/digits/2", actor="ann")
    old = asked(world)
    world.clock.move(60)
    with pytest.raises(Conflict, match="is expired"):
        service.approve(old.id, actor="bob")
    with pytest.raises(ApprovalNeeded):
        service.deploy("digits", "models:/digits/2", actor="ann")
    assert asked(world).id != old.id


def test_what_cannot_be_done_says_so_in_the_request(world: World) -> None:
    service = guarded(world, actions=["deploy"])
    with pytest.raises(ApprovalNeeded):
        service.deploy("digits", "models:/digits/2", actor="ann")
    world.report = PlaneReport(revision=0, live=False, refused="torn")
    with pytest.raises(ModelRefused):
        service.approve(asked(world).id, actor="bob")
    assert (asked(world).state, "torn" in asked(world).failure) == (ApprovalState.DONE, True)
    assert told(world, action="approval.failed")


def test_everything_that_may_wait_waits_and_stopping_does_not(world: World) -> None:
    service = guarded(world, actions=["release", "promote", "resume", "undo", "unload", "configure"])
    with pytest.raises(ApprovalNeeded, match=r"a release of models:/digits/2 on digits"):
        service.start("digits", "models:/digits/2", actor="ann", plan=PLAN)
    service.approve(asked(world).id, actor="bob")
    (entry,) = told(world, action="release.start")
    assert (entry.actor, entry.about.approvers) == ("ann", ("bob",))
    release = world.find(entry.about.release)
    assert release.phase is Phase.PROGRESSING
    service.pause(release.id, actor="ann")
    with pytest.raises(ApprovalNeeded, match="goes on from step 1"):
        service.resume(release.id, actor="ann")
    service.approve(asked(world).id, actor="bob")
    assert world.find(release.id).phase is Phase.PROGRESSING
    with pytest.raises(ApprovalNeeded, match="gets all traffic now"):
        service.promote(release.id, actor="ann", reason="tested")
    service.approve(asked(world).id, actor="bob")
    assert told(world, action="release.promoted")[-1].detail == f"tested; approved by bob ({asked(world).id})"
    with pytest.raises(ApprovalNeeded, match="is taken back"):
        service.undo("digits", actor="ann")
    service.approve(asked(world).id, actor="bob")
    assert live(world) == "v1"
    with pytest.raises(ApprovalNeeded, match="is unloaded"):
        service.unload("digits", actor="ann")
    service.refuse(asked(world).id, actor="bob")
    with pytest.raises(ApprovalNeeded, match="is set to"):
        service.configure("digits", {"capture": "none"}, actor="ann")
    service.approve(asked(world).id, actor="bob")
    assert told(world, action="endpoint.set")[-1].detail == "capture full → none"


def test_a_release_that_runs_is_aborted_by_one_person(world: World) -> None:
    service = guarded(world, actions=ALL, stages=["Production"])
    with pytest.raises(ApprovalNeeded):
        service.start("digits", "models:/digits/2", actor="ann", plan=PLAN)
    service.approve(asked(world).id, actor="bob")
    release = world.find(told(world, action="release.start")[0].about.release)
    service.abort(release.id, actor="ann")
    assert world.find(release.id).phase is Phase.ABORTED


def test_the_rule_cannot_be_taken_away_by_one_person(world: World) -> None:
    service = guarded(world, aliases=["champion"])
    service.configure("digits", {"limits": {"timeout_ms": 5}}, actor="ann")
    with pytest.raises(ApprovalNeeded):
        service.configure("digits", {"approvals": {"aliases": []}}, actor="ann")
    service.approve(asked(world).id, actor="bob")
    service.configure("digits", {"approvals": {"aliases": ["champion"]}}, actor="ann")


# --- stages and aliases, whichever way


def refused_at_the_door(service: Releases, call: RegistryCall) -> None:
    with pytest.raises(Forbidden):
        service.admit(call, actor="ann")


def test_a_protected_stage_is_protected_at_every_door(world: World) -> None:
    service = guarded(world, stages=["Production"])
    for move in (
        lambda: service.deploy("digits", "models:/digits/2", actor="ann"),
        lambda: service.deploy("another", "models:/digits/2", actor="ann"),
        lambda: service.start("digits", "models:/digits/2", actor="ann"),
        lambda: service.move_stage("digits", 2, Stage.PRODUCTION, actor="ann"),
        lambda: service.move_stage("digits", 1, Stage.ARCHIVED, actor="ann"),
    ):
        with pytest.raises(ApprovalNeeded):
            move()
    refused_at_the_door(service, RegistryCall(model="digits", version=2, stage="Production"))
    refused_at_the_door(service, RegistryCall(model="digits", version=1, stage="Archived"))
    refused_at_the_door(service, RegistryCall(model="digits", version=1, gone=True))
    refused_at_the_door(service, RegistryCall(model="digits", version=0, gone=True))
    service.admit(RegistryCall(model="digits", version=3, stage="Staging"), actor="ann")
    service.admit(RegistryCall(model="digits", version=3, gone=True), actor="ann")
    service.admit(RegistryCall(model="other", version=2, stage="Production"), actor="ann")
    service.sync()
    assert (live(world), world.registry.known[1].stage) == ("v1", Stage.PRODUCTION)


def test_an_approved_stage_goes_through_the_door_once(world: World) -> None:
    service = guarded(world, stages=["Production"])
    call = RegistryCall(model="digits", version=2, stage="Production")
    refused_at_the_door(service, call)
    service.approve(asked(world).id, actor="bob")
    assert (live(world), world.registry.known[2].stage) == ("v2", Stage.PRODUCTION)
    refused_at_the_door(service, call)


def test_an_alias_that_was_approved_is_moved(world: World) -> None:
    service = guarded(world, aliases=["champion"])
    refused_at_the_door(service, RegistryCall(model="digits", version=2, name="champion"))
    service.approve(asked(world).id, actor="bob")
    assert world.registry.known[2].aliases == ("champion",)
    (entry,) = told(world, action="alias.move")
    assert (entry.actor, entry.about.approvers) == ("ann", ("bob",))
    refused_at_the_door(service, RegistryCall(model="digits", version=0, name="champion"))
    service.admit(RegistryCall(model="digits", version=2, name="other"), actor="ann")


def test_what_moves_behind_our_back_goes_back(world: World) -> None:
    service = guarded(world, stages=["Production"], aliases=["champion"])
    world.registry.set_stage("digits", 2, Stage.PRODUCTION)
    world.registry.known[3] = replace(world.registry.known[3], aliases=("champion",))
    service.sync()
    assert [v.stage for v in world.registry.known.values()] == [Stage.PRODUCTION, Stage.NONE, Stage.NONE]
    assert world.registry.known[3].aliases == ()
    assert live(world) == "v1"
    assert {e.action for e in told(world, actor="system:registry")} == {"stage.put_back", "alias.put_back"}
    service.sync()
    assert len(told(world, actor="system:registry")) == 2


def test_a_protected_stage_that_is_free_may_be_left_by_archiving(world: World) -> None:
    """v1 is archived because v2 was approved for its place: that is one deed, not two."""
    service = guarded(world, stages=["Production"])
    with pytest.raises(ApprovalNeeded):
        service.move_stage("digits", 2, Stage.PRODUCTION, actor="ann")
    service.approve(asked(world).id, actor="bob")
    service.sync()
    assert [v.stage for v in world.registry.known.values()] == [Stage.ARCHIVED, Stage.PRODUCTION, Stage.NONE]
    assert told(world, actor="system:registry") == []


# --- pure


names = st.sampled_from(["ann", "bob", "cyd", "Ann", " bob "])


@given(people=st.integers(1, 3), voters=st.lists(names, max_size=8), times=st.lists(st.floats(0, 200), max_size=8))
def test_no_order_of_votes_gives_less_than_enough_people(people: int, voters: list[str], times: list[float]) -> None:
    request = Approval(
        id="apr_1",
        deed=Deed(kind="deploy"),
        sentence="s",
        actor="ann",
        reason="",
        created=0,
        expires=100,
        people=people,
    )
    for actor, now in zip(voters, sorted(times), strict=False):
        try:
            request = rules.approved(request, actor=actor, reason="", now=now)
        except HeadraceError:
            continue
    others = {name.strip().casefold() for name in request.approvers}
    assert "ann" not in others
    assert len(others) == len(request.approvers)
    assert (request.state is ApprovalState.APPROVED) == (len(others) == people)


def test_the_strictest_rule_counts() -> None:
    deed = deeds.releasing("a", {"a": "models:/digits/2", "b": "models:/other/3"}, default_plan(), {})
    a, b, c = (endpoint("a"), endpoint("b", "other"), endpoint("c"))
    assert rules.policy_for(deed, [a, b, c]) is None
    b = replace(b, approvals=Approvals(actions=(Action.RELEASE,), people=2, expires_seconds=500))
    c = replace(c, approvals=Approvals(stages=(Stage.PRODUCTION,), people=1, expires_seconds=90))
    assert rules.policy_for(deed, [a, b, c]) == Approvals(people=2, expires_seconds=90)
    assert rules.policy_for(deed, [a, c]) == Approvals(people=1, expires_seconds=90), "it serves the same model"
