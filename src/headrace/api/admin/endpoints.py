"""Endpoints, deploys, and the start of releases: /api/v1/endpoints."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace.api.admin.guard import actor_in
from headrace.api.admin.reply import answer, long_work
from headrace.control.services import Services
from headrace.release.adapters import Written, read_adapter
from headrace.release.plans import plan_from
from headrace.release.services import Service, read_service
from headrace.store import endpoints
from headrace.types.errors import BadInput, NotFound


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """`model`: models:/digits/1, models:/digits@champion, models:/digits/Staging, or the URL of a model on another V2
    server. Instead of it `upstream`: a service, described as in docs/runtimes.md."""

    model: str = ""
    upstream: dict[str, Any] | None = None
    adapter: dict[str, Any] | None = None  # as in docs/adapters.md, when it takes or gives other than callers know
    reason: str = ""  # for the history

    def written(self) -> Written | None:
        return None if self.adapter is None else read_adapter(self.adapter)

    def source(self) -> str | Service:
        if bool(self.model) == (self.upstream is not None):
            raise BadInput("a deploy names either model or upstream", field="model")
        return self.model if self.upstream is None else read_service(self.upstream)


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """`upstream`: as in docs/runtimes.md and docs/gateway.md."""

    upstream: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """`plan` overrides parts of the default plan: strategy, shares (per cent), min_seconds, min_units, max_seconds,
    alpha, … `also`: more endpoints and their candidates, which move with this one. `release_id`: rel_ and 16 letters or
    digits of the caller's choice; asked again with the same, the answer is the release that there is."""

    candidate: str
    release_id: str = ""
    plan: dict[str, Any] | None = None
    also: dict[str, str] | None = None
    adapter: dict[str, Any] | None = None  # as in docs/adapters.md, when it takes or gives other than callers know
    adapters: dict[str, dict[str, Any]] | None = None  # the same for the endpoints of `also`

    def wanted_id(self) -> str:
        if self.release_id and not re.fullmatch("rel_[0-9a-z]{16}", self.release_id):
            raise BadInput(
                f"release_id is {self.release_id!r}; allowed: rel_ and 16 of 0-9 and a-z", field="release_id"
            )
        return self.release_id

    def written(self, name: str) -> dict[str, Written]:
        """By endpoint."""
        given = {name: self.adapter} if self.adapter is not None else {}
        return {endpoint: read_adapter(text) for endpoint, text in {**(self.adapters or {}), **given}.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Configure:
    """`batching`: max_batch_size, max_queue_delay_microseconds, … as in Triton's configuration. `cache`: size_mb,
    ttl_seconds. `limits`: timeout_ms, max_concurrency, max_rows. `gates`: what a candidate must show before it gets
    traffic. `failover`: when the version that was live before takes over. `capture`: full or none. `effects`:
    true when answering a call changes something in the world, so that no shadow copies it. `approvals`: what needs a
    second person: actions, stages, aliases, people, expires_seconds."""

    batching: dict[str, Any] | None = None
    cache: dict[str, Any] | None = None
    limits: dict[str, Any] | None = None
    gates: dict[str, Any] | None = None
    failover: dict[str, Any] | None = None
    capture: str | None = None
    effects: bool | None = None
    approvals: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """`entry`: the move that is meant, as GET says it; 409 when there is a newer one. 0: whichever is the last."""

    entry: int = 0
    reason: str = ""


def actor_of(request: Request) -> str:
    """For the history: the header, or else the user of HTTP basic authentication, as stock MLflow clients and browsers
    send it. A name, not a proof: who holds the admin token may act."""
    return actor_in(request.headers.get("x-headrace-actor", ""), request.headers.get("authorization", ""))


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["endpoints"])

    @routes.get("/endpoints")
    def list_endpoints() -> Response:
        with services.database.read() as conn:
            return answer({"endpoints": endpoints.all(conn)})

    @routes.get("/endpoints/{name}")
    def show_endpoint(name: str) -> Response:
        with services.database.read() as conn:
            found = endpoints.get(conn, name)
            there = ", ".join(e.name for e in endpoints.all(conn)) or "none yet"
        if found is None:
            raise NotFound(f"there is no endpoint {name!r}; there are: {there}", field="name")
        return answer(found)

    @routes.patch("/endpoints/{name}")
    async def configure(name: str, request: Request, body: Configure) -> Response:
        """How it runs: what is given changes, the rest stays. In force on every data plane when this answers."""
        actor = actor_of(request)
        changes = {key: value for key, value in asdict(body).items() if value is not None}
        return await long_work(
            request, lambda tell: services.releases.configure(name, changes, actor=actor, progress=tell)
        )

    @routes.post("/endpoints/{name}/deploy")
    async def deploy(name: str, request: Request, body: Deploy) -> Response:
        """Live at once, with all traffic. `accept: application/x-ndjson` shows progress."""
        actor, source, adapter = actor_of(request), body.source(), body.written()
        return await long_work(
            request,
            lambda tell: services.releases.deploy(
                name, source, adapter=adapter, actor=actor, reason=body.reason, progress=tell
            ),
        )

    _undoing(routes, services)

    @routes.post("/endpoints/{name}/versions")
    async def describe(name: str, request: Request, body: Described) -> Response:
        """A service elsewhere, or a chat model, as a version without traffic. Its `uri` is a candidate."""
        service = read_service(body.upstream)
        return await long_work(request, lambda tell: services.releases.describe(name, service, progress=tell))

    @routes.post("/endpoints/{name}/releases/dry-run")
    def dry_run(name: str, body: Start) -> Response:
        """What this release would do, how long it would take at today's traffic, and the smallest harm it could see."""
        return answer(services.releases.dry_run(name, body.candidate, plan=plan_from(body.plan), also=body.also))

    @routes.post("/endpoints/{name}/releases")
    async def start(name: str, request: Request, body: Start) -> Response:
        """It advances on evidence. Answers when the first step has begun."""
        actor, plan, adapters, wanted = actor_of(request), plan_from(body.plan), body.written(name), body.wanted_id()
        return await long_work(
            request,
            lambda tell: services.releases.start(
                name,
                body.candidate,
                plan=plan,
                also=body.also,
                adapters=adapters,
                release_id=wanted,
                actor=actor,
                progress=tell,
            ),
        )

    return routes


def _undoing(routes: APIRouter, services: Services) -> None:
    @routes.get("/endpoints/{name}/undo")
    def show_undo(name: str) -> Response:
        """What an undo would do now; 409 says why it would be unsafe."""
        return answer(services.releases.find_undo(name))

    @routes.post("/endpoints/{name}/undo")
    async def undo(name: str, request: Request, body: Undo) -> Response:
        """Traffic back to who had it before its last move. Recorded like any other move."""
        actor = actor_of(request)
        return await long_work(
            request,
            lambda tell: services.releases.undo(name, actor=actor, reason=body.reason, entry=body.entry, progress=tell),
        )
