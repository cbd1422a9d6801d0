"""From a URI to a variant that a data plane can load: resolve, fetch, verify, convert, prove.

Called by deploy, stage, sync and start, in a thread. What it makes is content-addressed: twice changes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

from headrace.optimize.prepare import prepare
from headrace.release.change import variant_name
from headrace.release.parts import Parts, Progress
from headrace.store import packages, versions
from headrace.types.call import CallStatus
from headrace.types.endpoint import Variant
from headrace.types.model import ModelVersion

CAPTURED = 200  # recent calls whose inputs help to prove parity


def make_ready(parts: Parts, version: ModelVersion, *, endpoint: str, progress: Progress) -> Variant:
    """Raises UpstreamError (MLflow), ModelRefused (checksum, signature, it does not run)."""
    parts.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=parts.work) as folder:
        progress(f"fetch {version.uri}")
        artifact = parts.registry.download(version, parts.work / folder)
        recorded = parts.registry.record_sha256(version, artifact=artifact)
        package = prepare(
            recorded,
            artifact,
            artifacts=parts.artifacts,
            rows=list(_captured(parts, endpoint)),
            work=parts.work,
            progress=progress,
            clock=parts.clock,
        )
    with parts.database.write() as conn:
        versions.put(conn, recorded)
        packages.put(conn, package)
    return Variant(name=variant_name(recorded), model=recorded, package=package)


def _captured(parts: Parts, endpoint: str) -> Iterator[Any]:
    """Rows that the endpoint has answered lately, each a JSON value."""
    for call in parts.query.calls(endpoint=endpoint, status=CallStatus.OK, limit=CAPTURED):
        if isinstance(call.input, list):
            yield from call.input
        elif isinstance(call.input, dict):
            yield from _records(call.input)


def _records(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """{"a": [1, 2]} → {"a": 1}, {"a": 2}"""
    lists = {name: column if isinstance(column, list) else [column] for name, column in columns.items()}
    for values in zip(*lists.values(), strict=False):
        yield dict(zip(lists, values, strict=True))
