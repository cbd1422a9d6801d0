"""Services elsewhere as versions: how they are named, numbered and described.

Called by ready, deploy and the admin API. Decides which model a service counts as (that of its endpoint, so that
traffic may go from it to a registered version and back) and which number it gets: the same description has the same.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from headrace.compute.upstream import parse_url
from headrace.release.parts import Parts
from headrace.release.written import read_written
from headrace.store import endpoints, packages
from headrace.types.errors import BadInput, NotFound
from headrace.types.gateway import ALIKE, Chat
from headrace.types.model import Datatype, ModelVersion, Package, TensorSpec
from headrace.types.upstream import FIRST_VERSION, Legacy, Remote, SecretHeader

What = Remote | Legacy | Chat
REGISTERED = "service:/"  # of a URI: NAME/VERSION of a service that was described before
KINDS: dict[str, type[What]] = {"remote": Remote, "legacy": Legacy, "chat": Chat}
_V2 = re.compile(r"(?P<base>.+?)/v2/models/(?P<model>[^/?]+)(?:/versions/(?P<version>[^/?]+))?(?:/infer)?/?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """`name`: the model that it counts as, when its endpoint is new. `effects`: whether asking it changes anything."""

    name: str
    what: What
    effects: bool | None = None  # nobody said


class _Secret(msgspec.Struct, forbid_unknown_fields=True):
    env: str
    header: str = "authorization"
    scheme: str = "Bearer"


class _Spec(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    datatype: Datatype
    shape: tuple[int, ...] = (-1,)


class _RemoteText(msgspec.Struct, forbid_unknown_fields=True):
    url: str  # of the model: http://HOST/v2/models/NAME
    kind: Literal["remote"] = "remote"
    name: str = ""
    binary: bool = True
    effects: bool | None = None
    timeout_seconds: float = 30.0
    connections: int = 64
    secret: _Secret | None = None


class _LegacyText(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    url: str
    request: Any
    response: dict[str, str]
    inputs: list[_Spec]
    outputs: list[_Spec]
    kind: Literal["legacy"] = "legacy"
    each: bool = False
    effects: bool | None = None
    headers: dict[str, str] = {}
    timeout_seconds: float = 30.0
    connections: int = 16
    secret: _Secret | None = None


def shown(source: str | Service) -> str:
    """For a message."""
    if isinstance(source, str):
        return source
    what = source.what
    return what.url if not isinstance(what, Chat) else f"{what.ways[0].provider}/{what.ways[0].model}"


def is_url(uri: str) -> bool:
    return uri.startswith(("http://", "https://"))


def read_url(url: str) -> Service:
    """`http://HOST/v2/models/NAME[/versions/VERSION]`. Raises BadInput."""
    parse_url(url)
    found = _V2.fullmatch(url)
    if found is None:
        raise BadInput(
            f"{url!r} does not name a model on a V2 server",
            field="model",
            hint="write http://HOST:PORT/v2/models/NAME; for a service with a JSON of its own, describe it in a file",
        )
    model, version = unquote(found["model"]), unquote(found["version"] or "")
    return Service(name=model, what=Remote(url=found["base"], model=model, version=version))


def read_service(text: dict[str, Any]) -> Service:
    """A description as a person writes it in a file. Raises BadInput naming the part."""
    kind = text.get("kind", "legacy" if "request" in text else "chat" if "ways" in text else "remote")
    if kind == "chat":
        return _chat(text)
    forms: dict[Any, type[_RemoteText] | type[_LegacyText]] = {"remote": _RemoteText, "legacy": _LegacyText}
    if kind not in forms:
        raise BadInput(f"kind is {kind!r}; allowed: {', '.join(KINDS)}", field="kind")
    try:
        found = msgspec.convert(text, forms[kind])
    except msgspec.ValidationError as error:
        raise BadInput(f"the description of the service: {error}", field="upstream") from error
    for field, value, low, high in (
        ("timeout_seconds", found.timeout_seconds, 0.001, 3600),
        ("connections", found.connections, 1, 4096),
    ):
        if not low <= value <= high:
            raise BadInput(f"{field} is {value!r}; allowed: {low} to {high}", field=field)
    return _remote(found) if isinstance(found, _RemoteText) else _legacy(found)


def version_of(parts: Parts, service: Service, endpoint: str) -> ModelVersion:
    digest = sha256(msgspec.json.encode(service.what)).hexdigest()
    with parts.database.read() as conn:
        there = endpoints.get(conn, endpoint)
        name = there.model if there is not None else service.name
        made = {p.source_sha256: p.version for p in packages.of_model(conn, name) if p.version >= FIRST_VERSION}
    number = made.get(digest, max(made.values(), default=FIRST_VERSION - 1) + 1)
    return ModelVersion(
        name=name,
        version=number,
        uri=_uri(service.what, name, number),
        flavor=kind_of(service.what),
        sha256=digest,
        created=parts.clock.now(),
    )


def kind_of(what: What) -> str:
    return next(name for name, kind in KINDS.items() if isinstance(what, kind))


def registered_uri(version: ModelVersion) -> str:
    return f"{REGISTERED}{version.name}/{version.version}"


def registered(parts: Parts, uri: str) -> tuple[ModelVersion, Package]:
    """`service:/NAME/VERSION`. Raises NotFound."""
    name, _, number = uri.removeprefix(REGISTERED).rpartition("/")
    with parts.database.read() as conn:
        package = packages.for_version(conn, name, int(number)) if number.isdigit() else None
        there = [str(p.version) for p in packages.of_model(conn, name) if p.version >= FIRST_VERSION]
    if package is None or package.version < FIRST_VERSION:
        raise NotFound(
            f"there is no version {uri!r}; of {name!r} there are: {', '.join(there) or 'none'}", field="candidate"
        )
    version = ModelVersion(
        name=name,
        version=package.version,
        uri=uri,
        flavor=package.runtime.value,
        sha256=package.source_sha256,
        created=package.created,
    )
    return version, package


def _chat(text: dict[str, Any]) -> Service:
    """`ways` may be written short, as `model: PROVIDER/MODEL`."""
    given = {name: value for name, value in text.items() if name not in ("kind", "name", "effects", "model")}
    short = text.get("model")
    if short is not None:
        provider, _, model = str(short).partition("/")
        if not provider or not model or "ways" in given:
            raise BadInput(f"model is {short!r}; allowed: PROVIDER/MODEL, and then no ways", field="model")
        given["ways"] = [{"provider": provider, "model": model}]
    cache = given.get("cache")
    if isinstance(cache, dict) and isinstance(cache.get("semantic"), bool):
        given["cache"] = cache | {"semantic": ALIKE if cache["semantic"] else 0.0}
    chat = read_written(given, Chat, field="upstream")
    if not chat.ways:
        raise BadInput("ways is empty: nobody would answer", field="ways")
    for way in chat.ways:
        if not way.weight > 0 or way.tier < 0:
            raise BadInput(
                f"{way.provider}/{way.model}: weight is {way.weight!r} and tier {way.tier!r}; allowed: more "
                "than 0, and from 0",
                field="ways",
            )
    name = text.get("name")
    if not isinstance(name, str) or not name:
        raise BadInput("a chat model has a name", field="name")
    return Service(name=name, what=chat, effects=text.get("effects"))


def _remote(text: _RemoteText) -> Service:
    service = read_url(text.url)
    assert isinstance(service.what, Remote)
    what = Remote(
        url=service.what.url,
        model=service.what.model,
        version=service.what.version,
        binary=text.binary,
        timeout_seconds=text.timeout_seconds,
        connections=text.connections,
        secret=_secret(text.secret),
    )
    return Service(name=text.name or service.name, what=what, effects=text.effects)


def _legacy(text: _LegacyText) -> Service:
    parse_url(text.url)
    if not text.inputs or not text.outputs:
        raise BadInput("inputs and outputs have one tensor each at least", field="inputs")
    what = Legacy(
        url=text.url,
        request=text.request,
        response=text.response,
        inputs=tuple(_spec(spec) for spec in text.inputs),
        outputs=tuple(_spec(spec) for spec in text.outputs),
        each=text.each,
        headers=_headers(text.headers),
        timeout_seconds=text.timeout_seconds,
        connections=text.connections,
        secret=_secret(text.secret),
    )
    return Service(name=text.name, what=what, effects=text.effects)


def _spec(spec: _Spec) -> TensorSpec:
    if not spec.shape or spec.shape[0] != -1 or any(size == 0 or size < -1 for size in spec.shape):
        raise BadInput(
            f"shape of {spec.name!r} is {list(spec.shape)}; allowed: [-1, …], the first dimension is the rows",
            field="shape",
        )
    return TensorSpec(name=spec.name, datatype=spec.datatype, shape=spec.shape)


def _headers(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name) or not value.isprintable() or not value.isascii():
            raise BadInput(f"header {name!r} cannot be sent", field="headers")
        if name.lower() in ("authorization", "cookie", "proxy-authorization", "host", "content-length", "connection"):
            raise BadInput(
                f"header {name!r} is not for a description", field="headers", hint="secret: {env: UPSTREAM_…}"
            )
    return given


def _secret(given: _Secret | None) -> SecretHeader | None:
    if given is None:
        return None
    _headers({"x": given.scheme, **({given.header: ""} if given.header.lower() != "authorization" else {})})
    return SecretHeader(env=given.env, header=given.header, scheme=given.scheme)


def _uri(what: What, name: str, number: int) -> str:
    if isinstance(what, Chat):
        return f"{REGISTERED}{name}/{number}"
    url = what.url.partition("?")[0]
    if isinstance(what, Legacy):
        return f"legacy:{url}"
    return f"{url}/v2/models/{what.model}" + (f"/versions/{what.version}" if what.version else "")
