"""A data plane as a process: real sockets, a real journal, a real database, kill -9."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from plane_samples import ROWS_OF_3, endpoint, toy_package

from headrace.compute.ports import listen, port_of
from headrace.store import plans
from headrace.store.artifacts import Artifacts
from headrace.store.db import Database
from headrace.store.journal.reader import Reader
from headrace.store.journal.records import Record
from headrace.store.migrate import migrate
from headrace.types.call import Call, CallStatus, Feedback, PlaneEvent
from headrace.types.endpoint import Endpoint
from headrace.types.journal import Position
from headrace.types.traffic import TrafficPolicy

pytestmark = pytest.mark.process
ROW = [1.0, 0.0, 2.0]  # label 1
BODY = {"model": "toy", "inputs": [ROW]}


class RunningPlane:
    """What the supervisor does: binds the port, keeps it, starts the plane on it."""

    def __init__(self, home: Path, **settings: object) -> None:
        self.home = home
        self.settings = {"control_port": 1, "grpc_port": -1, "poll_ms": 10} | settings
        home.mkdir(exist_ok=True)
        self.listener = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{port_of(self.listener)}"
        self.database = Database(f"sqlite:///{home / 'headrace.db'}")
        migrate(self.database)
        self.artifacts = Artifacts(home / "artifacts")
        self.v1 = toy_package(self.artifacts, home / "work", 1)
        self.v2 = toy_package(self.artifacts, home / "work", 2)
        self.http = httpx.Client(base_url=self.url, timeout=30)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> RunningPlane:
        env = {k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")}
        env |= {f"HEADRACE_{name.upper()}": str(value) for name, value in {"home": self.home, **self.settings}.items()}
        with (self.home / "plane.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "headrace.app.data", "--fd", str(self.listener.fileno())],
                env=env,
                stdout=log,
                stderr=log,
                pass_fds=(self.listener.fileno(),),
                cwd=self.home,
            )
        return self

    def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(30)

    def close(self) -> None:
        if self.process and self.process.poll() is None:
            self.kill()
        self.http.close()
        self.database.close()
        self.listener.close()

    def reconnect(self) -> None:
        self.http.close()
        self.http = httpx.Client(base_url=self.url, timeout=30)

    def publish(self, *endpoints: Endpoint) -> int:
        with self.database.write() as conn:
            return plans.publish(conn, endpoints, reason="test", now=time.time()).revision

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Health, once it is as wanted. The first connection waits in the kernel until the plane accepts it."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            assert self.process
            assert self.process.poll() is None, (self.home / "plane.log").read_text()
            found: dict[str, Any] = self.http.get("/health").json()
            if holds(found):
                return found
            time.sleep(0.01)
        raise AssertionError(f"not so: {found}")

    def live(self, revision: int) -> dict[str, Any]:
        return self.until(lambda health: health["revision"] == revision)

    def predict(self, **more: Any) -> httpx.Response:
        return self.http.post("/predict", json=BODY | more)

    def records(self) -> list[Record]:
        return list(Reader(self.home / "journal", Position()).read(limit=1_000_000))


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[RunningPlane]:
    made = RunningPlane(tmp_path / "home")
    try:
        yield made
    finally:
        made.close()


def canary(plane: RunningPlane, share: int) -> Endpoint:
    policy = TrafficPolicy(baseline="v1", candidate="v2", share=share, salt="s")
    return endpoint(plane.v1, plane.v2, policy=policy)


def test_from_request_to_journal(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    answer = plane.http.post("/predict", json=BODY, headers={"x-user-id": "alice"})
    assert answer.status_code == 200
    assert answer.json()["result"] == [1]
    tensor = {"name": "input", "shape": [1, 3], "datatype": "FP64", "data": ROW}
    inferred = plane.http.post("/v2/models/toy/infer", json={"inputs": [tensor]})
    assert inferred.json()["outputs"][0]["data"] == [1]
    given = plane.http.post("/feedback", json={"trace_id": answer.json()["trace_id"], "corrected_output": [0]})
    assert given.status_code == 200
    assert plane.kill(signal.SIGTERM) == 0
    records = plane.records()
    calls = [r for r in records if isinstance(r, Call)]
    assert [(c.protocol, c.status, c.input, c.output) for c in calls] == [
        ("predict", CallStatus.OK, [ROW], [1]),
        ("v2", CallStatus.OK, [ROW], [1]),
    ]
    assert [f.value for f in records if isinstance(f, Feedback)] == [[0]]
    assert [(e.name, e.revision) for e in records if isinstance(e, PlaneEvent)] == [("plan.live", 1)]
    assert b"alice" not in b"".join(path.read_bytes() for path in (plane.home / "journal").rglob("*.jsonl"))


def test_what_was_acknowledged_survives_kill_9(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    traces = [plane.predict().json()["trace_id"] for _ in range(200)]
    ids = []
    for trace in traces[::10]:
        ids += plane.http.post("/feedback", json={"trace_id": trace, "user_rating": "down"}).json()["feedback"]
    plane.kill()
    records = plane.records()
    assert [r.trace_id for r in records if isinstance(r, Call)] == traces
    assert [r.id for r in records if isinstance(r, Feedback)] == ids


def test_connections_wait_while_a_killed_plane_comes_back(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    trace = plane.predict().json()["trace_id"]
    plane.kill()
    with socket.create_connection(("127.0.0.1", port_of(plane.listener))) as waiting:
        body = json.dumps({"trace_id": trace, "user_rating": "up"}).encode()
        waiting.sendall(b"POST /feedback HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        plane.start()
        waiting.settimeout(30)
        assert read_answer(waiting).startswith(b"HTTP/1.1 200")  # also: the trace id of its predecessor is known
    plane.reconnect()
    plane.live(1)
    assert plane.predict().status_code == 200


def test_swaps_under_load_fail_no_request(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    stop = threading.Event()
    seen: list[tuple[int, int]] = []

    def caller() -> None:
        with httpx.Client(base_url=plane.url, timeout=30) as http:
            while not stop.is_set():
                answer = http.post("/predict", json=BODY)
                seen.append((answer.status_code, answer.json().get("model_version", 0)))

    callers = [threading.Thread(target=caller) for _ in range(4)]
    for thread in callers:
        thread.start()
    for turn in range(8):
        plane.live(plane.publish(endpoint((plane.v2, plane.v1)[turn % 2])))
    stop.set()
    for thread in callers:
        thread.join()
    assert {status for status, _ in seen} == {200}
    assert {version for _, version in seen} == {1, 2}


def test_sigterm_lets_the_call_under_way_end(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    body = json.dumps(BODY).encode()
    head = b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(
        body
    )
    address = ("127.0.0.1", port_of(plane.listener))
    with socket.create_connection(address, 20) as slow, socket.create_connection(address, 20) as idle:
        slow.sendall(head + body[:5])
        idle.sendall(head + body)
        assert read_answer(idle).startswith(b"HTTP/1.1 200")  # by now the first half of the other has been seen, too
        assert plane.process
        plane.process.send_signal(signal.SIGTERM)
        assert idle.recv(4096) == b""  # it closes what is idle
        slow.sendall(body[5:])
        answer = read_answer(slow)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in answer
    assert plane.process.wait(20) == 0


def events_of(plane: RunningPlane) -> list[tuple[str, int, str, str]]:
    return [(e.name, e.revision, e.endpoint, e.variant) for e in plane.records() if isinstance(e, PlaneEvent)]


def test_a_damaged_package_is_refused_and_the_old_one_serves(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    file = plane.artifacts.path(plane.v2.id) / "model.onnx"
    good = file.read_bytes()
    file.write_bytes(good[:-1] + b"\x00")
    plane.publish(canary(plane, 5_000))
    health = plane.until(lambda found: found["plan"]["refused_revision"] == 2)
    assert (health["status"], health["revision"], health["plan"]["variant"]) == ("ready", 1, "v2")
    assert "model.onnx" in health["plan"]["error"]
    assert plane.predict().json()["model_version"] == 1
    repaired = plane.home / "model.onnx"
    repaired.write_bytes(good)
    repaired.replace(file)  # at once, or a try in between finds half a file and says so; the plan is tried again
    plane.live(2)
    expected = [("plan.live", 1, "", ""), ("plan.refused", 2, "toy", "v2"), ("plan.live", 2, "", "")]
    plane.until(lambda _: events_of(plane) == expected)  # it serves a moment before it says so


def test_it_serves_on_and_starts_without_its_database(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    plane.database.close()
    for path in plane.home.glob("headrace.db*"):
        path.rename(path.with_suffix(".away"))
    assert plane.predict().status_code == 200
    plane.kill(signal.SIGTERM)
    plane.reconnect()
    plane.start().live(1)
    assert plane.predict().status_code == 200
    assert plane.http.get("/health").json()["database"]["error"]


def test_without_a_plan_it_is_not_ready_and_says_why(plane: RunningPlane) -> None:
    plane.start()
    assert plane.http.get("/health/live").status_code == 200
    health = plane.http.get("/health")
    assert (health.status_code, health.json()["status"]) == (503, "starting")
    answer = plane.predict()
    assert (answer.status_code, "no plan yet" in answer.json()["error"]["message"]) == (503, True)
    plane.publish(endpoint(plane.v1))
    plane.live(1)


def test_a_giant_is_refused_without_taking_its_memory(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    plane.predict()
    assert plane.process
    before = _memory(plane.process.pid)
    answer = plane.http.post("/predict", content=b"x" * (100 << 20), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (413, "too_large")

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield b" " * (1 << 20)

    try:
        chunked = plane.http.post("/predict", content=pieces(), headers={"content-type": "application/json"})
        assert chunked.status_code == 413
    except httpx.WriteError:
        pytest.fail("the answer to a body without a length was lost")
    assert _memory(plane.process.pid) - before < 100 << 20
    assert plane.predict().status_code == 200


def test_one_small_model_takes_little_memory(plane: RunningPlane) -> None:
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    for _ in range(500):
        plane.predict()
    assert plane.process
    assert _memory(plane.process.pid) <= 150 << 20


def test_a_row_of_all_zeros_and_a_huge_one(plane: RunningPlane) -> None:
    """The graph computes in single precision: what does not fit is the caller's error, not an infinity."""
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    assert plane.predict(inputs=[[0, 0, 0]]).json()["result"] == [0]
    refused = plane.predict(inputs=[[0, 0, 1e300]])
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "inputs[0][2]")
    overflowing = plane.predict(inputs=[[3e38, 0, 3e38]])
    assert overflowing.status_code == 200


