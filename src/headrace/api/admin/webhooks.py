"""Who is told of what happens: /api/v1/webhooks. A secret is in the answer that makes it, and nowhere else."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.store import webhooks
from headrace.types.errors import NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Create:
    """`events`: actions of the history, such as release.promoted or release.*; empty: all that moves traffic or may.
    `endpoints`: empty means all. `secret_env`: a variable of the control plane, WEBHOOK_…, in place of our secret."""

    name: str
    url: str
    events: list[str] | None = None
    endpoints: list[str] | None = None
    secret_env: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    url: str | None = None
    events: list[str] | None = None
    endpoints: list[str] | None = None
    secret_env: str | None = None
    active: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Apply:
    """All receivers as they should be. `prune` removes those that are not listed."""

    webhooks: list[dict[str, Any]]
    prune: bool = False


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/webhooks", tags=["webhooks"])

    @routes.get("")
    def list_webhooks() -> Response:
        with services.database.read() as conn:
            return answer({"webhooks": webhooks.all(conn)})

    @routes.post("")
    def create(request: Request, body: Create) -> Response:
        return answer(services.hooks.create(_given(body), actor=actor_of(request)), status=201)

    @routes.put("")
    def apply(request: Request, body: Apply) -> Response:
        return answer(services.hooks.apply(body.webhooks, actor=actor_of(request), prune=body.prune))

    @routes.patch("/{name}")
    def change(name: str, request: Request, body: Change) -> Response:
        return answer(services.hooks.change(name, _given(body), actor=actor_of(request)))

    @routes.delete("/{name}")
    def remove(name: str, request: Request) -> Response:
        services.hooks.remove(name, actor=actor_of(request))
        return answer({"removed": name})

    _sending(routes, services)
    return routes


def _sending(routes: APIRouter, services: Services) -> None:
    """What was sent to a receiver, and sending it again."""

    @routes.post("/{name}/test")
    def test(name: str, request: Request) -> Response:
        """Sends a message now and says what became of it."""
        return answer(services.hooks.test(name, actor=actor_of(request)))

    @routes.post("/{name}/rotate")
    def rotate(name: str, request: Request) -> Response:
        """A new secret; the one before it signs too for a day."""
        return answer(services.hooks.rotate(name, actor=actor_of(request)))

    @routes.get("/{name}/deliveries")
    def list_deliveries(name: str, limit: Annotated[int, Query(ge=1, le=1000)] = 50) -> Response:
        """Newest first."""
        with services.database.read() as conn:
            hook = webhooks.get(conn, name)
            if hook is None:
                raise NotFound(f"there is no webhook {name!r}", field="name", hint="headrace webhook list")
            return answer({"deliveries": webhooks.deliveries(conn, hook.id, limit=limit)})

    @routes.post("/{name}/deliveries/{delivery}/retry")
    def retry(name: str, delivery: int) -> Response:
        return answer(services.hooks.retry(name, delivery))


def _given(body: Create | Change) -> dict[str, Any]:
    return {key: value for key, value in asdict(body).items() if value is not None}
