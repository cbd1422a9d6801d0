"""A version live at once, with all traffic: the first one of an endpoint, or a hot swap.

Called by the service. Publishes, waits for what the data planes say, and takes the plan back when one refuses.
A change that should prove itself first is a release.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from headrace.release import moves
from headrace.release.adapters import Written, attached
from headrace.release.change import check_fits, first, switched, with_registry
from headrace.release.parts import PLAN_SECONDS, Cause, Parts, Progress
from headrace.release.ready import make_ready, resolve
from headrace.release.record import holdings
from headrace.release.services import Service, shown
from headrace.store import audit, endpoints, plans, releases, versions
from headrace.store.db import Connection
from headrace.types.endpoint import Endpoint, Plan, Variant
from headrace.types.errors import BadInput, Conflict, ModelRefused
from headrace.types.history import About
from headrace.types.model import Stage

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

Change = Callable[[Endpoint | None], Endpoint]


def deploy(
    parts: Parts,
    *,
    endpoint: str,
    source: str | Service,
    cause: Cause,
    progress: Progress,
    adapter: Written | None = None,
) -> Endpoint:
    """`source`: a model version's URI, the URL of a model on another server, or a service as it was described. Raises
    Conflict while a release moves the endpoint, ModelRefused when the version cannot take over."""
    check_name(endpoint)
    progress(f"resolve {shown(source)}")
    version = resolve(parts, source, endpoint=endpoint)
    with parts.database.read() as conn:
        check_free(conn, endpoint)
        old = endpoints.get(conn, endpoint)
    if old is not None and old.model != version.name:
        raise Conflict(
            f"endpoint {endpoint!r} serves model {old.model!r}, not {version.name!r}",
            field="endpoint",
            hint="take another endpoint name",
        )
    made = make_ready(parts, version, endpoint=endpoint, progress=progress, source=source)
    variant = attached(made, adapter, old)
    return go_live(parts, endpoint=endpoint, variant=variant, cause=cause, progress=progress)


def go_live(parts: Parts, *, endpoint: str, variant: Variant, cause: Cause, progress: Progress) -> Endpoint:
    """All traffic to a variant that is ready. The registry follows: Production, the one before archived."""

    def change(old: Endpoint | None) -> Endpoint:
        if old is None:
            return first(endpoint, variant)
        check_fits(old, variant)
        return switched(old, variant)

    reason = f"{endpoint}: {variant.name} takes all traffic"
    model = variant.model
    move = moves.Move(model=model.name, version=model.version, stage=Stage.PRODUCTION, actor=cause.actor, reason=reason)
    with parts.database.write() as conn:
        check_free(conn, endpoint)
        before = endpoints.get(conn, endpoint)
        plan = publish_change(conn, parts, endpoint, change, reason=reason)
        note_move(conn, parts, plan, endpoint=endpoint, before=before, cause=cause, detail=reason)
        moves.promise(conn, move, now=parts.clock.now(), held=True)
    progress(f"plan {plan.revision}: data planes load {variant.name} beside what runs")
    try:
        confirm(parts, plan, endpoint=endpoint, before=before, actor=cause.actor, progress=progress)
    except ModelRefused:
        with parts.database.write() as conn:
            moves.drop(conn, move)
        raise
    with parts.database.write() as conn:
        moves.release(conn, move, now=parts.clock.now())
    moves.keep(parts)
    with parts.database.read() as conn:
        live = endpoints.get(conn, endpoint)
    if live is None:
        raise Conflict(f"endpoint {endpoint!r} was removed meanwhile", field="endpoint")
    return live


def note_move(
    conn: Connection, parts: Parts, plan: Plan, *, endpoint: str, before: Endpoint | None, cause: Cause, detail: str
) -> None:
    """Who had the traffic, who has it in this plan, and why."""
    about = About(
        endpoint=endpoint,
        reason=cause.reason,
        before=holdings(before),
        after=holdings(plan.endpoint(endpoint)),
        revision=plan.revision,
        approval=cause.approval,
        approvers=cause.approvers,
        undoes=cause.undoes,
    )
    subject, now = f"endpoint:{endpoint}", parts.clock.now()
    audit.append(conn, actor=cause.actor, action=cause.action, subject=subject, detail=detail, now=now, about=about)


def publish_change(conn: Connection, parts: Parts, name: str, change: Change, *, reason: str) -> Plan:
    """The newest plan with one endpoint changed; read and written in the caller's transaction."""
    return publish_changes(conn, parts, {name: change}, reason=reason)


def publish_changes(conn: Connection, parts: Parts, changes: Mapping[str, Change], *, reason: str) -> Plan:
    """The same for several endpoints, which change in one plan or not at all."""
    now_there = {e.name: e for e in endpoints.all(conn)}
    for name, change in changes.items():
        made = change(now_there.get(name))
        now_there[name] = with_registry(made, versions.all(conn, made.model))
    changed = sorted(now_there.values(), key=lambda e: e.name)
    return plans.publish(conn, changed, reason=reason, now=parts.clock.now())


def confirm(
    parts: Parts, plan: Plan, *, endpoint: str, before: Endpoint | None, actor: str, progress: Progress
) -> None:
    """Wait until the data planes run the plan. When one cannot: the endpoint is as it was, ModelRefused says why."""
    report = parts.await_plan(plan.revision, PLAN_SECONDS)
    if report.live:
        progress(f"plan {plan.revision} is live")
        return
    if not report.refused:
        progress(f"plan {plan.revision} is published; no data plane has confirmed it within {PLAN_SECONDS:.0f} s")
        return
    reason = f"{endpoint}: plan {plan.revision} taken back: {report.refused}"
    with parts.database.write() as conn:
        others = [e for e in endpoints.all(conn) if e.name != endpoint]
        restored = others if before is None else [*others, replace(before, revision=0)]
        back = plans.publish(conn, sorted(restored, key=lambda e: e.name), reason=reason, now=parts.clock.now())
        cause = Cause(actor=actor, action="endpoint.refused")
        note_move(conn, parts, back, endpoint=endpoint, before=plan.endpoint(endpoint), cause=cause, detail=reason)
    raise ModelRefused(
        f"the data plane refused it, nothing has changed: {report.refused}",
        field="model",
        hint="see headrace logs data",
    )


def check_name(endpoint: str) -> None:
    if not _NAME.fullmatch(endpoint):
        raise BadInput(
            f"endpoint is {endpoint!r}; allowed: 1 to 100 letters, digits, '.', '_' and '-', a letter or digit first",
            field="endpoint",
        )


def check_free(conn: Connection, endpoint: str) -> None:
    running = releases.active_for(conn, endpoint)
    if running is not None:
        raise Conflict(
            f"release {running.id} is moving endpoint {endpoint!r} to {running.candidate} ({running.phase.value})",
            field="endpoint",
            hint=f"wait for it, or end it with: headrace release abort {endpoint}",
        )
