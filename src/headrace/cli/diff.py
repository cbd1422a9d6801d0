"""`headrace release diff`: what the candidate would have answered otherwise.

Called by cli/release.py, which registers it. Decides how pairs are shown in a terminal; what they are is the API's.
"""

from __future__ import annotations

import json as json_
from typing import Any

from rich.markup import escape

from headrace.cli.show import plain, say, table

_VALUE = 48  # characters of an answer


def show_diff(found: dict[str, Any]) -> None:
    figures = found["figures"]
    say(f"[bold]{found['release']}[/] of {escape(found['endpoint'])}: {found['baseline']} → {found['candidate']}")
    say(_headline(figures, found["tolerance"]))
    say(_beside(figures))
    say("")
    if found["by"]:
        table(
            (found["by"], "pairs", "other answer", "95 % interval", "mean change"),
            [
                (s["value"], s["pairs"], _percent(s["rate"]), _interval(s), _percent(s["deviation"]))
                for s in found["segments"]
            ],
            empty="no pair yet",
        )
        say("")
    elif found["columns"]:
        say(f"[dim]by segment: --by {escape(', '.join(found['columns']))}[/]\n")
    table(
        ("trace", "severity", found["baseline"], found["candidate"], "what differs"),
        [
            (
                pair["trace_id"],
                f"{pair['severity']:.2f}",
                _shown(pair["baseline_output"]),
                _shown(pair["candidate_output"]),
                pair["error"] or pair["difference"]["what"],
            )
            for pair in found["pairs"]
        ],
        empty="no pair differs" if figures["pairs"] else "no pair yet: a shadow step makes them",
    )


def _headline(figures: dict[str, Any], tolerance: float | None) -> str:
    limit = f" (tolerated: {_percent(tolerance)})" if tolerance else ""
    return (
        f"{figures['pairs']:,} pairs, {_percent(figures['flip_rate'])} another answer{limit}, "
        f"{_percent(figures['deviating_rate'])} with a number that moved, {figures['candidate_errors']:,} failed"
    )


def _beside(figures: dict[str, Any]) -> str:
    return (
        f"inside the runtime p50 {plain(figures['baseline_p50_ms'])} → {plain(figures['candidate_p50_ms'])} ms, "
        f"p99 {plain(figures['baseline_p99_ms'])} → {plain(figures['candidate_p99_ms'])} ms; "
        f"PSI of answers {'–' if figures['psi'] is None else format(figures['psi'], '.3f')}; "
        f"{figures['lost']:,} without a partner, {figures['dropped']:,} dropped for want of room"
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.3g} %"


def _interval(segment: dict[str, Any]) -> str:
    return f"{_percent(segment['low'])} to {_percent(segment['high'])}"


def _shown(value: Any) -> str:
    text = json_.dumps(value, ensure_ascii=False)
    return text if len(text) <= _VALUE else f"{text[: _VALUE - 1]}…"
