"""A control plane: `python -m headrace.app.control [--fd N]`. Started and restarted by the supervisor.

The composition root: reads the settings, brings the database up to date, builds every service, starts the loops, and
serves the admin API, MLflow's door and the console on one port.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from headrace import __version__
from headrace.api.admin.build import build
from headrace.api.admin.mlflow import Passage
from headrace.base.clock import SystemClock
from headrace.base.ids import keyed_hash, load_key, token_of
from headrace.base.log import fields, setup_log
from headrace.base.secret import Secret
from headrace.base.settings import Settings, SettingsError, load_settings
from headrace.batch.jobs import Jobs
from headrace.chat.collect import ChatRatings
from headrace.chat.door import FeedbackDoor
from headrace.chat.place import load, place_of
from headrace.chat.webui import WebUi
from headrace.chat.wiring import wire_of
from headrace.compute.logfile import last_line
from headrace.compute.ports import listen, unix_address, url_of
from headrace.compute.program import start_program
from headrace.console.mount import mount
from headrace.control.configuration import Configuration
from headrace.control.gateway import GatewayLook
from headrace.control.llm import LocalLlm
from headrace.control.loops import Loop, Loops
from headrace.control.planes import Planes
from headrace.control.playground import OwnKey, Playground
from headrace.control.services import Services, in_force, keep_until
from headrace.flywheel.collect import Collector
from headrace.flywheel.datasets import Datasets
from headrace.flywheel.export import Exporter
from headrace.flywheel.review import Reviews
from headrace.flywheel.stream import Streamer
from headrace.flywheel.turns import Turns
from headrace.flywheel.usable import Usable
from headrace.monitor.feed import LiveFeed
from headrace.monitor.ledger import Ledger
from headrace.monitor.live import LiveStats
from headrace.monitor.mirror import Mirror, Sampling
from headrace.notify.deliver import Deliveries
from headrace.notify.hooks import Hooks
from headrace.notify.sender import Sender
from headrace.programs.service import Programs
from headrace.provision.service import Provision
from headrace.release.parts import Parts
from headrace.release.service import Releases
from headrace.serving.lm import aliases_of
from headrace.store.artifacts import Artifacts
from headrace.store.dataset_sink import DatasetSink
from headrace.store.db import Database
from headrace.store.journal.archive import Archive
from headrace.store.journal.query import JournalQuery
from headrace.store.migrate import migrate
from headrace.store.registry import Registry
from headrace.store.secrets import Vault
from headrace.store.traces import TraceSink
from headrace.traffic.keys import CALLERS_KEY
from headrace.traffic.record import GATE_PURPOSE
from headrace.types.errors import HeadraceError
from headrace.types.gateway import Price, Provider
from headrace.types.job import Job
from headrace.types.turn import Turn

EXPERIMENT = "headrace"  # of MLflow, in which the traces of production are
STOP_SECONDS = 3  # for open pages and streams; what is under way elsewhere is safe to break off
KEEP_ALIVE_SECONDS = 75  # longer than client pools keep an idle connection: a POST on a closed one is not repeated
PAGE_SECONDS = 2.0  # that a page waits for MLflow

log = logging.getLogger("headrace.control")


def services_of(settings: Settings) -> Services:
    if not settings.mlflow_uri:
        raise SettingsError("mlflow_uri is empty: `headrace up` starts an MLflow server and says where it is")
    clock = SystemClock()
    database = Database(settings.database)
    migrate(database)
    query = JournalQuery(settings.journal)
    registry = Registry(settings.mlflow_uri)
    sink = TraceSink(settings.mlflow_uri, EXPERIMENT)
    planes = Planes(
        url_of(settings.host, settings.port),
        clock=clock,
        user_header=settings.user_header,
        key=settings.api_keys.partition(",")[0].strip(),
        gate_token=token_of(load_key(settings.keys / "unit.key"), GATE_PURPOSE),
        workers={
            plane: httpx.HTTPTransport(uds=unix_address(settings.socket(plane)))
            for plane in settings.planes
            if settings.api_workers > 1
        },
    )
    parts = Parts(
        settings=settings,
        clock=clock,
        database=database,
        registry=registry,
        artifacts=Artifacts(settings.artifacts),
        query=query,
        await_plan=planes.await_plan,
        planes=planes,
    )
    releases = Releases(parts)
    live = LiveStats(clock)
    collector = Collector(database=database, folder=settings.journal, clock=clock)
    mirror = Mirror(
        sink=sink,
        database=database,
        folder=settings.journal,
        calls=query,
        clock=clock,
        sampling=Sampling(
            predictions=settings.mlflow_sample, chats=settings.mlflow_sample_chats, most=settings.mlflow_rate
        ),
    )
    datasets = Datasets(
        database=database,
        query=query,
        folder=settings.artifacts / "datasets",
        clock=clock,
        sink=DatasetSink(settings.mlflow_uri),
    )
    archive = Archive(settings.journal, retention_seconds=settings.retention_days * 86_400, clock=clock)
    ledger = Ledger(database=database, folder=settings.journal, clock=clock)
    feed = LiveFeed(live, settings.journal, query, clock)

    chat = chat_of(settings, database)
    llm = LocalLlm(settings, database=database, releases=releases, clock=clock)
    jobs = jobs_of(settings, database)
    wheels = turns_of(settings, database, query)
    sender = Sender(load_key(settings.keys / "webhooks"), clock, __version__)
    deliveries = Deliveries(database=database, sender=sender, clock=clock)
    hooks = Hooks(database=database, sender=sender, clock=clock)
    provision = Provision(
        database=database,
        vault=Vault(settings.keys, settings.master_key),
        pepper=load_key(settings.keys / CALLERS_KEY),
        catalogue=price_rows,
        clock=clock,
    )
    if settings.webhooks:
        hooks.apply_file(Path(settings.webhooks).expanduser())

    def turn_archive() -> None:
        archive.turn(keep_until(database))

    loops = Loops(
        [
            Loop("release", releases.tick, seconds=settings.tick_ms / 1000, clock=clock, patience=2.0),
            Loop("failover", releases.watch_failovers, seconds=0.5, clock=clock, patience=2.0),
            # Calls through our door are followed at once: this is for the others, and may use a fifth of MLflow's time.
            Loop("registry", releases.sync, seconds=2.0, clock=clock, patience=5.0, rest=4.0),
            Loop("live", feed.turn, seconds=0.25, clock=clock, patience=5.0),
            Loop("feedback", collector.turn, seconds=0.25, clock=clock, patience=5.0),
            Loop("ledger", ledger.turn, seconds=0.5, clock=clock, patience=5.0),
            Loop("chat", chat.turn, seconds=0.5, clock=clock),
            Loop("mirror", mirror.turn, seconds=1.0, clock=clock, patience=5.0),
            Loop("datasets", datasets.tell, seconds=2.0, clock=clock, patience=10.0),
            Loop("webhooks", deliveries.turn, seconds=0.5, clock=clock, patience=5.0),
            Loop("jobs", jobs.turn, seconds=0.5, clock=clock, patience=5.0),
            Loop("turns", wheels.tick, seconds=0.5, clock=clock, patience=5.0),
            Loop("archive", turn_archive, seconds=10.0, clock=clock),
            *([Loop("llm", llm.turn, seconds=1.0, clock=clock)] if settings.llm_port >= 0 else ()),
            Loop("pairs", releases.tidy, seconds=600.0, clock=clock),
        ]
    )
    return Services(
        settings=settings,
        clock=clock,
        database=database,
        query=query,
        registry=registry,
        releases=releases,
        live=live,
        streamer=Streamer(database=database, query=query),
        exporter=Exporter(database=database, query=query, clock=clock),
        datasets=datasets,
        reviews=Reviews(database=database, query=query, clock=clock),
        collector=collector,
        jobs=jobs,
        chat=chat,
        turns=wheels,
        programs=Programs(
            registry=registry,
            aliases=aliases_of(settings),
            work=settings.home / "work",
            clock=clock,
            drafts=settings.home / "programs",
        ),
        mirror=mirror,
        hooks=hooks,
        provision=provision,
        configuration=Configuration(provision, releases, database=database, packages=parts.artifacts),
        gateway=gateway_of(settings, database, provision, planes),
        playground=playground_of(settings, provision, partial(in_force, database, planes)),
        links=TraceSink(settings.mlflow_uri, EXPERIMENT, client=httpx.Client(timeout=PAGE_SECONDS)),
        planes=planes,
        loops=loops,
        started=clock.now(),
    )


def gateway_of(settings: Settings, database: Database, provision: Provision, planes: Planes) -> GatewayLook:
    return GatewayLook(
        database=database,
        provision=provision,
        planes=planes,
        artifacts=Artifacts(settings.artifacts),
        hashed=partial(keyed_hash, load_key(settings.keys / "unit.key")),
        clock=SystemClock(),
    )


def playground_of(settings: Settings, provision: Provision, known: Callable[[], object]) -> Playground:
    access = Secret(settings.api_keys.partition(",")[0].strip())
    key = OwnKey(access, settings.keys / "console.key", provision, known=known)
    return Playground(url_of(settings.host, settings.port), key=key, user_header=settings.user_header)


def chat_of(settings: Settings, database: Database) -> ChatRatings:
    """Its door is opened with the first access key, else with the application's own."""
    data_url = url_of(settings.host, settings.port)
    place, ours = place_of(settings), Secret(settings.api_keys.partition(",")[0].strip())

    def key() -> Secret:
        connection = load(place)
        return ours or (connection.key if connection else ours)

    return ChatRatings(
        connection=lambda: load(place),
        reach=lambda known: WebUi(known, wire_of(settings, known, data_url=data_url)),
        say=FeedbackDoor(data_url, key=key),
        database=database,
        folder=settings.journal,
        clock=SystemClock(),
        retention_seconds=settings.retention_days * 86_400,
    )


