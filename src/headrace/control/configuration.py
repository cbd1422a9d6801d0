"""The gateway's configuration with its chat endpoints: one document, looked at, applied and undone as one.

Called by the admin API. Decides the order: everything is read and checked, versions are described (without traffic),
then the sections are one version of the gateway with the endpoints on record, and all of it goes live in one plan, with
its history and approvals, and is taken back as one when a data plane refuses it. What a release has
moved since a file named it is not moved by going back: that was decided by evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import msgspec

from headrace.control.wanted import (
    SECTION,
    Wanted,
    after,
    check,
    compare,
    in_order,
    read_wanted,
    settings_of,
    uri_of,
    written,
)
from headrace.gateway.board import FILE
from headrace.provision.diff import Line
from headrace.provision.service import Applied, Provision, Publish
from headrace.release.deploy import check_free
from headrace.release.services import Service
from headrace.release.together import Together, Wish
from headrace.store import endpoints
from headrace.store.db import Database
from headrace.types.endpoint import Endpoint, Task
from headrace.types.errors import BadInput
from headrace.types.gateway import Chat, Served
from headrace.types.model import ModelVersion, Package


class Deploys(Protocol):
    """What this needs of release.service.Releases."""

    def describe(self, endpoint: str, service: Service, *, coming: Sequence[str] = ()) -> ModelVersion: ...

    def together(self, wishes: Sequence[Wish], *, actor: str, reason: str = "") -> AbstractContextManager[Together]: ...


class Packages(Protocol):
    """store.artifacts.Artifacts."""

    def verify(self, package: Package) -> Path: ...


class Configuration:
    def __init__(self, provision: Provision, releases: Deploys, *, database: Database, packages: Packages) -> None:
        self._provision, self._releases = provision, releases
        self._database, self._packages = database, packages

    def document(self) -> dict[str, Any]:
        """As it may be applied again: what is live now."""
        chats = [e for e in self._there().values() if e.task is Task.CHAT and not e.parked]
        return {**self._provision.document(), SECTION: [written(e, self._chat(e)) for e in chats]}

    def compare(self, given: Any) -> tuple[Line, ...]:
        """What applying it would change. Raises BadInput."""
        sections, wanted = _split(given)
        self._checked(sections, wanted)
        return (*self._provision.compare(sections), *self._lines(wanted))

    def apply(self, given: Any, *, actor: str, reason: str = "", expected: int | None = None) -> Applied:
        """Sections and endpoints are in one plan, or nothing of them is in force. Raises BadInput, Conflict, and
        ModelRefused when a data plane refuses it."""
        sections, wanted = _split(given)
        providers = self._checked(sections, wanted)
        lines, there = self._lines(wanted), self._there()
        self._check_free([line.name for line in lines])
        served = [self._serve(each, there.get(each.name), providers) for each in in_order(wanted)]
        moved = {line.name for line in lines}
        done = self._change(
            [_wish(each, there.get(each.name)) for each in served if each.name in moved],
            lambda publish: self._provision.apply(
                sections, actor=actor, reason=reason, expected=expected, endpoints=served, publish=publish
            ),
            actor=actor,
            reason=reason,
        )
        return replace(done, lines=(*_sections(done.lines), *lines))

    def roll_back(self, number: int, *, actor: str, reason: str = "") -> Applied:
        """Chat endpoints too, as files had said by then. Raises NotFound, BadInput, Conflict."""
        then, now = self._provision.recorded(number), self._provision.current().endpoints
        there, recorded = self._there(), {each.name: each for each in now}
        back: list[Served] = []
        lines: list[Line] = []
        for each in then:
            live = there.get(each.name)
            known = recorded.get(each.name)
            if live is None:
                lines.append(Line(section="endpoint", name=each.name, deed="keep", detail="it is gone"))
                continue
            if known is not None and uri_of(live) not in (each.version, known.version):
                detail = f"version {uri_of(live)}, which no file brought; headrace undo {each.name}"
                lines.append(Line(section="endpoint", name=each.name, deed="keep", detail=detail))
                each = replace(each, version=uri_of(live))
            line = compare(Wanted(name=each.name, version=each.version, settings=each.settings), live, None)
            if line is not None:
                back.append(each)
                lines.append(line)
        self._check_free([each.name for each in back if uri_of(there[each.name]) != each.version])
        told = reason or f"back to version {number}"
        done = self._change(
            [_wish(each, there[each.name]) for each in back],
            lambda publish: self._provision.roll_back(number, actor=actor, reason=reason, publish=publish),
            actor=actor,
            reason=told,
        )
        return replace(done, lines=(*_sections(done.lines), *lines))

    def _change(
        self, wishes: Sequence[Wish], decide: Callable[[Publish | None], Applied], *, actor: str, reason: str
    ) -> Applied:
        if not wishes:
            return decide(None)
        with self._releases.together(wishes, actor=actor, reason=reason) as together:
            done = decide(together.publish)
            together.confirm(lambda conn, why: self._provision.take_back(conn, done, actor=actor, reason=why))
        return done

    def _checked(self, sections: Mapping[str, Any], wanted: Sequence[Wanted]) -> list[str]:
        """Names of the providers that there will be. Raises BadInput."""
        providers = [provider.name for provider in self._provision.would_be(sections).providers]
        check(wanted, self._there(), providers=providers)
        return providers

    def _lines(self, wanted: Sequence[Wanted]) -> tuple[Line, ...]:
        there = self._there()
        found = []
        for each in wanted:
            live = there.get(each.name)
            chat = self._chat(live) if live is not None and each.chat is not None else None
            found.append(compare(each, live, chat))
        return tuple(line for line in found if line is not None)

    def _serve(self, wanted: Wanted, live: Endpoint | None, providers: Sequence[str]) -> Served:
        """Its version on record, without traffic yet."""
        version = wanted.version
        if isinstance(version, Service):
            version = self._releases.describe(wanted.name, version, coming=providers).uri
        uri = version or (uri_of(live) if live is not None else "")
        return Served(name=wanted.name, version=uri, settings=settings_of(after(wanted, live)))

    def _check_free(self, names: Sequence[str]) -> None:
        with self._database.read() as conn:
            for name in names:
                check_free(conn, name)

    def _there(self) -> dict[str, Endpoint]:
        with self._database.read() as conn:
            return {endpoint.name: endpoint for endpoint in endpoints.all(conn)}

    def _chat(self, live: Endpoint) -> Chat:
        """What its live version was described as. Raises ModelRefused when its package is damaged."""
        variant = live.variant(live.policy.baseline)
        if variant is None:
            raise BadInput(f"endpoint {live.name!r} has no live version", field=SECTION)
        return msgspec.json.decode((self._packages.verify(variant.package) / FILE).read_bytes(), type=Chat)


def _split(given: Any) -> tuple[dict[str, Any], tuple[Wanted, ...]]:
    if not isinstance(given, Mapping):
        raise BadInput(f"a gateway is written as sections, not as {type(given).__name__}", field="gateway")
    sections = {name: part for name, part in given.items() if name != SECTION}
    return sections, read_wanted(given[SECTION]) if SECTION in given else ()


def _wish(served: Served, live: Endpoint | None) -> Wish:
    version = "" if live is not None and uri_of(live) == served.version else served.version
    return Wish(endpoint=served.name, version=version, settings=served.settings)


def _sections(lines: Sequence[Line]) -> tuple[Line, ...]:
    """Of what is on record of endpoints nobody needs to hear: what happened to them is told by itself."""
    return tuple(line for line in lines if line.section != "endpoint")
