"""Pairs that are kept: the worst and a fair sample, however they come."""

from __future__ import annotations

from headrace.store import pairs
from headrace.store.db import Database
from headrace.types.pair import Difference, Pair


def pair(number: int, severity: float = 0.0, *, draw: int | None = None) -> Pair:
    return Pair(
        trace_id=f"tr-{number}",
        shadow_id=f"tr-{number}s",
        time=float(number),
        unit="u",
        rows=1,
        severity=severity,
        draw=number if draw is None else draw,
        difference=Difference(),
        baseline_output=[1, {"a": None}],
        segment={"age": 3, "town": "Ulm"},
    )


def numbers(found: tuple[Pair, ...]) -> list[int]:
    return [int(one.trace_id[3:]) for one in found]


def test_the_worst_and_the_sample_stay_and_the_rest_goes(database: Database) -> None:
    with database.write() as conn:
        for start in range(0, 100, 10):
            several = [pair(n, severity=float(n % 50 == 7) * n) for n in range(start, start + 10)]
            pairs.keep(conn, "rel_1", several, worst=1, sample=5)
        pairs.keep(conn, "rel_2", [pair(500, 9.0)])
        pairs.keep(conn, "rel_1", [])
    with database.read() as conn:
        assert numbers(pairs.worst(conn, "rel_1")) == [57]
        assert numbers(pairs.sample(conn, "rel_1")) == [0, 1, 2, 3, 4, 57], "the worst is in it too, drawn last"
        assert numbers(pairs.sample(conn, "rel_1", limit=2)) == [0, 1]
        assert pairs.worst(conn, "rel_2") == (pair(500, 9.0),)
        assert pairs.worst(conn, "rel_3") == ()


def test_a_pair_told_twice_is_there_once(database: Database) -> None:
    largest = 2**63 - 1
    with database.write() as conn:
        pairs.keep(conn, "rel_1", [pair(1, 1.0), pair(1, 2.0), pair(2, 3.0, draw=largest)])
        pairs.keep(conn, "rel_1", [pair(1, 4.0)])
    with database.read() as conn:
        assert [(one.severity, one.draw) for one in pairs.worst(conn, "rel_1")] == [(4.0, 1), (3.0, largest)]
        assert numbers(pairs.worst(conn, "rel_1", limit=1)) == [1]
