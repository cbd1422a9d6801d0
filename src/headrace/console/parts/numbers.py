"""Numbers as people read them: with a unit, few digits, and their uncertainty. Pure; called by pages and parts.

Decides how many digits are worth showing. Ignores language: units are international, words come from the catalogue.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from headrace.types.traffic import BUCKETS

NOTHING = "–"
Z95 = 1.96


def count(value: float) -> str:
    """1,234 in full; from a hundred thousand on in thousands or millions."""
    for size, unit in ((1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e3:.0f} k" if value >= 1e5 else f"{value:,.0f}"


def rate(per_second: float) -> str:
    return f"{per_second:.1f}" if per_second < 100 else f"{per_second:,.0f}"


def share(buckets: int) -> str:
    """A share of traffic, as in a step: 1 %."""
    return f"{100 * buckets / BUCKETS:.3g} %"


def percent(part: float, whole: float) -> str:
    if whole <= 0:
        return NOTHING
    value = 100 * part / whole
    return f"{value:.2f} %" if 0 < value < 1 else f"{value:.1f} %" if value < 10 else f"{value:.0f} %"


def percent_interval(part: float, whole: float) -> str:
    """91.2 % ± 0.8: Wilson's 95 % interval, which also holds near 0 and 1."""
    if whole <= 0:
        return NOTHING
    low, high = wilson(part, whole)
    return f"{100 * part / whole:.1f} % ± {50 * (high - low):.1f}"


def wilson(part: float, whole: float) -> tuple[float, float]:
    p, z2 = part / whole, Z95 * Z95
    centre = (p + z2 / (2 * whole)) / (1 + z2 / whole)
    half = Z95 / (1 + z2 / whole) * math.sqrt(p * (1 - p) / whole + z2 / (4 * whole * whole))
    return max(centre - half, 0.0), min(centre + half, 1.0)


def milliseconds(value: float | None) -> str:
    """18.4 ms, 240 ms, 1.24 s."""
    number, unit = milliseconds_parts(value)
    return f"{number} {unit}".strip()


def milliseconds_parts(value: float | None) -> tuple[str, str]:
    if value is None or not math.isfinite(value):
        return NOTHING, ""
    if value >= 1000:
        return f"{value / 1000:.3g}", "s"
    return (f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 100 else f"{value:.0f}"), "ms"


def duration(seconds: float) -> str:
    """41 s, 2 min 10 s, 3 h 5 min, 2 d 4 h: at most two units."""
    whole = round(max(seconds, 0))
    for (size, unit), (smaller, lesser) in pairwise(((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))):
        if whole >= size:
            rest = whole % size // smaller
            return f"{whole // size} {unit} {rest} {lesser}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def money(dollars: float) -> str:
    """1,234 USD, 12.30 USD, 0.0042 USD: never less than two digits that say something."""
    return f"{money_figure(dollars)} USD"


def money_figure(dollars: float) -> str:
    if dollars >= 1000:
        return f"{dollars:,.0f}"
    if dollars <= 0:
        return "0"
    if dollars >= 0.1:
        return f"{dollars:.2f}"
    return f"{dollars:.2g}" if dollars >= 1e-4 else "< 0.0001"


def change(now: float, before: float) -> str:
    """▲ 6 % or ▼ 6 %; nothing when there is nothing to compare with or the change is too small to name."""
    if before <= 0:
        return ""
    percent_change = 100 * (now - before) / before
    if abs(percent_change) < 1:
        return ""
    return f"{'▲' if percent_change > 0 else '▼'} {abs(percent_change):.0f} %"


def evidence(log_e: float) -> str:
    """An e-value from its natural logarithm: 0.42, 13, 2.5 k, 3·10^12."""
    power = log_e / math.log(10)
    if power >= 6:
        return f"{10 ** (power % 1):.0f}·10^{int(power)}"
    value = math.exp(log_e)
    if value >= 1000:
        return f"{value / 1000:.3g} k"
    return f"{value:.0f}" if value >= 10 else f"{value:.2f}"


def scalar(value: object) -> str:
    """One value of an input or an output."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4g}" if not value.is_integer() else f"{value:.0f}"
    if isinstance(value, str | int):
        return str(value)
    return NOTHING


def quantile(values: Sequence[float], q: float) -> float | None:
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]
