"""What pages are told of a release that has been looked at very often."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.release import story as module
from headrace.release.course import PARTS, Course
from headrace.release.plans import plan_from
from headrace.release.results import results
from headrace.release.story import Stories
from headrace.store import pairs, releases
from headrace.store.db import Database
from headrace.store.migrate import migrate
from headrace.types.pair import Difference, Pair
from headrace.types.release import Interval, Judgement, Phase, Release, Tally, Verdict
from tests.unit.release.made import interval, release

HELD = Judgement(verdict=Verdict.HOLD, reason="")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path}/headrace.db")
    migrate(database)
    return database


def looks(start: int, end: int) -> list[Interval]:
    """Half of all have failures on the candidate, in the beginning only: it wears off."""
    return [
        interval(
            float(n),
            tallies={
                "errors": Tally(
                    baseline_units=20, candidate_units=20, baseline_events=1, candidate_events=9 if n < 100 else 1
                )
            },
        )
        for n in range(start, end)
    ]


def store(database: Database, item: Release, seen: list[Interval]) -> None:
    with database.write() as conn:
        for each in seen:
            releases.add_interval(conn, item.id, interval=each, evalues={"errors": each.end}, judgement=HELD)


def test_each_interval_is_read_once_and_some_are_kept(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DRAWN", 10)
    monkeypatch.setattr(module, "READ", 16)
    item, stories = release(), Stories(database)
    assert stories.tell(item).intervals == ()
    store(database, item, looks(0, 75))
    told = stories.tell(item)
    ends = [each.interval.end for each in told.intervals]
    assert ends == sorted(ends)
    assert 10 <= len(ends) <= 21
    assert ends[-1] == looks(74, 75)[0].end, "the newest is among them"
    read: list[int] = []
    real = releases.intervals_after

    def counting(conn: object, release_id: str, number: int, *, limit: int) -> object:
        read.append(number)
        return real(conn, release_id, number, limit=limit)  # type: ignore[arg-type]

    monkeypatch.setattr(releases, "intervals_after", counting)
    store(database, item, looks(75, 78))
    assert stories.tell(item).intervals[-1].interval == looks(77, 78)[0]
    assert read == [75]


def test_what_is_added_up_is_what_all_of_them_say(database: Database) -> None:
    item, stories = release(plan_from(None)), Stories(database)
    every = looks(0, 200)
    store(database, item, every[:90])
    stories.tell(item)
    store(database, item, every[90:])
    assert stories.tell(item).results == results(item, every)
    (course,) = {each.novelty.course for each in results(item, every).metrics if each.spec.name == "errors"}
    assert course.value == "fading"


def test_a_day_is_as_short_as_a_minute() -> None:
    course = Course(plan_from(None).metrics)
    course.add(looks(0, 5_000))
    units = [sum(arm.units for arm in part) for part in course._parts["errors"]]
    assert PARTS <= len(units) <= 2 * PARTS
    assert sum(units) == 40 * 5_000
    assert len(set(units[:-1])) == 1, "equally many in each"


def test_pairs_go_some_time_after_their_release_ended(database: Database) -> None:
    pair = Pair(
        trace_id="tr-1",
        shadow_id="tr-2",
        time=1.0,
        unit="ann",
        rows=1,
        severity=1.0,
        draw=1,
        difference=Difference(flips=1.0),
    )
    long_ended = replace(release(), id="rel_a", created=10.0, ended=20.0, phase=Phase.PROMOTED)
    just_ended = replace(long_ended, id="rel_b", ended=200.0)
    running = replace(release(), id="rel_c", created=10.0)
    with database.write() as conn:
        for item in (long_ended, just_ended, running):
            releases.put(conn, item)
            pairs.keep(conn, item.id, [pair])
        assert pairs.forget_old(conn, before=100.0) == 1
        assert [len(pairs.worst(conn, i.id)) for i in (long_ended, just_ended, running)] == [0, 1, 1]
        assert pairs.forget_old(conn, before=100.0) == 0
