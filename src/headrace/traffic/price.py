"""What a call cost: its tokens by bucket, times the price of the model that answered. Pure; the lists are elsewhere.

Called by the gateway, before a call for what it may cost and after it for what it did. Decides which price holds: of
those of the provider's model, the newest that has begun, and among them that of the longest prompt it is for.
"""

from __future__ import annotations

from collections.abc import Iterable

from headrace.types.gateway import MILLION, Price, Usage

_KNOWN = 4096  # names that are kept: callers may choose them


def cost(usage: Usage, price: Price | None) -> float:
    """USD. The buckets do not overlap, so nothing is paid twice. Without a price: nothing."""
    if price is None:
        return 0.0
    tokens = (
        usage.input * price.input
        + usage.cache_read * price.cache_read
        + usage.cache_write * price.cache_write
        + usage.output * price.output
        + usage.reasoning * price.reasoning
        + usage.audio * price.audio
    )
    return tokens / MILLION + price.call


class Tariff:
    """All prices of one upstream model."""

    __slots__ = ("_only", "_rows")

    def __init__(self, rows: Iterable[Price] = ()) -> None:
        self._rows = tuple(rows)
        self._only = self._rows[0] if len(self._rows) == 1 and not self._rows[0].above else None

    def at(self, now: float, *, input_tokens: int = 0) -> Price | None:
        """`input_tokens`: of the whole prompt, cached or not."""
        if (only := self._only) is not None:
            return only if only.since <= now else None
        best: Price | None = None
        for row in self._rows:
            holds = row.since <= now and (not row.above or input_tokens > row.above)
            if holds and (best is None or _rank(row) >= _rank(best)):
                best = row
        return best

    def cost(self, usage: Usage, now: float) -> float:
        price = self._only
        if price is None or price.since > now:
            price = self.at(now, input_tokens=usage.input + usage.cache_read + usage.cache_write)
        return cost(usage, price)

    def upto(self, sent: int, answered: int, now: float) -> float:
        """Of so many tokens of input and of output."""
        price = self._only
        if price is None or price.since > now:
            price = self.at(now, input_tokens=sent)
        return 0.0 if price is None else (sent * price.input + answered * price.output) / MILLION + price.call


UNPRICED = Tariff()


class Prices:
    """Of a plan."""

    __slots__ = ("_exact", "_found", "_patterns")

    def __init__(self, prices: Iterable[Price] = ()) -> None:
        self._exact: dict[tuple[str, str], list[Price]] = {}
        patterns: dict[tuple[str, str], list[Price]] = {}
        for price in prices:
            self._exact.setdefault((price.provider, price.model), []).append(price)
            if price.pattern:
                patterns.setdefault((price.provider, price.pattern), []).append(price)
        self._patterns = [(provider, text, rows) for (provider, text), rows in patterns.items()]
        self._found: dict[tuple[str, str], Tariff] = {}

    def tariff(self, provider: str, model: str) -> Tariff:
        found = self._found.get((provider, model))
        if found is None:
            if len(self._found) >= _KNOWN:
                self._found.clear()
            found = self._found[provider, model] = Tariff(self._look(provider, model))
        return found

    def of(self, provider: str, model: str, *, now: float, input_tokens: int = 0) -> Price | None:
        return self.tariff(provider, model).at(now, input_tokens=input_tokens)

    def cost(self, provider: str, model: str, usage: Usage, *, now: float) -> float:
        return self.tariff(provider, model).cost(usage, now)

    def _look(self, provider: str, model: str) -> list[Price]:
        exact = self._exact.get((provider, model), [])
        if any(row.source for row in exact):
            return exact
        return exact + next((rows for of, shapes, rows in self._patterns if of == provider and fits(shapes, model)), [])


def fits(shapes: str, name: str) -> bool:
    """One of `a*|*b|*c*|d-####`; & joins those that all have to fit, ! is before one that must not, # is a digit."""
    return any(all(_fits(shape, name) for shape in each.split("&")) for each in shapes.split("|"))


def _fits(shape: str, name: str) -> bool:
    if shape.startswith("!"):
        return not _fits(shape[1:], name.lower())
    if "#" in shape:
        alike = zip(shape, name, strict=False)
        return len(shape) == len(name) and all(a == b or (a == "#" and b.isdigit()) for a, b in alike)
    middle = shape.strip("*")
    if shape.startswith("*"):
        return middle in name if shape.endswith("*") else name.endswith(middle)
    return name.startswith(middle) if shape.endswith("*") else name == shape


def _rank(price: Price) -> tuple[bool, float, int]:
    """What a person said comes before any list."""
    return (not price.source, price.since, price.above)
