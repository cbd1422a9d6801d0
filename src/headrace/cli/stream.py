"""`headrace stream`: messages of a broker, answered by an endpoint, until it is told to stop.

Called by people and by whatever keeps services running. Decides what is told while it runs: a line of counts every few
seconds, on standard error for people, as JSON on standard output with --json. SIGTERM and Ctrl-C end what is in hand.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import signal
import sys
import threading
import time
from dataclasses import asdict
from importlib import import_module
from typing import Annotated, Any

import typer
from rich.markup import escape

from headrace.base.clock import SystemClock
from headrace.cli.options import DataUrl, Home, Json, data_url, settings_for
from headrace.cli.show import note
from headrace.client.infer import Infer, Target
from headrace.client.score import Scorer
from headrace.stream.brokers.base import Place, broker, place_of
from headrace.types.errors import HeadraceError, Unavailable

_FOREVER = float("inf")  # a stream waits for its endpoint as long as it takes; messages stay with the broker


def stream(  # noqa: PLR0913 - each option of a command is an argument
    endpoint: Annotated[str, typer.Option("--endpoint", "-e", help="Endpoint that answers.")],
    source: Annotated[
        str, typer.Option("--from", metavar="URL", help="redis://HOST:PORT/STREAM or nats://HOST:PORT/SUBJECT")
    ],
    to: Annotated[str, typer.Option("--to", metavar="URL", help="Where answers go; any broker.")],
    group: Annotated[str, typer.Option("--group", "-g", help="Consumers of one group share the messages.")],
    dead: Annotated[
        str | None, typer.Option("--dead", metavar="URL", help="For messages without an answer. Default: FROM + .dead")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, max=10_000, help="Messages in one call, at most.")] = 32,
    concurrency: Annotated[int, typer.Option("--concurrency", "-c", min=1, max=256, help="Calls at once.")] = 4,
    idle_seconds: Annotated[
        float, typer.Option("--idle-seconds", min=0.1, help="After which a dead consumer's messages go to another.")
    ] = 60.0,
    max_deliveries: Annotated[
        int, typer.Option("--max-deliveries", min=1, help="A message that was tried more often is dead.")
    ] = 5,
    every: Annotated[float, typer.Option("--every", min=0.1, help="Seconds between two lines of counts.")] = 10.0,
    version: Annotated[str | None, typer.Option("--version", help="Ask for this version.")] = None,
    stage: Annotated[str | None, typer.Option("--stage", help="Ask for this stage or @alias.")] = None,
    user: Annotated[str, typer.Option("--user", "-u", help="Who asks; keeps all messages on one variant.")] = "",
    key: Annotated[str, typer.Option("--key", envvar="HEADRACE_KEY", help="API key. HEADRACE_KEY")] = "",
    home: Home = None,
    url: DataUrl = None,
    json: Json = False,
) -> None:
    """Answer the messages of a broker: Redis Streams or NATS JetStream. Each at least once, each answer kept once.

    \b
    Example:
        headrace stream --endpoint digits --from redis://127.0.0.1:6379/in --to redis://127.0.0.1:6379/out --group g
    """
    places = (place_of(source, field="from"), place_of(to, field="to"), _dead(source, dead))
    target = Target(
        url=data_url(home, url),
        endpoint=endpoint,
        key=key,
        version=version,
        stage=stage,
        user=user,
        user_header=settings_for(home).user_header,
    )
    told = _Told(every, json=json)
    room = _installed()
    pace = room.Pace(batch=batch, concurrency=concurrency, hold_seconds=idle_seconds / 3)
    asyncio.run(_run(room, target, places, group, idle_seconds, max_deliveries, pace, told))


def _dead(source: str, dead: str | None) -> Place:
    if dead is not None:
        return place_of(dead, field="dead")
    path, mark, options = source.partition("?")
    return place_of(f"{path}.dead{mark}{options}", field="from")


class _Room:
    """What is imported only here: Arrow, which reads the messages' values, is no part of the core."""

    def __init__(self) -> None:
        serve: Any = import_module("headrace.stream.serve")
        self.Stream, self.Counts, self.Pace = serve.Stream, serve.Counts, serve.Pace
        self.Answers: Any = import_module("headrace.stream.answers").Answers


def _installed() -> _Room:
    try:
        return _Room()
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"streaming needs {error.name}", hint="install it with: pip install 'headrace[stream]'"
        ) from error


async def _run(  # noqa: PLR0913 - once, from the command
    room: _Room,
    target: Target,
    places: tuple[Place, Place, Place],
    group: str,
    idle_seconds: float,
    max_deliveries: int,
    pace: Any,
    told: _Told,
) -> None:
    source, sink, dead = places
    counts = room.Counts()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def waits(error: HeadraceError) -> None:
        counts.waits += 1
        counts.error = error.message

    infer = Infer(target)
    interface = await asyncio.to_thread(infer.interface)
    scorer = Scorer(infer, clock=SystemClock(), pause=stop.wait, patience=_FOREVER, on_wait=waits)
    opened: list[Any] = [
        broker(source).source(source, group=group, idle_seconds=idle_seconds),
        broker(sink).sink(sink),
        broker(dead).sink(dead),
    ]
    made = room.Stream(
        source=opened[0],
        answers=room.Answers(interface, scorer, source=source.name, max_deliveries=max_deliveries),
        sink=opened[1],
        dead=opened[2],
        counts=counts,
        pace=pace,
    )
    telling = asyncio.create_task(told.run(counts))
    try:
        await made.run(stop)
    finally:
        telling.cancel()
        told.line(counts)
        for one in opened:
            await one.close()
        infer.close()


class _Told:
    def __init__(self, every: float, *, json: bool) -> None:
        self._every, self._json = every, json
        self._last, self._time = 0, time.monotonic()

    async def run(self, counts: Any) -> None:
        while True:
            await asyncio.sleep(self._every)
            self.line(counts)

    def line(self, counts: Any) -> None:
        now = time.monotonic()
        done = counts.answered + counts.dead
        rate = (done - self._last) / max(0.001, now - self._time)
        self._last, self._time = done, now
        if self._json:
            sys.stdout.write(jsonlib.dumps({**asdict(counts), "per_second": round(rate, 1)}) + "\n")
            sys.stdout.flush()
            return
        trouble = f" · [yellow]{escape(counts.error)}[/]" if counts.error else ""
        note(
            f"read {counts.read:,} · answered {counts.answered:,} · dead {counts.dead:,} · "
            f"in hand {counts.in_hand:,} · {rate:,.0f}/s{trouble}"
        )
