"""The edge with scripted models behind it, called through a connection without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from plane_samples import Behaviour, MemoryJournal, ScriptedRuntime, Trusting, labels, plan, recorder

from headrace.api.http.connection import Connection
from headrace.api.http.described import DescribedHandler
from headrace.api.http.edge import Edge
from headrace.api.http.feedback import FeedbackHandler
from headrace.api.http.forward import Forwarder
from headrace.api.http.generate import GenerateHandler
from headrace.api.http.infer import V2Handler
from headrace.api.http.limits import LimitsHandler
from headrace.api.http.llm import LlmHandler
from headrace.api.http.openapi import description
from headrace.api.http.pages import Pages
from headrace.api.http.posted import PostedHandler
from headrace.api.http.predict import PredictHandler
from headrace.api.http.repository import RepositoryHandler
from headrace.api.http.routes import Handlers, routes
from headrace.api.http.status import StatusHandler
from headrace.api.repository import Repository
from headrace.base.clock import ManualClock
from headrace.gateway.board import Boards
from headrace.gateway.complete import Completer
from headrace.serving.fleet import Fleet
from headrace.serving.predict import Predictor
from headrace.store.counters.local import LocalCounters
from headrace.traffic.limit import Limiter
from headrace.types.endpoint import Endpoint, Plan
from headrace.types.model import RuntimeKind

LIMIT = 1 << 20
DAY = 86_400.0


@dataclass
class Answer:
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False

    def json(self) -> Any:
        return json.loads(self.body)


class Line(asyncio.Transport):
    """The client's end of a connection: what was written to it, and whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = asyncio.Event()
        self.wrote = asyncio.Event()
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += bytes(data)
        self.wrote.set()

    def is_closing(self) -> bool:
        return self.closed.is_set()

    def close(self) -> None:
        self.closed.set()
        self.wrote.set()

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


@dataclass
class Site:
    """What a server is to its connections."""

    front: Any
    date: bytes = b"date: Sat, 21 Nov 2026 12:00:00 GMT\r\n"
    draining: bool = False
    connections: set[Connection] = field(default_factory=set)

    def lost(self, connection: Connection) -> None:
        self.connections.discard(connection)

    def turn(self, connection: Connection) -> None:
        connection.advance()

    def connect(self) -> tuple[Connection, Line]:
        connection, line = Connection(self), Line()
        connection.connection_made(line)
        return connection, line


def parse(written: bytes) -> tuple[Answer, bytes]:
    """The first answer in what was written, complete or not, and what follows it."""
    if written.startswith(b"HTTP/1.1 100 "):
        written = written.partition(b"\r\n\r\n")[2]
    head, _, rest = written.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    answer = Answer(status=int(first.split()[1])) if first else Answer()
    answer.headers = dict(line.decode().split(": ", 1) for line in lines)
    if answer.headers.get("transfer-encoding") != "chunked":
        size = int(answer.headers.get("content-length", 0))
        answer.body, answer.complete = rest[:size], len(rest) >= size
        return answer, rest[size:]
    while rest:
        size_line, _, rest = rest.partition(b"\r\n")
        size = int(size_line, 16)
        if size == 0:
            answer.complete = True
            return answer, rest[2:]
        answer.body += rest[:size]
        rest = rest[size + 2 :]
    return answer, b""


class Http:
    def __init__(self, behave: Behaviour = labels, *, control: str = "http://127.0.0.1:1") -> None:
        self.journal, self.clock = MemoryJournal(), ManualClock()
        self.recorder = recorder(self.journal, self.clock)
        self.predictor = Predictor(self.recorder)
        self.runtime = ScriptedRuntime({1: behave})
        self.verifier = Trusting()
        self.boards = Boards(artifacts=self.verifier, hashed=self.recorder.hashed, steady=self.clock.steady)
        self.fleet = Fleet(
            self.predictor,
            artifacts=self.verifier,
            runtimes={RuntimeKind.ONNX: self.runtime},
            clock=self.clock,
            retain_seconds=60,
            hashed=self.recorder.hashed,
        )
        self.fleet.neighbour = self.boards
        self.fleet.followers.append(self.boards.flip)
        limiter = Limiter(
            LocalCounters(self.clock), hashed=self.recorder.hashed, meter=self.recorder.meter, clock=self.clock
        )
        meter = self.recorder.meter
        copied = self.fleet.shadows
        completer = Completer(self.boards, limiter, self.recorder, idle=copied.idle, outcomes=copied.outcomes)
        self.status = StatusHandler(
            self.fleet, self.journal, meter, plane="data", blind=lambda: "", tally=completer.tally
        )
        admit = lambda exchange: self.predictor.table.callers.of(exchange.header)  # noqa: E731
        forward = Forwarder(control, self.fleet, admit=admit)
        self.edge = Edge(
            routes(
                Handlers(
                    predict=PredictHandler(self.predictor, user_header="X-User-Id", limit=LIMIT),
                    feedback=FeedbackHandler(
                        self.journal,
                        self.recorder,
                        meter,
                        admit=admit,
                        user_header="X-User-Id",
                        retention_seconds=30 * DAY,
                        ticket_key=b"t" * 32,
                    ),
                    posted=PostedHandler(self.journal, self.recorder, meter, admit=admit, user_header="X-User-Id"),
                    status=self.status,
                    limits=LimitsHandler(limiter, self.recorder.gate_token),
                    v2=V2Handler(self.predictor, user_header="X-User-Id", limit=LIMIT),
                    described=DescribedHandler(self.predictor, ready=self.status.ready, server_name="headrace"),
                    generate=GenerateHandler(self.predictor, user_header="X-User-Id", limit=LIMIT),
                    llm=LlmHandler(completer, meter, user_header="X-User-Id", limit=LIMIT),
                    repository=RepositoryHandler(self.predictor, Repository(forward), admit=admit),
                    forward=forward,
                    pages=Pages(description()),
                )
            ),
            meter,
        )

    async def serve(self, *endpoints: Endpoint, **more: Any) -> Http:
        await self.fleet.apply(plan(1, *endpoints, **more))
        return self

    async def apply(self, new: Plan) -> None:
        await self.fleet.apply(new)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = b"",
        *,
        headers: Mapping[str, str | None] | None = None,
        pieces: list[bytes] | None = None,
        hang_up: bool = False,
    ) -> Answer:
        """`body`: bytes as they are, anything else as JSON. `pieces`: what the body comes in instead, one by one. A
        header that is None is left out."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {
            "host": "x",
            "content-length": str(len(data)),
            **({"content-type": "application/json"} if data else {}),
        }
        given |= dict(headers or {})
        target = path.replace(" ", "%20")
        lines = [
            f"{method} {target} HTTP/1.1",
            *(f"{name}: {value}" for name, value in given.items() if value is not None),
            "",
            "",
        ]
        connection, line = Site(self.edge).connect()
        connection.data_received("\r\n".join(lines).encode() + (data if pieces is None else b""))
        for piece in pieces or []:
            await asyncio.sleep(0)
            connection.data_received(piece)
        if hang_up:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    await line.wrote.wait()
            connection.connection_lost(None)
        async with asyncio.timeout(30):
            while connection.busy:
                await asyncio.sleep(0.001)
        return parse(line.written)[0]

    async def predict(self, inputs: Any, **more: Any) -> Answer:
        headers = more.pop("headers", None)
        return await self.call("POST", "/predict", {"model": "toy", "inputs": inputs, **more}, headers=headers)
