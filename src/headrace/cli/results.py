"""What a release found, as a table for the terminal.

Called by release.py. The numbers are release/results.py's; this writes them so that they can be quoted.
"""

from __future__ import annotations

from typing import Any

from headrace.cli.show import say, table


def show_results(release: dict[str, Any], found: dict[str, Any]) -> None:
    say(f"[bold]{release['id']}[/]: {release['candidate']} beside {release['baseline']}")
    table(
        ("metric", release["baseline"], release["candidate"], "difference", "at the horizon", "always valid"),
        [_row(metric) for metric in found["metrics"]],
        empty="nothing was measured",
    )
    if found["split"]["alarm"]:
        say("[bold red]the split is not what was asked for: no comparison can be trusted[/]")
    if not found["at_horizon"]:
        say(
            "intervals at the horizon are given once an A/B test has reached it; the always valid one may be quoted now"
        )
    for metric in found["metrics"]:
        if (course := metric["novelty"]["course"]) not in ("unknown", "steady"):
            say(f"{metric['spec']['name']}: the difference is {course} over time")


def _row(metric: dict[str, Any]) -> tuple[str, ...]:
    rates = metric["spec"]["kind"] != "value"
    reading = metric["fixed"] or metric["always"]
    always = _interval(metric["always"], rates=rates)
    marked = " *" if metric["always"] and metric["always"]["asymptotic"] else ""
    return (
        metric["spec"]["name"],
        _number(metric["baseline"], rates=rates),
        _number(metric["candidate"], rates=rates),
        _number(reading and reading["difference"], rates=rates, sign=True),
        _interval(metric["fixed"], rates=rates),
        always + marked,
    )


def _interval(reading: dict[str, Any] | None, *, rates: bool) -> str:
    """An end that is not known yet is None: JSON has no infinity."""
    if reading is None:
        return "-"
    low, high = (_number(reading[end], rates=rates, sign=True) for end in ("low", "high"))
    return f"{low} to {high}"


def _number(value: float | None, *, rates: bool, sign: bool = False) -> str:
    if value is None:
        return "-"
    plus = "+" if sign else ""
    return f"{100 * value:{plus}.2f} %" if rates else f"{value:{plus}.4g}"