def price_rows(providers: Iterable[Provider]) -> tuple[Price, ...]:
    """Of the providers' models. Without the extra there are only the prices that a person said."""
    if find_spec("genai_prices") is None:
        log.warning("no list of prices: pip install 'headrace[gateway]'")
        return ()
    from headrace.provision.catalogue import catalogue  # noqa: PLC0415 -- an extra, and 0.5 s

    return catalogue(providers)


def jobs_of(settings: Settings, database: Database) -> Jobs:
    settings.files_folder.mkdir(parents=True, exist_ok=True)

    def start(job: Job) -> subprocess.Popen[bytes]:
        program = (sys.executable, "-m", "headrace.app.batch", job.id)
        return start_program(program, log=_log_of(settings, job), env=os.environ | settings.environment())

    return Jobs(
        database=database,
        clock=SystemClock(),
        folder=settings.files_folder,
        start=start,
        last_words=lambda job: last_line(_log_of(settings, job)),
    )


def turns_of(settings: Settings, database: Database, query: JournalQuery) -> Turns:
    settings.flywheels_folder.mkdir(parents=True, exist_ok=True)

    def log_of(turn: Turn) -> Path:
        return settings.logs / "turns" / f"{turn.id}.log"

    def start(turn: Turn) -> subprocess.Popen[bytes]:
        program = (sys.executable, "-m", "headrace.app.turn", turn.id)
        return start_program(program, log=log_of(turn), env=os.environ | settings.environment())

    return Turns(
        database=database,
        clock=SystemClock(),
        folder=settings.flywheel,
        specs=settings.flywheels_folder,
        usable=Usable(database, query),
        start=start,
        last_words=lambda turn: last_line(log_of(turn)),
    )


