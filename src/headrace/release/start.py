"""The beginning of a release: the candidate is made ready, loaded and warmed everywhere, and passes its gates, before
it gets a share.

Called by the service, in a thread. The release is on record from the first moment, so that a second one is refused
while this one prepares; when the candidate cannot be had, it ends as failed and says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from headrace.release import act, change, learn
from headrace.release.adapters import Written, attached
from headrace.release.advance import share_of
from headrace.release.deploy import Change, check_free, publish_changes
from headrace.release.evidence import CUT_CALLS, cuts_of
from headrace.release.gates.run import check_gates, run_gates
from headrace.release.parts import PLAN_SECONDS, Cause, Parts, Progress, cursor_name
from headrace.release.ready import make_ready, resolve
from headrace.store import cursors, endpoints, releases
from headrace.store.db import Connection
from headrace.store.journal.reader import start_position
from headrace.types.call import CallStatus
from headrace.types.endpoint import Endpoint, Plan, Variant
from headrace.types.errors import BadInput, Conflict, HeadraceError, ModelRefused, NotFound, Unavailable
from headrace.types.model import ModelVersion
from headrace.types.release import Event, Member, MetricEvidence, Phase, Release
from headrace.types.strategy import ReleasePlan

CUT_HISTORY = 5 * CUT_CALLS  # of the baseline's latest calls, to fix the latency cuts


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What one endpoint is to be released to."""

    endpoint: str
    uri: str
    adapter: Written | None = None


def wishes_of(uris: Mapping[str, str], adapters: Mapping[str, Written]) -> list[Wish]:
    """By endpoint. Raises BadInput for an adapter that is for none of them."""
    if strange := [name for name in adapters if name not in uris]:
        raise BadInput(
            f"there is an adapter for {strange[0]!r}, which is not in this release; there are: {', '.join(uris)}",
            field="adapters",
        )
    return [Wish(endpoint=name, uri=uri, adapter=adapters.get(name)) for name, uri in uris.items()]


def register(parts: Parts, release_id: str, *, wishes: Sequence[Wish], plan: ReleasePlan, cause: Cause) -> Release:
    """On record, in phase preparing; the first of `wishes` gives the release its name. Raises NotFound, BadInput, and
    Conflict when another release runs on one of the endpoints."""
    versions = [resolve(parts, wish.uri, endpoint=wish.endpoint) for wish in wishes]
    with parts.database.write() as conn:
        members = [member_of(conn, wish, version) for wish, version in zip(wishes, versions, strict=True)]
        head, *others = members
        release = Release(
            id=release_id,
            endpoint=head.endpoint,
            baseline=head.baseline,
            candidate=head.candidate,
            candidate_uri=head.candidate_uri,
            others=tuple(others),
            plan=plan,
            phase=Phase.PREPARING,
            created=parts.clock.now(),
            actor=cause.actor,
        )
        releases.put(conn, release)
        act.note(conn, parts, release, action="release.start", detail=_detail(release), cause=cause)
    return release


def member_of(conn: Connection, wish: Wish, version: ModelVersion) -> Member:
    live = _live(conn, wish.endpoint)
    _check_candidate(live, version)
    check_free(conn, wish.endpoint)
    return Member(
        endpoint=wish.endpoint,
        baseline=live.policy.baseline,
        candidate=change.variant_name(version),
        candidate_uri=version.uri,
    )


def _detail(release: Release) -> str:
    return ", ".join(f"{m.baseline} → {m.candidate} on {m.endpoint}" for m in release.members)


def prepare(parts: Parts, release: Release, *, wishes: Sequence[Wish] = (), progress: Progress) -> Release:
    """Until the first share. `wishes`: as it was registered. Raises what went wrong, after it has ended as failed."""
    try:
        adapters = {wish.endpoint: wish.adapter for wish in wishes}
        ready = {m.endpoint: _make_ready(parts, m, adapters.get(m.endpoint), progress) for m in release.members}
        plan = _load(parts, release, ready)
        progress(f"plan {plan.revision}: data planes load {release.candidate} beside {release.baseline}")
        _confirm(parts, plan)
        return _begin(parts, _tried(parts, release, plan, progress))
    except HeadraceError as error:
        with parts.database.write() as conn:
            current = releases.get(conn, release.id)
            if current is not None and current.phase is Phase.PREPARING:
                act.fail(conn, parts, current, reason=error.sentence(), actor=release.actor)
        raise


def _live(conn: Connection, name: str) -> Endpoint:
    found = endpoints.get(conn, name)
    if found is None:
        there = ", ".join(e.name for e in endpoints.all(conn)) or "none yet"
        raise NotFound(
            f"there is no endpoint {name!r}; there are: {there}", field="endpoint", hint="headrace deploy makes one"
        )
    return found


