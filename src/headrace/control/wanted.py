"""Chat endpoints in the gateway's document: read, checked, compared with what is live, and written. Pure.

Called by configuration.py. Decides what may be said of an endpoint there: its version (described in place, or named)
and the settings that it can be configured by. What is not said stays as it is. An endpoint that no file names stays,
too: like a key it is somebody's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import msgspec

from headrace.gateway.guards.judge import Judge, fits
from headrace.gateway.guards.registry import build
from headrace.gateway.semantic import check_cache
from headrace.provision.diff import Line
from headrace.release.configure import configured, told_changes
from headrace.release.deploy import check_name
from headrace.release.services import REGISTERED, Service, read_service
from headrace.types.endpoint import Capture, Endpoint, Limits, Task
from headrace.types.errors import BadInput
from headrace.types.gateway import HOME, Chat
from headrace.types.traffic import TrafficPolicy

SECTION = "endpoints"
KIND = "chat"
_SETTINGS = ("capture", "limits", "effects")
_FIELDS = ("name", "kind", "version", *_SETTINGS)
_SHOWN = 60  # characters of a value


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """`version`: described; its URI; or None, as it is."""

    name: str
    version: Service | str | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def chat(self) -> Chat | None:
        what = self.version.what if isinstance(self.version, Service) else None
        return what if isinstance(what, Chat) else None


def read_wanted(given: Any) -> tuple[Wanted, ...]:
    """Raises BadInput naming the place."""
    if not isinstance(given, list):
        raise BadInput(f"{SECTION} is a list, not {type(given).__name__}", field=SECTION)
    found = tuple(_read(each, f"{SECTION}[{at}]") for at, each in enumerate(given))
    names = [each.name for each in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise BadInput(f"two of {SECTION} have the name {twice[0]!r}", field=SECTION)
    return found


def check(wanted: Sequence[Wanted], there: Mapping[str, Endpoint], *, providers: Collection[str]) -> None:
    """What no single entry can say. Raises BadInput."""
    chats = {e.name for e in there.values() if e.task is Task.CHAT} | {each.name for each in wanted}
    for at, each in enumerate(wanted):
        where, live = f"{SECTION}[{at}]", there.get(each.name)
        if live is not None and live.task is not Task.CHAT:
            raise BadInput(f"endpoint {each.name!r} is no chat endpoint", field=f"{where}.name")
        if live is None and each.version is None:
            raise BadInput(f"endpoint {each.name!r} is new, so it needs a version", field=f"{where}.version")
        configured(live or _blank(each.name), each.settings)
        for way in each.chat.ways if each.chat else ():
            if way.provider not in (known := {*providers, HOME}):
                raise BadInput(
                    f"there is no provider {way.provider!r}; there are: {', '.join(sorted(known))}",
                    field=f"{where}.version.ways",
                )
        fits(_judges(each), endpoint=each.name, chats=chats)


def in_order(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Who judges others comes before them."""
    left, found = list(wanted), []
    while left:
        names = {each.name for each in left}
        free = [each for each in left if not names & _judges(each) - {each.name}]
        found += free or left[:1]
        left = [each for each in left if each not in found]
    return found


def compare(wanted: Wanted, live: Endpoint | None, chat: Chat | None) -> Line | None:
    """What would change. `chat`: of the live version."""
    if live is None:
        return Line(section="endpoint", name=wanted.name, deed="add")
    told = [_version(wanted, live, chat), told_changes(live, configured(live, wanted.settings))]
    detail = ", ".join(part for part in told if part)
    return Line(section="endpoint", name=wanted.name, deed="change", detail=detail) if detail else None


def written(live: Endpoint, chat: Chat) -> dict[str, Any]:
    """As it may be applied again."""
    usual, found = Limits(), {"name": live.name, "kind": KIND, "version": _plain(chat)}
    if live.capture is not Capture.FULL:
        found["capture"] = live.capture.value
    if live.limits != usual:
        found["limits"] = _plain(live.limits)
    return found | ({"effects": True} if live.effects else {})


