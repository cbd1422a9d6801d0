"""What changes leave in the history: who, why, on what evidence, and who had the traffic before and after."""

from __future__ import annotations

from dataclasses import replace

import pytest

from headrace.release.claims import Claims
from headrace.release.moves import Said
from headrace.release.record import RegistryCall, registry_moves
from headrace.store import audit
from headrace.types.endpoint import PlaneReport
from headrace.types.errors import ModelRefused
from headrace.types.history import AuditEntry, Holding, Wanted
from headrace.types.model import Stage
from tests.unit.release.made import version
from tests.unit.release.test_turn import World, started, turn, world

__all__ = ["world"]


def told(world: World, **wanted: str) -> list[AuditEntry]:
    """Oldest first."""
    with world.parts.database.read() as conn:
        assert audit.check(conn).broken == 0
        return list(audit.search(conn, Wanted(**wanted), oldest_first=True))


def shares(held: tuple[Holding, ...]) -> dict[str, int]:
    return {one.variant: one.share for one in held}


def parts(candidate: int) -> dict[str, int]:
    return {"v1": 10_000 - candidate, "v2": candidate}


def test_a_release_tells_each_step_with_its_evidence(world: World) -> None:
    service, release = started(world)
    world.traffic()
    turn(world, service)
    world.traffic(users=4000)
    turn(world, service)
    entries = {e.action: e for e in told(world, endpoint="digits")}
    first, *_, last = (step.share for step in release.plan.steps)
    assert list(entries) == [
        "endpoint.deploy", "release.start", "release.started", "release.step", "release.promoted",
    ]  # fmt: skip
    assert shares(entries["endpoint.deploy"].about.after) == {"v1": 10_000}
    assert entries["release.start"].actor == "ann"
    started_ = entries["release.started"].about
    assert (shares(started_.before), shares(started_.after)) == ({"v1": 10_000}, parts(first))
    promoted = entries["release.promoted"]
    assert promoted.about.release == release.id
    assert (shares(promoted.about.before), shares(promoted.about.after)) == (parts(last), {"v2": 10_000})
    errors = next(seen for seen in promoted.about.evidence if seen.metric == "errors")
    assert errors.baseline_units > 0
    assert errors.candidate_events == 0
    assert errors.log_limit > 0
    assert promoted.about.revision == world.revision()
    assert promoted.about.after[0].uri == "models:/digits/2"


def test_a_stage_that_follows_a_release_says_which(world: World) -> None:
    service, release = started(world)
    service.sync()
    service.promote(release.id, actor="bob", reason="tested by hand")
    service.sync()
    moves = [(e.subject, e.detail, e.actor) for e in told(world, action="stage.move")]
    assert ("model:digits/2", "None → Production", "bob") in moves
    assert ("model:digits/1", "Production → Archived", "bob") in moves
    assert all(release.id in e.about.reason for e in told(world, action="stage.move") if e.actor == "bob")
    service.sync()
    assert len(told(world, action="stage.move")) == len(moves), "what was told once is not told again"


def test_what_a_person_says_is_kept(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann", reason="first")
    service.move_stage("digits", 3, Stage.STAGING, actor="bob", reason="to try")
    service.configure("digits", {"limits": {"timeout_ms": 5}}, actor="cyd", reason="slow callers")
    found = {e.action: e for e in told(world)}
    assert found["endpoint.deploy"].about.reason == "first"
    assert (found["stage.move"].actor, found["stage.move"].about.reason) == ("bob", "to try")
    assert (found["endpoint.set"].detail, found["endpoint.set"].about.reason) == (
        "limits.timeout_ms 30000 → 5",
        "slow callers",
    )


def test_a_pause_by_the_platform_is_told_too(world: World) -> None:
    service, _ = started(world)
    turn(world, service, 200.0)
    (paused,) = told(world, action="release.paused")
    assert (paused.actor, paused.about.before, paused.about.after) == ("system:release", (), ())


def test_a_plan_that_was_taken_back_is_told_both_ways(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    world.report = PlaneReport(revision=0, live=False, refused="torn")
    with pytest.raises(ModelRefused):
        service.deploy("digits", "models:/digits/2", actor="ann")
    *_, tried, refused = told(world, endpoint="digits")
    assert shares(tried.about.after) == {"v2": 10_000} == shares(refused.about.before)
    assert shares(refused.about.after) == {"v1": 10_000}
    assert refused.action == "endpoint.refused"


# --- the registry


def test_moves_behind_our_back_are_by_mlflow(world: World) -> None:
    service = world.service()
    service.sync()
    world.registry.set_stage("digits", 2, Stage.STAGING)
    world.registry.known[2] = replace(world.registry.known[2], aliases=("champion",))
    service.sync()
    assert [(e.action, e.actor, e.detail) for e in told(world, model="digits")] == [
        ("stage.move", "mlflow", "None → Staging"),
        ("alias.move", "mlflow", "@champion: nothing → version 2"),
    ]


def test_moves_through_our_door_are_by_who_made_them(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    call = RegistryCall(model="digits", version=2, stage="Production")
    cause = service.admit(call, actor="bob")
    world.registry.set_stage("digits", 2, Stage.PRODUCTION)
    service.claim(call, cause)
    service.sync()
    moved = {e.subject: e.actor for e in told(world, action="stage.move")}
    assert moved["model:digits/2"] == "bob"
    deployed = told(world, action="endpoint.deploy")[-1]
    assert (deployed.actor, shares(deployed.about.after)) == ("bob", {"v2": 10_000})


def test_what_is_seen_first_has_not_moved() -> None:
    assert registry_moves([], [version(1, stage=Stage.PRODUCTION)]) == ()


def test_a_version_that_goes_away_takes_its_stage_and_aliases_with_it() -> None:
    before = [version(1, stage=Stage.STAGING, aliases=("a", "b")), version(2)]
    moved = registry_moves(before, [replace(before[1], aliases=("b",))])
    assert [(m.action, m.version, m.detail) for m in moved] == [
        ("stage.move", 1, "Staging → deleted"),
        ("alias.move", 1, "@a: version 1 → nothing"),
        ("alias.move", 2, "@b: version 1 → version 2"),
    ]


def test_a_claim_is_for_what_it_says_and_for_a_minute(world: World) -> None:
    claims, said = Claims(world.clock), Said(actor="bob")
    before = [version(1, stage=Stage.PRODUCTION), version(2, aliases=("a",))]
    after = [version(1, stage=Stage.ARCHIVED), version(2, stage=Stage.PRODUCTION)]
    claims.say(RegistryCall(model="digits", version=2, stage="Production"), said)
    who = {m.detail: claims.who(m).actor for m in registry_moves(before, after)}
    assert who == {
        "None → Production": "bob",
        "Production → Archived": "bob",
        "@a: version 2 → nothing": "mlflow",
    }
    claims.say(RegistryCall(model="digits", version=0, name="a"), said)
    assert {claims.who(m).actor for m in registry_moves(before, after)} == {"bob"}
    world.clock.move(61)
    assert {claims.who(m).actor for m in registry_moves(before, after)} == {"mlflow"}
    claims.say(RegistryCall(model="digits", version=1, gone=True), said)
    assert claims.who(registry_moves(before, after[1:])[0]).actor == "mlflow", "another version"
    assert claims.who(registry_moves(before, after[1:])[1]).actor == "bob"
