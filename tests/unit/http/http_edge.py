"""The edge with scripted models behind it, called over ASGI without a socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from plane_samples import Behaviour, MemoryJournal, ScriptedRuntime, Trusting, labels, plan, recorder

from headrace.api.http.described import DescribedHandler
from headrace.api.http.edge import Edge
from headrace.api.http.exchange import Message
from headrace.api.http.feedback import FeedbackHandler
from headrace.api.http.forward import Forwarder
from headrace.api.http.generate import GenerateHandler
from headrace.api.http.infer import V2Handler
from headrace.api.http.openapi import description
from headrace.api.http.pages import Pages
from headrace.api.http.predict import PredictHandler
from headrace.api.http.repository import RepositoryHandler
from headrace.api.http.routes import Handlers, routes
from headrace.api.http.status import StatusHandler
from headrace.api.repository import Repository
from headrace.base.clock import ManualClock
from headrace.serving.fleet import Fleet
from headrace.serving.predict import Predictor
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


class Http:
    def __init__(self, behave: Behaviour = labels, *, control: str = "http://127.0.0.1:1") -> None:
        self.journal, self.clock = MemoryJournal(), ManualClock()
        self.recorder = recorder(self.journal, self.clock)
        self.predictor = Predictor(self.recorder)
        self.runtime = ScriptedRuntime({1: behave})
        self.verifier = Trusting()
        self.fleet = Fleet(
            self.predictor,
            artifacts=self.verifier,
            runtimes={RuntimeKind.ONNX: self.runtime},
            clock=self.clock,
            retain_seconds=60,
            hashed=self.recorder.hashed,
        )
        meter = self.recorder.meter
        self.status = StatusHandler(self.fleet, self.journal, meter, plane="data", blind=lambda: "")
        admit = lambda exchange: self.predictor.table.keyring.check(exchange.header)  # noqa: E731
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
                    ),
                    status=self.status,
                    v2=V2Handler(self.predictor, user_header="X-User-Id", limit=LIMIT),
                    described=DescribedHandler(self.predictor, ready=self.status.ready, server_name="headrace"),
                    generate=GenerateHandler(self.predictor, user_header="X-User-Id", limit=LIMIT),
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
        headers: dict[str, str] | None = None,
        pieces: list[Message] | None = None,
    ) -> Answer:
        """`body`: bytes as they are, anything else as JSON. `pieces`: the ASGI messages of the body, one by one."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-length": str(len(data)), **({"content-type": "application/json"} if data else {})}
        given |= headers or {}
        raw_path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": raw_path,
            "query_string": query.encode(),
            "headers": [(k.lower().encode(), v.encode()) for k, v in given.items()],
        }
        waiting = pieces if pieces is not None else [{"type": "http.request", "body": data, "more_body": False}]
        answer = Answer()

        async def receive() -> Message:
            if waiting:
                return waiting.pop(0)
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                answer.body += message["body"]
                answer.complete = not message.get("more_body", False)

        await self.edge(scope, receive, send)
        return answer

    async def predict(self, inputs: Any, **more: Any) -> Answer:
        headers = more.pop("headers", None)
        return await self.call("POST", "/predict", {"model": "toy", "inputs": inputs, **more}, headers=headers)
