"""`headrace migrate report`: how a cut-over went, from a legacy service to a model or the way back.

Called by cli/migrate.py. Decides what a report is made of: every move of the traffic, what each release of the endpoint
did and why, what differed where answers were compared, latency and failures of every variant, from its latest calls by
users, and how these changed from the first one. All of it is the API's; nothing is counted anew but those calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.markup import escape

from headrace.cli.show import ago, plain, say, share, table
from headrace.client.admin import Admin
from headrace.types.traffic import Reason

CALLS = 1000  # of each variant, the latest
RELEASES = 20
ENTRIES = 500  # of the endpoint's history
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
    figures = [variant_figures(name, found) for name, found in calls.items()]
    entries = control.history(endpoint=endpoint, limit=ENTRIES)
    return {
        "endpoint": endpoint,
        "variants": [beside_first(each, figures[0]) for each in figures],
        "moves": [move_of(entry) for entry in reversed(entries) if _moved(entry)],
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


def beside_first(figures: Json, first: Json) -> Json:
    """With the change of latency from the variant that was there first; None where either has no calls."""
    changes = {f"{name}_change": _change(figures[f"{name}_ms"], first[f"{name}_ms"]) for name in ("p50", "p99")}
    return figures | (dict.fromkeys(changes) if figures is first else changes)


def move_of(entry: Json) -> Json:
    """Who had the traffic before and after it, of BUCKETS."""
    about = entry["about"]
    held = {side: {one["variant"]: one["share"] for one in about[side]} for side in ("before", "after")}
    return {
        "time": entry["time"],
        "actor": entry["actor"],
        "action": entry["action"],
        "from": held["before"],
        "to": held["after"],
        "why": about.get("reason") or entry["detail"],
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
        ("variant", "calls", "failed", "p50 ms", "", "p99 ms", "", "last"),
        [
            (v["variant"], v["calls"], v["failed"], *_latency(v, "p50"), *_latency(v, "p99"), ago(v["to"] or 0.0))
            for v in report["variants"]
        ],
        empty="no variant has had a call",
    )
    if report["moves"]:
        say("")
        table(
            ("when", "who", "what", "from", "to", "why"),
            [
                (ago(m["time"]), m["actor"], m["action"], _held(m["from"]), _held(m["to"]), m["why"])
                for m in report["moves"]
            ],
            empty="",
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


def _moved(entry: Json) -> bool:
    about = entry["about"]
    return bool(about.get("after")) and about["before"] != about["after"]


def _change(after: float | None, before: float | None) -> float | None:
    return after / before - 1 if after is not None and before else None


def _latency(figures: Json, name: str) -> tuple[str, str]:
    change = figures[f"{name}_change"]
    return _ms(figures[f"{name}_ms"]), "" if change is None else f"{100 * change:+.0f} %"


def _held(parts: Json) -> str:
    return ", ".join(f"{variant} {share(part)}" for variant, part in parts.items()) or "nobody"


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None


def _ms(value: float | None) -> str:
    return plain(None) if value is None else f"{value:.1f}"
