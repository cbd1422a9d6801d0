"""Chat endpoints over scripted upstreams, for tests of the gateway."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from plane_samples import MemoryJournal, recorder
from scripted import Request, Script, scripted

from headrace.base.clock import ManualClock
from headrace.base.secret import Secret
from headrace.gateway.board import FILE, Boards
from headrace.gateway.complete import Answered, Completer
from headrace.gateway.dialects.base import Address
from headrace.gateway.visit import Request as ChatRequest
from headrace.serving.idle import Idle
from headrace.serving.turn import Turn
from headrace.store.counters.local import LocalCounters
from headrace.store.journal.records import decode
from headrace.store.secrets import Vault
from headrace.traffic.admit import Door
from headrace.traffic.limit import Limiter
from headrace.traffic.shadow import Outcomes
from headrace.types.call import Call
from headrace.types.endpoint import Endpoint, Limits, Plan, Task, Variant
from headrace.types.gateway import Chat, Gateway, Price, Provider, ProviderKind, Way, Wire
from headrace.types.model import ModelVersion, Package, RuntimeKind, Signature
from headrace.types.traffic import TrafficPolicy

FIRST = 1_000_001


class Folders:
    """Packages of chat models as folders on a disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, chat: Chat, *, number: int = FIRST) -> Variant:
        folder = self.root / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_bytes(msgspec.json.encode(chat))
        package = Package(
            id=f"package-{number}",
            model="assistant",
            version=number,
            source_sha256="",
            runtime=RuntimeKind.CHAT,
            signature=Signature(inputs=(), outputs=()),
            files=(),
        )
        model = ModelVersion(name="assistant", version=number, uri=f"service:/assistant/{number}")
        return Variant(name=f"v{number}", model=model, package=package)

    def verify(self, package: Package) -> Path:
        return self.root / str(package.version)


@dataclass
class Seen:
    """What a caller was sent."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    ended: bool = False
    wrote: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, status: int, headers: list[tuple[bytes, bytes]], lines: bytes = b"") -> None:
        written = [tuple(line.split(b": ", 1)) for line in lines.splitlines()]
        self.status, self.headers = status, _named([*headers, *written])

    def put(self, chunk: bytes) -> bool:
        self.chunks.append(chunk)
        self.wrote.set()
        return False

    async def drained(self) -> None:
        await asyncio.sleep(0)

    async def write(self, chunk: bytes) -> None:
        if chunk:
            self.put(chunk)
        await self.drained()

    def end(self) -> None:
        self.ended = True

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Site:
    """A gateway and the upstreams behind it; `came`: their requests, by provider."""

    completer: Completer
    boards: Boards
    limiter: Limiter
    journal: MemoryJournal
    folders: Folders
    came: dict[str, list[Request]]
    providers: tuple[Provider, ...]

    async def apply(self, *endpoints: Endpoint, revision: int = 1, **more: Any) -> dict[tuple[str, str], str]:
        gateway = Gateway(providers=more.pop("providers", self.providers), **more)
        plan = Plan(revision=revision, created=0.0, endpoints=endpoints, gateway=gateway)
        refused = await self.boards.prepare(plan)
        self.boards.flip(plan)
        self.limiter.apply(gateway.limits)
        return refused

    async def ask(
        self, body: Any, *, wire: Wire = Wire.CHAT, headers: Mapping[str, str] | None = None, **more: Any
    ) -> Seen:
        """`body`: bytes as they are, anything else as JSON."""
        seen = more.pop("seen", None) or Seen()
        given = dict(headers or {})
        request = ChatRequest(
            wire=wire,
            tail=more.pop("tail", ""),
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
            at=Address(),
            header=given.get,
            headers=[(b"content-type", b"application/json")],
            **more,
        )
        answered = await self.completer.complete(request, seen)
        if isinstance(answered, Answered):
            seen.begin(answered.status, answered.headers, answered.lines)
            seen.chunks.append(answered.body)
            seen.ended = True
        return seen

    def calls(self) -> list[Call]:
        found = [decode(line) for line in self.journal.lines]
        return [record for record in found if isinstance(record, Call)]


@asynccontextmanager
async def gateway(tmp_path: Path, *, embeds: Any = None, **scripts: Script) -> AsyncIterator[Site]:
    """A scripted OpenAI-compatible upstream for each name."""
    journal, clock = MemoryJournal(), ManualClock()
    record = recorder(journal, clock)
    folders = Folders(tmp_path / "packages")
    limiter = Limiter(LocalCounters(clock), hashed=record.hashed, meter=record.meter, clock=clock)
    vault = Vault(tmp_path / "keys", Secret(""))
    boards = Boards(
        artifacts=folders, hashed=record.hashed, steady=clock.steady, door=Door(reveal=vault.reveal), embeds=embeds
    )
    async with AsyncExitStack() as stack:
        came, providers = {}, []
        for name, script in scripts.items():
            port, came[name] = await stack.enter_async_context(scripted(script))
            kind = ProviderKind.ANTHROPIC if name.startswith("anthropic") else ProviderKind.OPENAI
            url = f"http://127.0.0.1:{port}/v1"
            providers.append(Provider(name=name, kind=kind, url=url, private=True, connect_seconds=1.0))
        completer = Completer(boards, limiter, record, idle=Idle(Turn()), outcomes=Outcomes(record.meter))
        try:
            yield Site(completer, boards, limiter, journal, folders, came, tuple(providers))
        finally:
            await completer.close()
            await boards.close()


def assistant(*variants: Variant, share: int = 0, timeout_ms: int = 10_000, **more: Any) -> Endpoint:
    """The first variant is live, the second one the candidate."""
    candidate = variants[1].name if len(variants) > 1 else ""
    policy = TrafficPolicy(baseline=variants[0].name, candidate=candidate, share=share, salt="rel_1")
    return Endpoint(
        name="assistant",
        model="assistant",
        variants=variants,
        policy=policy,
        selectors={},
        task=Task.CHAT,
        limits=Limits(timeout_ms=timeout_ms),
        **more,
    )


def ways(*names: str, tier: Callable[[int], int] = lambda number: number) -> tuple[Way, ...]:
    """One a provider, each a tier after the one before."""
    return tuple(Way(provider=name, model=f"{name}-model", tier=tier(number)) for number, name in enumerate(names))


def saying(status: int, body: Any, **headers: str) -> Script:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{more}content-length: {len(data)}\r\n\r\n"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + data)
        await writer.drain()

    return script


def streaming(*pieces: bytes, then: str = "end") -> Script:
    """`then`: end, cut (the connection), hang, or on: the caller goes on."""
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)
        if then == "cut":
            writer.close()
        elif then == "hang":
            await reader.read()
        elif then == "end":
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    return script


def price(provider: str, **more: float) -> Price:
    return Price(provider=provider, model=f"{provider}-model", **more)  # type: ignore[arg-type]


def _named(headers: list[tuple[bytes, ...]]) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "one-model-2026",
    "service_tier": "default",
    "x_unknown": {"deep": [1, None]},
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "Paris.", "refusal": None}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15},
}
ASK = {"model": "assistant", "messages": [{"role": "user", "content": "The capital of France?"}]}


def chunk(text: str | None = None, *, finish: str | None = None, usage: Any = ...) -> bytes:
    delta = {} if text is None else {"content": text}
    body: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "one-model-2026",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    if usage is not ...:
        body |= {"choices": [], "usage": usage}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"
