"""Every call is billed once; sums by what is asked; counters start where the ledger stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headrace.base.clock import ManualClock
from headrace.monitor.ledger import Ledger
from headrace.store import cursors, spend
from headrace.store.counters.base import Gauge, month_start, span
from headrace.store.counters.local import LocalCounters
from headrace.store.db import Database
from headrace.traffic.seed import seeds
from headrace.types.call import Call, CallStatus
from headrace.types.errors import BadInput, Unavailable
from headrace.types.gateway import Counted, Level, Limit, SpendSum, Spent, Usage, Window
from tests.control_samples import START, call, open_database, open_journal, write

FUTURE = START + 1e9


def spent(number: int, *, team: str = "search", cost: float = 0.25, model: str = "m1", **changes: Any) -> Call:
    usage = changes.pop("usage", Usage(input=10, output=5, cache_read=2))
    said = {"provider": "openai", "model": model, "team": team, "key": "k1", "user": "#ann"} | changes.pop("said", {})
    return call(number, spent=Spent(usage=usage, cost=cost, **said), **changes)


def sums(database: Database, *by: str, **only: str) -> tuple[SpendSum, ...]:
    with database.read() as conn:
        return spend.sums(conn, since=0, until=FUTURE, by=by, only=only)


def test_sums_by_what_is_asked(tmp_path: Path) -> None:
    folder = tmp_path / "journal"
    with open_database(tmp_path) as database, open_journal(folder) as journal:
        ledger = Ledger(database=database, folder=folder, clock=ManualClock())
        failed = spent(4, status=CallStatus.FAILED, usage=Usage(), cost=0.0)
        write(journal, [call(1), spent(2), spent(3, team="sales", cost=1.0, model="m2"), failed])
        write(journal, [spent(5, time=START + 86_400), spent(6, said={"provider": "", "cached": "exact"}, cost=0.0)])
        write(journal, [spent(7, said={"provider": ""}, status=CallStatus.REJECTED, cost=0.0)])  # over a limit
        ledger.turn()
        assert ledger.billed == 5
        (total,) = sums(database)
        assert (total.calls, total.failed, total.cached, total.cost) == (5, 1, 1, 1.5)
        assert total.usage == Usage(input=40, output=20, cache_read=8)
        assert [(each.group["team"], each.cost) for each in sums(database, "team")] == [("sales", 1.0), ("search", 0.5)]
        days = [each.group["day"] for each in sums(database, "day", team="search")]
        assert sorted(days) == [START // 86_400 * 86_400, START // 86_400 * 86_400 + 86_400]
        assert sums(database, "team", "model", "day", endpoint="other") == ()
        with pytest.raises(BadInput, match="'colour' is nothing to add up by"):
            sums(database, "colour")


def test_no_crash_loses_a_cent_or_bills_it_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "journal"
    with open_database(tmp_path) as database, open_journal(folder) as journal:
        ledger = Ledger(database=database, folder=folder, clock=ManualClock())
        write(journal, [spent(1), spent(2)])
        with monkeypatch.context() as patch:
            patch.setattr(cursors, "put", _away)
            with pytest.raises(Unavailable):
                ledger.turn()
        assert sums(database) == ()
        ledger.turn()
        # another control plane that lost its cursor reads all of it again
        with database.write() as conn:
            cursors.remove(conn, "ledger")
        write(journal, [spent(3)])
        again = Ledger(database=database, folder=folder, clock=ManualClock())
        again.turn()
        assert (again.billed, sums(database)[0].calls, sums(database)[0].cost) == (1, 3, 0.75)


def test_ids_are_forgotten_after_two_days(tmp_path: Path) -> None:
    with open_database(tmp_path) as database, database.write() as conn:
        assert spend.add(conn, [spent(1), spent(2, time=START + spend.KEEP_SECONDS)]) == 2
        spend.forget(conn, START + spend.KEEP_SECONDS + 1)
        assert spend.add(conn, [spent(1), spent(2, time=START + spend.KEEP_SECONDS)]) == 1


def _away(*_: object) -> None:
    raise Unavailable("the database is gone")


async def test_counters_begin_where_the_ledger_stands(tmp_path: Path) -> None:
    limits = [
        Limit(level=Level.TEAM, counted=Counted.COST, amount=1.0, window=Window.MONTH),
        Limit(level=Level.ALL, counted=Counted.TOKENS, amount=100, window=Window.DAY),
        Limit(level=Level.USER, counted=Counted.REQUESTS, amount=9, window=Window.DAY),
        Limit(level=Level.KEY, counted=Counted.REQUESTS, amount=9, window=Window.MINUTE),
        Limit(level=Level.KEY, counted=Counted.CONCURRENCY, amount=9),
    ]
    clock = ManualClock(START + 86_400)
    with open_database(tmp_path) as database:
        with database.write() as conn:
            spend.add(conn, [spent(1), spent(2, time=clock.now()), spent(3, team="", time=clock.now())])
        with database.read() as conn:
            made = seeds(limits, lambda level, since: spend.used(conn, level, since=since), clock.now())
        day, month = span(Window.DAY, clock.now()).number, span(Window.MONTH, clock.now()).number
        assert month_start(month) < START
        assert {(seed.name, seed.number, seed.used) for seed in made} == {
            ("cost:team:search", month, 500_000_000),
            ("tokens:all:*", day, 34),
            ("requests:user:#ann", day, 2),
        }
        counters = LocalCounters(clock)
        await counters.seed(made)
        assert (await counters.take((Gauge("tokens:all:*", Window.DAY, 34),), (1,))).refused == 0
