"""The LLM gateway: /api/v1/gateway. A key is in the answer that makes it, and nowhere else; a secret is in none.

A change is answered once the data planes that are up run it (`in_force`): who was told of a new key may use it, and who
was told that one is revoked need not wait. One that cannot be had within seconds is answered all the same, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.base.secret import Secret
from headrace.control.cached import used
from headrace.control.services import Services
from headrace.provision.document import described
from headrace.provision.litellm import read_litellm
from headrace.provision.service import GRACE_SECONDS, Applied
from headrace.store import spend
from headrace.store.counters.base import month_start, span
from headrace.traffic.keys import MadeKey
from headrace.types.endpoint import PlaneReport
from headrace.types.errors import BadInput
from headrace.types.gateway import Gateway, VirtualKey, Window

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
        done = services.configuration.apply(body.gateway, actor=actor, reason=body.reason, expected=body.version)
        return answer(_applied(done, services.in_force()))

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

    @routes.get("/versions/{version}")
    def change(version: int) -> Response:
        """What it changed of the one before (`lines`), and what going back to it would change now (`back`)."""
        found = services.provision.change(version)
        told = {"version": found.version.number, "created": found.version.created, "actor": found.version.actor}
        return answer(told | {"reason": found.version.reason, "lines": found.lines, "back": found.back})

    @routes.post("/rollback")
    def roll_back(request: Request, body: Back) -> Response:
        """Providers, people, limits, prices and chat endpoints of an old version; keys and secrets stay as they are."""
        done = services.configuration.roll_back(body.version, actor=actor_of(request), reason=body.reason)
        return answer(_applied(done, services.in_force()))

    @routes.get("/cache")
    def cache() -> Response:
        """Answers out of the cache by endpoint, since the data planes started; of the semantic ones, the estimated
        share that answers something else, with its bounds of 95 %."""
        return answer({"endpoints": used(services.planes.metrics())})

    @routes.post("/import/litellm")
    def import_litellm(body: Document) -> Response:
        """What a LiteLLM config.yaml is here, and what could not be taken over. Nothing changes."""
        return answer(read_litellm(body.gateway))

    _keys(routes, services)
    _secrets(routes, services)
    _spend(routes, services)
    _look(routes, services)
    return routes


def _keys(routes: APIRouter, services: Services) -> None:
    @routes.get("/keys")
    def list_keys() -> Response:
        return answer({"keys": [shown_key(key) for key in services.provision.current().keys]})

    @routes.post("/keys")
    def create_key(request: Request, body: dict[str, Any]) -> Response:
        made = services.provision.create_key(body, actor=actor_of(request))
        return answer(_made(made) | _told(services.in_force()), status=201)

    @routes.patch("/keys/{key}")
    def change_key(key: str, request: Request, body: dict[str, Any]) -> Response:
        """By id or name."""
        shown = shown_key(services.provision.change_key(key, body, actor=actor_of(request)))
        return answer(shown | _told(services.in_force()))

    @routes.post("/keys/{key}/rotate")
    def rotate_key(key: str, request: Request, body: Rotate) -> Response:
        """A new one under the same id; the one before is good for a grace time."""
        made = services.provision.rotate_key(key, actor=actor_of(request), grace_seconds=body.grace_seconds)
        return answer(_made(made) | _told(services.in_force()))

    @routes.delete("/keys/{key}")
    def revoke_key(key: str, request: Request) -> Response:
        """Worth nothing within a second."""
        done = services.provision.revoke_key(key, actor=actor_of(request))
        return answer(_applied(done, services.in_force()))


def _secrets(routes: APIRouter, services: Services) -> None:
    @routes.get("/secrets")
    def list_secrets() -> Response:
        """Names; nobody is told a value."""
        return answer({"secrets": sorted(services.provision.current().secrets)})

    @routes.put("/secrets/{name}")
    def set_secret(name: str, request: Request, body: Value) -> Response:
        done = services.provision.set_secret(name, Secret(body.value), actor=actor_of(request))
        return answer(_applied(done, services.in_force()))

    @routes.delete("/secrets/{name}")
    def remove_secret(name: str, request: Request) -> Response:
        done = services.provision.remove_secret(name, actor=actor_of(request))
        return answer(_applied(done, services.in_force()))

    @routes.post("/secrets/rotate")
    def rotate_secrets(request: Request) -> Response:
        """A new master key; all secrets are sealed under it."""
        done = services.provision.rotate_secrets(actor=actor_of(request))
        return answer(_applied(done, services.in_force()))


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


def _look(routes: APIRouter, services: Services) -> None:
    @routes.get("/upstreams")
    def upstreams() -> Response:
        """One row an upstream model: calls inside, failures in a row, whether it is left alone, time to the first byte,
        and how attempts ended since the data planes started."""
        return answer({"upstreams": services.gateway.upstreams()})

    @routes.get("/limits")
    def limits(top: Annotated[int, Query(ge=1, le=10_000)] = 20) -> Response:
        """How full limits are now; of each the `top` who are fullest. Users are told by their keyed hash."""
        found = [
            {"limit": each.limit, "part": each.part, "counted": len(each.held), "held": each.held[:top]}
            for each in services.gateway.limits()
        ]
        return answer({"limits": found})

    @routes.get("/costs")
    def costs() -> Response:
        """This month: so far, the forecast, and models that were called and have no price."""
        now = services.clock.now()
        bill = services.gateway.bill(since=month_start(span(Window.MONTH, now).number), until=now)
        told = {"since": bill.since, "until": bill.until, "total": bill.total}
        return answer(told | {"forecast": bill.forecast, "unpriced": bill.unpriced})

    @routes.get("/prices")
    def prices(find: str = "") -> Response:
        """USD for a million tokens of each bucket, and for a call. `hold`: now, later, past, or beaten by what a person
        said; `source`: empty where one did. `find`: part of a provider's or a model's name."""
        found = [row for row in services.gateway.prices() if find in row.price.provider or find in row.price.model]
        return answer({"prices": [{"price": row.price, "hold": row.hold} for row in found]})


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


def _applied(done: Applied, report: PlaneReport) -> dict[str, Any]:
    return {
        "version": done.version,
        "revision": done.revision,
        "lines": [asdict(line) for line in done.lines],
        "keys": [_made(made) for made in done.keys],
    } | _told(report)


def _told(report: PlaneReport) -> dict[str, Any]:
    return {"in_force": report.live} | ({"refused": report.refused} if report.refused else {})
