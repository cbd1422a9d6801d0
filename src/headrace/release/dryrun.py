"""A release that is not begun: would it be taken, what would it do, how long would it take, what could it see.

Called by the service. Reads the registry, the endpoint and its latest calls; writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.release.forecast import Forecast, forecast, today
from headrace.release.parts import Parts
from headrace.release.ready import resolve
from headrace.release.start import Wish, member_of
from headrace.types.release import Member
from headrace.types.strategy import ReleasePlan

LATEST = 5_000  # calls
WINDOW_SECONDS = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DryRun:
    members: tuple[Member, ...]
    plan: ReleasePlan
    forecast: Forecast


def dry_run(parts: Parts, *, wishes: Sequence[Wish], plan: ReleasePlan) -> DryRun:
    """Raises what the start of the release would raise: NotFound, BadInput, Conflict."""
    versions = [resolve(parts, wish.uri, endpoint=wish.endpoint) for wish in wishes]
    with parts.database.read() as conn:
        members = tuple(member_of(conn, wish, version) for wish, version in zip(wishes, versions, strict=True))
    now = parts.clock.now()
    calls = parts.query.calls(endpoint=members[0].endpoint, since=now - WINDOW_SECONDS, limit=LATEST)
    return DryRun(members=members, plan=plan, forecast=forecast(plan, today(calls, now)))
