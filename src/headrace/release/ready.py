"""From a URI to a variant that a data plane can load: resolve, fetch, verify, convert, prove.

Called by deploy, stage, sync and start, in a thread. A service elsewhere has nothing to fetch (services.py). What is
made here is content-addressed: twice changes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from headrace.optimize.prepare import prepare
from headrace.optimize.service import prepare_service
from headrace.programs.prepare import is_program, prepare_program
from headrace.release.change import variant_name
from headrace.release.parts import Parts, Progress
from headrace.release.services import REGISTERED, Service, is_url, read_url, registered, version_of
from headrace.store import gateway, packages, versions
from headrace.types.call import CallStatus
from headrace.types.endpoint import Variant
from headrace.types.errors import BadInput
from headrace.types.gateway import HOME, Chat
from headrace.types.model import ModelVersion, Package

CAPTURED = 200  # recent calls whose inputs help to prove parity


def resolve(parts: Parts, source: str | Service, *, endpoint: str) -> ModelVersion:
    """Of the registry, or of a service elsewhere. Raises NotFound, BadInput, UpstreamError."""
    if isinstance(source, str) and source.startswith(REGISTERED):
        return registered(parts, source)[0]
    service = read_url(source) if isinstance(source, str) and is_url(source) else source
    return parts.registry.resolve(service) if isinstance(service, str) else version_of(parts, service, endpoint)


def make_ready(
    parts: Parts, version: ModelVersion, *, endpoint: str, progress: Progress, source: str | Service = ""
) -> Variant:
    """`source` as it was resolved, for a service. Raises UpstreamError (MLflow, the service), ModelRefused (checksum,
    signature, it does not run)."""
    service = source if isinstance(source, Service) else read_url(version.uri) if is_url(version.uri) else None
    if service is not None:
        return describe(parts, service, version, progress)
    if version.uri.startswith(REGISTERED):
        return Variant(name=variant_name(version), model=version, package=registered(parts, version.uri)[1])
    parts.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=parts.work) as folder:
        progress(f"fetch {version.uri}")
        artifact = parts.registry.download(version, parts.work / folder)
        recorded = parts.registry.record_sha256(version, artifact=artifact)
        package = _package(parts, recorded, artifact, endpoint=endpoint, progress=progress)
    with parts.database.write() as conn:
        versions.put(conn, recorded)
        packages.put(conn, package)
    return Variant(name=variant_name(recorded), model=recorded, package=package)


def _package(parts: Parts, version: ModelVersion, artifact: Path, *, endpoint: str, progress: Progress) -> Package:
    if is_program(artifact):
        return prepare_program(
            version, artifact, artifacts=parts.artifacts, work=parts.work, progress=progress, clock=parts.clock
        )
    return prepare(
        version,
        artifact,
        artifacts=parts.artifacts,
        rows=list(_captured(parts, endpoint)),
        work=parts.work,
        progress=progress,
        clock=parts.clock,
    )


def describe(
    parts: Parts, service: Service, version: ModelVersion, progress: Progress, *, coming: Collection[str] = ()
) -> Variant:
    """A service as a version, on record; without traffic until it is deployed or released. Raises BadInput for a
    provider that the gateway does not know, and that is not `coming`."""
    if isinstance(service.what, Chat):
        _check_providers(parts, service.what, coming)
    package = prepare_service(
        service.what,
        version,
        artifacts=parts.artifacts,
        work=parts.work,
        progress=progress,
        clock=parts.clock,
    )
    with parts.database.write() as conn:
        packages.put(conn, package)
    return Variant(name=variant_name(version), model=version, package=package, effects=service.effects)


def _check_providers(parts: Parts, chat: Chat, coming: Collection[str]) -> None:
    with parts.database.read() as conn:
        known = {provider.name for provider in gateway.current(conn).providers} | set(coming) | {HOME}
    for way in chat.ways:
        if way.provider not in known:
            raise BadInput(
                f"there is no provider {way.provider!r}; there are: {', '.join(sorted(known)) or 'none'}",
                field="ways",
                hint="headrace gateway provider add",
            )


def _captured(parts: Parts, endpoint: str) -> Iterator[Any]:
    """Rows that the endpoint has answered lately, each a JSON value."""
    for call in parts.query.calls(endpoint=endpoint, status=CallStatus.OK, limit=CAPTURED):
        if not call.from_user:
            continue
        if isinstance(call.input, list):
            yield from call.input
        elif isinstance(call.input, dict):
            yield from _records(call.input)


def _records(columns: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """{"a": [1, 2]} → {"a": 1}, {"a": 2}"""
    lists = {name: column if isinstance(column, list) else [column] for name, column in columns.items()}
    for values in zip(*lists.values(), strict=False):
        yield dict(zip(lists, values, strict=True))
