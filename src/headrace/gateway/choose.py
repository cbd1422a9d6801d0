"""In which order the ways of a version are asked. Pure: ways with their health in, an order out.

Called by reach.py once per call. Tiers come in their order. Within one the balance decides who is first, and affinity
goes before it: the same key goes the same way as long as that way is well (weighted rendezvous hashing: when one way
comes or goes, only its own keys move). A way that is left alone for now is not in the order, however few remain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from headrace.gateway.health import Health
from headrace.gateway.native import Native
from headrace.gateway.station import Station
from headrace.traffic.price import UNPRICED, Tariff
from headrace.types.gateway import Balance, Chat, Price, Way

Draw = Callable[[], float]  # [0, 1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ready:
    """A way in force."""

    way: Way
    station: Station | Native
    health: Health
    price: Price | None = None  # when the plan came, to choose by
    tariff: Tariff = UNPRICED  # to bill by
    line: bytes = b""  # the header that names it


def order(ways: Sequence[Ready], chat: Chat, *, key: str, now: float, draw: Draw) -> list[Ready]:
    """`key`: what keeps going the same way; empty for nothing."""
    if len(ways) == 1:
        return [ways[0]] if ways[0].health.available(now) else []
    well = [ready for ready in ways if ready.health.available(now)]
    found: list[Ready] = []
    for tier in sorted({ready.way.tier for ready in well}):
        found += _tier([ready for ready in well if ready.way.tier == tier], chat, key=key, draw=draw)
    return found


def opens_in(ways: Sequence[Ready], now: float) -> float:
    """Seconds until the first way may be asked again."""
    return max(1.0, min((ready.health.closed_until - now for ready in ways), default=1.0))


def _tier(ways: list[Ready], chat: Chat, *, key: str, draw: Draw) -> list[Ready]:
    if len(ways) == 1:
        return ways
    if key:
        return sorted(ways, key=lambda ready: -_affinity(key, ready))
    by = _BALANCES[chat.balance]
    return by(ways, draw)


def _weighted(ways: list[Ready], draw: Draw) -> list[Ready]:
    """Drawn one by one without putting back (Efraimidis and Spirakis 2006): the first has its share of the calls, and
    so has, among those that remain, the next."""
    return sorted(ways, key=lambda ready: -_log(draw()) / ready.way.weight)


def _least_busy(ways: list[Ready], draw: Draw) -> list[Ready]:
    drawn = _weighted(ways, draw)
    return sorted(drawn, key=lambda ready: ready.health.inflight / ready.way.weight)


def _latency(ways: list[Ready], draw: Draw) -> list[Ready]:
    """The better of two that were drawn (Mitzenmacher 2001): by time to the first byte, times those already waiting."""
    first, second, *rest = _weighted(ways, draw)
    if _load(second) < _load(first):
        first, second = second, first
    return [first, second, *rest]


def _cost(ways: list[Ready], draw: Draw) -> list[Ready]:
    """An unpriced way counts as free only among its like: nobody knows that it is."""
    drawn = _weighted(ways, draw)
    return sorted(drawn, key=lambda r: math.inf if r.price is None else r.price.input + r.price.output)


def _load(ready: Ready) -> float:
    return ready.health.seconds * (ready.health.inflight + 1)


def _affinity(key: str, ready: Ready) -> float:
    text = f"{key}\n{ready.way.provider}\n{ready.way.model}".encode()
    drawn = (int.from_bytes(blake2b(text, digest_size=8).digest(), "big") + 1) / 2**64
    return ready.way.weight / -_log(drawn) if drawn < 1 else math.inf


def _log(drawn: float) -> float:
    return math.log(max(drawn, 5e-324))


_BALANCES: dict[Balance, Callable[[list[Ready], Draw], list[Ready]]] = {
    Balance.WEIGHTED: _weighted,
    Balance.LEAST_BUSY: _least_busy,
    Balance.LATENCY: _latency,
    Balance.COST: _cost,
}
