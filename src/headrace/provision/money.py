"""What a month will cost, which models have no price, and which prices hold. Pure.

Called by control/gateway.py. Decides how a forecast is made: what was spent so far, and for each day that is left the
mean of the last full days, with the spread that those days had. Ignores where sums come from: that is the ledger.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from statistics import fmean, stdev

from headrace.store.counters.base import month_start, span
from headrace.traffic.price import Prices
from headrace.types.gateway import Gateway, Price, SpendSum, Usage, Window

DAY = 86_400
LOOK_BACK = 14  # full days that a forecast looks at
Z80 = 1.2816  # four months of five end within


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """USD. `low` and `high`: four months of five end between them, if days go on as they went. `days`: looked at."""

    so_far: float
    expected: float
    low: float
    high: float
    days: int
    month: float  # its start


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """A model that was called and has no price. `own`: at a provider that nobody bills, as far as it is said."""

    provider: str
    model: str
    calls: int
    tokens: int
    own: bool


class Hold(StrEnum):
    """Whether a price is in force."""

    NOW = "now"
    LATER = "later"  # from its date on
    PAST = "past"  # a newer one holds
    BEATEN = "beaten"  # a person said another


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRow:
    price: Price
    hold: Hold


def forecast(days: Mapping[int, float], now: float) -> Forecast | None:
    """`days`: cost by the start of each day of UTC, also of the month before. None: nothing was spent in them."""
    number = span(Window.MONTH, now).number
    start, end, today = month_start(number), month_start(number + 1), int(now // DAY) * DAY
    first = min((day for day, cost in days.items() if cost), default=today + DAY)
    if first > today:
        return None
    so_far = sum(cost for day, cost in days.items() if start <= day < end)
    known = [days.get(day, 0.0) for day in range(max(first, today - LOOK_BACK * DAY), today, DAY)]
    if not known:  # it began today: the day so far is all that there is
        known = [days.get(today, 0.0) * DAY / max(now - today, 3_600.0)]
    left = (end - now) / DAY
    spread = Z80 * (stdev(known) if len(known) > 1 else fmean(known)) * math.sqrt(left)
    expected = so_far + fmean(known) * left
    return Forecast(
        so_far=so_far,
        expected=expected,
        low=max(so_far, expected - spread),
        high=expected + spread,
        days=len(known),
        month=start,
    )


def unpriced(sums: Iterable[SpendSum], gateway: Gateway, now: float) -> tuple[Unpriced, ...]:
    """`sums` by provider and model. Those that cost something had a price when they were called."""
    prices = Prices(gateway.prices)
    own = {each.name for each in gateway.providers if each.private or each.prices == "none"}
    found = []
    for each in sums:
        provider, model = str(each.group["provider"]), str(each.group["model"])
        if each.cost or not each.usage.total or prices.of(provider, model, now=now) is not None:
            continue
        found.append(
            Unpriced(provider=provider, model=model, calls=each.calls, tokens=each.usage.total, own=provider in own)
        )
    return tuple(sorted(found, key=lambda each: (each.own, -each.tokens)))


def price_rows(gateway: Gateway, now: float) -> tuple[PriceRow, ...]:
    """In the order of provider and model; of one model the newest first."""
    groups: dict[tuple[str, str], list[Price]] = {}
    for price in gateway.prices:
        groups.setdefault((price.provider, price.model), []).append(price)
    made = []
    for key in sorted(groups):
        rows = sorted(groups[key], key=lambda price: (bool(price.source), -price.since, price.above))
        made += [PriceRow(price=price, hold=_hold(price, rows, now)) for price in rows]
    return tuple(made)


def _hold(price: Price, rows: list[Price], now: float) -> Hold:
    if price.since > now:
        return Hold.LATER
    begun = [other for other in rows if other.since <= now and other.above == price.above]
    if price.source and any(not other.source for other in begun):
        return Hold.BEATEN
    same = [other for other in begun if bool(other.source) == bool(price.source)]
    return Hold.NOW if price.since >= max(other.since for other in same) else Hold.PAST


def ledger_csv(sums: Sequence[SpendSum]) -> str:
    """One line a sum: its labels, what was counted, the buckets of tokens, and USD. All sums have the same labels."""
    out = io.StringIO()
    writer = csv.writer(out)
    labels = list(sums[0].group) if sums else []
    writer.writerow([*labels, "calls", "failed", "cached", *(each.name for each in fields(Usage)), "cost_usd"])
    for each in sums:
        group = [_label(name, value) for name, value in each.group.items()]
        writer.writerow([*group, each.calls, each.failed, each.cached, *astuple(each.usage), f"{each.cost:.10g}"])
    return out.getvalue()


def _label(name: str, value: str | int) -> str:
    if name not in ("day", "hour"):
        # A spreadsheet takes these for the beginning of a formula, and callers may choose names.
        return f"'{value}" if str(value).startswith(("=", "+", "-", "@")) else str(value)
    moment = datetime.fromtimestamp(float(value), UTC)
    return f"{moment:%Y-%m-%d}" if name == "day" else f"{moment:%Y-%m-%dT%H:00Z}"
