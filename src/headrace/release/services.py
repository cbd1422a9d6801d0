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
from headrace.store import endpoints, packages
from headrace.types.errors import BadInput
from headrace.types.model import Datatype, ModelVersion, TensorSpec
from headrace.types.upstream import FIRST_VERSION, Legacy, Remote, SecretHeader

_V2 = re.compile(r"(?P<base>.+?)/v2/models/(?P<model>[^/?]+)(?:/versions/(?P<version>[^/?]+))?(?:/infer)?/?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """`name`: the model that it counts as, when its endpoint is new. `effects`: whether asking it changes anything."""

    name: str
    what: Remote | Legacy
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
    kind = text.get("kind", "legacy" if "request" in text else "remote")
    forms: dict[Any, type[_RemoteText] | type[_LegacyText]] = {"remote": _RemoteText, "legacy": _LegacyText}
    if kind not in forms:
        raise BadInput(f"kind is {kind!r}; allowed: {', '.join(forms)}", field="kind")
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
        uri=_uri(service.what),
        flavor="remote" if isinstance(service.what, Remote) else "legacy",
        sha256=digest,
        created=parts.clock.now(),
    )


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


def _uri(what: Remote | Legacy) -> str:
    url = what.url.partition("?")[0]
    if isinstance(what, Legacy):
        return f"legacy:{url}"
    return f"{url}/v2/models/{what.model}" + (f"/versions/{what.version}" if what.version else "")
