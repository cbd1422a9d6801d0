"""Connections that threads take turns with: one is used by one thread at a time, and kept when it worked.

Called by sqlite.py and postgres.py. Decides that a connection whose use ended in an error is not used again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Generic, Protocol, TypeVar


class Closing(Protocol):
    def close(self) -> None: ...


C = TypeVar("C", bound=Closing)
KEPT = 8  # idle ones; more are made while more threads ask


class Pool(Generic[C]):
    def __init__(self, connect: Callable[[], C], *, trouble: tuple[type[Exception], ...]) -> None:
        """`trouble`: what closing a broken connection may raise."""
        self._connect, self._trouble = connect, trouble
        self._idle: list[C] = []
        self._lock = Lock()

    @contextmanager
    def one(self) -> Iterator[C]:
        with self._lock:
            found = self._idle.pop() if self._idle else None
        connection = found if found is not None else self._connect()
        worked = False
        try:
            yield connection
            worked = True
        finally:
            self._give_back(connection, worked=worked)

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            self._end(connection)

    def _give_back(self, connection: C, *, worked: bool) -> None:
        with self._lock:
            kept = worked and len(self._idle) < KEPT
            if kept:
                self._idle.append(connection)
        if not kept:
            self._end(connection)

    def _end(self, connection: C) -> None:
        try:
            connection.close()
        except self._trouble:
            return  # it was broken before; there is nothing left to close
