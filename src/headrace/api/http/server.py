"""The data plane's HTTP server: accepts connections, ends those that are idle or slow, drains at shutdown.

Started by app/data.py on a listening socket. Decides how long a silent client may stay. Ignores what is asked.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from email.utils import formatdate

from headrace.api.http.connection import Connection, Front
from headrace.serving.turn import Turn

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75.0  # longer than the 60 s that proxies and client pools keep an idle connection
HEAD_SECONDS = 20.0  # from the first byte of a request to the end of its headers
SWEEP_SECONDS = 1.0


class HttpServer:
    def __init__(self, front: Front, turn: Turn) -> None:
        self.front = front
        self.connections: set[Connection] = set()
        self.draining = False
        self.date = b""
        self._empty = asyncio.Event()
        self._servers: list[asyncio.Server] = []
        self._turn = turn
        self._waiting: list[Connection] = []
        self._sweeper: asyncio.Task[None] | None = None

    async def start(self, *listeners: socket.socket) -> None:
        """Takes the sockets over: they are closed with the server."""
        loop = asyncio.get_running_loop()
        self._tell_date()
        for listener in listeners:
            made = await loop.create_server(lambda: Connection(self), sock=listener, backlog=BACKLOG)
            self._servers.append(made)
        self._sweeper = asyncio.create_task(self._sweep(), name="http sweep")

    async def stop(self, seconds: float) -> None:
        """No new connections; answers under way get their time, then they are cut."""
        self.draining = True
        for server in self._servers:
            server.close()
        for connection in list(self.connections):
            connection.end()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds if self.connections else 0):
                await self._empty.wait()
        for connection in list(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()

    def lost(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if self.draining and not self.connections:
            self._empty.set()

    def turn(self, connection: Connection) -> None:
        """First everything that came is parsed, then everything is answered: code that is run for many calls in a row
        stays in the processor's caches, which is a third of what a call costs."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._answer)
        self._waiting.append(connection)

    def _answer(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._turn.count += 1
        if len(waiting) == 1:
            waiting[0].advance()
            return
        with self._turn.opened():
            for connection in waiting:
                connection.advance()

    def _tell_date(self) -> None:
        self.date = b"date: %b\r\n" % formatdate(usegmt=True).encode()

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            self._tell_date()
            now = loop.time()
            for connection in list(self.connections):
                silent = now - connection.since
                if connection.idle and silent > KEEP_ALIVE_SECONDS:
                    connection.end()
                elif connection.reading_head and silent > HEAD_SECONDS:
                    connection.time_out()
