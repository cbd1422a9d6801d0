"""The ledger: what calls to language models used and cost, by the hour and by all that is asked for.

Called by monitor/ledger.py (add), the admin API and the console (sums), and data planes, whose counters start from it
(used). A call counts once, whatever is read again: its trace id is kept for two days.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from operator import attrgetter

from sqlalchemy import Connection, Insert, Row, delete, func, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from headrace.store.tables import spend, spend_call
from headrace.types.call import Call, CallStatus
from headrace.types.errors import BadInput
from headrace.types.gateway import Level, Own, SpendSum, Usage

HOUR = 3_600
KEEP_SECONDS = 2 * 86_400.0  # that a call is known by its trace id: longer than a cursor is ever behind
LABELS = ("workspace", "team", "user", "key", "endpoint", "variant", "provider", "model")
TIMES = ("hour", "day")
_BUCKETS = tuple(f.name for f in fields(Usage))
_used = attrgetter(*_BUCKETS)
_SUMS = ("calls", "failed", "cached", *_BUCKETS, "cost")
_KEY = ("hour", *LABELS)
_COLUMNS = (*_KEY, *_SUMS)
_OF_LEVEL = {level: level.value for level in Level if level is not Level.ALL}
_CHUNK = 500  # of ids in one statement

_Key = tuple[int | str, ...]


def add(conn: Connection, calls: Iterable[Call]) -> int:
    """How many were new. Calls that nobody was asked for, such as those over a limit, are passed over."""
    billed = {call.trace_id: call for call in calls if call.spent and (call.spent.provider or call.spent.cached)}
    for known in _known(conn, list(billed)):
        del billed[known]
    sums: dict[_Key, list[float]] = {}
    for call in billed.values():
        key, amounts = _line(call)
        had = sums.setdefault(key, [0] * len(_SUMS))
        for at, amount in enumerate(amounts):
            had[at] += amount
    if billed:
        more = [dict(zip(_COLUMNS, (*key, *amounts), strict=True)) for key, amounts in sums.items()]
        conn.execute(_ADD[conn.dialect.name], more)
        conn.execute(insert(spend_call), [{"trace_id": trace_id} for trace_id in billed])
    return len(billed)


def forget(conn: Connection, now: float) -> None:
    """Ids of calls that will not be read again. Trace ids sort by time."""
    oldest = int(max(0.0, now - KEEP_SECONDS) * 1000).to_bytes(6, "big").hex()
    conn.execute(delete(spend_call).where(spend_call.c.trace_id < f"tr-{oldest}"))


def sums(
    conn: Connection, *, since: float, until: float, by: Sequence[str] = (), only: dict[str, str] | None = None
) -> tuple[SpendSum, ...]:
    """`by`: labels, and hour or day (of UTC, as seconds since the epoch); `only`: of these. The dearest first."""
    for name in (*by, *(only or {})):
        if name not in LABELS + TIMES:
            raise BadInput(f"{name!r} is nothing to add up by; there are: {', '.join(LABELS + TIMES)}", field="by")
    grouped = [_column(name).label(name) for name in by]
    totals = [func.coalesce(func.sum(spend.c[name]), 0).label(f"sum_{name}") for name in _SUMS]
    query = select(*grouped, *totals).where(spend.c.hour >= int(since // HOUR), spend.c.hour * HOUR < until)
    for name, value in (only or {}).items():
        query = query.where(spend.c[name] == value)
    rows = conn.execute(query.group_by(*(_column(name) for name in by)))
    found = [_sum(row, by) for row in rows if row.sum_calls]
    return tuple(sorted(found, key=lambda each: (-each.cost, -each.calls, tuple(map(str, each.group.values())))))


def used(conn: Connection, level: Level, *, since: float) -> dict[str, tuple[int, int, float]]:
    """Calls, tokens and cost of each one at a level; "*" for all together. What Headrace asked itself is nobody's."""
    group = [] if level is Level.ALL else [spend.c[_OF_LEVEL[level]]]
    tokens = sum((spend.c[name] for name in _BUCKETS[1:]), spend.c[_BUCKETS[0]])
    totals = (func.sum(spend.c.calls), func.sum(tokens), func.sum(spend.c.cost))
    theirs = spend.c.key.not_in([own.value for own in Own])
    rows = conn.execute(select(*group, *totals).where(spend.c.hour >= int(since // HOUR), theirs).group_by(*group))
    return {(row[0] if group else "*"): (int(row[-3]), int(row[-2]), float(row[-1])) for row in rows if row[-3]}


def _known(conn: Connection, ids: list[str]) -> list[str]:
    found: list[str] = []
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        found += conn.scalars(select(spend_call.c.trace_id).where(spend_call.c.trace_id.in_(some)))
    return found


def _line(call: Call) -> tuple[_Key, tuple[float, ...]]:
    spent = call.spent
    assert spent is not None  # `add` has looked
    labels = (
        spent.workspace,
        spent.team,
        spent.user,
        spent.key,
        call.endpoint,
        call.variant,
        spent.provider,
        spent.model,
    )
    failed = call.status not in (CallStatus.OK, CallStatus.REJECTED)
    return (
        (int(call.time // HOUR), *labels),
        (1, int(failed), int(bool(spent.cached)), *_used(spent.usage), spent.cost),
    )


def _adding(new: sqlite.Insert | postgresql.Insert) -> Insert:
    """A row where there is none, else its sums grow; for many rows at once."""
    sums = {name: spend.c[name] + new.excluded[name] for name in _SUMS}
    return new.on_conflict_do_update(index_elements=[spend.c[name] for name in _KEY], set_=sums)


_ADD = {"sqlite": _adding(sqlite.insert(spend)), "postgresql": _adding(postgresql.insert(spend))}


def _column(name: str):  # type: ignore[no-untyped-def]
    if name == "hour":
        return spend.c.hour * HOUR
    return spend.c.hour // 24 * 86_400 if name == "day" else spend.c[name]


def _sum(row: Row[tuple[object, ...]], by: Sequence[str]) -> SpendSum:
    of = row._mapping
    return SpendSum(
        group={name: of[name] if name in LABELS else int(of[name]) for name in by},
        calls=int(of["sum_calls"]),
        failed=int(of["sum_failed"]),
        cached=int(of["sum_cached"]),
        usage=Usage(**{name: int(of[f"sum_{name}"]) for name in _BUCKETS}),
        cost=float(of["sum_cost"]),
    )
