"""V2's model repository, as far as it is decided here: load and unload. The data plane passes these calls on to us.

Called by build.py. Decides nothing: release/park.py does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.control.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """`config`: how it batches, in the words of a Triton model configuration."""

    config: dict[str, Any] | None = None


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/repository", tags=["endpoints"])

    @routes.post("/{name}/load")
    def load(name: str, request: Request, body: Load) -> Response:
        """In force for the next request when this has answered."""
        made = services.releases.load(name, config=body.config, actor=actor_of(request))
        return answer(made, headers={"x-headrace-revision": str(services.settle())})

    @routes.post("/{name}/unload")
    def unload(name: str, request: Request) -> Response:
        """The endpoint stays known and answers 503 until it is loaded again."""
        made = services.releases.unload(name, actor=actor_of(request))
        return answer(made, headers={"x-headrace-revision": str(services.settle())})

    return routes
