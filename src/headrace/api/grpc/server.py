"""The gRPC server of a data plane: bound before the first call, drained at the end.

Called by app/data.py when the setting grpc_port asks for it and the extra is installed. Decides limits and options of
the transport. Ignores what is called: that is service.py's.
"""

from __future__ import annotations

import logging

import grpc
import grpc.aio
from tritonclient.grpc.service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server

from headrace.api.grpc.service import Service
from headrace.base.log import fields
from headrace.types.errors import Conflict

STREAMS = 1024  # calls at once on one connection

log = logging.getLogger("headrace.grpc")


class GrpcServer:
    """`shared`: several data planes of one host answer on the same port."""

    def __init__(self, service: Service, *, host: str, port: int, limit: int, shared: bool = False) -> None:
        self._server = grpc.aio.server(
            options=(
                ("grpc.max_receive_message_length", limit),
                ("grpc.max_send_message_length", -1),
                ("grpc.max_concurrent_streams", STREAMS),
                ("grpc.so_reuseport", int(shared)),
            )
        )
        add_GRPCInferenceServiceServicer_to_server(service, self._server)
        try:
            self.port = int(self._server.add_insecure_port(f"{f'[{host}]' if ':' in host else host}:{port}"))
        except RuntimeError as error:
            raise Conflict(
                f"gRPC cannot listen on {host}:{port}: {error}",
                field="grpc_port",
                hint="set grpc_port to another port, to 0 for a free one, or to -1 to do without",
            ) from error

    async def start(self) -> None:
        await self._server.start()
        log.info("grpc listens", extra=fields(port=self.port))

    async def stop(self, seconds: float) -> None:
        """No new calls; those under way have `seconds` to end."""
        await self._server.stop(seconds)
