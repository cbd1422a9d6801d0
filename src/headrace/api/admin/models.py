"""The registry as applications see it: /models, and stage moves. The data plane passes these paths on to us."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import StrictInt, StrictStr

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.store import endpoints, versions
from headrace.types.errors import BadInput, NotFound
from headrace.types.model import ModelVersion, Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    version: StrictInt | StrictStr
    stage: str  # None, Staging, Production or Archived
    reason: str = ""  # for the history


_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_STAGES = {stage.value.lower(): stage for stage in Stage}


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/models", tags=["models"])

    @routes.get("")
    def list_models() -> Response:
        """As last read from MLflow, so that it works while MLflow is away."""
        with services.database.read() as conn:
            known, serving = versions.all(conn), endpoints.all(conn)
        names = sorted({v.name for v in known})
        return answer(
            {
                "models": [
                    {
                        "name": name,
                        "versions": [v.version for v in known if v.name == name],
                        "production": next(
                            (v.version for v in known if v.name == name and v.stage is Stage.PRODUCTION), None
                        ),
                        "endpoints": [e.name for e in serving if e.model == name],
                    }
                    for name in names
                ]
            }
        )

    @routes.get("/{name}/versions")
    def list_versions(name: str) -> Response:
        with services.database.read() as conn:
            found: tuple[ModelVersion, ...] = versions.all(conn, name)
            there = ", ".join(versions.names(conn)) or "none yet"
        if not found:
            raise NotFound(f"there is no model {name!r}; there are: {there}", field="name")
        return answer({"model": name, "versions": found})

    @routes.post("/{name}/stage")
    def move_stage(name: str, request: Request, body: Move) -> Response:
        """In force for the next request when this has answered. The version that it replaces is archived."""
        version, stage = _version(body.version), _stage(body.stage)
        moved = services.releases.move_stage(name, version, stage, actor=actor_of(request), reason=body.reason)
        return answer(moved, headers={"x-headrace-revision": str(services.settle())})

    return routes


def _version(value: int | str) -> int:
    text = str(value)
    if not _NUMBER.fullmatch(text):
        raise BadInput(f"version is {value!r}; allowed: a version number such as 2", field="version")
    return int(text)


def _stage(value: str) -> Stage:
    stage = _STAGES.get(value.lower())
    if stage is None:
        raise BadInput(f"stage is {value!r}; allowed: {', '.join(Stage)}", field="stage")
    return stage
