"""Five fields of a schedule: minute hour day month weekday, UTC. Pure; called by spec.py and triggers.py.

As crontab(5) has them: `*`, numbers, ranges, lists and steps; Sunday is 0 and 7; when both day and weekday are given,
either is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace.types.errors import BadInput

_FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
MOST_STEPS = 366 * 5 + 24 * 60  # days until the next 29 February, and the minutes of one


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool  # day and weekday are both given

    def matches(self, moment: datetime) -> bool:
        return moment.minute in self.minutes and moment.hour in self.hours and self.has_day(moment)

    def has_day(self, moment: datetime) -> bool:
        if moment.month not in self.months:
            return False
        day, weekday = moment.day in self.days, moment.isoweekday() % 7 in self.weekdays
        return day or weekday if self.either else day and weekday


def read_cron(text: str) -> Cron:
    """Raises BadInput naming the field."""
    parts = text.split()
    if len(parts) != len(_FIELDS):
        raise BadInput(
            f"cron is {text!r}; allowed: minute hour day month weekday, such as '30 2 * * 1'", field="triggers.cron"
        )
    minutes, hours, days, months, weekdays = (_field(part, *field) for part, field in zip(parts, _FIELDS, strict=True))
    return Cron(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        either=not parts[2].startswith("*") and not parts[4].startswith("*"),
    )


def passed(cron: Cron, since: float, until: float) -> bool:
    """Whether a minute that it names has begun after `since`, up to `until`."""
    minute = datetime.fromtimestamp(since, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    end = datetime.fromtimestamp(until, UTC)
    while minute <= end:
        if cron.matches(minute):
            return True
        minute += timedelta(minutes=1)
    return False


def upcoming(cron: Cron, now: float) -> float | None:
    """When it comes next; None for a day that no calendar has."""
    moment = datetime.fromtimestamp(now, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    for _ in range(MOST_STEPS):
        if cron.matches(moment):
            return moment.timestamp()
        tomorrow = moment.replace(hour=0, minute=0) + timedelta(days=1)
        moment = moment + timedelta(minutes=1) if cron.has_day(moment) else tomorrow
    return None


def _field(text: str, name: str, low: int, high: int) -> frozenset[int]:
    found: set[int] = set()
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dash, last = span.partition("-")
        try:
            begin, end = (low, high) if span == "*" else (int(first), int(last) if dash else int(first))
            end = high if step and not dash and span != "*" else end
            pace = int(step) if step else 1
        except ValueError:
            begin, end, pace = 1, 0, 1
        if not low <= begin <= end <= high or pace < 1:
            raise BadInput(f"{name} is {text!r}; allowed: * or {low} to {high}, as 5, 1-5, 1,3 or */10", field=name)
        found.update(range(begin, end + 1, pace))
    return frozenset(found)