def test_nan_that_a_model_makes_is_the_models_failure(plane: RunningPlane) -> None:
    """Version 3 has NaN weights, and no rows to be warmed with: it gets as far as a caller, and no further."""
    source = plane.home / "work" / "nan"
    made = toy_package(plane.artifacts, source, 3, signature=ROWS_OF_3, nan=True, warmup=False)
    plane.publish(endpoint(made))
    plane.start().live(1)
    answer = plane.predict()
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "model_failed")
    assert "'scores' has 2 values that are NaN or infinite" in answer.json()["error"]["message"]
    plane.kill()
    (call,) = [r for r in plane.records() if isinstance(r, Call)]
    assert (call.status, call.counted, call.trace_id) == (CallStatus.FAILED, True, answer.json()["error"]["trace_id"])


def test_a_model_that_fails_its_own_rows_gets_no_traffic(plane: RunningPlane) -> None:
    made = toy_package(plane.artifacts, plane.home / "work" / "nan", 3, nan=True)
    plane.publish(endpoint(plane.v1))
    plane.start().live(1)
    plane.publish(endpoint(made))
    health = plane.until(lambda found: found["plan"]["refused_revision"] == 2)
    assert "does not answer its own warm-up rows" in health["plan"]["error"]
    assert plane.predict().status_code == 200


def test_nothing_heavy_is_imported() -> None:
    heavy = ["mlflow", "fastapi", "starlette", "pydantic", "pandas", "sklearn", "duckdb", "pyarrow", "alembic", "httpx"]
    script = f"import sys, headrace.app.data; print(sorted(set({heavy}) & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def read_answer(connection: socket.socket) -> bytes:
    """Head and body, however they are cut."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(4096)
    head, _, body = answer.partition(b"\r\n\r\n")
    size = next(int(line.split(b":")[1]) for line in head.lower().splitlines() if line.startswith(b"content-length"))
    while len(body) < size:
        body += connection.recv(4096)
    return head + body


def _memory(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
