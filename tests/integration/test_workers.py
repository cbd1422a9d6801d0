"""Three data planes on one port, kept by a real supervisor: in sum they are one, and one of them can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from chat_plane import ASK, chat_endpoint, over, publish_chats
from plane_samples import endpoint, toy_package

from bench.upstream import running_upstream
from headrace.compute.ports import listen, port_of
from headrace.compute.supervise import read_state
from headrace.store import plans
from headrace.store.artifacts import Artifacts
from headrace.store.db import Database
from headrace.store.journal.reader import Reader
from headrace.store.migrate import migrate
from headrace.traffic.board import Board
from headrace.types.call import Call
from headrace.types.endpoint import Endpoint, Limits
from headrace.types.gateway import Counted, Gateway, Level, Limit, Provider, ProviderKind, Window
from headrace.types.journal import Position

pytestmark = pytest.mark.process
BODY = {"model": "toy", "inputs": [[1.0, 0.0, 2.0]]}
PLANES = ("data-1", "data-2", "data-3")
T = TypeVar("T")
# What `headrace up` does, without a control plane and MLflow.
UP = """
import asyncio, socket, sys, time
from headrace.base.settings import load_settings
from headrace.cli import platform
settings = load_settings()
server = socket.socket(fileno=int(sys.argv[1]))
children = platform.data_children(settings, server)
asyncio.run(platform._supervise(children, settings, platform.Report(), time.monotonic()))
"""


class Control(BaseHTTPRequestHandler):
    """A control plane that knows one stage move."""

    move: Callable[[], int]

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        revision = type(self).move()
        self.send_response(200)
        self.send_header("x-headrace-revision", str(revision))
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        return


class Running:
    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self.home = home
        self.listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{port_of(self.listener)}"
        self.database = Database(f"sqlite:///{home / 'headrace.db'}")
        migrate(self.database)
        artifacts = Artifacts(home / "artifacts")
        self.v1, self.v2 = (toy_package(artifacts, home / "work", number) for number in (1, 2))
        self.control = ThreadingHTTPServer(("127.0.0.1", 0), type("Told", (Control,), {"move": self.swap}))
        threading.Thread(target=self.control.serve_forever, daemon=True).start()
        self.publish(endpoint(self.v1))
        settings = {"home": home, "port": port_of(self.listener), "control_port": self.control.server_port}
        settings |= {"api_workers": 3, "grpc_port": -1, "poll_ms": 20, "mlflow_uri": "http://127.0.0.1:1"}
        fd = self.listener.fileno()
        with (home / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", UP, str(fd)],
                env=os.environ | {f"HEADRACE_{name.upper()}": str(value) for name, value in settings.items()},
                stdout=log,
                stderr=log,
                pass_fds=(fd,),
                cwd=home,
            )
        self.until(lambda: self.ready(), "all workers ready")

    def publish(self, *endpoints: Endpoint) -> int:
        with self.database.write() as conn:
            return plans.publish(conn, endpoints, reason="test", now=time.time()).revision

    def swap(self) -> int:
        return self.publish(endpoint(self.v2))

    def in_force(self, *endpoints: Endpoint) -> None:
        revision = self.publish(*endpoints)
        self.until(lambda: self.health()["revision"] == revision, "plan in force on all")

    def ready(self) -> bool:
        state = read_state(self.home / "run" / "state.json")
        return state is not None and {c.name for c in state.children if c.state == "ready"} == set(PLANES)

    def pid(self, plane: str) -> int:
        state = read_state(self.home / "run" / "state.json")
        assert state
        return next(child.pid for child in state.children if child.name == plane)

    def until(self, ask: Callable[[], T], what: str) -> T:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if found := ask():
                return found
            time.sleep(0.02)
        logs = "".join(path.read_text() for path in [self.home / "up.log", *self.home.glob("logs/*.log")])
        raise AssertionError(f"not so: {what}\n{logs}")

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/health").json()
        return found

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def post(self, path: str = "/predict", body: Any = None) -> httpx.Response:
        """On a connection of its own: whichever worker takes it."""
        return httpx.post(self.url + path, json=body or BODY, timeout=30)

    def calls(self) -> list[Call]:
        records = Reader(self.home / "journal", Position()).read(limit=1_000_000)
        return [record for record in records if isinstance(record, Call)]

    def close(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(60)
        self.control.shutdown()
        self.control.server_close()
        self.database.close()
        self.listener.close()
        return code


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """In a folder whose sockets have longer paths than an address holds."""
    made = Running(tmp_path_factory.mktemp("workers") / ("long" * 20) / "home")
    yield made
    assert made.close() == 0, "all drained"


def answered(running: Running) -> int:
    metrics = running.get("/metrics").json()
    return sum(lane["calls"].get("ok", 0) for lane in metrics["endpoints"])


def test_whoever_is_asked_answers_for_all(running: Running) -> None:
    before, counted = answered(running), v2_count(running)
    with ThreadPoolExecutor(8) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: running.post(), range(60))]
    assert statuses == [200] * 60
    for _ in range(6):
        assert answered(running) - before == 60
        assert v2_count(running) - counted == 60
    text = running.get("/metrics?format=prometheus").text
    assert [f'headrace_worker_up{{worker="{plane}"}} 1' in text for plane in PLANES] == [True] * 3
    workers = running.health()["workers"]
    assert [(w["plane"], w["status"]) for w in workers] == [(plane, "ready") for plane in PLANES]
    modes = {plane: (running.home / "run" / f"{plane}.sock").stat().st_mode & 0o777 for plane in PLANES}
    assert modes == dict.fromkeys(PLANES, 0o600)


def v2_count(running: Running) -> int:
    stats = running.get("/v2/models/toy/stats").json()["model_stats"]
    return sum(int(found["inference_stats"]["success"]["count"]) for found in stats)


def test_calls_inside_one_worker_count_for_all_until_it_is_dead(running: Running) -> None:
    """One worker hangs with as many calls inside as the endpoint takes; the test writes them in its name."""
    running.in_force(endpoint(running.v1, limits=Limits(max_concurrency=5)))
    victim = running.pid("data-1")
    os.kill(victim, signal.SIGSTOP)
    gate = Board(running.home / "run" / "board", workers=3, own=0).gate("toy")
    gate.limit = 5
    for _ in range(4):
        gate.enter()
    assert [running.post().status_code for _ in range(8)] == [200] * 8
    gate.enter()
    assert [running.post().status_code for _ in range(8)] == [503] * 8
    os.kill(victim, signal.SIGKILL)
    running.until(lambda: running.pid("data-1") not in (0, victim) and running.ready(), "it comes back")
    assert [running.post().status_code for _ in range(8)] == [200] * 8
    running.in_force(endpoint(running.v1))


def test_a_stage_move_is_in_force_on_all_before_it_is_answered(running: Running) -> None:
    running.in_force(endpoint(running.v1))
    moved = running.post("/models/toy/stage", {"version": "2", "stage": "Production"})
    assert moved.status_code == 200, moved.text
    assert {running.post().json()["model_version"] for _ in range(24)} == {2}


def test_one_killed_worker_loses_only_what_it_had_in_hand(running: Running) -> None:
    """Each caller has a connection of its own, so it loses one call at most, and goes on."""
    running.in_force(endpoint(running.v1, limits=Limits(max_concurrency=64)))
    stop, traces, broken, wrong = threading.Event(), set[str](), [0] * 6, list[int]()

    def caller(number: int) -> None:
        http = httpx.Client(base_url=running.url, timeout=30)
        while not stop.is_set():
            try:
                answer = http.post("/predict", json=BODY)
            except httpx.TransportError:
                broken[number] += 1
                http.close()
                http = httpx.Client(base_url=running.url, timeout=30)
                continue
            if answer.status_code == 200:
                traces.add(answer.json()["trace_id"])
            else:
                wrong.append(answer.status_code)
        http.close()

    callers = [threading.Thread(target=caller, args=(number,)) for number in range(6)]
    for thread in callers:
        thread.start()
    running.until(lambda: len(traces) >= 200, "calls")
    victim = running.pid("data-2")
    os.kill(victim, signal.SIGKILL)
    running.until(lambda: running.pid("data-2") not in (0, victim) and running.ready(), "it comes back")
    after = len(traces)
    running.until(lambda: len(traces) >= after + 100, "calls go on")
    stop.set()
    for thread in callers:
        thread.join()
    assert (wrong, max(broken) <= 1) == ([], True), broken
    assert traces <= {call.trace_id for call in running.calls()}
    inside = [m["value"] for m in running.get("/metrics").json()["metrics"] if m["name"] == "headrace_inside"]
    assert inside == [0], "the dead worker's calls are not inside any more"


def test_a_limit_of_all_workers_together_is_exact(running: Running) -> None:
    """Of calls to a chat model, over HTTP, each on a connection of its own."""
    with running_upstream() as upstream:
        well = Provider(name="well", kind=ProviderKind.OPENAI, url=f"{upstream.url}/well/v1", private=True)
        limit = Limit(
            level=Level.ENDPOINT, who="chat", counted=Counted.REQUESTS, amount=37, window=Window.MONTH, open=False
        )
        chat = chat_endpoint(Artifacts(running.home / "artifacts"), running.home, "chat", over("well"))
        made = Gateway(providers=(well,), limits=(limit,))
        revision = publish_chats(running.database, [endpoint(running.v1), chat], made)
        running.until(lambda: running.health()["revision"] == revision, "plan in force on all")
        with ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: running.post("/v1/chat/completions", ASK | {"model": "chat"}), range(90)))
        assert Counter(answer.status_code for answer in answers) == {200: 37, 429: 53}
        assert upstream.came["well"] == 37
        running.in_force(endpoint(running.v1))


def test_a_worker_that_hangs_is_named_and_waited_for_no_longer_than_a_second(running: Running) -> None:
    hung = running.pid("data-3")
    os.kill(hung, signal.SIGSTOP)
    try:
        # A connection may be the hung one's: it is asked elsewhere.
        found = running.until(lambda: asked(running), "somebody answers")
        assert {w["plane"]: w["status"] for w in found["workers"]} == {
            "data-1": "ready",
            "data-2": "ready",
            "data-3": "missing",
        }
    finally:
        os.kill(hung, signal.SIGCONT)
    running.until(lambda: all(w["status"] == "ready" for w in running.health()["workers"]), "it answers again")


def asked(running: Running) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = httpx.get(f"{running.url}/health", timeout=5).json()
    except httpx.TransportError:
        return None
    return found
