"""A data plane: `python -m headrace.app.data [--fd N] [--plane NAME]`. Started and restarted by the supervisor.

The composition root: reads the settings, builds every part, serves until SIGTERM, then drains. `--fd` is a listening
socket that the supervisor keeps open, so that connections wait in the kernel while a killed data plane comes back.
Several data planes may be given the same socket: then they are workers of one port (workers.py).
Imports no MLflow, no FastAPI, no DuckDB, no Arrow: a rule of `make check`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvloop

from headrace.api.http.described import DescribedHandler
from headrace.api.http.edge import Edge
from headrace.api.http.exchange import Exchange
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
from headrace.api.http.server import HttpServer
from headrace.api.http.status import StatusHandler
from headrace.api.http.worker import WorkerHandler
from headrace.api.repository import Repository
from headrace.app.limits import Seeding, build_counters
from headrace.app.remote import Remote, build_grpc
from headrace.app.workers import Workers
from headrace.base.clock import SystemClock
from headrace.base.ids import TraceIds, load_key
from headrace.base.log import fields, setup_log
from headrace.base.settings import Settings, SettingsError, load_settings
from headrace.compute.ports import listen, url_of
from headrace.gateway.board import Boards
from headrace.gateway.complete import Completer
from headrace.serving.embedding import Embedder
from headrace.serving.failover import Sentinels
from headrace.serving.fleet import Fleet, Refusal
from headrace.serving.lm import aliases_of
from headrace.serving.predict import Predictor
from headrace.serving.runtimes.base import Surroundings, build_runtimes
from headrace.serving.talk import Talker
from headrace.serving.watch import Watch
from headrace.store.artifacts import Artifacts
from headrace.store.db import Database
from headrace.store.journal.records import encode_event
from headrace.store.journal.writer import Journal
from headrace.store.planfile import PlanFile
from headrace.store.plansource import PlanSource
from headrace.store.secrets import Vault
from headrace.traffic.admit import Door
from headrace.traffic.keys import CALLERS_KEY, key_hash
from headrace.traffic.limit import Limiter
from headrace.traffic.meter import Meter, Reading
from headrace.traffic.record import Recorder
from headrace.types.call import PlaneEvent
from headrace.types.errors import HeadraceError
from headrace.types.gateway import Scope

TEND_SECONDS = 1.0
DATABASE_SECONDS = 3.0  # then it starts from the plan on its disk, and later ones wait
FIRST_PLAN_SECONDS = 15.0  # a model host takes some; after that callers are told what is missing

log = logging.getLogger("headrace.data")


class DataPlane:
    """All parts of one data plane. Built inside its event loop."""

    def __init__(self, settings: Settings, plane: str) -> None:
        settings.home.mkdir(parents=True, exist_ok=True)
        self.plane = plane
        self.clock = SystemClock()
        self.workers = Workers(settings, plane)
        siblings = self.workers.siblings
        self.meter = Meter()
        self.database = Database(settings.database, patience=DATABASE_SECONDS)
        self.journal = Journal(
            settings.journal,
            plane,
            segment_bytes=settings.segment_mb << 20,
            segment_seconds=settings.segment_seconds,
            clock=self.clock,
        )
        ids = TraceIds(load_key(settings.keys / "trace.key"))
        unit_key = load_key(settings.keys / "unit.key")
        self.recorder = Recorder(self.journal, ids, unit_key, self.meter, self.clock)
        self.vault = Vault(settings.keys, settings.master_key)
        self.predictor = Predictor(self.recorder)
        self.sentinels = Sentinels(self.predictor, self.meter, self.clock, self._event)
        artifacts = Artifacts(settings.artifacts)
        door = Door(
            keys=_hashes(settings.api_keys),
            pepper=load_key(settings.keys / CALLERS_KEY),
            reveal=self.vault.reveal,
            gate=self.workers.gate,
        )
        self.fleet = Fleet(
            self.predictor,
            artifacts=artifacts,
            runtimes=build_runtimes(
                Surroundings(
                    run=settings.run, logs=settings.logs, report=self._report_host, aliases=aliases_of(settings)
                )
            ),
            clock=self.clock,
            retain_seconds=settings.retain_seconds,
            hashed=self.recorder.hashed,
            door=door,
        )
        self.fleet.guard = self.sentinels.guard
        self.limiter = Limiter(
            build_counters(settings, plane, self.clock),
            hashed=self.recorder.hashed,
            meter=self.meter,
            clock=self.clock,
        )
        self.seeding = Seeding(self.limiter, self.database, self.clock)
        self.fleet.followers.append(lambda plan: self.limiter.apply(plan.gateway.limits))
        self.embedder = Embedder()
        self.boards = self.fleet.neighbour = Boards(
            artifacts=artifacts,
            hashed=self.recorder.hashed,
            steady=self.clock.steady,
            door=door,
            speaker=Talker(self.predictor),
            embeds=self.embedder,
        )
        self.fleet.followers.append(self.boards.flip)
        copied = self.fleet.shadows
        self.completer = Completer(self.boards, self.limiter, self.recorder, idle=copied.idle, outcomes=copied.outcomes)
        self._plans = PlanSource(self.database)
        self.watch = Watch(
            self.fleet,
            self._plans,
            PlanFile(settings.home / "plans" / f"{plane}.plan"),
            poll_seconds=settings.poll_ms / 1000,
            report=self._report_plan,
        )
        self.status = StatusHandler(
            self.fleet,
            self.journal,
            self.meter,
            plane=plane,
            blind=lambda: self.watch.blind,
            tally=self.completer.tally,
            siblings=siblings,
        )
        self.limits = LimitsHandler(self.limiter, self.recorder.gate_token)
        control = url_of(settings.host, settings.control_port)
        forward = Forwarder(control, self.fleet, admit=self._admit_manager, siblings=siblings)
        repository = Repository(forward)
        self.edge = Edge(routes(self._handlers(settings, forward, repository)), self.meter)
        self.grpc = build_grpc(settings, self.predictor, repository, ready=self.status.ready, siblings=siblings)
        self.meter.watch(_process)
        self._lost_told = 0
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self.watch.start()
        self._tasks = [
            asyncio.create_task(self._tend(), name="tend"),
            asyncio.create_task(self.sentinels.run(), name="sentinels"),
            asyncio.create_task(self.seeding.run(), name="seeding"),
        ]

    async def begun(self) -> None:
        """Until it may take calls. Among several workers it is counted in first, and then looks once more whether there
        is a newer plan: who waited for the others before that did not wait for this one."""
        await self.watch.begun(FIRST_PLAN_SECONDS)
        await self.seeding.turn()
        if not self.workers:
            return
        await self.workers.start(
            WorkerHandler(self.status, self.limits, self.meter, self.predictor), self.meter, self.fleet.turn
        )
        try:
            newest = await asyncio.to_thread(self._plans.revision)
        except HeadraceError:  # the watch has said so
            return
        if not await self.fleet.until(newest, FIRST_PLAN_SECONDS):
            log.warning("taking calls without the newest plan", extra=fields(revision=newest))

    async def stop(self) -> None:
        """After the last answer: nothing takes calls any more."""
        for task in self._tasks:
            task.cancel()
        await self.sentinels.close()
        await self.watch.stop()
        await self.workers.stop()
        await self.fleet.close()
        await self.completer.close()
        self.embedder.close()
        await self.boards.close()
        await self.limiter.counters.close()
        await asyncio.to_thread(self.journal.close)
        self.database.close()

    def _handlers(self, settings: Settings, forward: Forwarder, repository: Repository) -> Handlers:
        limit = settings.max_body_mb << 20
        return Handlers(
            predict=PredictHandler(self.predictor, user_header=settings.user_header, limit=limit),
            feedback=FeedbackHandler(
                self.journal,
                self.recorder,
                self.meter,
                admit=self._admit,
                user_header=settings.user_header,
                retention_seconds=settings.retention_days * 86_400,
                ticket_key=load_key(settings.keys / "ticket.key"),
            ),
            posted=PostedHandler(
                self.journal, self.recorder, self.meter, admit=self._admit, user_header=settings.user_header
            ),
            status=self.status,
            limits=self.limits,
            v2=V2Handler(self.predictor, user_header=settings.user_header, limit=limit),
            described=DescribedHandler(
                self.predictor,
                ready=self.status.ready,
                server_name=settings.server_name,
                siblings=self.workers.siblings,
            ),
            generate=GenerateHandler(self.predictor, user_header=settings.user_header, limit=limit),
            llm=LlmHandler(self.completer, self.meter, user_header=settings.user_header, limit=limit),
            repository=RepositoryHandler(self.predictor, repository, admit=self._admit_manager),
            forward=forward,
            pages=Pages(description()),
        )

    def _admit(self, exchange: Exchange) -> None:
        self.predictor.table.callers.of(exchange.header)

    def _admit_manager(self, exchange: Exchange) -> None:
        self.predictor.table.callers.of(exchange.header).permit(Scope.MANAGE)

    async def _tend(self) -> None:
        """Once a second: unload what was retained long enough, and tell the journal of what it lost."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            await self.fleet.unload()
            if (lost := self.journal.lost) > self._lost_told and self._event("journal.lost", count=lost):
                self._lost_told = lost
            for (endpoint, variant), count in self.fleet.shadows.outcomes.dropped().items():
                self._event("shadow.dropped", endpoint=endpoint, variant=variant, count=count)

    def _report_plan(self, name: str, revision: int, refusal: Refusal | None) -> None:
        self.workers.told(name, revision, refusal)
        if refusal is None:
            self._event(name, revision=revision)
        else:
            self._event(
                name,
                revision=revision,
                endpoint=refusal.endpoint,
                variant=refusal.variant,
                detail=refusal.reason,
            )

    def _report_host(self, name: str, detail: str) -> None:
        self.meter.count("headrace_host_restarts_total")
        self._event(name, detail=detail)

    def _event(
        self, name: str, *, revision: int = 0, endpoint: str = "", variant: str = "", detail: str = "", count: int = 0
    ) -> bool:
        event = PlaneEvent(
            time=self.clock.now(),
            plane=self.plane,
            name=name,
            revision=revision,
            endpoint=endpoint,
            variant=variant,
            detail=detail,
            count=count,
        )
        return self.journal.append(encode_event(event))


