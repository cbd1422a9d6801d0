"""Programs that ask a language model: /api/v1/programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.programs.optimizers.registry import optimizers
from headrace.programs.orders import CompileOrder, read_order


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """`program` as in its YAML, with the text of its `code`; or `model`, a version's URI. `inputs`: one row."""

    inputs: dict[str, Any]
    program: dict[str, Any] | None = None
    code: str = ""
    model: str = ""


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/programs", tags=["programs"])
    programs = services.programs

    @routes.get("/optimizers")
    def list_optimizers() -> Response:
        """What each does, needs and costs."""
        names = ("name", "does", "needs", "costs", "least", "settings")
        return answer({"optimizers": [{n: getattr(o, n) for n in names} for o in optimizers().values()]})

    @routes.get("/lms")
    def list_lms() -> Response:
        """Aliases that lms.yaml names; the gateway may know more."""
        return answer({"lms": programs.aliases.names()})

    @routes.post("/estimate")
    def plan(body: CompileOrder) -> Response:
        """What a compilation would take, about: calls, tokens, money. Nothing is asked."""
        return answer(programs.plan(body))

    @routes.post("/compilations")
    def start(request: Request, body: CompileOrder) -> Response:
        """Answers at once; GET tells how far it is."""
        return answer(programs.start(body, actor=actor_of(request)), status=202)

    @routes.get("/compilations")
    def list_compilations() -> Response:
        """Newest first."""
        return answer({"compilations": programs.recent()})

    @routes.get("/compilations/{compile_id}")
    def show(compile_id: str) -> Response:
        return answer(programs.get(compile_id))

    @routes.post("/compilations/{compile_id}/cancel")
    def cancel(compile_id: str) -> Response:
        """Nothing is registered."""
        return answer(programs.cancel(compile_id))

    @routes.post("/try")
    async def ask(body: Try) -> Response:
        """One row, through a program that need not be deployed."""

        def work() -> dict[str, Any]:
            packed = (
                programs.packed(body.model)
                if body.program is None
                else read_order(CompileOrder(program=body.program, code=body.code, rows=[])).packed
            )
            return programs.ask(packed, body.inputs)

        return answer(await run_in_threadpool(work))

    return routes
