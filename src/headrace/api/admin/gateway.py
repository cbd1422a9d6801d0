"""The LLM gateway: /api/v1/gateway. A key is in the answer that makes it, and nowhere else; a secret is in none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.base.secret import Secret
from headrace.control.services import Services
from headrace.provision.document import described
from headrace.provision.litellm import read_litellm
from headrace.provision.service import GRACE_SECONDS, Applied
from headrace.store import spend
from headrace.traffic.keys import MadeKey
from headrace.types.errors import BadInput
from headrace.types.gateway import Gateway, VirtualKey

DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """`gateway`: sections; those that are missing stay as they are. `version`: that this is a change of."""

    gateway: dict[str, Any]
    reason: str = ""
    version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    gateway: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    version: int
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    grace_seconds: float = GRACE_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    value: str


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/gateway", tags=["gateway"])

    @routes.get("")
    def show() -> Response:
        """As it may be applied again, and which version it is."""
        found = _shown(services.provision.current()) | {"version": services.provision.version()}
        return answer(found | {"gateway": services.configuration.document()})

    @routes.put("")
    def apply(request: Request, body: Put) -> Response:
        """What is given takes the place of what was there. In force within a second; no stream is cut."""
        actor = actor_of(request)
        return answer(
            _applied(services.configuration.apply(body.gateway, actor=actor, reason=body.reason, expected=body.version))
        )

    @routes.post("/diff")
    def compare(body: Document) -> Response:
        """What applying it would change. Nothing changes."""
        return answer({"lines": services.configuration.compare(body.gateway)})

    @routes.get("/versions")
    def versions(limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Response:
        """Newest first."""
        found = services.provision.history(limit=limit)
        rows = [{"version": v.number, "created": v.created, "actor": v.actor, "reason": v.reason} for v in found]
        return answer({"versions": rows})

    @routes.post("/rollback")
    def roll_back(request: Request, body: Back) -> Response:
        """Providers, people, limits, prices and chat endpoints of an old version; keys and secrets stay as they are."""
        done = services.configuration.roll_back(body.version, actor=actor_of(request), reason=body.reason)
        return answer(_applied(done))

    @routes.post("/import/litellm")
    def import_litellm(body: Document) -> Response:
        """What a LiteLLM config.yaml is here, and what could not be taken over. Nothing changes."""
        return answer(read_litellm(body.gateway))

    _keys(routes, services)
    _secrets(routes, services)
    _spend(routes, services)
    return routes


def _keys(routes: APIRouter, services: Services) -> None:
    @routes.get("/keys")
    def list_keys() -> Response:
        return answer({"keys": [shown_key(key) for key in services.provision.current().keys]})

    @routes.post("/keys")
    def create_key(request: Request, body: dict[str, Any]) -> Response:
        return answer(_made(services.provision.create_key(body, actor=actor_of(request))), status=201)

    @routes.patch("/keys/{key}")
    def change_key(key: str, request: Request, body: dict[str, Any]) -> Response:
        """By id or name."""
        return answer(shown_key(services.provision.change_key(key, body, actor=actor_of(request))))

    @routes.post("/keys/{key}/rotate")
    def rotate_key(key: str, request: Request, body: Rotate) -> Response:
        """A new one under the same id; the one before is good for a grace time."""
        made = services.provision.rotate_key(key, actor=actor_of(request), grace_seconds=body.grace_seconds)
        return answer(_made(made))

    @routes.delete("/keys/{key}")
    def revoke_key(key: str, request: Request) -> Response:
        """Worth nothing within a second."""
        return answer(_applied(services.provision.revoke_key(key, actor=actor_of(request))))


def _secrets(routes: APIRouter, services: Services) -> None:
    @routes.get("/secrets")
    def list_secrets() -> Response:
        """Names; nobody is told a value."""
        return answer({"secrets": sorted(services.provision.current().secrets)})

    @routes.put("/secrets/{name}")
    def set_secret(name: str, request: Request, body: Value) -> Response:
        return answer(_applied(services.provision.set_secret(name, Secret(body.value), actor=actor_of(request))))

    @routes.delete("/secrets/{name}")
    def remove_secret(name: str, request: Request) -> Response:
        return answer(_applied(services.provision.remove_secret(name, actor=actor_of(request))))

    @routes.post("/secrets/rotate")
    def rotate_secrets(request: Request) -> Response:
        """A new master key; all secrets are sealed under it."""
        return answer(_applied(services.provision.rotate_secrets(actor=actor_of(request))))


def _spend(routes: APIRouter, services: Services) -> None:
    @routes.get("/spend")
    def add_up(
        by: str = "",
        since: float | None = None,
        until: float | None = None,
        only: Annotated[list[str] | None, Query()] = None,
    ) -> Response:
        """What was used and what it cost. `by`: workspace, team, user, key, endpoint, variant, provider, model, hour,
        day; several with commas. Times in seconds since the epoch; the last 30 days when none are given. `only`:
        label=value, any number of times."""
        end = services.clock.now() if until is None else until
        begin = end - 30 * DAY if since is None else since
        with services.database.read() as conn:
            found = spend.sums(conn, since=begin, until=end, by=_names(by), only=dict(map(_pair, only or [])))
        return answer({"since": begin, "until": end, "sums": found})


def _names(text: str) -> Sequence[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise BadInput(f"only is {text!r}; such as team=search", field="only")
    return name, value


def _shown(gateway: Gateway) -> dict[str, Any]:
    listed = sum(1 for price in gateway.prices if price.source)
    return {
        "keys": [shown_key(key) for key in gateway.keys],
        "secrets": sorted(gateway.secrets),
        "listed_prices": listed,
    }


def shown_key(key: VirtualKey) -> dict[str, Any]:
    """Nothing that opens anything."""
    told = {"id": key.id, "created": key.created, "revoked": key.revoked, "old_until": key.before_until}
    return told | described(key) | {"scopes": list(key.scopes)}


def _made(made: MadeKey) -> dict[str, Any]:
    return {"key": shown_key(made.key), "secret": made.secret.reveal()}  # shown this once


def _applied(done: Applied) -> dict[str, Any]:
    return {
        "version": done.version,
        "revision": done.revision,
        "lines": [asdict(line) for line in done.lines],
        "keys": [_made(made) for made in done.keys],
    }
