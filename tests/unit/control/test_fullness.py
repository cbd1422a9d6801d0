"""How full limits are, from what data planes count and from what the ledger knows."""

from __future__ import annotations

from typing import Any

from headrace.control.fullness import fullness
from headrace.types.gateway import Counted, Level, Limit, Window

NOW = 1_790_000_000.0


def fill(who: str, used: float, *, level: str = "team", counted: str = "cost", window: str = "month") -> dict[str, Any]:
    return {"who": who, "used": used, "level": level, "counted": counted, "window": window}


def limit(level: Level = Level.TEAM, amount: float = 10.0, **more: Any) -> Limit:
    given = {"counted": Counted.COST, "window": Window.MONTH} | more
    return Limit(level=level, amount=amount, **given)


def look(wanted: Limit, *fills: dict[str, Any], used: dict[str, tuple[int, int, float]] | None = None) -> Any:
    (found,) = fullness([wanted], fills, lambda *_: used or {}, hashed=lambda user: f"h({user})", now=NOW)
    return found


def test_the_higher_of_counter_and_ledger_holds() -> None:
    found = look(limit(), fill("a", 4.0), fill("a", 5.0), fill("b", 1.0), used={"b": (1, 1, 8.0), "c": (1, 1, 2.0)})
    assert [(held.who, held.used) for held in found.held] == [("b", 8.0), ("a", 5.0), ("c", 2.0)]
    assert found.part == 0.8
    assert found.held[0].ends > NOW


def test_only_who_is_meant_is_counted() -> None:
    assert [h.who for h in look(limit(who="A"), fill("a", 4.0), fill("b", 9.0)).held] == ["A"]
    assert look(limit(), fill("a", 4.0, counted="tokens"), fill("a", 4.0, level="key")).held == ()
    user = look(limit(Level.USER, who="ann"), fill("h(ann)", 4.0, level="user"), fill("h(bo)", 5.0, level="user"))
    assert [(h.who, h.used) for h in user.held] == [("ann", 4.0)]


def test_minutes_and_calls_at_once_are_the_data_planes_alone() -> None:
    known = {"a": (100, 100, 100.0)}
    minute = look(
        limit(counted=Counted.TOKENS, window=None), fill("a", 3, counted="tokens", window="minute"), used=known
    )
    assert [held.used for held in minute.held] == [3.0]
    inside = look(limit(counted=Counted.CONCURRENCY), fill("a", 2, counted="concurrency", window=""), used=known)
    assert [(held.used, held.ends) for held in inside.held] == [(2.0, 0.0)]


def test_nobody_and_nothing() -> None:
    assert look(limit()).part == 0.0
    assert look(limit(amount=0.0), fill("a", 0.0)).part == 1.0
