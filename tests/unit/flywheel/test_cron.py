"""Schedules as crontab(5) has them, and which turns they begin."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from headrace.flywheel.cron import passed, read_cron, upcoming
from headrace.flywheel.triggers import Seen, due, waiting
from headrace.types.errors import BadInput
from headrace.types.turn import Cause, Flywheel, Training, Triggers, Turn, TurnState


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("cron", "next_one"),
    [
        ("* * * * *", "2026-11-21 12:01"),
        ("30 2 * * *", "2026-11-22 02:30"),
        ("*/20 * * * *", "2026-11-21 12:20"),
        ("0 9 * * 1-5", "2026-11-23 09:00"),
        ("0 0 1 * *", "2026-12-01 00:00"),
        ("0 0 13 * 5", "2026-11-27 00:00"),  # the 13th or a Friday
        ("0 0 29 2 *", "2028-02-29 00:00"),
        ("5,10 0 * * 0", "2026-11-22 00:05"),
        ("0 12/6 * * 7", "2026-11-22 12:00"),
    ],
)
def test_next(cron: str, next_one: str) -> None:
    assert upcoming(read_cron(cron), at("2026-11-21 12:00:30")) == at(next_one)


def test_a_day_that_never_comes() -> None:
    assert upcoming(read_cron("0 0 31 2 *"), at("2026-11-21 12:00")) is None


@pytest.mark.parametrize("cron", ["", "* * * *", "60 * * * *", "a * * * *", "5-1 * * * *", "*/0 * * * *"])
def test_what_it_cannot_be(cron: str) -> None:
    with pytest.raises(BadInput, match="allowed"):
        read_cron(cron)


def test_a_minute_counts_once() -> None:
    cron = read_cron("15 * * * *")
    assert passed(cron, at("2026-11-21 12:14:59"), at("2026-11-21 12:15:01"))
    assert not passed(cron, at("2026-11-21 12:15:01"), at("2026-11-21 12:15:06"))


def wheel(**triggers: object) -> Flywheel:
    return Flywheel(endpoint="d", train=Training(command=("true",)), triggers=Triggers(rest_seconds=60, **triggers))  # type: ignore[arg-type]


def turn(created: float, state: TurnState = TurnState.DONE) -> Turn:
    return Turn(id="turn_1", endpoint="d", flywheel=wheel(), created=created, state=state)


def test_due() -> None:
    now = at("2026-11-21 12:15:01")
    assert due(wheel(feedback=10), Seen(now=now, since=now - 5, usable=9)) is None
    found = due(wheel(feedback=10), Seen(now=now, since=now - 5, usable=10))
    assert found is not None
    assert found.cause is Cause.FEEDBACK
    found = due(wheel(cron="15 12 * * *"), Seen(now=now, since=now - 5))
    assert found is not None
    assert found.cause is Cause.SCHEDULE


@pytest.mark.parametrize(
    "changes",
    [
        {"last": turn(at("2026-11-21 12:14:30"))},
        {"last": turn(0.0, TurnState.RUNNING)},
        {"releasing": True},
    ],
)
def test_not_while_something_is_under_way(changes: dict[str, object]) -> None:
    now = at("2026-11-21 12:15:01")
    assert due(wheel(feedback=1), Seen(now=now, since=now - 5, usable=5, **changes)) is None  # type: ignore[arg-type]


def test_what_it_waits_for() -> None:
    now = at("2026-11-21 12:15:01")
    found = waiting(wheel(feedback=10, cron="0 13 * * *"), Seen(now=now, since=now, usable=3, last=turn(now - 20)))
    assert (found.usable, found.needed, found.scheduled) == (3, 10, at("2026-11-21 13:00"))
    assert found.rests_until == now + 40
    assert waiting(wheel(), Seen(now=now, since=now)).needed is None
