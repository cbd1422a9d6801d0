"""The twelve calls of V2 over gRPC that are spoken here. The others (shared memory, trace, logging) are UNIMPLEMENTED.

Called by server.py for each RPC. Translates messages into the same calls that the HTTP edge makes, and errors into
statuses. API keys and the user come as metadata; trace id and variant go back as trailing metadata.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from functools import wraps
from typing import Any

from google.protobuf.json_format import ParseDict
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.service_pb2_grpc import GRPCInferenceServiceServicer

from headrace.api.grpc.statuses import code_of, told, traced, trailing
from headrace.api.grpc.tensors import GrpcDialect, plain
from headrace.api.repository import Repository
from headrace.api.siblings import Siblings
from headrace.serving import describe
from headrace.serving.predict import Answer, Predictor, Request
from headrace.serving.v2 import schedule
from headrace.traffic import colour
from headrace.traffic.route import Header
from headrace.types.errors import HeadraceError, Unavailable
from headrace.types.gateway import Scope

AHEAD = 64  # requests of one stream that are under way; more wait in the connection
FINAL = "triton_final_response"

log = logging.getLogger("headrace.grpc")


def answered(method: Callable[..., Any]) -> Callable[..., Any]:
    """An error becomes its status; a bug is told to the log in full and to the caller without a stack."""

    @wraps(method)
    async def guarded(self: Service, request: Any, context: Any) -> Any:
        try:
            return await method(self, request, context)
        except HeadraceError as error:
            await context.abort(code_of(error), told(error), trailing(error))
        except Exception:
            # The last resort, as at the HTTP edge.
            log.exception("call failed")
            bug = HeadraceError("something went wrong inside Headrace", hint="see its log")
            await context.abort(code_of(bug), told(bug))

    return guarded


class Service(GRPCInferenceServiceServicer):  # type: ignore[misc]
    """`ready` says whether the plane takes traffic."""

    def __init__(
        self,
        predictor: Predictor,
        repository: Repository,
        *,
        ready: Callable[[], bool],
        server_name: str,
        user_header: str,
        siblings: Siblings | None = None,
    ) -> None:
        self._predictor = predictor
        self._repository = repository
        self._ready = ready
        self._server_name = server_name
        self._user_header = user_header.lower()
        self._siblings = siblings or Siblings()

    @answered
    async def ServerLive(self, request: Any, context: Any) -> Any:  # noqa: N802 -- the protocol's names
        return pb.ServerLiveResponse(live=True)

    @answered
    async def ServerReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.ServerReadyResponse(ready=self._ready())

    @answered
    async def ServerMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        return pb.ServerMetadataResponse(**describe.server(self._server_name))

    @answered
    async def ModelReady(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            lane, variant = describe.find(self._predictor.table, request.name, request.version)
        except Unavailable:
            return pb.ModelReadyResponse(ready=False)
        return pb.ModelReadyResponse(ready=self._ready() and variant in lane.loaded)

    @answered
    async def ModelMetadata(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = describe.metadata(self._predictor.table, request.name, request.version)
        return ParseDict(found, pb.ModelMetadataResponse())

    @answered
    async def ModelConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = describe.configuration(self._predictor.table, request.name, request.version)
        return ParseDict({"config": found}, pb.ModelConfigResponse())

    @answered
    async def ModelStatistics(self, request: Any, context: Any) -> Any:  # noqa: N802
        found = await self._siblings.statistics(self._predictor.table, request.name, request.version)
        return ParseDict(found, pb.ModelStatisticsResponse())

    @answered
    async def RepositoryIndex(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._admit(context)
        rows = describe.index(self._predictor.table, ready=request.ready)
        return ParseDict({"models": rows}, pb.RepositoryIndexResponse())

    @answered
    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:  # noqa: N802
        header = self._admit(context)
        await self._repository.load(request.model_name, plain(request.parameters), header)
        return pb.RepositoryModelLoadResponse()

    @answered
    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:  # noqa: N802
        header = self._admit(context)
        await self._repository.unload(request.model_name, plain(request.parameters), header)
        return pb.RepositoryModelUnloadResponse()

    @answered
    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802
        answer, response = await self._infer(request, header_of(context), _left(context))
        context.set_trailing_metadata(traced(answer.call.trace_id, answer.call.variant, answer.call.colour))
        return response

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: N802
        """Answers in the order of the requests; those of one stream run side by side, and are batched together."""
        header = header_of(context)
        under_way: asyncio.Queue[asyncio.Task[Any] | None] = asyncio.Queue(AHEAD)

        async def read() -> None:
            async for request in requests:
                await under_way.put(asyncio.create_task(self._streamed(request, header, _left(context))))
            await under_way.put(None)

        reader = asyncio.create_task(read())
        try:
            while (task := await under_way.get()) is not None:
                yield await task
        finally:
            reader.cancel()
            while not under_way.empty():
                if (task := under_way.get_nowait()) is not None:
                    task.cancel()

    async def _streamed(self, request: Any, header: Header, seconds: float | None) -> Any:
        try:
            _, response = await self._infer(request, header, seconds)
        except HeadraceError as error:
            return pb.ModelStreamInferResponse(
                error_message=told(error), infer_response=pb.ModelInferResponse(id=request.id)
            )
        response.parameters[FINAL].bool_param = True
        return pb.ModelStreamInferResponse(infer_response=response)

    async def _infer(self, request: Any, header: Header, seconds: float | None) -> tuple[Answer, Any]:
        priority, waits = schedule(plain(request.parameters)) if request.parameters else (0, 0)
        dialect = GrpcDialect(request)
        answer = await self._predictor.predict(
            Request(
                model=request.model_name,
                wanted=request.model_version or None,
                user=header(self._user_header) or "",
                header=header,
                parent=header("traceparent") or "",
                priority=priority,
                queue_timeout_us=waits,
                timeout_ms=0 if seconds is None else max(1, int(seconds * 1000)),
                colour=colour.told(header(colour.HEADER), header(colour.BAGGAGE)),
            ),
            dialect,
        )
        response = dialect.response
        response.model_name, response.model_version = request.model_name, str(answer.call.version)
        response.id = request.id
        return answer, response

    def _admit(self, context: Any) -> Header:
        header = header_of(context)
        self._predictor.table.callers.of(header).permit(Scope.MANAGE)
        return header


def header_of(context: Any) -> Header:
    """Metadata as headers; its names are in lower case."""
    given = {name: value for name, value in context.invocation_metadata() or () if isinstance(value, str)}
    return given.get


def _left(context: Any) -> float | None:
    """Seconds until the caller's deadline."""
    remaining = context.time_remaining()
    return None if remaining is None else float(remaining)
