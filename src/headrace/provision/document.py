"""The gateway as a person writes it: YAML or JSON, section by section, into nouns; and back.

Called by service.py. Decides what may be written: an unknown field, a wrong type or a name that is not there is
refused, naming the place and what is allowed. A section that is missing stays as it is; one that is there is the whole
of it, except keys: those that are not named stay, because a key is somebody's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from datetime import UTC, date, datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from headrace.store.secrets import ENV
from headrace.types.errors import BadInput
from headrace.types.gateway import (
    HOME,
    Counted,
    Gateway,
    Level,
    Limit,
    Person,
    Price,
    Provider,
    ProviderKind,
    Scope,
    VirtualKey,
    Window,
)

SECTIONS = ("providers", "keys", "people", "limits", "prices")
KEY_FIELDS = ("name", "workspace", "team", "user", "models", "scopes", "trusted", "user_secret", "expires")
_PRICE_FIELDS = tuple(f.name for f in fields(Price) if f.name not in ("source", "pattern"))
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TIMES = ("expires", "since")
_LOADED = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie")

Noun = TypeVar("Noun")


def read(given: Any, now: Gateway) -> Gateway:
    """`now` with what is given in its place; keys as described, without id and hash where they are new. Raises
    BadInput."""
    if not isinstance(given, Mapping):
        raise BadInput(f"a gateway is written as sections, not as {type(given).__name__}", field="gateway")
    if unknown := [name for name in given if name not in SECTIONS]:
        raise BadInput(
            f"unknown section {unknown[0]!r}; there are: {', '.join(SECTIONS)}, endpoints",
            field=str(unknown[0]),
            hint=_HINT,
        )
    made = replace(
        now,
        providers=_section(given, "providers", Provider, now.providers),
        people=_section(given, "people", Person, now.people),
        limits=_section(given, "limits", Limit, now.limits),
        prices=_section(given, "prices", Price, overrides(now), allowed=_PRICE_FIELDS),
        keys=_keys(given, now.keys),
    )
    check(made, secrets=now.secrets)
    return made


_HINT = "secrets are set: headrace secret set"


def overrides(gateway: Gateway) -> tuple[Price, ...]:
    """Prices that a person said; the others are compiled from lists."""
    return tuple(price for price in gateway.prices if not price.source)


def written(gateway: Gateway) -> dict[str, list[dict[str, Any]]]:
    """As it may be applied again, and as a person would write it. Nothing in it opens anything."""
    told = {
        "providers": [_plain(each) for each in gateway.providers],
        "keys": [described(key) for key in gateway.keys if not key.revoked],
        "people": [_plain(each) for each in gateway.people],
        "limits": [_plain(each) for each in gateway.limits],
        "prices": [_plain(each) for each in overrides(gateway)],
    }
    return {section: [legible(noun) for noun in nouns] for section, nouns in told.items()}


def legible(noun: dict[str, Any]) -> dict[str, Any]:
    """Times as dates, 400.0 as 400. Also used by diff.py."""
    return {name: _dated(value) if name in _TIMES else _short(value) for name, value in noun.items()}


def _short(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _dated(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return f"{moment:%Y-%m-%d}" if seconds % 86_400 == 0 else moment.isoformat().replace("+00:00", "Z")


def described(key: VirtualKey) -> dict[str, Any]:
    return {name: value for name, value in _plain(key).items() if name in KEY_FIELDS}


def key_of(given: Any, where: str = "key") -> VirtualKey:
    """A new one, or changes of one. Raises BadInput."""
    return _noun(given, VirtualKey, where, allowed=KEY_FIELDS, more={"id": "", "hash": ""})


def check(gateway: Gateway, *, secrets: Iterable[str]) -> None:
    """What no single field can say. Raises BadInput."""
    known = set(secrets)
    _once("providers", (each.name for each in gateway.providers))
    _once("people", (each.user.lower() for each in gateway.people))
    _once("keys", (key.name for key in gateway.keys if key.name and not key.revoked))
    for at, provider in enumerate(gateway.providers):
        _check_provider(provider, f"providers[{at}]", known)
    for at, key in enumerate(gateway.keys):
        if key.user_secret and not key.revoked:
            _check_secret(key.user_secret, f"keys[{at}].user_secret", known)
    for at, limit in enumerate(gateway.limits):
        _check_limit(limit, f"limits[{at}]")
    names = {provider.name for provider in gateway.providers} | {HOME}
    for at, price in enumerate(overrides(gateway)):
        if price.provider not in names:
            there = ", ".join(sorted(names))
            raise BadInput(
                f"there is no provider {price.provider!r}; there are: {there}", field=f"prices[{at}].provider"
            )


def _check_provider(provider: Provider, where: str, secrets: set[str]) -> None:
    if not _NAME.fullmatch(provider.name):
        raise BadInput(f"{provider.name!r}; allowed: letters, digits, '.', '_', '-'", field=f"{where}.name")
    if provider.name == HOME or provider.kind is ProviderKind.OWN:
        raise BadInput(
            f"{HOME!r} is this platform itself: its models are there without being configured", field=f"{where}.name"
        )
    parts = urlsplit(provider.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
        raise BadInput(
            f"url of provider {provider.name!r} is not http(s)://HOST[:PORT][/PATH], without user and query",
            field=f"{where}.url",
        )
    if provider.secret:
        _check_secret(provider.secret, f"{where}.secret", secrets)
    if loaded := [name for name in provider.headers if name.lower() in _LOADED]:
        raise BadInput(
            f"header {loaded[0]!r} would be written down for all to read", field=f"{where}.headers", hint="secret: NAME"
        )


def _check_secret(reference: str, where: str, secrets: set[str]) -> None:
    if reference.startswith(ENV) or reference in secrets:
        return
    there = ", ".join(sorted(secrets)) or "none yet"
    raise BadInput(  # the reference may be the key itself, pasted into the wrong place: it is not repeated
        f"there is no secret of the name that is given; there are: {there}",
        field=where,
        hint="headrace secret set NAME; or env:VARIABLE",
    )


def _check_limit(limit: Limit, where: str) -> None:
    if limit.amount < 0:
        raise BadInput(f"amount is {limit.amount!r}; allowed: from 0", field=f"{where}.amount")
    if limit.counted is Counted.CONCURRENCY and limit.window is not None:
        raise BadInput("calls at once have no window", field=f"{where}.window")
    if limit.counted is not Counted.CONCURRENCY and limit.window is None:
        raise BadInput(f"a limit of {limit.counted} needs one: {_allowed(Window)}", field=f"{where}.window")
    if limit.level is Level.ALL and limit.who:
        raise BadInput("level 'all' is everyone together, so it has no who", field=f"{where}.who")


def _keys(given: Mapping[str, Any], now: tuple[VirtualKey, ...]) -> tuple[VirtualKey, ...]:
    if "keys" not in given:
        return now
    wanted = [key_of(each, f"keys[{at}]") for at, each in enumerate(_list(given, "keys"))]
    if nameless := [at for at, key in enumerate(wanted) if not key.name]:
        raise BadInput("a key needs a name here, so that it is found again", field=f"keys[{nameless[0]}].name")
    _once("keys", (key.name for key in wanted))
    there = {key.name: key for key in now if not key.revoked}
    merged = {key.name: changed(there[key.name], key) if key.name in there else key for key in wanted}
    kept = tuple(merged.pop(key.name, key) if not key.revoked else key for key in now)
    return (*kept, *merged.values())


def changed(key: VirtualKey, told: VirtualKey) -> VirtualKey:
    return replace(key, **{name: getattr(told, name) for name in KEY_FIELDS})


def _section(
    given: Mapping[str, Any], name: str, kind: type[Noun], now: tuple[Noun, ...], *, allowed: tuple[str, ...] = ()
) -> tuple[Noun, ...]:
    if name not in given:
        return now
    return tuple(_noun(each, kind, f"{name}[{at}]", allowed=allowed) for at, each in enumerate(_list(given, name)))


def _list(given: Mapping[str, Any], name: str) -> list[Any]:
    found = given[name]
    if not isinstance(found, list):
        raise BadInput(f"{name} is a list, not {type(found).__name__}", field=name)
    return found


def _noun(
    given: Any, kind: type[Noun], where: str, *, allowed: tuple[str, ...] = (), more: Mapping[str, Any] | None = None
) -> Noun:
    names = allowed or tuple(f.name for f in fields(kind))  # type: ignore[arg-type]
    if not isinstance(given, Mapping):
        raise BadInput(f"{where} is {type(given).__name__}, not fields by name", field=where)
    if unknown := [name for name in given if name not in names]:
        raise BadInput(
            f"unknown field {unknown[0]!r} in {where}; there are: {', '.join(names)}", field=f"{where}.{unknown[0]}"
        )
    content = {name: _time(value, f"{where}.{name}") if name in _TIMES else value for name, value in given.items()}
    try:
        return msgspec.convert(content | dict(more or {}), kind)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), where) from None


def _invalid(told: str, where: str) -> BadInput:
    message, _, at = told.partition(" - at `$")
    place = where + at.rstrip("`")
    field = re.search(r"required field `(\w+)`", message)
    enum = next((kind for kind in _ENUMS if place.endswith(f".{_ENUMS[kind]}")), None)
    more = f"; allowed: {_allowed(enum)}" if enum is not None else ""
    return BadInput(f"{place}: {message.replace('`', chr(39))}{more}", field=f"{place}.{field[1]}" if field else place)


_ENUMS: dict[Any, str] = {ProviderKind: "kind", Level: "level", Counted: "counted", Window: "window", Scope: "scopes"}


def _allowed(kind: Any) -> str:
    return ", ".join(member.value for member in kind)


def _time(value: Any, where: str) -> Any:
    """Seconds since the epoch; a date or a time of UTC as text, or as YAML reads it."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise BadInput(f"{where} is {value!r}; such as 2027-01-31 or 2027-01-31T12:00:00Z", field=where) from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return value


def _once(section: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadInput(f"two of {section} have the name {name!r}", field=section)
        seen.add(name)


def _plain(noun: Any) -> dict[str, Any]:
    """Without what is as it is when nobody says anything."""
    defaults: dict[str, Callable[[], Any]] = {
        f.name: f.default_factory if callable(f.default_factory) else (lambda f=f: f.default)  # type: ignore[misc]
        for f in fields(noun)
    }
    kept = {f.name: getattr(noun, f.name) for f in fields(noun) if getattr(noun, f.name) != defaults[f.name]()}
    return dict(msgspec.to_builtins(kept))
