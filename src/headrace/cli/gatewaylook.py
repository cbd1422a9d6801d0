"""`headrace gateway status`, `change`, `cache`, `costs`, `prices`: how the LLM gateway is, as the console shows it.

Called by people and scripts; registered by gateway.py. Changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.cli.options import ControlUrl, Home, Json, admin
from headrace.cli.show import emit, note, say, table

_SIGN = {"add": "[green]+[/]", "change": "[yellow]~[/]", "remove": "[red]-[/]", "keep": "[dim]=[/]"}
_HOLDS = {"now": "in force", "later": "later", "past": "over", "beaten": "set aside"}
_BUCKETS = ("input", "cache_read", "cache_write", "output", "reasoning", "audio")


def status(home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Show how upstream models are, and how full limits are.

    \b
    Example:
        headrace gateway status
    """
    with admin(home, url) as control:
        found = {"upstreams": control.upstreams(), "limits": control.limits()}
    if json:
        emit(found)
        return
    table(
        ("provider", "model", "state", "inside", "first byte", "calls", "last failure"),
        [
            (
                *(row["provider"], row["model"], _state(row), row["inside"], f"{row['first_byte_ms']:.0f} ms"),
                *(sum(row["calls"].values()), row["last_failure"]),
            )
            for row in found["upstreams"]
        ],
        empty="no upstream model yet: headrace deploy assistant.yaml --endpoint assistant",
    )
    if found["limits"]:
        say("")
        rows = [(_said(each["limit"]), f"{each['part']:.0%}", _fullest(each)) for each in found["limits"]]
        table(("limit", "full", "by"), rows, empty="")


def change(
    version: Annotated[int, typer.Argument(help="As `headrace gateway history` has it.")],
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Show what a version changed, and what going back to it would change now. Nothing changes.

    \b
    Example:
        headrace gateway change 12
    """
    with admin(home, url) as control:
        found = control.gateway_version(version)
    if json:
        emit(found)
        return
    say(f"[bold]version {found['version']}[/], {escape(found['actor'])}: {escape(found['reason'])}")
    show_lines(found["lines"])
    say("")
    say(f"headrace gateway rollback {found['version']} would:")
    show_lines(found["back"])


def cache(home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Show how often caches answered, and how often a semantic one answered something else.

    \b
    Example:
        headrace gateway cache
    """
    with admin(home, url) as control:
        found = control.gateway_cache()
    if json:
        emit(found)
        return
    table(
        ("endpoint", "exact", "semantic", "checked", "false", "false hits, 95 %"),
        [(u["endpoint"], u["exact"], u["semantic"], u["checked"], u["false"], _rate(u)) for u in found],
        empty="no answer came from a cache yet: cache: {ttl_seconds: 600} in a version",
    )


def costs(home: Home = None, url: ControlUrl = None, json: Json = False) -> None:
    """Show what this month cost so far, what it will, and which models have no price.

    \b
    Example:
        headrace gateway costs
    """
    with admin(home, url) as control:
        found = control.costs()
    if json:
        emit(found)
        return
    told = found["forecast"]
    if told is None:
        note("nothing was spent this month")
    else:
        say(f"[bold]{told['so_far']:.2f} USD[/] since {datetime.fromtimestamp(told['month'], UTC):%Y-%m-%d}")
        say(f"the month will cost about {told['expected']:.2f} USD ({told['low']:.2f} to {told['high']:.2f})")
    for each in found["unpriced"]:
        why = "nobody bills it" if each["own"] else "[yellow]no price[/]"
        note(f"{escape(each['provider'])}/{escape(each['model'])}: {each['tokens']:,} tokens, {why}")


def prices(
    find: Annotated[str, typer.Argument(help="Part of a provider's or a model's name; empty: all.")] = "",
    home: Home = None,
    url: ControlUrl = None,
    json: Json = False,
) -> None:
    """Show the price table: USD for a million tokens, whether it holds, and who says so.

    \b
    Example:
        headrace gateway prices gpt-5
    """
    with admin(home, url) as control:
        found = control.prices(find=find)
    if json:
        emit(found)
        return
    table(
        ("provider", "model", "holds", "from", "above", *_BUCKETS, "source"),
        [_price_row(row["price"], row["hold"]) for row in found],
        empty="no price; providers that are known have a list, others need one: see docs/keys.md",
    )


def _rate(use: dict[str, Any]) -> str:
    if use["rate"] is None:
        return "–"
    return f"{100 * use['rate']:.1f} % ({100 * use['low']:.1f} to {100 * use['high']:.1f})"


def show_lines(lines: list[dict[str, Any]]) -> None:
    """Also used by gateway.py."""
    for line in lines:
        detail = f": {escape(line['detail'])}" if line["detail"] else ""
        say(f"{_SIGN[line['deed']]} {line['section']} {escape(line['name'])}{detail}")
    if not lines:
        note("nothing to change")


def _state(row: dict[str, Any]) -> str:
    if row["left_alone"]:
        return "left alone"
    return "failing" if row["failures_in_a_row"] else "good"


def _said(limit: dict[str, Any]) -> str:
    who = limit["who"] or ("everyone" if limit["level"] == "all" else f"each {limit['level']}")
    words = f"{limit['amount']:g} {limit['counted']}" + (f" a {limit['window']}" if limit["window"] else " at once")
    return f"{who}: {words}" + (" (dry run)" if limit["dry_run"] else "")


def _fullest(row: dict[str, Any]) -> str | None:
    return row["held"][0]["who"] if row["held"] and row["limit"]["level"] != "all" else None


def _price_row(price: dict[str, Any], hold: str) -> tuple[Any, ...]:
    since = f"{datetime.fromtimestamp(price['since'], UTC):%Y-%m-%d}" if price["since"] else None
    amounts = tuple(f"{price[name]:g}" for name in _BUCKETS)
    return (
        *(price["provider"], price["model"], _HOLDS[hold], since, price["above"] or None),
        *(*amounts, price["source"] or "a person"),
    )