async def serve(settings: Settings, plane: str, listener: socket.socket) -> None:
    parts = DataPlane(settings, plane)
    server = HttpServer(parts.edge, parts.fleet.turn)
    # What was imported lives as long as the process: the collector need not walk it in the middle of a call.
    gc.collect()
    gc.freeze()
    ends = _signals()
    parts.start()
    try:
        # Nobody is answered before there is something to answer with: meanwhile connections wait in the kernel.
        await parts.begun()
        gc.freeze()  # the first plan, too, is here to stay
        await server.start(listener)
        if parts.grpc is not None:
            await parts.grpc.start()
        await ends.get()
        log.info("draining")
        parts.status.draining = True
        parts.workers.leave()
        stop = asyncio.create_task(_drain(server, parts.grpc, settings.drain_seconds))
        again = asyncio.create_task(ends.get())
        await asyncio.wait((stop, again), return_when=asyncio.FIRST_COMPLETED)
        if not stop.done():
            log.info("ending at once")
        again.cancel()
    finally:
        await parts.stop()


async def _drain(server: HttpServer, grpc: Remote | None, seconds: float) -> None:
    await asyncio.gather(server.stop(seconds), *([grpc.stop(seconds)] if grpc else ()))


def _signals() -> asyncio.Queue[signal.Signals]:
    """The first one makes the plane unready and drains it, the second ends it at once."""
    heard: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, heard.put_nowait, number)
    return heard


def main() -> int:
    arguments = _arguments()
    try:
        settings = load_settings()
        setup_log(arguments.plane, settings.log_level)
        listener = socket.socket(fileno=arguments.fd) if arguments.fd >= 0 else listen(settings.host, settings.port)
        listener.setblocking(False)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(settings, arguments.plane, listener))
    except (SettingsError, HeadraceError, OSError) as error:
        told = error.sentence() if isinstance(error, HeadraceError) else str(error)
        sys.stderr.write(f"headrace data plane: {told}\n")
        return 1
    return 0


def _hashes(keys: str) -> tuple[str, ...]:
    return tuple(key_hash(key.strip()) for key in keys.split(",") if key.strip())


def _process() -> Iterator[Reading]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    yield "process_cpu_seconds_total", {}, used.ru_utime + used.ru_stime
    statm = Path("/proc/self/statm")
    if statm.exists():
        pages = int(statm.read_text().split()[1])
        yield "process_resident_memory_bytes", {}, pages * os.sysconf("SC_PAGE_SIZE")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headrace.app.data", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fd", type=int, default=-1, help="listening socket inherited from the supervisor")
    parser.add_argument("--plane", default="data", help="name of this plane: its journal folder, its plan file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
