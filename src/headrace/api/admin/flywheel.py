"""Flywheels and their turns: /api/v1/flywheels and /api/v1/turns.

Nothing that is posted here names a program: what a turn runs stands in the folder of its flywheel, on this machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Query, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.flywheel.triggers import waiting
from headrace.store import turns
from headrace.types.turn import Cause, Flywheel


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    why: str = ""  # for the history


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", tags=["flywheel"])

    @routes.get("/flywheels")
    def list_flywheels() -> Response:
        """Each with its last turn and what the next one waits for; or with what is wrong in its file."""
        return answer(
            {
                "flywheels": [
                    _described(services, known.endpoint, known.flywheel, known.problem)
                    for known in services.turns.flywheels()
                ]
            }
        )

    @routes.get("/flywheels/{endpoint}")
    def show_flywheel(endpoint: str) -> Response:
        return answer(_described(services, endpoint, services.turns.flywheel(endpoint), ""))

    @routes.get("/flywheels/{endpoint}/plan")
    def plan(endpoint: str) -> Response:
        """Days to decision at today's pace: until there is enough to learn from, to prove a gain, to decide a release.
        Nothing begins."""
        return answer(services.turns.plan(endpoint))

    @routes.post("/flywheels/{endpoint}/turns")
    def begin(endpoint: str, request: Request, body: Annotated[Why, Body(default_factory=Why)]) -> Response:
        """A turn now. Answers at once; GET tells how far it is. 409 while another one is under way."""
        found = services.turns.begin(endpoint, cause=Cause.BUTTON, why=body.why, actor=actor_of(request))
        return answer(found, status=202)

    @routes.post("/flywheels/{endpoint}/drift")
    def drift(endpoint: str, request: Request, body: Annotated[Why, Body(default_factory=Why)]) -> Response:
        """For a monitor that has seen drift: begins a turn, unless one began a short while ago."""
        return answer(services.turns.drift(endpoint, why=body.why, actor=actor_of(request)), status=202)

    @routes.get("/turns")
    def list_turns(endpoint: str | None = None, limit: Annotated[int, Query(ge=1, le=500)] = 50) -> Response:
        """Newest first."""
        with services.database.read() as conn:
            return answer({"turns": turns.recent(conn, endpoint=endpoint, limit=limit)})

    @routes.get("/turns/{turn_id}")
    def show_turn(turn_id: str) -> Response:
        with services.database.read() as conn:
            return answer(turns.get(conn, turn_id))

    @routes.post("/turns/{turn_id}/cancel")
    def cancel(turn_id: str, request: Request) -> Response:
        """What its steps have made is kept for the next one. A release that has begun goes on."""
        return answer(services.turns.cancel(turn_id, actor=actor_of(request)))

    return routes


def _described(services: Services, endpoint: str, flywheel: Flywheel | None, problem: str) -> dict[str, Any]:
    if flywheel is None:
        return {"endpoint": endpoint, "problem": problem}
    seen = services.turns.seen(endpoint)
    return {
        "endpoint": endpoint,
        "flywheel": flywheel,
        "waiting": waiting(flywheel, seen),
        "releasing": seen.releasing,
        "last": seen.last,
    }
