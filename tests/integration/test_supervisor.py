"""The supervisor with real programs: small ones that answer one URL on a socket that was bound before them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from headrace.compute.ports import listen, port_of
from headrace.compute.supervise import Child, ChildStatus, State, Supervisor, read_state
from headrace.compute.sweep import orphans, sweep
from headrace.types.errors import Unavailable

SERVER = """
import os, signal, socket, sys, time
server = socket.socket(fileno=int(sys.argv[1]))
mood = sys.argv[2] if len(sys.argv) > 2 else ""
if mood == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
elif mood == "family":
    import subprocess
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("helper", helper.pid, flush=True)
print("serving", os.getpid(), flush=True)
while True:
    connection, _ = server.accept()
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n\\r\\n")
    connection.close()
"""


def child(folder: Path, server: socket.socket, name: str = "one", mood: str = "", **changes: object) -> Child:
    fd = server.fileno()
    options: dict[str, object] = {
        "name": name,
        "argv": (sys.executable, "-c", SERVER, str(fd), mood),
        "log": folder / f"{name}.log",
        "ready_url": f"http://127.0.0.1:{port_of(server)}/",
        "env": dict(os.environ),
        "fds": (fd,),
    }
    return Child(**(options | changes))  # type: ignore[arg-type]


@asynccontextmanager
async def running(folder: Path, *children: Child) -> AsyncIterator[tuple[Supervisor, list[ChildStatus]]]:
    seen: list[ChildStatus] = []
    supervisor = Supervisor(children, state_file=folder / "state.json", on_change=seen.append)
    stop = asyncio.Event()
    task = asyncio.create_task(supervisor.run(stop))
    ready = asyncio.create_task(supervisor.ready.wait())
    try:
        await asyncio.wait([task, ready], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert ready.done(), seen
        yield supervisor, seen
    finally:
        stop.set()
        ready.cancel()
        await task


async def until(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


def status(folder: Path, name: str = "one") -> ChildStatus:
    state = read_state(folder / "state.json")
    assert state is not None
    return next(c for c in state.children if c.name == name)


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def server() -> object:
    with listen("127.0.0.1", 0) as bound:
        yield bound


async def test_start_ready_stop(tmp_path: Path, server: socket.socket) -> None:
    async with running(tmp_path, child(tmp_path, server)) as (_, seen):
        now = status(tmp_path)
        assert now.state is State.READY
        assert psutil.Process(now.pid).cmdline()[1:2] == ["-c"], "the leash has become the program"
        state = read_state(tmp_path / "state.json")
        assert state is not None
        assert (state.pid, state.ready) == (os.getpid(), True)
    assert gone(now.pid)
    assert [s.state for s in seen] == [State.STARTING, State.READY, State.STOPPING, State.STOPPED]
    assert status(tmp_path).pid == 0


async def test_killed_child_comes_back_and_connections_wait(tmp_path: Path, server: socket.socket) -> None:
    async with running(tmp_path, child(tmp_path, server)):
        first = status(tmp_path).pid
        os.kill(first, signal.SIGKILL)
        await until(lambda: gone(first), "it is dead")
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))  # nobody serves now
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200"), "the connection waited for the next process"
        await until(lambda: status(tmp_path).state is State.READY, "ready again")
        now = status(tmp_path)
        assert now.pid != first
        assert now.restarts == 1


async def test_what_a_dead_child_left_is_ended(tmp_path: Path, server: socket.socket) -> None:
    async with running(tmp_path, child(tmp_path, server, mood="family")):
        helper = int((tmp_path / "one.log").read_text().split()[1])
        os.kill(status(tmp_path).pid, signal.SIGKILL)
        await until(lambda: gone(helper), "the helper of the killed child is gone")
        await until(lambda: status(tmp_path).restarts == 1 and status(tmp_path).state is State.READY, "ready again")


async def test_a_deaf_child_is_killed_when_time_is_up(tmp_path: Path, server: socket.socket) -> None:
    async with running(tmp_path, child(tmp_path, server, mood="deaf", stop_seconds=0.3)) as (_, seen):
        pid = status(tmp_path).pid
        began = time.monotonic()
    assert 0.25 < time.monotonic() - began < 5
    assert gone(pid)
    assert "killed: it had not ended" in seen[-1].detail


async def test_hurry_does_not_wait(tmp_path: Path, server: socket.socket) -> None:
    async with running(tmp_path, child(tmp_path, server, mood="deaf", stop_seconds=60)) as (supervisor, _):
        began = time.monotonic()
        supervisor.hurry()
    assert time.monotonic() - began < 5


async def test_lower_wave_stops_first(tmp_path: Path, server: socket.socket) -> None:
    with listen("127.0.0.1", 0) as second:
        last = child(tmp_path, server, name="last", wave=1)
        first = child(tmp_path, second, name="first", wave=0)
        async with running(tmp_path, last, first) as (_, seen):
            pass
    ends = [(s.name, s.state) for s in seen if s.state in (State.STOPPING, State.STOPPED)]
    assert ends == [
        ("first", State.STOPPING),
        ("first", State.STOPPED),
        ("last", State.STOPPING),
        ("last", State.STOPPED),
    ]


async def test_vital_child_that_cannot_start_ends_the_start(tmp_path: Path, server: socket.socket) -> None:
    with listen("127.0.0.1", 0) as second:
        broken = child(
            tmp_path,
            second,
            name="broken",
            argv=(sys.executable, "-c", "raise SystemExit('no such thing')"),
            vital=True,
        )
        supervisor = Supervisor((child(tmp_path, server), broken), state_file=tmp_path / "state.json")
        with pytest.raises(Unavailable, match=r"broken exited with 1, 5 times: no such thing"):
            await asyncio.wait_for(supervisor.run(asyncio.Event()), 30)
    assert status(tmp_path).state is State.STOPPED, "the healthy one was stopped too"


async def test_other_children_run_while_one_fails(tmp_path: Path, server: socket.socket) -> None:
    with listen("127.0.0.1", 0) as second:
        broken = child(tmp_path, second, name="broken", argv=(sys.executable, "-c", "raise SystemExit(3)"))
        supervisor = Supervisor((child(tmp_path, server), broken), state_file=tmp_path / "state.json")
        stop = asyncio.Event()
        task = asyncio.create_task(supervisor.run(stop))
        await until(lambda: (tmp_path / "state.json").exists(), "started")
        await until(lambda: status(tmp_path, "broken").restarts >= 2, "tried again")
        assert status(tmp_path).state is State.READY
        assert status(tmp_path, "broken").detail.startswith("exited with 3 (it wrote nothing); next start in")
        stop.set()
        await asyncio.wait_for(task, 10)
    assert not supervisor.ready.is_set()


SUPERVISOR = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_supervisor import child
from headrace.compute.ports import listen
from headrace.compute.supervise import Supervisor
folder = Path(sys.argv[1])
server = listen("127.0.0.1", 0)
family = child(folder, server, mood=sys.argv[3])
asyncio.run(Supervisor((family,), state_file=folder / "state.json").run(asyncio.Event()))
"""


def supervisor_process(folder: Path, mood: str) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SUPERVISOR), str(folder), str(Path(__file__).parent), mood]
    )
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        state = read_state(folder / "state.json")
        if state is not None and state.ready:
            return process
        time.sleep(0.02)
    process.kill()
    raise AssertionError("the supervisor did not get ready")


async def test_children_end_with_a_killed_supervisor(tmp_path: Path) -> None:
    process = supervisor_process(tmp_path, "")
    pid = status(tmp_path).pid
    process.kill()
    process.wait()
    await until(lambda: gone(pid), "the child ended with its supervisor")
    assert orphans(tmp_path / "state.json") == []


async def test_sweep_ends_what_survived(tmp_path: Path) -> None:
    process = supervisor_process(tmp_path, "deaf")
    pid = status(tmp_path).pid
    process.kill()
    process.wait()
    assert not gone(pid), "it ignores SIGTERM"
    assert sweep(tmp_path / "other.json", patience=0.1) == 0, "another folder's children are not ours"
    assert sweep(tmp_path / "state.json", patience=0.2) == 1
    assert gone(pid)
