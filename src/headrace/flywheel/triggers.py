"""Whether a turn is due that no person asked for. Pure; called by turns.py."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.flywheel.cron import passed, read_cron, upcoming
from headrace.types.turn import Cause, Flywheel, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """`since`: when this was looked at before. `usable`: new words since the last turn. `last`: the newest turn."""

    now: float
    since: float
    usable: int = 0
    last: Turn | None = None
    releasing: bool = False  # a release runs on the endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    cause: Cause
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What the next turn waits for, in words and numbers. None: that is no trigger of this flywheel."""

    usable: int
    needed: int | None
    scheduled: float | None
    rests_until: float | None


def due(flywheel: Flywheel, seen: Seen) -> Due | None:
    """Never while a turn or a release is under way, nor within the rest after the last one."""
    if _busy(seen) or (rests_until(flywheel, seen) or 0.0) > seen.now:
        return None
    wanted = flywheel.triggers
    if wanted.feedback and seen.usable >= wanted.feedback:
        return Due(cause=Cause.FEEDBACK, why=f"{seen.usable} new usable words, {wanted.feedback} were waited for")
    if wanted.cron and passed(read_cron(wanted.cron), seen.since, seen.now):
        return Due(cause=Cause.SCHEDULE, why=f"schedule {wanted.cron}")
    return None


def waiting(flywheel: Flywheel, seen: Seen) -> Waiting:
    wanted = flywheel.triggers
    rests = rests_until(flywheel, seen)
    return Waiting(
        usable=seen.usable,
        needed=wanted.feedback or None,
        scheduled=upcoming(read_cron(wanted.cron), seen.now) if wanted.cron else None,
        rests_until=rests if rests and rests > seen.now else None,
    )


def rests_until(flywheel: Flywheel, seen: Seen) -> float | None:
    return seen.last.created + flywheel.triggers.rest_seconds if seen.last else None


def _busy(seen: Seen) -> bool:
    return seen.releasing or (seen.last is not None and not seen.last.state.ended)
