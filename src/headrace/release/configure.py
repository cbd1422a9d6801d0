"""How an endpoint runs: batching, cache, limits, gates, failover, what is captured. In force without a reload.

Called by the service for PATCH /api/v1/endpoints/{name}; park.py shares the bounds. Decides what may be changed and
between which bounds. Which version answers is not here: that is a deploy or a release.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import msgspec

from headrace.release.deploy import confirm, note_move, publish_change
from headrace.release.gates.base import all_gates
from headrace.release.gates.policy import check_policy
from headrace.release.parts import Cause, Parts, Progress
from headrace.store import endpoints
from headrace.types.approval import Approvals
from headrace.types.endpoint import Batching, Cache, Capture, Endpoint, Limits
from headrace.types.errors import BadInput, NotFound
from headrace.types.failover import Failover
from headrace.types.gate import Gates

Section = Batching | Cache | Limits | Gates | Failover | Approvals
SECTIONS: dict[str, type[Section]] = {
    "batching": Batching,
    "cache": Cache,
    "limits": Limits,
    "gates": Gates,
    "failover": Failover,
    "approvals": Approvals,
}
_DAY = 86_400
BOUNDS: dict[str, tuple[float, float]] = {
    "batching.max_batch_size": (0, 1_000_000),
    "batching.max_queue_delay_microseconds": (0, 60_000_000),
    "batching.max_queue_size": (0, 1_000_000),
    "batching.default_timeout_microseconds": (0, 3_600_000_000),
    "batching.priority_levels": (0, 100),
    "batching.default_priority_level": (0, 100),
    "batching.instances": (0, 256),
    "cache.size_mb": (0, 1_000_000),
    "cache.ttl_seconds": (0, 30 * _DAY),
    "limits.timeout_ms": (1, _DAY * 1000),
    "limits.max_concurrency": (0, 1_000_000),
    "limits.max_rows": (1, 10_000_000),
    "gates.rows": (1, 1000),
    "gates.min_right": (0, 1),
    "gates.max_flips": (0, 1),
    "gates.max_p99_ms": (0, _DAY * 1000),
    "gates.max_memory_mb": (0, 10_000_000),
    "gates.timeout_seconds": (1, 3600),
    "failover.failures_in_row": (2, 1_000_000),
    "failover.error_rate": (0, 1),
    "failover.min_calls": (5, 1_000_000),
    "failover.stall_seconds": (0, _DAY),
    "failover.probe_seconds": (0.5, _DAY),
    "failover.lasting_seconds": (0, 30 * _DAY),
    "approvals.people": (1, 20),
    "approvals.expires_seconds": (60, 30 * _DAY),
}


def configure(parts: Parts, *, name: str, changes: dict[str, Any], cause: Cause, progress: Progress) -> Endpoint:
    """Raises NotFound, BadInput, and ModelRefused when a data plane cannot do it (it is then as it was)."""
    with parts.database.write() as conn:
        before = endpoints.get(conn, name)
        if before is None:
            there = ", ".join(e.name for e in endpoints.all(conn)) or "none yet"
            raise NotFound(f"there is no endpoint {name[:100]!r}; there are: {there}", field="name")
        after = configured(before, changes)
        told = told_changes(before, after)
        if not told:
            return before

        def change(old: Endpoint | None) -> Endpoint:
            return configured(old or before, changes)

        plan = publish_change(conn, parts, name, change, reason=f"{name}: {told}")
        note_move(conn, parts, plan, endpoint=name, before=before, cause=cause, detail=told)
    confirm(parts, plan, endpoint=name, before=before, actor=cause.actor, progress=progress)
    return after


def configured(endpoint: Endpoint, changes: dict[str, Any]) -> Endpoint:
    """Pure. `changes` by section: {"batching": {"max_batch_size": 32}, "capture": "none"}; the rest stays."""
    made = endpoint
    for section, given in changes.items():
        if section == "capture":
            made = replace(made, capture=_capture(given))
        elif section == "effects":
            made = _with_effects(made, given)
        elif section in SECTIONS:
            settled: dict[str, Any] = {section: _section(section, getattr(endpoint, section), given)}
            made = replace(made, **settled)
        else:
            allowed = ", ".join([*SECTIONS, "capture", "effects"])
            raise BadInput(f"there is no setting {section!r} of an endpoint; there are: {allowed}", field=section)
    return made


def bounded(section: str, made: Section) -> None:
    for spec in fields(made):
        place = f"{section}.{spec.name}"
        if place in BOUNDS:
            low, high = BOUNDS[place]
            value = getattr(made, spec.name)
            if not low <= value <= high:
                raise BadInput(f"{place} is {value!r}; allowed: {low:,} to {high:,}", field=place)
    if isinstance(made, Gates):
        _known_gates(made)
    if isinstance(made, Batching):
        if any(size < 1 for size in made.preferred_batch_size):
            raise BadInput(
                f"batching.preferred_batch_size is {list(made.preferred_batch_size)}; allowed: sizes from 1",
                field="batching.preferred_batch_size",
            )
        if made.default_priority_level > made.priority_levels:
            raise BadInput(
                f"batching.default_priority_level is {made.default_priority_level}; there are {made.priority_levels}",
                field="batching.default_priority_level",
            )


def _known_gates(made: Gates) -> None:
    there = all_gates()
    if unknown := [name for name in made.skip if name not in there]:
        raise BadInput(
            f"gates.skip names {unknown[0]!r}; there are: {', '.join(there)}",
            field="gates.skip",
        )
    check_policy(made.policy)


def told_changes(before: Endpoint, after: Endpoint) -> str:
    """In words, for the audit log: `batching.max_batch_size 64 → 32`."""
    told = []
    for section in SECTIONS:
        old, new = getattr(before, section), getattr(after, section)
        for spec in fields(old):
            was, now = getattr(old, spec.name), getattr(new, spec.name)
            if was != now:
                told.append(f"{section}.{spec.name} {_plain(was)} → {_plain(now)}")
    if before.capture is not after.capture:
        told.append(f"capture {before.capture.value} → {after.capture.value}")
    if before.effects is not after.effects:
        told.append(f"effects {before.effects} → {after.effects}".lower())
    return ", ".join(told)


def _section(section: str, now: Section, given: Any) -> Section:
    kind = SECTIONS[section]
    if not isinstance(given, dict):
        raise BadInput(f"{section} is {given!r}; it is an object of settings", field=section)
    known = {spec.name for spec in fields(kind)}
    if unknown := sorted(given.keys() - known):
        raise BadInput(
            f"there is no setting {section}.{unknown[0]}; there are: {', '.join(sorted(known))}",
            field=f"{section}.{unknown[0]}",
        )
    # A command line cannot write a list of one.
    lists = {
        name: [value] if value != "" else []
        for name, value in given.items()
        if isinstance(getattr(now, name), tuple) and not isinstance(value, list)
    }
    try:
        made = msgspec.convert({**msgspec.to_builtins(now), **given, **lists}, kind)
    except msgspec.ValidationError as error:
        raise BadInput(f"{section}: {error}".replace("`", "'"), field=section) from None
    bounded(section, made)
    return made


def _with_effects(endpoint: Endpoint, given: Any) -> Endpoint:
    """Calls that change something are put to no shadow, from this plan on."""
    if not isinstance(given, bool):
        raise BadInput(f"effects is {given!r}; allowed: true, false", field="effects")
    policy = replace(endpoint.policy, shadow=None) if given else endpoint.policy
    return replace(endpoint, effects=given, policy=policy)


def _capture(given: Any) -> Capture:
    try:
        return Capture(given)
    except ValueError:
        allowed = ", ".join(kind.value for kind in Capture)
        raise BadInput(f"capture is {given!r}; allowed: {allowed}", field="capture") from None


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_plain(one) for one in value)}]"
    return str(getattr(value, "value", value))
