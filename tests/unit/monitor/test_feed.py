"""After a restart the recent past is shown again, each call once."""

from __future__ import annotations

from pathlib import Path

from headrace.base.clock import ManualClock
from headrace.monitor.feed import REBUILD_SECONDS, LiveFeed
from headrace.monitor.live import LiveStats
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Call
from tests.control_samples import START, call, down, open_journal, write


class LateQuery(JournalQuery):
    """Something is appended between the reader's start and the look into the past."""

    late = staticmethod(lambda: None)

    def scan(self, *arguments, **more):  # type: ignore[no-untyped-def]
        self.late()
        yield from super().scan(*arguments, **more)


def feed_of(folder: Path, clock: ManualClock, query: JournalQuery) -> tuple[LiveFeed, LiveStats]:
    stats = LiveStats(clock)
    return LiveFeed(stats, folder, query, clock), stats


def test_follows_and_rebuilds(tmp_path: Path) -> None:
    clock = ManualClock(START + 1000)
    with open_journal(tmp_path) as journal:
        old = call(1, time=clock.now() - REBUILD_SECONDS - 60)
        write(journal, [old, *(call(n, time=clock.now() - 30) for n in range(2, 12))])
        query = JournalQuery(tmp_path)
        feed, stats = feed_of(tmp_path, clock, query)
        feed.turn()
        assert stats.totals("digits", 900).calls == 10
        write(journal, [new := call(20, time=clock.now()), down(new), call(21, time=clock.now(), shadow_of="tr-1")])
        feed.turn()
        feed.turn()
        assert stats.totals("digits", 900).calls == 11
        query.close()


def test_each_call_once_whatever_comes_meanwhile(tmp_path: Path) -> None:
    clock = ManualClock(START + 1000)
    with open_journal(tmp_path) as journal:
        write(journal, [call(n, time=clock.now() - 5) for n in range(10)])
        query = LateQuery(tmp_path)
        late: list[Call] = [call(n, time=clock.now() - 1) for n in range(10, 15)]
        query.late = lambda: write(journal, late)  # type: ignore[method-assign]
        feed, stats = feed_of(tmp_path, clock, query)
        feed.turn()
        assert stats.totals("digits", 60).calls == 15
        feed.turn()
        assert stats.totals("digits", 60).calls == 15
        query.close()


def test_says_when_there_is_more(tmp_path: Path) -> None:
    clock = ManualClock(START + 1000)
    with open_journal(tmp_path) as journal:
        query = JournalQuery(tmp_path)
        feed, stats = feed_of(tmp_path, clock, query)
        assert feed.turn() is False
        write(journal, [call(n, time=clock.now(), input=None, output=None) for n in range(6000)])
        assert feed.turn() is True
        assert feed.turn() is False
        assert stats.totals("digits", 60).calls == 6000
        query.close()
