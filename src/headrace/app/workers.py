"""What makes a data plane one of several workers: the board, the siblings, and the socket on which it tells of itself.

Called by data.py. Decides nothing for a data plane that is alone: then all of this is empty.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from headrace.api.http.edge import Edge
from headrace.api.http.server import HttpServer
from headrace.api.http.worker import WorkerHandler
from headrace.api.siblings import Siblings
from headrace.base.settings import Settings
from headrace.compute.ports import listen_unix, unix_address
from headrace.serving.fleet import Refusal
from headrace.serving.turn import Turn
from headrace.traffic.admit import OPEN, Gate
from headrace.traffic.board import Board
from headrace.traffic.meter import Meter


class Workers:
    """Of the plane's start: `gate` for its fleet, `siblings` for its edges."""

    def __init__(self, settings: Settings, plane: str) -> None:
        self._board: Board | None = None
        self._socket = settings.socket(plane)
        self._server: HttpServer | None = None
        self.siblings = Siblings()
        self.gate: Callable[[str], Gate] = OPEN.gate
        if settings.api_workers > 1 and plane in settings.planes:
            places = {name: place for place, name in enumerate(settings.planes)}
            self._board = Board(settings.board, workers=settings.api_workers, own=places[plane])
            self.gate = self._board.gate
            others = {name: unix_address(settings.socket(name)) for name in settings.planes if name != plane}
            self.siblings = Siblings(others, places=places, board=self._board)

    def __bool__(self) -> bool:
        return self._board is not None

    @property
    def board(self) -> Board | None:
        return self._board

    def told(self, name: str, revision: int, refusal: Refusal | None) -> None:
        """What the watch reports, for the siblings."""
        if self._board is None:
            return
        if refusal is not None:
            self._board.tell(refused=revision)
        elif name == "plan.live":
            self._board.tell(revision=revision)

    async def start(self, handler: WorkerHandler, meter: Meter, turn: Turn) -> None:
        """From now on this worker counts: siblings wait for it, the control plane asks it."""
        if self._board is None:
            return
        self._server = HttpServer(Edge(handler.routes(), meter), turn)
        await self._server.start(listen_unix(self._socket))
        self._board.tell(up=True)

    def leave(self) -> None:
        """It drains: nobody need wait for it any more."""
        if self._board is not None:
            self._board.tell(up=False)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            with suppress(FileNotFoundError):
                os.unlink(unix_address(self._socket))
        if self._board is not None:
            self._board.clear_own()