def _check_candidate(live: Endpoint, version: ModelVersion) -> None:
    if version.name != live.model:
        raise BadInput(
            f"{version.uri} is a version of {version.name!r}; endpoint {live.name!r} serves {live.model!r}",
            field="candidate",
        )
    if live.parked:
        raise Conflict(f"endpoint {live.name!r} is unloaded: there is no traffic to compare", field="endpoint")
    if change.variant_name(version) == live.policy.baseline:
        raise Conflict(f"{version.uri} is live on endpoint {live.name!r} already", field="candidate")


def _make_ready(parts: Parts, member: Member, adapter: Written | None, progress: Progress) -> Variant:
    version = resolve(parts, member.candidate_uri, endpoint=member.endpoint)
    variant = make_ready(parts, version, endpoint=member.endpoint, progress=progress)
    with parts.database.read() as conn:
        return attached(variant, adapter, endpoints.get(conn, member.endpoint))


def _load(parts: Parts, release: Release, ready: Mapping[str, Variant]) -> Plan:
    """Everywhere, without traffic; one salt, so that a user has the candidate on all endpoints or on none."""

    def loaded(name: str, variant: Variant) -> Change:
        def changed(endpoint: Endpoint | None) -> Endpoint:
            if endpoint is None:
                raise Conflict(f"endpoint {name!r} is gone", field="endpoint")
            change.check_fits(endpoint, variant)
            return change.with_candidate(endpoint, variant, salt=release.id)

        return changed

    reason = f"{release.endpoint}: {release.id} loads {release.candidate} without traffic"
    with parts.database.write() as conn:
        _still(conn, release)
        changes = {name: loaded(name, variant) for name, variant in ready.items()}
        return publish_changes(conn, parts, changes, reason=reason)


def _confirm(parts: Parts, plan: Plan) -> None:
    report = parts.await_plan(plan.revision, PLAN_SECONDS)
    if report.refused:
        raise ModelRefused(f"the data plane refused it, traffic has not changed: {report.refused}", field="model")
    if not report.live:
        raise Unavailable(
            f"no data plane has confirmed plan {plan.revision} within {PLAN_SECONDS:.0f} s",
            hint="see headrace status and headrace logs data",
        )


def _tried(parts: Parts, release: Release, plan: Plan, progress: Progress) -> Release:
    """The candidate on trial, on every endpoint that it is for; what came out is kept, also when it is a no."""
    there = {endpoint.name: endpoint for endpoint in plan.endpoints}
    results = tuple(
        result
        for member in release.members
        for result in run_gates(parts, release, there[member.endpoint], candidate=member.candidate, progress=progress)
    )
    with parts.database.write() as conn:
        _still(conn, release)
        tried = replace(release, gates=results)
        releases.put(conn, tried)
    check_gates(results)
    return tried


def _begin(parts: Parts, release: Release) -> Release:
    """The first share; from here on the evidence decides."""
    evidence = _evidence(parts, release)
    now = parts.clock.now()
    with parts.database.write() as conn:
        _still(conn, release)
        begun = replace(release, phase=Phase.PROGRESSING, step_started=now, evidence=evidence)
        share = share_of(begun)
        detail = _detail(release)
        event = Event(time=now, name="started", detail=detail, actor=release.actor, share=share)
        begun = replace(begun, history=(*release.history, event))
        cursors.put(conn, cursor_name(release.id), start_position(parts.settings.journal))
        act.apply(conn, parts, begun, share=share, detail=detail, actor=release.actor)
    return begun


def _evidence(parts: Parts, release: Release) -> dict[str, MetricEvidence]:
    """Nothing seen yet; latency cuts fixed from the baseline's latest calls, if there are enough."""
    calls = parts.query.calls(
        endpoint=release.endpoint, variant=release.baseline, status=CallStatus.OK, limit=CUT_HISTORY
    )
    cuts = cuts_of(release.plan.metrics, [call.latency_ms for call in calls if call.from_user])
    steps = release.plan.steps
    return {m.name: replace(learn.begin(m, steps), cut_ms=cuts.get(m.name, 0.0)) for m in release.plan.metrics}


def _still(conn: Connection, release: Release) -> None:
    """A person may have aborted it meanwhile."""
    current = releases.get(conn, release.id)
    if current is None or current.phase is not Phase.PREPARING:
        phase = "gone" if current is None else current.phase.value
        raise Conflict(f"release {release.id} is {phase}: it was ended while the candidate was prepared")
