"""Releases, and what people decide about them: /api/v1/releases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.monitor.live import Totals
from headrace.release.replay import replay
from headrace.release.results import results
from headrace.release.standing import Seconds, standing
from headrace.store import endpoints, releases
from headrace.store.db import Connection
from headrace.store.releases import StoredInterval
from headrace.types.errors import NotFound
from headrace.types.release import Release

SEEN_SECONDS = 60.0  # of traffic in a status


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    reason: str = ""  # for the audit log


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["releases"])

    @routes.get("/releases")
    def list_releases(endpoint: str | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Response:
        """Newest first."""
        with services.database.read() as conn:
            return answer({"releases": releases.recent(conn, limit=limit, endpoint=endpoint)})

    @routes.get("/releases/{release_id}")
    def show_release(release_id: str) -> Response:
        with services.database.read() as conn:
            found = releases.get(conn, release_id)
        if found is None:
            raise NotFound(f"there is no release {release_id!r}", field="release", hint="headrace release list")
        return answer(found)

    @routes.get("/releases/{release_id}/intervals")
    def show_intervals(release_id: str) -> Response:
        """What each decision was made on, and what came out."""
        show_release(release_id)
        with services.database.read() as conn:
            found: tuple[StoredInterval, ...] = releases.intervals(conn, release_id)
        return answer({"intervals": found})

    @routes.get("/releases/{release_id}/results")
    def show_results(release_id: str) -> Response:
        """Per metric both versions, their difference, and its intervals: fixed at the horizon, and always valid."""
        release, stored = _with_intervals(services, release_id)
        return answer(results(release, [each.interval for each in stored]))

    @routes.get("/releases/{release_id}/replay")
    def show_replay(release_id: str) -> Response:
        """Every decision once more from what was stored; `differences` is empty when each follows from its inputs."""
        release, stored = _with_intervals(services, release_id)
        return answer({"intervals": len(stored), "differences": replay(release, stored)})

    @routes.get("/releases/{release_id}/status")
    def show_status(release_id: str) -> Response:
        """Where it stands, as one picture: steps with marks, weights as set and as seen, evidence, events."""
        with services.database.read() as conn:
            release = _known(conn, release_id)
            there = {m.endpoint: found for m in release.members if (found := endpoints.get(conn, m.endpoint))}
        seen = {name: _lately(services.live.totals(name, SEEN_SECONDS)) for name in there}
        return answer(standing(release, there, seen, services.clock.now()))

    @routes.post("/releases/{release_id}/{action}")
    def act(
        release_id: str,
        action: Literal["pause", "resume", "promote", "abort"],
        request: Request,
        body: Annotated[Reason, Body(default_factory=Reason)],
    ) -> Response:
        """What a person decides, whatever the evidence says."""
        deed = {
            "pause": services.releases.pause,
            "resume": services.releases.resume,
            "promote": services.releases.promote,
            "abort": services.releases.abort,
        }[action]
        return answer(deed(release_id, actor=actor_of(request), reason=body.reason))

    return routes


def _with_intervals(services: Services, release_id: str) -> tuple[Release, tuple[StoredInterval, ...]]:
    with services.database.read() as conn:
        return _known(conn, release_id), releases.intervals(conn, release_id)


def _known(conn: Connection, release_id: str) -> Release:
    found = releases.get(conn, release_id)
    if found is None:
        raise NotFound(f"there is no release {release_id!r}", field="release", hint="headrace release list")
    return found


def _lately(totals: Totals) -> dict[str, Seconds]:
    return {
        name: Seconds(calls=found.calls, rate=found.rate, errors=found.error_share, p99_ms=found.p99_ms)
        for name, found in totals.variants.items()
    }
