"""`headrace migrate report`: how a cut-over went, from a legacy service to a model or the way back.

Called by cli/migrate.py. Decides what a report is made of: what each release of the endpoint did and why, what differed
where answers were compared, latency and failures of every variant, from its latest calls by users. All of it is the
API's; nothing is counted anew but those calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from headrace.cli.show import ago, plain, say, table
from headrace.client.admin import Admin
from headrace.types.traffic import Reason

CALLS = 1000  # of each variant, the latest
RELEASES = 20
_FIGURES = ("pairs", "flip_rate", "deviating_rate", "candidate_errors", "lost", "dropped")

Json = dict[str, Any]


def report_on(control: Admin, endpoint: str) -> Json:
    shown = control.endpoint(endpoint)  # NotFound, where there is none
    releases = control.releases(endpoint=endpoint, limit=RELEASES)
    variants: dict[str, None] = {}
    for release in reversed(releases):
        variants |= {release["baseline"]: None, release["candidate"]: None}
    if not releases:
        variants = {variant["name"]: None for variant in shown["variants"]}
    calls = {name: control.traces(endpoint=endpoint, variant=name, limit=CALLS) for name in variants}
    return {
        "endpoint": endpoint,
        "variants": [variant_figures(name, found) for name, found in calls.items()],
        "releases": [release_figures(release, _pairs(control, release)) for release in reversed(releases)],
    }


def variant_figures(name: str, calls: Sequence[Json]) -> Json:
    """Of calls that a user waited for. Latencies are of those that were answered."""
    users = [call for call in calls if not call.get("shadow_of") and call["reason"] != Reason.GATE.value]
    times = sorted(call["latency_ms"] for call in users if call["status"] == "ok")
    failed = len(users) - len(times)
    return {
        "variant": name,
        "calls": len(users),
        "failed": failed,
        "failed_rate": failed / len(users) if users else None,
        "p50_ms": _quantile(times, 0.5),
        "p99_ms": _quantile(times, 0.99),
        "from": min((call["time"] for call in users), default=None),
        "to": max((call["time"] for call in users), default=None),
    }


def release_figures(release: Json, pairs: Json | None) -> Json:
    keys = ("id", "baseline", "candidate", "phase", "created", "ended", "actor")
    events = [
        {key: event.get(key) for key in ("time", "name", "detail", "actor", "share")} for event in release["history"]
    ]
    return {key: release.get(key) for key in keys} | {"compared": pairs, "timeline": events}


def show_report(report: Json) -> None:
    say(f"[bold]{escape(report['endpoint'])}[/], before and after: the latest calls of each variant")
    table(
        ("variant", "calls", "failed", "p50 ms", "p99 ms", "last"),
        [
            (v["variant"], v["calls"], v["failed"], _ms(v["p50_ms"]), _ms(v["p99_ms"]), ago(v["to"] or 0.0))
            for v in report["variants"]
        ],
        empty="no variant has had a call",
    )
    for release in report["releases"]:
        say("")
        moved = f"{escape(release['baseline'])} → {escape(release['candidate'])}"
        say(f"[bold]{release['id']}[/] {moved}: {release['phase']}")
        if release["compared"]:
            say(f"  {_compared(release['compared'])}")
        table(
            ("when", "who", "what", "why"),
            [(ago(e["time"]), e["actor"], e["name"], e["detail"]) for e in release["timeline"]],
            empty="nothing has happened yet",
        )
    if not report["releases"]:
        say(f"[dim]no release yet: headrace release {escape(report['endpoint'])} --candidate … --strategy shadow[/]")


def _pairs(control: Admin, release: Json) -> Json | None:
    """None where no answers were compared."""
    if not release.get("pairs"):
        return None
    figures = control.pairs(release["id"], limit=0)["figures"]
    return {key: figures.get(key) for key in _FIGURES}


def _compared(figures: Json) -> str:
    rate = figures["flip_rate"]
    other = "–" if rate is None else f"{100 * rate:.3g} %"
    return (
        f"{figures['pairs']:,} answers compared, {other} were another one, "
        f"{figures['candidate_errors']:,} failed, {figures['lost']:,} without a partner"
    )


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _ms(value: float | None) -> str:
    return plain(None) if value is None else f"{value:.1f}"
