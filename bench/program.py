"""What a program adds to the language model that it asks: time and CPU of a call beside the bare call, and the start of
its host.

Called by __main__.py; `python -m bench.program` is the language model: it answers at once, so that all that is measured
is ours. The program runs as a data plane runs it (ProgramRuntime in this process, its host in another). Then, on the
platform that was started for the section, its versions are swapped and released while it answers predictions and chats.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import psutil
import uvloop

from bench.change import FAST, during, table
from bench.options import Options, say
from bench.running import Platform
from bench.wire import post_json, prepare
from headrace.compute.upstream import Upstream
from headrace.programs.definition import read_program, signature_of
from headrace.programs.package import Packed, write_package
from headrace.serving.lm import Aliases
from headrace.serving.runtimes.base import Inputs, Surroundings
from headrace.serving.runtimes.program import ProgramModel, ProgramRuntime
from headrace.types.model import Package, RuntimeKind

CALLS, ROUNDS = 200, 5
RATE = 40  # calls a second
FIELDS = {
    "name": "ticket",
    "lm": "instant",
    "instructions": "Say which team answers this mail.",
    "inputs": [{"name": "text", "description": "the mail"}],
    "outputs": [{"name": "team", "choices": ["billing", "technical"]}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    p50_ms: float
    cpu_ms: float  # of the processes that are ours


def program(platform: Platform, folder: Path, options: Options) -> list[str]:
    del options
    folder.mkdir(parents=True, exist_ok=True)
    with subprocess.Popen([sys.executable, "-m", "bench.program"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as a data plane runs
                lines = runner.run(_section(folder, url))
            return [*lines, "", *_changes(platform, folder, url)]
        finally:
            server.terminate()


async def _section(folder: Path, url: str) -> list[str]:
    (folder / "lms.yaml").write_text(json.dumps({"instant": {"url": url, "model": "m"}}))
    lines = ["| writing | bare call p50 ms | program p50 ms | adds ms | bare CPU ms | program CPU ms | adds CPU ms |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    starts = []
    for writing in ("json", "chat"):
        began, model = time.perf_counter(), await _load(folder, writing)
        starts.append(f"{time.perf_counter() - began:.1f} s wall, {_cpu(model.host.pid):.1f} s CPU")
        bare = Upstream("the language model", url, connections=4)
        body = _body(writing)
        asked, answered = [], []
        for _ in range(ROUNDS):  # interleaved: what else the machine does is in both
            asked.append(await _measure(lambda: bare.post("/chat/completions", {}, body, seconds=60), ()))  # noqa: B023
            answered.append(await _measure(lambda: model.run(_row()), (model.host.pid or 0,)))  # noqa: B023
        await bare.close()
        await model.close()
        first, then = _best(asked), _best(answered)
        lines.append(
            f"| {writing} | {first.p50_ms:.2f} | {then.p50_ms:.2f} | **{then.p50_ms - first.p50_ms:.2f}** "
            f"| {first.cpu_ms:.2f} | {then.cpu_ms:.2f} | **{then.cpu_ms - first.cpu_ms:.2f}** |"
        )
        say(lines[-1])
    lines += [
        "",
        f"One call at a time, {CALLS} in each of {ROUNDS} rounds, bare and program in turn; the best round of",
    ]
    lines += ["each. CPU is of the process that calls and of the host. The language model answers at once, in a third"]
    return [*lines, f"process. Start of the host, until it can be called: {' and '.join(starts)}."]


def _changes(platform: Platform, folder: Path, url: str) -> list[str]:
    """Two versions of it, by the whole road: compiled, registered, deployed, released."""
    (platform.home / "lms.yaml").write_text(json.dumps({"instant": {"url": url, "model": "m"}}))
    (folder / "ticket.json").write_text(json.dumps(FIELDS))
    rows = [{"text": f"mail {n} about money", "team": "billing"} for n in range(20)]
    (folder / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    for seed in ("0", "1"):
        told = ("--optimizer", "LabeledFewShot", "--seed", seed, "--register", "always")
        platform.run("compile", str(folder / "ticket.json"), "--data", str(folder / "rows.jsonl"), *told)
    deploy = ["deploy", "--endpoint", "ticket"]
    platform.run(*deploy, "models:/ticket/1")
    said = {"model": "ticket", "messages": [{"role": "user", "content": "money"}]}
    calls = (
        post_json("/predict", {"model": "ticket", "inputs": {"text": "money"}}),
        post_json("/v1/chat/completions", said),
    )
    requests = prepare(folder / "requests", calls)
    release = ["release", "ticket", "--candidate", "models:/ticket/2", "--canary", *FAST]
    changes = (
        during(platform, requests, "hot swap of a program's version", [*deploy, "models:/ticket/2"], rate=RATE),
        during(platform, requests, "hot swap back", [*deploy, "models:/ticket/1"], rate=RATE),
        during(platform, requests, "canary, released to 100 %", release, rate=RATE, most=180),
    )
    return [
        f"Two versions of a program under {RATE} calls/s, predictions and chats in turn.",
        "",
        *table(changes),
    ]


async def _load(folder: Path, writing: str) -> ProgramModel:
    packed = Packed(program=read_program(FIELDS | {"writing": writing}))
    write_package(packed, folder / writing)
    package = Package(
        id="bench",
        model=f"ticket-{writing}",
        version=1,
        source_sha256="",
        runtime=RuntimeKind.PROGRAM,
        signature=signature_of(packed.program),
        files=(),
    )
    around = Surroundings(run=folder, logs=folder, report=lambda *_: None, aliases=Aliases(folder / "lms.yaml"))
    model = await ProgramRuntime(around).load(folder / writing, package)
    assert isinstance(model, ProgramModel)
    return model


async def _measure(call: Callable[[], Awaitable[object]], beside: tuple[int, ...]) -> Figures:
    for _ in range(CALLS // 10):
        await call()
    own, theirs, took = time.process_time(), sum(map(_cpu, beside)), []
    for _ in range(CALLS):
        began = time.perf_counter()
        await call()
        took.append(time.perf_counter() - began)
    used = time.process_time() - own + sum(map(_cpu, beside)) - theirs
    return Figures(p50_ms=statistics.median(took) * 1000, cpu_ms=used / CALLS * 1000)


def _best(rounds: list[Figures]) -> Figures:
    return Figures(p50_ms=min(r.p50_ms for r in rounds), cpu_ms=min(r.cpu_ms for r in rounds))


def _cpu(pid: int | None) -> float:
    times = psutil.Process(pid or None).cpu_times()
    return float(times.user + times.system)


def _row() -> Inputs:
    column = np.empty(1, dtype=object)
    column[0] = "My invoice of last month is wrong, please send another one."
    return Inputs(1, {"text": column}, deadline=asyncio.get_running_loop().time() + 60)


def _body(writing: str) -> bytes:
    """As large as what the program asks."""
    messages = [{"role": "system", "content": "x" * 700}, {"role": "user", "content": f"{writing} " + "x" * 250}]
    return msgspec.json.encode({"model": "m", "messages": messages, "max_tokens": 512, "temperature": 0.0})


class Instant(asyncio.Protocol):
    """Answers what it was asked for, in the form that the question has."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._data = b""

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, blank, body = self._data.partition(b"\r\n\r\n")
        length = next((int(v) for n, _, v in _fields(head) if n.lower() == b"content-length"), 0)
        if not blank or len(body) < length:
            return
        self._data = b""
        text = '{"team": "billing"}' if b"json_schema" in body else "[[ ## team ## ]]\nbilling\n\n[[ ## completed ## ]]"
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 200, "completion_tokens": 8, "total_tokens": 208}
        answer = json.dumps({"id": "i", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage})
        told = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n\r\n{answer}"
        assert isinstance(self._transport, asyncio.Transport)
        self._transport.write(told.encode())


def _fields(head: bytes) -> list[tuple[bytes, bytes, bytes]]:
    return [line.partition(b":") for line in head.split(b"\r\n")[1:]]


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Instant, "127.0.0.1", 0)
    sys.stdout.write(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1\n")
    sys.stdout.flush()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve())
