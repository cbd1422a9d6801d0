"""Feedback comes out of the journal once, and no crash loses or doubles it."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.base.clock import ManualClock
from headrace.flywheel import collect as room
from headrace.flywheel.collect import Collector
from headrace.store import cursors, feedbacks
from headrace.types.errors import Unavailable
from tests.control_samples import call, corrected, down, open_database, open_journal, up, write


def test_collects_and_moves_its_cursor(tmp_path: Path) -> None:
    clock, folder = ManualClock(), tmp_path / "journal"
    with open_database(tmp_path) as database, open_journal(folder) as journal:
        collector = Collector(database=database, folder=folder, clock=clock)
        one, two = call(1), call(2)
        write(journal, [one, two, up(one), corrected(two, 7)])
        assert collector.turn() is False
        with database.read() as conn:
            assert {f.name for f in feedbacks.recent(conn)} == {"user_rating", "corrected_output"}
            first = cursors.get(conn, "collect")
        write(journal, [down(one, after=5.0)])
        collector.turn()
        with database.read() as conn:
            assert feedbacks.for_traces(conn, [one.trace_id])[one.trace_id][0].value is False
            assert cursors.get(conn, "collect") != first
        assert collector.collected == 3


def test_a_cursor_over_calls_alone_is_kept_seldom(tmp_path: Path) -> None:
    clock, folder = ManualClock(), tmp_path / "journal"
    with open_database(tmp_path) as database, open_journal(folder) as journal:
        collector = Collector(database=database, folder=folder, clock=clock)
        write(journal, [call(1)])
        collector.turn()
        with database.read() as conn:
            first = cursors.get(conn, "collect")
        write(journal, [call(2)])
        collector.turn()
        with database.read() as conn:
            assert cursors.get(conn, "collect") == first
        clock.move(room.SAVE_SECONDS)
        collector.turn()
        with database.read() as conn:
            assert cursors.get(conn, "collect") != first


def test_what_the_database_did_not_take_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, folder = ManualClock(), tmp_path / "journal"
    with open_database(tmp_path) as database, open_journal(folder) as journal:
        collector = Collector(database=database, folder=folder, clock=clock)
        one = call(1)
        write(journal, [one, up(one)])

        def full(*_: object) -> None:
            raise Unavailable("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(room.cursors, "put", full)
            with pytest.raises(Unavailable):
                collector.turn()
        with database.read() as conn:
            assert feedbacks.recent(conn) == (), "rows and cursor are one transaction"
        collector.turn()
        with database.read() as conn:
            assert len(feedbacks.recent(conn)) == 1
        assert collector.collected == 1


def test_a_restart_reads_on(tmp_path: Path) -> None:
    clock, folder = ManualClock(), tmp_path / "journal"
    with open_database(tmp_path) as database, open_journal(folder) as journal:
        one = call(1)
        write(journal, [one, up(one)])
        Collector(database=database, folder=folder, clock=clock).turn()
        write(journal, [corrected(one, 3)])
        second = Collector(database=database, folder=folder, clock=clock)
        second.turn()
        assert second.collected == 1
