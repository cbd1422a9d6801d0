"""Sums of the ledger, on both databases."""

from __future__ import annotations

from dataclasses import replace

from headrace.store import spend
from headrace.store.db import Database
from headrace.types.call import Call, CallStatus
from headrace.types.gateway import Spent, Usage
from tests.control_samples import START, call


def asked(number: int, team: str, **changes: object) -> Call:
    spent = Spent(usage=Usage(input=10, output=number), cost=0.5, provider="one", model="gpt", team=team)
    return replace(call(number, time=START + number, **changes), spent=spent)


def test_rows_begin_and_grow_many_at_once(database: Database) -> None:
    first = [asked(1, "a"), asked(2, "a"), asked(3, "b", status=CallStatus.FAILED)]
    with database.write() as conn:
        assert spend.add(conn, first) == 3
    with database.write() as conn:
        assert spend.add(conn, [*first, asked(4, "a"), asked(5, "c")]) == 2, "each call counts once"
        assert spend.add(conn, []) == 0
    with database.read() as conn:
        found = {each.group["team"]: each for each in spend.sums(conn, since=START, until=START + 10, by=("team",))}
    assert {team: (each.calls, each.failed, each.cost) for team, each in found.items()} == {
        "a": (3, 0, 1.5),
        "b": (1, 1, 0.5),
        "c": (1, 0, 0.5),
    }
    assert (found["a"].usage.input, found["a"].usage.output) == (30, 1 + 2 + 4)