def _log_of(settings: Settings, job: Job) -> Path:
    return settings.logs / "jobs" / f"{job.id}.log"


def application(services: Services) -> FastAPI:
    passage = Passage(services.settings.mlflow_uri, services.follow_registry, services.releases)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        services.loops.start()
        yield
        late = await services.loops.stop()
        if late:
            log.warning("loops did not end in time", extra=fields(loops=late))
        await passage.close()

    app = build(services, passage, lifespan=lifespan)
    mount(app, services)
    return app


class Server(uvicorn.Server):
    """uvicorn, except for signals: its own handler ends the process with the signal before our parts are closed."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        yield

    def _end(self) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True


async def serve(services: Services, listener: socket.socket) -> None:
    config = uvicorn.Config(
        application(services),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    try:
        await Server(config).serve(sockets=[listener])
    finally:
        services.jobs.close()
        services.turns.close()
        services.planes.close()
        services.links.close()
        await services.playground.close()
        services.query.close()
        services.database.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m headrace.app.control", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--fd", type=int, default=-1, help="listening socket inherited from the supervisor")
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        setup_log("control", settings.log_level)
        for noisy in ("httpx", "uvicorn.error", "alembic"):
            logging.getLogger(noisy).setLevel("WARNING")
        logging.getLogger("urllib3.connectionpool").setLevel("ERROR")  # MLflow away: the loops tell that once
        listener = (
            socket.socket(fileno=arguments.fd) if arguments.fd >= 0 else listen(settings.host, settings.control_port)
        )
        asyncio.run(serve(services_of(settings), listener))
    except (SettingsError, HeadraceError, OSError) as error:
        told = error.sentence() if isinstance(error, HeadraceError) else str(error)
        sys.stderr.write(f"headrace control plane: {told}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
