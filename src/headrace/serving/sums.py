"""What several workers say of themselves, as one: V2 statistics and health. Pure.

Called by api/siblings.py and api/http/status.py. Decides that what is counted adds up, that the port is as far as the
worker that is furthest behind, and that one which does not answer is named. Ignores who was asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Json = dict[str, Any]


def merge_statistics(parts: Iterable[Json]) -> Json:
    """`model_stats` of V2 by name and version; times and counts are sums, `last_inference` is the last."""
    found: dict[tuple[str, str], Json] = {}
    for part in parts:
        for stats in part["model_stats"]:
            key = stats["name"], stats["version"]
            found[key] = _both(found[key], stats) if key in found else stats
    return {"model_stats": [found[key] for key in found]}


def merge_health(own: Json, others: Mapping[str, Json | None]) -> Json:
    """`own` answers for all: None is a worker that did not. It is as ready as it is itself, since it is in the way of
    calls; the plan is the oldest that any of them runs."""
    there = [own, *(other for other in others.values() if other is not None)]
    refused = next((part["plan"] for part in there if part["plan"]["error"]), own["plan"])
    workers = [_worker(own["plane"], own), *(_worker(name, other) for name, other in others.items())]
    revision = min(part["revision"] for part in there)
    return own | {
        "revision": revision,
        "plan": refused | {"revision": revision},
        "endpoints": [_endpoint(endpoint, there) for endpoint in own["endpoints"]],
        "packages": [_package(package, there) for package in own["packages"]],
        "upstreams": merge_upstreams(there),
        "journal": {"lost": sum(part["journal"]["lost"] for part in there)},
        "workers": sorted(workers, key=lambda worker: _place(worker["plane"])),
    }


def merge_upstreams(parts: Iterable[Json]) -> list[Json]:
    """Of several healths, one row an upstream model. Counts add up; of the rest the worst is told, since a way that is
    slow or left alone in one worker is so for that worker's calls."""
    found: dict[tuple[str, str], Json] = {}
    for part in parts:
        for row in part.get("upstreams", ()):
            key = row["provider"], row["model"]
            found[key] = _worse(found[key], row) if key in found else row
    return [found[key] for key in found]


def _worse(a: Json, b: Json) -> Json:
    outcomes = {name: a["calls"].get(name, 0) + b["calls"].get(name, 0) for name in {**a["calls"], **b["calls"]}}
    return a | {
        "inside": a["inside"] + b["inside"],
        "failures_in_a_row": max(a["failures_in_a_row"], b["failures_in_a_row"]),
        "left_alone": a["left_alone"] or b["left_alone"],
        "first_byte_ms": max(a["first_byte_ms"], b["first_byte_ms"]),
        "last_failure": a["last_failure"] or b["last_failure"],
        "key_refused": a["key_refused"] or b["key_refused"],
        "calls": outcomes,
    }


def _both(a: Json, b: Json) -> Json:
    last = max(a["last_inference"], b["last_inference"])
    return (
        a | _sum(a, b, skip=("name", "version", "batch_stats")) | {"last_inference": last, "batch_stats": _sizes(a, b)}
    )


def _sum(a: Json, b: Json, *, skip: tuple[str, ...] = ()) -> Json:
    added: Json = {}
    for name, value in a.items():
        if name in skip:
            continue
        if isinstance(value, dict):
            added[name] = _sum(value, b[name])
        elif isinstance(value, int):
            added[name] = value + b[name]
    return added


def _sizes(a: Json, b: Json) -> list[Json]:
    found: dict[int, Json] = {}
    for batch in (*a["batch_stats"], *b["batch_stats"]):
        size = batch["batch_size"]
        known = found.get(size)
        found[size] = {"batch_size": size} | _sum(known, batch, skip=("batch_size",)) if known else batch
    return [found[size] for size in sorted(found)]


def _worker(name: str, health: Json | None) -> Json:
    if health is None:
        return {"plane": name, "status": "missing", "revision": 0, "error": "it does not answer"}
    plan = health["plan"]
    return {"plane": name, "status": health["status"], "revision": health["revision"], "error": plan["error"]}


def _endpoint(endpoint: Json, parts: list[Json]) -> Json:
    same = [e for part in parts for e in part["endpoints"] if e["name"] == endpoint["name"]]
    return endpoint | {"inside": sum(e["inside"] for e in same)}


def _package(package: Json, parts: list[Json]) -> Json:
    key = package["model"], package["version"]
    same = [p for part in parts for p in part["packages"] if (p["model"], p["version"]) == key]
    return package | {"inside": sum(p["inside"] for p in same)}


def _place(plane: str) -> tuple[int, str]:
    """data-2 before data-10."""
    return len(plane), plane