def settings_of(endpoint: Endpoint) -> dict[str, Any]:
    """As `configured` takes them."""
    limits = msgspec.to_builtins(endpoint.limits)
    return {"capture": endpoint.capture.value, "limits": limits, "effects": endpoint.effects}


def uri_of(live: Endpoint) -> str:
    """Of its live version."""
    variant = live.variant(live.policy.baseline)
    return "" if variant is None else variant.model.uri


def after(wanted: Wanted, live: Endpoint | None) -> Endpoint:
    """With its settings."""
    return configured(live or _blank(wanted.name), wanted.settings)


def _read(given: Any, where: str) -> Wanted:
    if not isinstance(given, Mapping):
        raise BadInput(f"{where} is {type(given).__name__}, not fields by name", field=where)
    if unknown := [name for name in given if name not in _FIELDS]:
        raise BadInput(
            f"unknown field {unknown[0]!r} in {where}; there are: {', '.join(_FIELDS)}", field=f"{where}.{unknown[0]}"
        )
    if given.get("kind", KIND) != KIND:
        raise BadInput(
            f"{where}.kind is {given['kind']!r}; allowed: {KIND}",
            field=f"{where}.kind",
            hint="models of the registry: headrace deploy",
        )
    name = given.get("name")
    if not isinstance(name, str):
        raise BadInput(f"{where} needs a name", field=f"{where}.name")
    check_name(name)
    settings = {part: given[part] for part in _SETTINGS if part in given}
    return Wanted(name=name, version=_described(name, given.get("version"), f"{where}.version"), settings=settings)


def _described(name: str, given: Any, where: str) -> Service | str | None:
    if given is None or (isinstance(given, str) and given.startswith(REGISTERED)):
        return given
    if not isinstance(given, Mapping):
        raise BadInput(
            f"{where} is {given!r}; allowed: a description (ways, prompt, …), or {REGISTERED}NAME/VERSION", field=where
        )
    try:
        service = read_service({"name": name, **given, "kind": KIND})
        if isinstance(service.what, Chat):
            check_cache(service.what.cache, service.what.guards)
            for guard in service.what.guards:
                build(guard)
    except BadInput as error:
        place = f"{where}.{error.field}" if error.field else where
        raise BadInput(f"{where}: {error.message}", field=place, hint=error.hint) from error
    return service


def _judges(wanted: Wanted) -> set[str]:
    """Endpoints that it asks."""
    if wanted.chat is None:
        return set()
    made = [build(guard) for guard in wanted.chat.guards]
    return {guard.model for guard in made if isinstance(guard, Judge)} | ({wanted.chat.cache.judge} - {""})


def _version(wanted: Wanted, live: Endpoint, chat: Chat | None) -> str:
    if wanted.version is None:
        return ""
    if isinstance(wanted.version, str):
        now = uri_of(live)
        return "" if now == wanted.version else f"version {now} → {wanted.version}"
    if chat is None or wanted.chat is None:
        return "version"
    parts = ((f.name, getattr(chat, f.name), getattr(wanted.chat, f.name)) for f in fields(Chat))
    return ", ".join(f"{name} {_short(had)} → {_short(has)}" for name, had, has in parts if had != has)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    text = repr(text) if isinstance(value, str) else text
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _plain(noun: Any) -> dict[str, Any]:
    """Without what is as it is when nobody says anything, at any depth."""
    found = {}
    for spec in fields(noun):
        value = getattr(noun, spec.name)
        if spec.name == "ways" or value != _default(spec):
            found[spec.name] = _inner(value)
    return found


def _inner(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_inner(each) for each in value]
    return _plain(value) if hasattr(value, "__dataclass_fields__") else msgspec.to_builtins(value)


def _default(spec: Any) -> Any:
    return spec.default_factory() if callable(spec.default_factory) else spec.default


def _blank(name: str) -> Endpoint:
    return Endpoint(name=name, model=name, variants=(), policy=TrafficPolicy(baseline=""), selectors={}, task=Task.CHAT)
