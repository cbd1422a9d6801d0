"""Back to who had the traffic before its last move; or why not.

Called by the service. `target_of` is pure: from the endpoint's history and its state now to what would be done. What is
unsafe is refused: while a release moves traffic, after evidence or a person took it away from somebody, and when
traffic is not where the history left it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from headrace.release.deploy import go_live
from headrace.release.parts import Cause, Parts, Progress
from headrace.release.ready import make_ready
from headrace.release.record import holdings, traffic_words
from headrace.store import audit, endpoints, releases
from headrace.store.db import Connection
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.errors import Conflict, NotFound
from headrace.types.history import AuditEntry, Holding, Wanted

LOOK = 500  # entries back
REFUSED = "endpoint.refused"  # of a data plane: it takes back the deploy before it
TAKEN = ("release.rolled_back", "release.aborted", "endpoint.failover")  # for a reason that still holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """What an undo does: `entry` is what it takes back, `to` gets all traffic."""

    endpoint: str
    entry: AuditEntry
    to: Holding
    sentence: str


def look(conn: Connection, name: str) -> Undo:
    """Raises NotFound, and Conflict saying why it would be unsafe."""
    endpoint = endpoints.get(conn, name)
    if endpoint is None:
        there = ", ".join(e.name for e in endpoints.all(conn)) or "none yet"
        raise NotFound(f"there is no endpoint {name[:100]!r}; there are: {there}", field="endpoint")
    running = releases.active_for(conn, name)
    if running is not None:
        raise Conflict(
            f"release {running.id} is moving endpoint {name!r} to {running.candidate} ({running.phase.value})",
            field="endpoint",
            hint=f"headrace release abort {name} gives {running.baseline} all traffic",
        )
    return target_of(endpoint, audit.search(conn, Wanted(endpoint=name), limit=LOOK))


def undo(parts: Parts, plan: Undo, *, cause: Cause, progress: Progress) -> Endpoint:
    progress(plan.sentence)
    return go_live(
        parts, endpoint=plan.endpoint, variant=_variant(parts, plan, progress), cause=cause, progress=progress
    )


def target_of(endpoint: Endpoint, newest_first: Iterable[AuditEntry]) -> Undo:
    entry = last_move(newest_first)
    if entry is None:
        raise _unsafe(endpoint, "the history knows no move of its traffic")
    told = f"entry {entry.id}, {entry.action} by {entry.actor}"
    if entry.action in TAKEN:
        raise _unsafe(
            endpoint,
            f"its last move ({told}) took traffic away for a reason: {entry.detail}",
            hint="start a release of that version again when the reason is gone",
        )
    if not entry.about.before:
        raise _unsafe(endpoint, f"nobody had its traffic before its last move ({told})")
    if _parts(holdings(endpoint)) != _parts(entry.about.after):
        now, then = traffic_words(holdings(endpoint)), traffic_words(entry.about.after)
        raise _unsafe(endpoint, f"its traffic is with {now}, and its last move ({told}) gave it to {then}")
    to = entry.about.before[0]  # the baseline
    sentence = f"{endpoint.name}: all traffic from {traffic_words(holdings(endpoint))} back to {to.variant}"
    return Undo(endpoint=endpoint.name, entry=entry, to=to, sentence=sentence)


def last_move(newest_first: Iterable[AuditEntry]) -> AuditEntry | None:
    """The newest entry that moved traffic and stood: a plan that the data planes refused was taken back."""
    taken_back = 0
    for entry in newest_first:
        if _parts(entry.about.before) == _parts(entry.about.after):
            continue
        if entry.action == REFUSED:
            taken_back += 1
        elif taken_back:
            taken_back -= 1
        else:
            return entry
    return None


def _variant(parts: Parts, plan: Undo, progress: Progress) -> Variant:
    """Still loaded, most likely: then it is instant."""
    with parts.database.read() as conn:
        endpoint = endpoints.get(conn, plan.endpoint)
    loaded = endpoint.variant(plan.to.variant) if endpoint is not None else None
    if loaded is not None and loaded.model.uri == plan.to.uri:
        return loaded
    if not plan.to.uri.startswith("models:/"):
        raise Conflict(
            f"{plan.to.variant} of endpoint {plan.endpoint!r} is a service that is no longer known",
            field="endpoint",
            hint="headrace deploy with its description",
        )
    version = parts.registry.resolve(plan.to.uri)
    return make_ready(parts, version, endpoint=plan.endpoint, progress=progress)


def _parts(held: Iterable[Holding]) -> list[tuple[str, int]]:
    return [(one.variant, one.share) for one in held]


def _unsafe(endpoint: Endpoint, why: str, *, hint: str | None = None) -> Conflict:
    return Conflict(f"the last move of endpoint {endpoint.name!r} cannot be undone: {why}", field="endpoint", hint=hint)
