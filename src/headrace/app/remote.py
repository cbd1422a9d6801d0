"""The gRPC edge of a data plane, if it is wanted and installed.

Called by data.py. Decides that a data plane without it serves HTTP all the same: it says so in its log, because a port
that is taken or an extra that is missing must not stop predictions.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib.util import find_spec
from typing import Protocol

from headrace.api.repository import Repository
from headrace.api.siblings import Siblings
from headrace.base.log import fields
from headrace.base.settings import Settings
from headrace.serving.predict import Predictor
from headrace.types.errors import Conflict

log = logging.getLogger("headrace.data")


class Remote(Protocol):
    port: int

    async def start(self) -> None: ...

    async def stop(self, seconds: float) -> None: ...


def build_grpc(
    settings: Settings,
    predictor: Predictor,
    repository: Repository,
    *,
    ready: Callable[[], bool],
    siblings: Siblings,
) -> Remote | None:
    """Bound, not yet started. Inside the event loop."""
    if settings.grpc_port < 0:
        return None
    if find_spec("grpc") is None or find_spec("tritonclient") is None:
        log.info("gRPC is off: pip install 'headrace[grpc]', or set grpc_port to -1")
        return None
    from headrace.api.grpc.server import GrpcServer  # noqa: PLC0415 -- 17 MB, and an extra
    from headrace.api.grpc.service import Service  # noqa: PLC0415

    service = Service(
        predictor,
        repository,
        ready=ready,
        server_name=settings.server_name,
        user_header=settings.user_header,
        siblings=siblings,
    )
    limit, shared = settings.max_body_mb << 20, bool(siblings)
    try:
        return GrpcServer(service, host=settings.host, port=settings.grpc_port, limit=limit, shared=shared)
    except Conflict as error:
        log.error("gRPC is off", extra=fields(reason=error.sentence()))
        return None
