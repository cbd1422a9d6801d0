"""Prices of providers' models, from the list of genai-prices, compiled into rows of a plan. Needs the extra `gateway`.

Called by service.py when providers change. Decides which list is a provider's, and how its terms are said in ours: one
row for each date and each length of prompt from which another price holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import (
    ClauseAnd,
    ClauseContains,
    ClauseEndsWith,
    ClauseEquals,
    ClauseOr,
    ClauseStartsWith,
    ConditionalPrice,
    ModelInfo,
    StartDateConstraint,
    TieredPrices,
)

from headrace.types.gateway import Price, Provider, ProviderKind

_NO_SPEECH = "^(?!.*-[tT][tT][sS](?:$|-))"
_PLAIN = re.compile(r"[A-Za-z0-9./@:#_-]+")
SOURCE = f"genai-prices {version('genai-prices')}"
_OF_KIND = {ProviderKind.AZURE: "azure", ProviderKind.ANTHROPIC: "anthropic", ProviderKind.GEMINI: "google"}
# Our bucket, and the list's names for it: the first that a model has a price for. What has no price of its own is
# billed as the more general: reasoning as output, what is cached as input.
_BUCKETS = {
    "input": ("input_mtok",),
    "cache_read": ("cache_read_mtok", "input_mtok"),
    "cache_write": ("cache_write_mtok", "input_mtok"),
    "output": ("output_mtok",),
    "reasoning": ("output_reasoning_mtok", "output_mtok"),
    "audio": ("output_audio_mtok", "input_audio_mtok", "output_mtok"),
}


def catalogue(providers: Iterable[Provider]) -> tuple[Price, ...]:
    """All models that the providers' lists have a price for."""
    return tuple(row for provider in providers for row in _of_provider(provider))


def lists() -> tuple[str, ...]:
    """Names that a provider may give as `prices`."""
    return tuple(found.id for found in get_snapshot().providers)


def list_of(provider: Provider) -> str:
    """By its own word, by its address, else by its kind; empty for our own models and for servers that nobody bills."""
    if provider.prices:
        return "" if provider.prices == "none" else provider.prices
    if provider.kind in _OF_KIND:
        return _OF_KIND[provider.kind]
    if not provider.url:
        return ""
    return next((found.id for found in get_snapshot().providers if re.match(found.api_pattern, provider.url)), "")


def _of_provider(provider: Provider) -> Iterator[Price]:
    wanted = list_of(provider)
    found = next((each for each in get_snapshot().providers if each.id == wanted), None)
    for model in found.models if found is not None else ():
        for since, terms in _dated(model):
            for above in _thresholds(terms):
                yield Price(
                    provider=provider.name,
                    model=model.id,
                    pattern=_pattern(model.match),
                    since=since,
                    above=above,
                    source=SOURCE,
                    call=_number(terms.get("requests_kcount"), above) / 1000,
                    **{bucket: _bucket(terms, names, above) for bucket, names in _BUCKETS.items()},
                )


def _dated(model: ModelInfo) -> Iterator[tuple[float, dict[str, Any]]]:
    """Prices of some hours of the day are passed over: what is billed is never less than it costs."""
    if not isinstance(model.prices, list):
        yield 0.0, _terms(model.prices)
        return
    for each in model.prices:
        assert isinstance(each, ConditionalPrice)
        if each.constraint is None:
            yield 0.0, _terms(each.prices)
        elif isinstance(each.constraint, StartDateConstraint):
            day = each.constraint.start_date
            yield datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp(), _terms(each.prices)


def _terms(prices: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(prices).items() if value is not None and not name.startswith("_")}


def _thresholds(terms: dict[str, Any]) -> list[int]:
    starts = {tier.start for value in terms.values() if isinstance(value, TieredPrices) for tier in value.tiers}
    return [0, *sorted(starts)]


def _bucket(terms: dict[str, Any], names: tuple[str, ...], above: int) -> float:
    found = next((terms[name] for name in names if name in terms), None)
    return _number(found, above)


def _number(value: Any, above: int) -> float:
    if isinstance(value, TieredPrices):
        return float(([value.base] + [tier.price for tier in value.tiers if tier.start <= above])[-1])
    return float(value or 0)


def _pattern(clause: Any) -> str:
    """The list's clause as shapes of names: `gpt-5*|*/gpt-5*`; & where several have to fit. Of expressions only dates
    are such a shape; for others the price is for the model's own name alone."""
    if isinstance(clause, ClauseOr):
        return "|".join(filter(None, (_pattern(each) for each in clause.or_)))
    if isinstance(clause, ClauseAnd):
        parts = [_pattern(each) for each in clause.and_]
        return "&".join(parts) if all(part and "|" not in part for part in parts) else ""
    if isinstance(clause, ClauseEquals):
        return clause.equals
    if isinstance(clause, ClauseStartsWith):
        return clause.starts_with + "*"
    if isinstance(clause, ClauseEndsWith):
        return "*" + clause.ends_with
    return f"*{clause.contains}*" if isinstance(clause, ClauseContains) else _shape(clause.regex)


def _shape(expression: str) -> str:
    """`^gpt-6-\\d{8}$` is `gpt-6-########`."""
    if expression == _NO_SPEECH:
        return "!*-tts*"
    if not (expression.startswith("^") and expression.endswith("$")):
        return ""
    text = re.sub(r"\\d(?:\{(\d+)\})?", lambda found: "#" * int(found[1] or 1), expression[1:-1]).replace("\\.", ".")
    return text if _PLAIN.fullmatch(text) else ""
