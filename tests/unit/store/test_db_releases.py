"""Releases, their intervals and the units counted, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from store_samples import interval, release

from headrace.store import releases
from headrace.store.db import Database
from headrace.types.errors import Conflict
from headrace.types.release import Judgement, Phase, Release, Tally, Verdict


def test_one_release_an_endpoint(database: Database) -> None:
    with database.write() as conn:
        releases.put(conn, release("rel_1"))
        releases.put(conn, replace(release("rel_1"), step=2))
        releases.put(conn, release("rel_x", endpoint="other"))
    with pytest.raises(Conflict, match="rel_1") as caught, database.write() as conn:
        releases.put(conn, release("rel_2"))
    assert "headrace release abort digits" in caught.value.sentence()
    with database.write() as conn:
        releases.put(conn, release("rel_1", phase=Phase.ABORTED))
        releases.put(conn, replace(release("rel_2"), created=2.0))
    with database.read() as conn:
        assert [r.id for r in releases.active(conn)] == ["rel_x", "rel_2"]
        assert [r.id for r in releases.recent(conn, endpoint="digits")] == ["rel_2", "rel_1"]
        assert len(releases.recent(conn)) == 3
        running = releases.active_for(conn, "digits")
        assert running is not None
        assert running.id == "rel_2"
        assert releases.get(conn, "rel_1") == release("rel_1", phase=Phase.ABORTED)
        assert releases.get(conn, "rel_9") is None


def test_the_index_guards_against_one_who_did_not_look(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.write() as conn:
        releases.put(conn, release("rel_1"))
    look = releases.active_for
    answers: list[Release | None] = [None]  # then as it is
    monkeypatch.setattr(releases, "active_for", lambda c, e: answers.pop() if answers else look(c, e))
    with pytest.raises(Conflict, match="rel_1") as caught, database.write() as conn:
        releases.put(conn, release("rel_2"))
    assert "headrace release abort digits" in caught.value.sentence()
    with database.read() as conn:
        assert [r.id for r in releases.active(conn)] == ["rel_1"]


def test_every_ended_phase_makes_room(database: Database) -> None:
    with database.write() as conn:
        for number, phase in enumerate(p for p in Phase if p.ended):
            releases.put(conn, release(f"rel_{number}"))
            releases.put(conn, release(f"rel_{number}", phase=phase))
        assert releases.active(conn) == ()
    for phase in (p for p in Phase if not p.ended):
        with pytest.raises(Conflict):
            _start_two(database, phase)


def _start_two(database: Database, phase: Phase) -> None:
    with database.write() as conn:
        releases.put(conn, release("rel_a", phase=phase))
        releases.put(conn, release("rel_b", phase=phase))


def test_intervals_and_counted_units_come_back(database: Database) -> None:
    tally = {"errors": Tally(baseline_units=9, candidate_units=1, candidate_events=1)}
    judgement = Judgement(verdict=Verdict.HOLD, reason="few", time=2.0)
    seen = [interval(n, tally) for n in range(3)]
    with database.write() as conn:
        releases.put(conn, release("rel_1"))
        for one in seen:
            releases.add_interval(conn, "rel_1", interval=one, evalues={"errors": 0.25}, judgement=judgement)
        releases.count(conn, "rel_1", scope="release", metric="errors", units=["a", "b"])
        releases.count(conn, "rel_1", scope="release", metric="errors", units=[])
        releases.count(conn, "rel_1", scope="step-0", metric="errors", units={"a"})
    with database.write() as conn:
        stored = releases.intervals(conn, "rel_1")
        assert [s.interval for s in stored] == seen
        assert stored[0].evalues == {"errors": 0.25}
        assert stored[0].judgement == judgement
        assert releases.counted(conn, "rel_1") == {"release/errors": {"a", "b"}, "step-0/errors": {"a"}}
        releases.forget_counted(conn, "rel_1")
        assert releases.counted(conn, "rel_1") == {}


def test_many_units_are_counted_at_once_and_again_is_no_harm(database: Database) -> None:
    units = [f"{n:016x}" for n in range(20_000)]
    with database.write() as conn:
        releases.count(conn, "rel_1", scope="release", metric="slow_p50", units=units)
        releases.count(conn, "rel_1", scope="release", metric="slow_p50", units=[*units[:5], "new", "new"])
        assert releases.counted(conn, "rel_1") == {"release/slow_p50": {*units, "new"}}
        assert releases.counted(conn, "rel_2") == {}


def test_the_newest_intervals(database: Database) -> None:
    judgement = Judgement(verdict=Verdict.HOLD, reason="few", time=2.0)
    with database.write() as conn:
        for n in range(5):
            releases.add_interval(conn, "rel_1", interval=interval(n), evalues={}, judgement=judgement)
        assert [s.interval.start for s in releases.intervals(conn, "rel_1", limit=2)] == [3.0, 4.0]
        assert len(releases.intervals(conn, "rel_1")) == 5
