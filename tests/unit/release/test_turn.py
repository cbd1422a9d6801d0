"""The release clock on a real database and a real journal; the registry and the data planes are played."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from headrace.base.clock import ManualClock
from headrace.base.ids import TraceIds
from headrace.base.settings import Settings
from headrace.release import moves, start
from headrace.release import turn as turning
from headrace.release.adapters import read_adapter
from headrace.release.parts import Cause, Parts
from headrace.release.plans import plan_from
from headrace.release.replay import replay
from headrace.release.service import Releases
from headrace.store import audit, cursors, endpoints, outbox, plans, releases, versions
from headrace.store.artifacts import Artifacts
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.records import encode_call, encode_event, encode_feedback
from headrace.store.journal.writer import Journal
from headrace.store.migrate import migrate
from headrace.types.call import CallStatus, PlaneEvent
from headrace.types.endpoint import PlaneReport, Variant
from headrace.types.errors import BadInput, Conflict, HeadraceError, ModelRefused, NotFound, Unavailable, UpstreamError
from headrace.types.model import ModelVersion, Stage
from headrace.types.release import Phase, Release, Verdict
from headrace.types.strategy import Step
from headrace.types.traffic import BUCKETS
from tests.unit.release.made import START, call, feedback, signature, variant, version

WISH = start.Wish(endpoint="digits", uri="models:/digits/2")
PLAN = plan_from({"shares": [49, 50, 100], "min_seconds": 1, "min_units": 2, "max_seconds": 100})


@dataclass
class PlayedRegistry:
    """MLflow, as far as the engine asks; `down` makes it not answer."""

    known: dict[int, ModelVersion] = field(default_factory=lambda: {n: version(n) for n in (1, 2, 3)})
    down: bool = False

    def _answer(self) -> None:
        if self.down:
            raise UpstreamError("MLflow does not answer")

    def resolve(self, uri: str) -> ModelVersion:
        self._answer()
        number = int(uri.rpartition("/")[2])
        if number not in self.known:
            raise NotFound(f"there is no version {number}")
        return self.known[number]

    def names(self) -> tuple[str, ...]:
        self._answer()
        return ("digits",)

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        self._answer()
        return tuple(self.known.values())

    def set_stage(self, name: str, number: int, stage: Stage) -> ModelVersion:
        self._answer()
        if stage is Stage.PRODUCTION:
            for other, found in self.known.items():
                if found.stage is Stage.PRODUCTION:
                    self.known[other] = replace(found, stage=Stage.ARCHIVED)
        self.known[number] = replace(self.known[number], stage=stage)
        return self.known[number]

    def set_alias(self, name: str, alias: str, number: int) -> None:
        self.drop_alias(name, alias)
        self.known[number] = replace(self.known[number], aliases=(*self.known[number].aliases, alias))

    def drop_alias(self, name: str, alias: str) -> None:
        self._answer()
        for number, found in self.known.items():
            self.known[number] = replace(found, aliases=tuple(a for a in found.aliases if a != alias))

    def record_sha256(self, found: ModelVersion, **_: Any) -> ModelVersion:
        return found


@dataclass
class World:
    parts: Parts
    registry: PlayedRegistry
    journal: Journal
    clock: ManualClock
    report: PlaneReport | None = None  # None: every plan is live at once
    shapes: dict[int, Any] = field(default_factory=dict)

    def service(self) -> Releases:
        return Releases(self.parts)

    def say(self, *lines: bytes) -> None:
        for line in lines:
            assert self.journal.append(line)

    def find(self, release_id: str) -> Release:
        with self.parts.database.read() as conn:
            found = releases.get(conn, release_id)
        assert found is not None
        return found

    def share(self) -> int:
        with self.parts.database.read() as conn:
            plan = plans.latest(conn)
        assert plan is not None
        return plan.endpoints[0].policy.share

    def traffic(self, *, users: int = 300, bad: bool = False, failed: bool = False) -> None:
        """Every user calls once; half of them have the candidate, whose answers may be bad."""
        for n in range(users):
            candidate = n % 2 == 0
            status = CallStatus.FAILED if failed and candidate else CallStatus.OK
            one = call(
                f"u{n}", candidate=candidate, at=self.clock.now() - START, status=status, revision=self.revision()
            )
            self.say(encode_call(one))
            if bad and candidate:
                self.say(encode_feedback(feedback(one, "user_rating", False)))

    def revision(self) -> int:
        with self.parts.database.read() as conn:
            return plans.revision(conn)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    clock = ManualClock(START)
    settings = Settings(home=tmp_path)
    database = Database(settings.database)
    migrate(database)
    query = JournalQuery(settings.journal)
    journal = Journal(settings.journal, "data", segment_bytes=4 << 20, segment_seconds=1e9, clock=clock)
    registry = PlayedRegistry()

    def await_plan(revision: int, seconds: float) -> PlaneReport:
        return replace(made.report, revision=revision) if made.report else PlaneReport(revision=revision, live=True)

    parts = Parts(
        settings=settings,
        clock=clock,
        database=database,
        registry=registry,  # type: ignore[arg-type]
        artifacts=Artifacts(settings.artifacts),
        query=query,
        await_plan=await_plan,
    )
    made = World(parts=parts, registry=registry, journal=journal, clock=clock)

    def make_ready(parts: Parts, found: ModelVersion, **_: Any) -> Variant:
        ready = variant(found.version, shape=made.shapes.get(found.version))
        with parts.database.write() as conn:
            versions.put(conn, found)
        return replace(ready, model=found)

    for module in ("deploy", "stage", "start", "sync", "undo"):
        monkeypatch.setattr(f"headrace.release.{module}.make_ready", make_ready)
    yield made
    journal.close()
    query.close()
    database.close()


def started(world: World, **changes: Any) -> tuple[Releases, Release]:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    release = service.start("digits", "models:/digits/2", actor="ann", plan=changes.pop("plan", PLAN))
    return service, release


def turn(world: World, service: Releases, seconds: float = 2.0) -> None:
    world.clock.move(seconds)
    service.tick()


# --- a whole release


def test_a_good_candidate_takes_over(world: World) -> None:
    service, release = started(world)
    assert world.share() == 4900
    world.traffic()
    turn(world, service)
    assert world.share() == 5000
    world.traffic(users=4000)
    turn(world, service)
    ended = world.find(release.id)
    assert ended.phase is Phase.PROMOTED
    with world.parts.database.read() as conn:
        endpoint = endpoints.get(conn, "digits")
        assert endpoint is not None
        assert (endpoint.policy.baseline, endpoint.policy.candidate, endpoint.policy.share) == ("v2", "", 0)
        assert {v.name for v in endpoint.variants} == {"v1", "v2"}, "the one before stays loaded"
        assert cursors.get(conn, f"release:{release.id}") is None
        assert releases.counted(conn, release.id) == {}
        actions = [entry.action for entry in audit.entries(conn, subject=f"release:{release.id}")]
        stored = releases.intervals(conn, release.id)
    assert actions == ["release.promoted", "release.step", "release.started", "release.start"]
    service.sync()
    assert [v.stage for v in world.registry.known.values()] == [Stage.ARCHIVED, Stage.PRODUCTION, Stage.NONE]
    assert replay(ended, stored) == []


def test_a_bad_candidate_is_rolled_back(world: World) -> None:
    service, release = started(world)
    world.traffic(bad=True)
    turn(world, service)
    ended = world.find(release.id)
    assert ended.phase is Phase.ROLLED_BACK
    assert ended.judgement is not None
    assert ended.judgement.metric == "feedback"
    with world.parts.database.read() as conn:
        endpoint = endpoints.get(conn, "digits")
    assert endpoint is not None
    assert (endpoint.policy.baseline, endpoint.policy.candidate, endpoint.policy.rules) == ("v1", "", ())
    assert [v.name for v in endpoint.variants] == ["v1"]


def test_failures_one_after_the_other_do_not_wait_for_statistics(world: World) -> None:
    service, release = started(world)
    world.traffic(users=10, failed=True)
    turn(world, service, 0.1)
    assert "failed, one after the other" in world.find(release.id).history[-1].detail


def test_a_data_plane_that_cannot_run_it_ends_it(world: World) -> None:
    service, release = started(world)
    event = PlaneEvent(time=START, plane="data", name="plan.refused", endpoint="digits", variant="v2", detail="torn")
    world.say(encode_event(event))
    turn(world, service, 0.1)
    assert world.find(release.id).history[-1].detail == "a data plane cannot run v2: torn"


# --- killed in the middle: what a turn does is whole or not at all

POINTS = [
    (releases, "add_interval"),
    (releases, "count"),
    (cursors, "put"),
    (releases, "put"),
    (audit, "append"),
    (plans, "publish"),
    (moves, "promise"),
    (releases, "forget_counted"),
    (cursors, "remove"),
]


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("module", "name"), POINTS, ids=[f"{m.__name__.rpartition('.')[2]}.{n}" for m, n in POINTS])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_killed_at_any_point_it_resumes_to_the_same_state(
    world: World, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, late: bool
) -> None:
    """At each write of each turn: the process dies, another one goes on, and the release ends as if nothing was."""
    service, release = started(world)
    original, killed = getattr(module, name), []

    def dying(*args: Any, **kwargs: Any) -> Any:
        if late:
            original(*args, **kwargs)
        killed.append(name)
        raise Killed

    for users in (300, 4000):
        world.traffic(users=users)
        world.clock.move(2.0)
        with monkeypatch.context() as patch:
            patch.setattr(module, name, dying)
            before = world.revision()
            try:
                service.tick()
            except Killed:
                assert world.revision() == before, "nothing of the turn may stand"
        service = world.service()  # another process
        service.tick()
    assert killed, "the point was never reached"
    ended = world.find(release.id)
    assert ended.phase is Phase.PROMOTED
    assert [e.name for e in ended.history] == ["started", "step", "promoted"]
    evidence = (ended.evidence or {})["errors"]
    assert (evidence.baseline_units, evidence.candidate_units) == (2000, 2000), "no one is counted twice or lost"
    with world.parts.database.read() as conn:
        assert replay(ended, releases.intervals(conn, release.id)) == []


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("module", "name"), [(releases, "put"), (plans, "publish"), (audit, "append")])
def test_every_kind_of_step_survives_a_kill_at_its_transition(
    world: World, monkeypatch: pytest.MonkeyPatch, module: Any, name: str, late: bool
) -> None:
    steps = [
        {"kind": "preview", "min_seconds": 1},
        {"kind": "approval"},
        {"kind": "share", "share": 50, "min_seconds": 1, "min_units": 2},
        {"kind": "switch", "share": 100, "min_seconds": 1, "min_units": 2},
    ]
    service, release = started(world, plan=plan_from({"steps": steps, "proof": False}))
    original, killed = getattr(module, name), []

    def dying(*args: Any, **kwargs: Any) -> Any:
        if late:
            original(*args, **kwargs)
        killed.append(name)
        raise Killed

    for _ in range(8):
        if world.find(release.id).phase.ended:
            break
        world.traffic(users=40)
        world.clock.move(2.0)
        paused = world.find(release.id).phase is Phase.PAUSED
        with monkeypatch.context() as patch, suppress(Killed):
            patch.setattr(module, name, dying)
            before, kills = world.find(release.id), len(killed)
            service.resume(release.id, actor="ann") if paused else service.tick()
        if len(killed) > kills:
            assert world.find(release.id) == before, "nothing of the turn may stand"
            service = world.service()  # another process
            service.resume(release.id, actor="ann") if paused else service.tick()
    assert killed, "the point was never reached"
    ended = world.find(release.id)
    assert [e.name for e in ended.history] == ["started", "step", "paused", "resumed", "step", "step", "promoted"]
    with world.parts.database.read() as conn:
        assert replay(ended, releases.intervals(conn, release.id)) == []


def test_a_release_that_was_being_prepared_when_the_process_died(world: World) -> None:
    service, _ = world.service(), None
    service.deploy("digits", "models:/digits/1", actor="ann")
    lost = start.register(world.parts, "rel_lost", wishes=[WISH], plan=PLAN, cause=Cause(actor="ann"))
    world.service().tick()
    ended = world.find(lost.id)
    assert (ended.phase, ended.history[-1].detail) == (Phase.FAILED, turning.LOST)
    world.service().start("digits", "models:/digits/2", actor="ann", plan=PLAN)


def test_a_database_that_does_not_answer_costs_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    service, release = started(world)
    world.traffic()

    def unavailable(*_: Any, **__: Any) -> None:
        raise Unavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(releases, "put", unavailable)
        turn(world, service)
    assert world.find(release.id).step == 0
    turn(world, service, 0.1)
    assert world.find(release.id).step == 1


def test_evidence_that_cannot_be_read_is_said(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    service, release = started(world)

    def unreadable(*_: Any) -> None:
        raise BadInput("a line of the journal is not JSON")

    monkeypatch.setattr("headrace.release.watch.Watch.look", unreadable)
    turn(world, service)
    judgement = world.find(release.id).judgement
    assert judgement is not None
    assert (judgement.verdict, world.find(release.id).phase) == (Verdict.ERROR, Phase.PROGRESSING)


# --- what people decide


def test_pause_resume_promote_abort(world: World) -> None:
    service, release = started(world)
    service.pause(release.id, actor="bob", reason="lunch")
    world.traffic()
    turn(world, service)
    assert (world.find(release.id).phase, world.share()) == (Phase.PAUSED, 4900)
    with pytest.raises(Conflict, match="is paused, not progressing"):
        service.pause(release.id, actor="bob")
    service.resume(release.id, actor="bob")
    turn(world, service)
    assert world.share() == 5000
    service.promote(release.id, actor="bob", reason="we know it")
    assert world.find(release.id).history[-1].actor == "bob"
    with pytest.raises(Conflict, match="promoted"):
        service.abort(release.id, actor="bob")
    again = service.start("digits", "models:/digits/3", actor="bob", plan=PLAN)
    service.abort(again.id, actor="bob")
    assert (world.find(again.id).phase, world.share()) == (Phase.ABORTED, 0)
    with pytest.raises(NotFound, match="rel_none"):
        service.abort("rel_none", actor="bob")
    with world.parts.database.read() as conn:
        stored, ended = releases.intervals(conn, release.id), world.find(release.id)
    assert replay(ended, stored) == []


# --- what is refused


def refused(
    world: World, what: type[HeadraceError], match: str, uri: str = "models:/digits/2", name: str = "digits"
) -> None:
    with pytest.raises(what, match=match):
        world.service().start(name, uri, actor="ann", plan=PLAN)


def test_two_releases_on_one_endpoint(world: World) -> None:
    _, release = started(world)
    refused(world, Conflict, release.id, "models:/digits/3")
    with pytest.raises(Conflict, match=release.id):
        world.service().deploy("digits", "models:/digits/3", actor="ann")
    with pytest.raises(Conflict, match=release.id):
        world.service().move_stage("digits", 3, Stage.PRODUCTION, actor="ann")


def test_a_candidate_that_cannot_be(world: World) -> None:
    world.service().deploy("digits", "models:/digits/1", actor="ann")
    refused(world, Conflict, "is live on endpoint 'digits' already", "models:/digits/1")
    refused(world, NotFound, "no version 9", "models:/digits/9")
    refused(world, NotFound, "no endpoint 'other'; there are: digits", name="other")
    world.registry.known[4] = replace(version(4), name="iris", uri="models:/iris/4")
    refused(world, BadInput, "serves 'digits'", "models:/iris/4")


def test_a_candidate_with_another_signature_is_named_and_ends_as_failed(world: World) -> None:
    world.service().deploy("digits", "models:/digits/1", actor="ann")
    world.shapes[2] = signature(features=5)
    refused(world, ModelRefused, r"input 'input' is FP64 \[-1, 5\], the live version's FP64 \[-1, 4\]")
    with world.parts.database.read() as conn:
        (failed,) = releases.recent(conn)
    assert failed.phase is Phase.FAILED
    assert "FP64 [-1, 5]" in failed.history[-1].detail


def test_a_candidate_that_data_planes_refuse_leaves_no_trace_in_traffic(world: World) -> None:
    world.service().deploy("digits", "models:/digits/1", actor="ann")
    world.report = PlaneReport(revision=0, live=False, refused="model.onnx does not hash")
    refused(world, ModelRefused, "traffic has not changed: model.onnx does not hash")
    with world.parts.database.read() as conn:
        endpoint = endpoints.get(conn, "digits")
    assert endpoint is not None
    assert [v.name for v in endpoint.variants] == ["v1"]
    world.report = PlaneReport(revision=0, live=False)
    refused(world, Unavailable, "no data plane has confirmed")


# --- deploy and the registry


def test_a_refused_deploy_is_taken_back(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    world.report = PlaneReport(revision=0, live=False, refused="out of memory")
    with pytest.raises(ModelRefused, match="nothing has changed: out of memory"):
        service.deploy("digits", "models:/digits/2", actor="ann")
    with pytest.raises(ModelRefused):
        service.deploy("new", "models:/digits/3", actor="ann")
    with world.parts.database.read() as conn:
        assert [(e.name, e.policy.baseline) for e in endpoints.all(conn)] == [("digits", "v1")]
    world.report = None
    service.sync()
    assert world.registry.known[1].stage is Stage.PRODUCTION
    assert world.registry.known[3].stage is Stage.NONE
    with world.parts.database.read() as conn:
        assert outbox.pending(conn) == ()


def test_a_deploy_cut_off_before_it_was_confirmed_is_finished_by_the_next_process(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("headrace.release.deploy.confirm", dying)
        with pytest.raises(Killed):
            world.service().deploy("digits", "models:/digits/1", actor="ann")
    assert world.registry.known[1].stage is Stage.NONE
    world.service().sync()
    assert world.registry.known[1].stage is Stage.PRODUCTION


def test_an_endpoint_serves_one_model_and_has_a_name(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    world.registry.known[4] = replace(version(4), name="iris", uri="models:/iris/4")
    with pytest.raises(Conflict, match="serves model 'digits', not 'iris'"):
        service.deploy("digits", "models:/iris/4", actor="ann")
    for name in ("", "a b", "../x", "x" * 101):
        with pytest.raises(BadInput):
            service.deploy(name, "models:/digits/1", actor="ann")


def test_traffic_is_decided_while_mlflow_is_down(world: World) -> None:
    service, release = started(world)
    world.registry.down = True
    service.promote(release.id, actor="bob")
    assert world.find(release.id).phase is Phase.PROMOTED
    with pytest.raises(UpstreamError):
        service.sync()
    with world.parts.database.read() as conn:
        (parcel,) = outbox.pending(conn)
    assert parcel.attempts == 1
    world.registry.down = False
    service.sync()
    assert world.registry.known[2].stage is Stage.PRODUCTION
    with world.parts.database.read() as conn:
        assert outbox.pending(conn) == ()
        endpoint = endpoints.get(conn, "digits")
    assert endpoint is not None
    assert endpoint.policy.baseline == "v2", "the old word of the registry must not win"


def test_a_stage_moved_elsewhere_moves_traffic(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    world.registry.set_stage("digits", 2, Stage.STAGING)
    world.registry.known[3] = replace(world.registry.known[3], aliases=("champion",))
    service.sync()
    with world.parts.database.read() as conn:
        endpoint = endpoints.get(conn, "digits")
    assert endpoint is not None
    assert endpoint.selectors == {"1": "v1", "2": "v2", "3": "v3", "Staging": "v2", "@champion": "v3"}
    world.registry.set_stage("digits", 2, Stage.PRODUCTION)
    service.sync()
    with world.parts.database.read() as conn:
        endpoint = endpoints.get(conn, "digits")
    assert endpoint is not None
    assert endpoint.policy.baseline == "v2"
    before = world.revision()
    service.sync()
    assert world.revision() == before, "nothing changed, nothing is published"


def test_stage_moves(world: World) -> None:
    service = world.service()
    service.move_stage("digits", 3, Stage.STAGING, actor="ann")
    assert world.registry.known[3].stage is Stage.STAGING
    service.deploy("digits", "models:/digits/1", actor="ann")
    with pytest.raises(Conflict, match="version 1 is live on endpoint 'digits'"):
        service.move_stage("digits", 1, Stage.ARCHIVED, actor="ann")
    moved = service.move_stage("digits", 2, Stage.PRODUCTION, actor="ann")
    assert moved.stage is Stage.PRODUCTION
    with world.parts.database.read() as conn:
        endpoint = endpoints.get(conn, "digits")
        (entry,) = audit.entries(conn, subject="model:digits/2")
    assert endpoint is not None
    assert endpoint.policy.baseline == "v2"
    assert entry.detail == "None → Production"


def test_a_version_deleted_in_the_registry_is_forgotten(world: World) -> None:
    world.service().sync()
    del world.registry.known[3]
    world.service().sync()
    with world.parts.database.read() as conn:
        assert [v.version for v in versions.all(conn)] == [1, 2]


def test_shares_are_bounded() -> None:
    from headrace.release.change import first, promoted, with_step

    with pytest.raises(ValueError, match="10001"):
        with_step(first("digits", variant(1)), Step(share=BUCKETS + 1))
    with pytest.raises(ValueError, match="no candidate"):
        promoted(first("digits", variant(1)))


def test_one_long_work_at_a_time(world: World) -> None:
    service = world.service()
    with service._alone("digits"), pytest.raises(Conflict, match="is being changed at this moment"):
        service.deploy("digits", "models:/digits/1", actor="ann")


def test_an_id_tells_its_time() -> None:
    from headrace.base.ids import issued

    assert issued(TraceIds(b"k" * 32).mint(START)) == START


def test_a_person_may_abort_while_it_is_prepared(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    lost = start.register(world.parts, "rel_x", wishes=[WISH], plan=PLAN, cause=Cause(actor="ann"))
    service.abort(lost.id, actor="bob")
    with pytest.raises(Conflict, match="it was ended while"):
        start.prepare(world.parts, lost, progress=lambda _: None)
    with world.parts.database.read() as conn:
        found = releases.get(conn, lost.id)
    assert found is not None
    assert found.phase is Phase.ABORTED


def test_a_candidate_with_another_signature_is_released_behind_its_adapter(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    world.shapes = dict.fromkeys((2, 3), signature(features=5))
    adapter = read_adapter({"inputs": [{"compute": {"input": "row(input, 0)"}}]})
    with pytest.raises(BadInput, match="for 'rank', which is not in this release; there are: digits"):
        service.start("digits", "models:/digits/2", plan=PLAN, adapters={"rank": adapter}, actor="ann")
    release = service.start("digits", "models:/digits/2", plan=PLAN, adapters={"digits": adapter}, actor="ann")
    service.promote(release.id, actor="ann")
    service.start("digits", "models:/digits/3", plan=PLAN, actor="ann")  # what is trained anew needs no new file
    with world.parts.database.read() as conn:
        live = endpoints.get(conn, "digits")
    assert live is not None
    by_name = {v.name: v for v in live.variants}
    assert live.policy.baseline == "v2"
    assert by_name["v2"].adapter is not None
    assert by_name["v3"].adapter == by_name["v2"].adapter
    assert {v.signature for v in live.variants} == {signature()}


def test_an_adapter_that_does_not_fit_ends_its_release(world: World) -> None:
    service = world.service()
    service.deploy("digits", "models:/digits/1", actor="ann")
    world.shapes[2] = signature(features=5)
    adapter = read_adapter({"inputs": [{"compute": {"input": "row(input, 0, 0)"}}]})
    with pytest.raises(ModelRefused, match=r"'input' is \[n, 6\], the version takes \[n, 5\]"):
        service.start("digits", "models:/digits/2", plan=PLAN, adapters={"digits": adapter}, actor="ann")
    with world.parts.database.read() as conn:
        (failed,) = releases.recent(conn, limit=5)
    assert failed.phase is Phase.FAILED
    assert "after the steps of inputs" in failed.history[-1].detail
