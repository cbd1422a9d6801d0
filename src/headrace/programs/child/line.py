"""The child's end of the socket: calls come in, questions to language models go out, answers to both.

Made by host.py and compile.py. Decides nothing; the other end is compute/host.py and serving/desk.py.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

from headrace.compute.frames import Blob, Header, Message, Splitter, pack

Take = Callable[[Message], Coroutine[Any, Any, None]]
Hear = Callable[[str], None]


class Line(asyncio.Protocol):
    """`take` handles one call; several run at the same time."""

    def __init__(self, take: Take) -> None:
        self.ended = asyncio.Event()
        self._take = take
        self._splitter = Splitter()
        self._transport: asyncio.Transport | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Message]] = {}
        self._hearing: dict[int, Hear] = {}
        self._calls: dict[int, asyncio.Task[None]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self.ended.set()

    def data_received(self, data: bytes) -> None:
        for message in self._splitter.feed(data):
            header = message[0]
            if header["op"] == "told":
                self._told(message)
            elif header["op"] == "cancel":
                if (task := self._calls.get(header["id"])) is not None:
                    task.cancel()
            else:
                self._begin(header["id"], message)

    def _begin(self, number: int, message: Message) -> None:
        task = asyncio.get_running_loop().create_task(self._take(message))
        self._calls[number] = task
        task.add_done_callback(lambda _: self._calls.pop(number, None))

    def send(self, header: Header, blobs: Sequence[Blob] = ()) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(pack(header, blobs))

    async def ask(self, header: Header, body: bytes, hear: Hear | None = None) -> Message:
        """The answer's header and its one blob. `hear` gets the text as it comes."""
        number = next(self._numbers)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        if hear is not None:
            header = {**header, "stream": True}
            self._hearing[number] = hear
        self.send({**header, "ask": number}, [body])
        try:
            return await answer
        finally:
            del self._asked[number]
            self._hearing.pop(number, None)

    def _told(self, message: Message) -> None:
        header = message[0]
        if header.get("more"):
            if (hear := self._hearing.get(header["ask"])) is not None:
                hear(header["text"])
        elif (answer := self._asked.get(header["ask"])) is not None and not answer.done():
            answer.set_result(message)


async def open_line(fd: int, take: Take) -> Line:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    loop = asyncio.get_running_loop()
    _, line = await loop.create_unix_connection(lambda: Line(take), sock=socket.socket(fileno=fd))
    return line


def told(error: BaseException) -> str:
    """One line, no stack: that is in the log of the host."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:500]


def _end_with_parent() -> None:
    """Standard input ends when the process that started us is gone, also when it was killed."""
    while os.read(0, 1024):
        pass
    os._exit(0)
