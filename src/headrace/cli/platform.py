"""The programs of one Headrace, and the supervisor that runs them until it is told to stop.

Called by `headrace up`. Reads from top to bottom as what happens at a start: lock, orphans, ports, children.
Decides nothing about restarts: that is compute/supervise.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

from headrace.base.settings import Settings
from headrace.cli.local import llm_child, need_parts
from headrace.cli.options import CONTROL, DATA, MLFLOW, lock_file, state_file, urls_of
from headrace.compute.lock import Holder, HomeLock
from headrace.compute.ports import listen, port_of, reserve
from headrace.compute.supervise import Child, ChildStatus, Supervisor
from headrace.compute.sweep import sweep
from headrace.traffic.board import Board
from headrace.types.errors import Unavailable

STOP_MARGIN = 5.0  # seconds that a child gets on top of its own drain before it is killed
_MLFLOW_STOP = 6.0
BEHIND = 5  # nice: who answers calls goes before who keeps the records, which must not starve either
# Without these MLflow's server starts a job runner with seven workers, calls home, and may deadlock beside LiteLLM.
_MLFLOW_ENV = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_MODEL_CATALOG_URI": "",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
}


class Report:
    """What the starting platform tells: overridden by who shows it."""

    def located(self, urls: dict[str, str], swept: int) -> None:
        """The ports are ours; `swept` orphans of a killed supervisor were ended."""

    def changed(self, status: ChildStatus) -> None:
        """A child changed its state."""

    def ready(self, seconds: float) -> None:
        """All children have answered, for the first time."""

    def stopping(self) -> None:
        """A signal came."""


def stop_seconds(settings: Settings) -> float:
    """How long a whole clean stop may take: the planes together, then MLflow."""
    return settings.drain_seconds + STOP_MARGIN + _MLFLOW_STOP + STOP_MARGIN


def run(settings: Settings, report: Report) -> None:
    """Until a signal comes. Raises Conflict when the folder or a port is taken, Unavailable when it cannot start."""
    began = time.monotonic()
    need_packages(settings)
    lock = HomeLock(lock_file(settings))
    me = Holder(pid=os.getpid(), started=time.time())
    lock.acquire(me)
    with ExitStack() as held:
        held.callback(lock.release)
        swept = sweep(state_file(settings), patience=settings.drain_seconds + STOP_MARGIN)
        data = held.enter_context(listen(settings.host, settings.port, option="--port"))
        control = held.enter_context(listen(settings.host, settings.control_port, option="--control-port"))
        located = replace(settings, port=port_of(data), control_port=port_of(control))
        children: tuple[Child, ...] = ()
        if not located.mlflow_uri:
            keeper = held.enter_context(reserve())
            located = replace(located, mlflow_uri=f"http://127.0.0.1:{port_of(keeper)}/mlflow")
            children = (mlflow_child(located, port_of(keeper)),)
        if located.llm_port >= 0:
            llm = held.enter_context(reserve(located.host, located.llm_port, option="llm_port"))
            located = replace(located, llm_port=port_of(llm))
            children = (*children, llm_child(located))
        urls = urls_of(located)
        lock.describe(replace(me, urls=urls))
        report.located(urls, swept)
        children = (*data_children(located, data), control_child(located, control), *children)
        asyncio.run(_supervise(children, located, report, began))


async def _supervise(children: tuple[Child, ...], settings: Settings, report: Report, began: float) -> None:
    board = fresh_board(settings)

    def changed(status: ChildStatus) -> None:
        if board is not None and not status.pid and status.name in settings.planes:
            board.clear(settings.planes.index(status.name))  # the calls inside a dead worker have ended
        report.changed(status)

    supervisor = Supervisor(children, state_file=state_file(settings), on_change=changed)
    stop = asyncio.Event()

    def asked() -> None:
        if stop.is_set():
            supervisor.hurry()  # the second Ctrl-C means it
        else:
            report.stopping()
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup headrace up
            asyncio.get_running_loop().add_signal_handler(number, asked)
    announce = asyncio.create_task(_announce(supervisor, lambda: report.ready(time.monotonic() - began)))
    try:
        await supervisor.run(stop)
    finally:
        announce.cancel()


async def _announce(supervisor: Supervisor, tell: Callable[[], None]) -> None:
    await supervisor.ready.wait()
    tell()


def need_packages(settings: Settings) -> None:
    """The core is a data plane; a whole platform needs the extra."""
    if settings.llm_port >= 0:
        need_parts(settings)
    needed = ("fastapi", "nicegui", "duckdb", "alembic") + (() if settings.mlflow_uri else ("mlflow",))
    if missing := [name for name in needed if find_spec(name) is None]:
        raise Unavailable(
            f"`headrace up` needs {', '.join(missing)}", hint="install them with: pip install 'headrace[all]'"
        )


def fresh_board(settings: Settings) -> Board | None:
    """What several workers share. No worker runs yet, so nothing on an old one is true."""
    if settings.api_workers == 1:
        return None
    settings.board.unlink(missing_ok=True)
    return Board(settings.board, workers=settings.api_workers)


def data_children(settings: Settings, server: socket.socket) -> tuple[Child, ...]:
    """One, or several on the same socket: the kernel gives a connection to one that is waiting."""
    return tuple(data_child(settings, server, plane) for plane in settings.planes)


def data_child(settings: Settings, server: socket.socket, plane: str = DATA) -> Child:
    alone = plane == DATA
    socket_url = f"unix:{quote(str(settings.socket(plane)))}#/health/live"
    return Child(
        name=plane,
        argv=(
            *(sys.executable, "-m", "headrace.app.data", "--fd", str(server.fileno())),
            *(() if alone else ("--plane", plane)),
        ),
        log=settings.logs / f"{plane}.log",
        ready_url=f"{urls_of(settings)[DATA]}/health/live" if alone else socket_url,
        env=os.environ | settings.environment(),
        fds=(server.fileno(),),
        stop_seconds=settings.drain_seconds + STOP_MARGIN,
        vital=True,
    )


def control_child(settings: Settings, server: socket.socket) -> Child:
    return Child(
        name=CONTROL,
        argv=(sys.executable, "-m", "headrace.app.control", "--fd", str(server.fileno())),
        log=settings.logs / f"{CONTROL}.log",
        ready_url=f"{urls_of(settings)[CONTROL]}/health",
        env=_without(os.environ | settings.environment(), "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI") | _MLFLOW_ENV,
        fds=(server.fileno(),),
        stop_seconds=settings.drain_seconds + STOP_MARGIN,
        nice=BEHIND,
    )


def mlflow_child(settings: Settings, port: int) -> Child:
    """Its database is switched to WAL before it is filled. It gets none of our settings, so none of our secrets."""
    folder = settings.home / MLFLOW
    database = folder / "mlflow.db"
    _make_wal(database)
    return Child(
        name=MLFLOW,
        argv=(
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{database}", "--artifacts-destination", str(folder / "artifacts")),
            *("--static-prefix", "/mlflow", "--allowed-hosts", _allowed_hosts(settings)),
            *("--uvicorn-opts", f"--timeout-graceful-shutdown {int(_MLFLOW_STOP / 3)} --log-level warning"),
        ),
        log=settings.logs / f"{MLFLOW}.log",
        ready_url=f"{settings.mlflow_uri}/health",
        env=_without(dict(os.environ), "MLFLOW_", "_MLFLOW_", "HEADRACE_") | _MLFLOW_ENV,
        cwd=folder,
        stop_seconds=_MLFLOW_STOP,
        nice=BEHIND,
        wave=1,  # the control plane may still have traces for it
    )


def _allowed_hosts(settings: Settings) -> str:
    """MLflow listens on loopback alone; these are the names by which its proxy, the control plane, is called."""
    return ",".join(dict.fromkeys(f"{host}:*" for host in ("127.0.0.1", "localhost", settings.host)))


def _without(env: dict[str, str], *prefixes: str) -> dict[str, str]:
    """A person's MLFLOW_TRACKING_URI names the very server that we start; nothing of ours may follow it."""
    return {k: v for k, v in env.items() if not k.startswith(prefixes)}


def _make_wal(database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(database)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()
