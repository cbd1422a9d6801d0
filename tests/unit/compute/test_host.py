"""A child that answers calls: confined, restarted, ended with us. Real processes; each starts in a few hundredths."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from headrace.compute.host import SHARED_FROM, THREAD_FROM, HostLimits, HostProcess
from headrace.compute.shared import KEEP
from headrace.types.errors import ModelFailed, ModelRefused, Unavailable

CHILD = """
    import os, resource, signal, socket, sys, threading, time
    from headrace.compute.frames import Connection
    from headrace.compute.shared import Area
    def end():
        while os.read(0, 1024): pass
        os._exit(0)
    threading.Thread(target=end, daemon=True).start()
    areas = [Area(int(fd)) for fd in sys.argv[-3].split(",")]
    connection = Connection(int(sys.argv[-1]), incoming=areas[0], outgoing=areas[1])
    kept = []
    mark = sys.argv[1]
    count = len(open(mark).read()) if os.path.exists(mark) else 0
    open(mark, "a").write("x")
    if "refuse" in sys.argv:
        connection.send({"error": "I will not"})
        sys.exit(1)
    if "die" in sys.argv or ("once" in sys.argv and count):
        print("cannot import nonsense", file=sys.stderr)
        sys.exit(3)
    if "slow" in sys.argv: time.sleep(60)
    connection.send({"ready": True})
    while True:
        header, blobs = connection.receive()
        answer = {"id": header["id"]}
        big = header.get("shared_from", sys.maxsize)
        if header["op"] == "how":
            answer["how"] = "shared" if header.get("shared") else "frame"
            blobs = [bytes(b) for b in blobs]
        if header["op"] == "keep":
            kept += blobs
            blobs = []
        if header["op"] == "kept": blobs = [bytes(b) for b in kept]
        if header["op"] == "drop": kept.clear()
        if header["op"] == "half":
            areas[1].places([8 << 20])
            connection._socket.sendall(b"\\x10\\0\\0")
            os.kill(os.getpid(), signal.SIGKILL)
        if header["op"] == "print":
            print("x" * 1_000_000, flush=True)
            os.write(1, b"\\xff" * 1000)
        if header["op"] == "fork":
            child = os.fork()
            if child == 0: time.sleep(600)
            answer["child"] = child
        if header["op"] == "close": os.close(int(sys.argv[-1]))
        if header["op"] == "babble": os.write(int(sys.argv[-1]), b"\\xff" * 64); time.sleep(60)
        if header["op"] == "shrink": os.ftruncate(int(sys.argv[-3].split(",")[1]), 0)
        if header["op"] == "connect":
            try: socket.create_connection(("127.0.0.1", header["port"])).close()
            except OSError as error: answer["error"] = str(error)
        if header["op"] == "die": os._exit(7)
        if header["op"] == "hang": time.sleep(60)
        if header["op"] == "env": answer["env"] = dict(os.environ)
        if header["op"] == "limits":
            answer["limits"] = [resource.getrlimit(k)[0] for k in (resource.RLIMIT_AS, resource.RLIMIT_CORE)]
            answer["session"] = os.getsid(0)
        if header["op"] == "eat": blobs = [bytes(1 << 30)]
        connection.send(answer, blobs, shared_from=big)
"""
QUICK = HostLimits(
    start_seconds=20, call_seconds=20, wait_seconds=10, first_pause=0.01, longest_pause=0.05, stop_seconds=5
)


def argv(folder: Path, *arguments: str) -> list[str]:
    program = folder / "child.py"
    program.write_text(textwrap.dedent(CHILD))
    return [sys.executable, str(program), str(folder / "starts"), *arguments]


@asynccontextmanager
async def host(
    folder: Path, *arguments: str, limits: HostLimits = QUICK, on_restart: Callable[[str], None] = lambda reason: None
) -> AsyncIterator[HostProcess]:
    started = HostProcess(
        "toy", argv(folder, *arguments), log_path=folder / "host.log", limits=limits, on_restart=on_restart
    )
    try:
        yield started
    finally:
        await started.close()


async def ask(found: HostProcess, op: str = "echo", *blobs: bytes) -> Any:
    return await found.call({"op": op}, blobs)


async def test_calls_are_answered_each_with_its_own(tmp_path: Path) -> None:
    async with host(tmp_path) as found:
        assert await found.start() == {"ready": True}
        answers = await asyncio.gather(*(ask(found, "echo", bytes([n]) * n) for n in range(20)))
        assert [bytes(blobs[0]) for _, blobs in answers] == [bytes([n]) * n for n in range(20)]


async def test_the_child_knows_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HEADRACE_ADMIN_TOKEN", "HEADRACE_HOME", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN"):
        monkeypatch.setenv(name, "secret")
    async with host(tmp_path) as found:
        await found.start()
        header, _ = await ask(found, "env")
        assert "secret" not in header["env"].values()
        assert header["env"]["HOME"] != os.environ.get("HOME")
        assert header["env"]["PATH"] == os.environ["PATH"]


async def test_the_child_is_confined(tmp_path: Path) -> None:
    async with host(tmp_path, limits=HostLimits(memory_mb=512)) as found:
        await found.start()
        header, _ = await ask(found, "limits")
        assert header["limits"] == [512 << 20, 0]
        assert header["session"] == found.pid
        with pytest.raises(ModelFailed):
            await ask(found, "eat")


async def test_the_child_has_no_network_unless_it_is_declared(tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for network, told in ((False, "Permission denied"), (True, None)):
        async with host(tmp_path, limits=replace(QUICK, network=network)) as found:
            await found.start()
            header, _ = await found.call({"op": "connect", "port": port})
            assert told == header.get("error") or (told and told in header["error"])
    server.close()
    await server.wait_closed()


LARGE = bytes(range(256)) * 4096  # 1 MiB


async def test_large_messages_go_through_memory_and_small_ones_do_not(tmp_path: Path) -> None:
    async with host(tmp_path) as found:
        await found.start()
        for size in (0, 1, SHARED_FROM - 64, SHARED_FROM, THREAD_FROM + 1, KEEP + 5):
            header, blobs = await ask(found, "how", LARGE[:size] if size <= len(LARGE) else bytes(size), b"", b"end")
            assert header["how"] == ("shared" if size >= SHARED_FROM else "frame"), size
            assert [len(blob) for blob in blobs] == [size, 0, 3]
        _, blobs = await ask(found, "how", LARGE, LARGE[:100])
        assert [bytes(blob) for blob in blobs] == [LARGE, LARGE[:100]]


async def test_what_the_child_keeps_of_its_input_is_not_written_over(tmp_path: Path) -> None:
    async with host(tmp_path) as found:
        await found.start()
        await ask(found, "keep", LARGE)
        header, _ = await ask(found, "how", bytes(len(LARGE)))
        assert header["how"] == "frame"
        _, blobs = await ask(found, "kept")
        assert bytes(blobs[0]) == LARGE
        await ask(found, "drop")
        header, _ = await ask(found, "how", LARGE)
        assert header["how"] == "shared"


async def test_memory_of_a_huge_call_is_given_back(tmp_path: Path) -> None:
    async with host(tmp_path) as found:
        await found.start()
        await ask(found, "how", bytes(3 * KEEP))
        life = found._life
        assert life
        assert life.incoming
        assert life.outgoing
        for area in (life.incoming, life.outgoing):
            assert os.fstat(area.fd).st_blocks * 512 <= KEEP


@pytest.mark.parametrize("op", ["half", "close", "babble"])
async def test_a_child_that_ends_its_talk_fails_the_call_and_is_started_again(tmp_path: Path, op: str) -> None:
    async with host(tmp_path) as found:
        await found.start()
        with pytest.raises(ModelFailed, match=f"died.*{'SIGKILL' if op == 'half' else 'exit status'}"):
            await ask(found, op, bytes(8 << 20))
        assert bytes((await ask(found, "echo", LARGE))[1][0]) == LARGE
        assert found.restarts == 1


async def test_what_a_child_prints_is_in_its_log_and_in_no_answer(tmp_path: Path) -> None:
    async with host(tmp_path) as found:
        await found.start()
        assert (await ask(found, "print"))[0]
        assert bytes((await ask(found, "echo", b"abc"))[1][0]) == b"abc"
        assert (tmp_path / "host.log").stat().st_size > 1_000_000


async def test_what_a_child_has_forked_ends_with_it(tmp_path: Path) -> None:
    async with host(tmp_path) as found:
        await found.start()
        header, _ = await ask(found, "fork")
        forked = os.pidfd_open(header["child"])
        assert bytes((await ask(found, "echo", b"abc"))[1][0]) == b"abc"
        await found.close()
        ended = asyncio.Event()
        asyncio.get_running_loop().add_reader(forked, ended.set)
        await asyncio.wait_for(ended.wait(), 10)
        asyncio.get_running_loop().remove_reader(forked)
        os.close(forked)


async def test_a_child_cannot_take_the_memory_away_under_us(tmp_path: Path) -> None:
    async with host(tmp_path) as found:
        await found.start()
        with pytest.raises(ModelFailed, match="exit status 1"):
            await ask(found, "shrink", LARGE)
        assert "PermissionError" in (tmp_path / "host.log").read_text()


async def test_a_child_that_does_not_read_is_killed(tmp_path: Path) -> None:
    async with host(tmp_path, limits=replace(QUICK, call_seconds=0.3)) as found:
        await found.start()
        hanging = asyncio.create_task(ask(found, "hang"))
        await asyncio.sleep(0)
        with pytest.raises(ModelFailed):
            await ask(found, "echo", bytes(8 << 20))
        with pytest.raises(ModelFailed):
            await hanging


async def test_a_crash_fails_the_calls_under_way_and_the_next_ones_wait(tmp_path: Path) -> None:
    told: list[str] = []
    async with host(tmp_path, on_restart=told.append) as found:
        await found.start()
        first = found.pid
        with pytest.raises(ModelFailed, match="exit status 7"):
            await ask(found, "die")
        header, _ = await ask(found)
        assert header
        assert found.pid != first
        assert found.restarts == 1
        assert "exit status 7" in told[0]


async def test_killed_from_outside(tmp_path: Path) -> None:
    async with host(tmp_path) as found:
        await found.start()
        assert found.pid
        hanging = asyncio.create_task(ask(found, "hang"))
        await asyncio.sleep(0.05)
        os.kill(found.pid, signal.SIGKILL)
        with pytest.raises(ModelFailed, match="SIGKILL"):
            await hanging
        assert await ask(found)


async def test_a_stuck_child_is_killed(tmp_path: Path) -> None:
    async with host(tmp_path, limits=HostLimits(call_seconds=0.2, first_pause=0.01)) as found:
        await found.start()
        with pytest.raises(ModelFailed, match=r"stuck for 0\.2 s"):
            await ask(found, "hang")
    assert found.pid is None


async def test_one_that_does_not_come_back_is_unavailable_after_a_bound(tmp_path: Path) -> None:
    async with host(tmp_path, "once", limits=HostLimits(wait_seconds=0.3, first_pause=0.01)) as found:
        await found.start()
        with pytest.raises(ModelFailed):
            await ask(found, "die")
        with pytest.raises(Unavailable, match="not back yet"):
            await ask(found)


@pytest.mark.parametrize(
    ("how", "limits", "message"),
    [
        ("refuse", QUICK, "I will not"),
        ("die", QUICK, r"ended before it was ready \(exit status 3\).*cannot import nonsense"),
        ("slow", HostLimits(start_seconds=0.3), "not ready in time"),
    ],
)
async def test_one_that_cannot_start_is_refused(tmp_path: Path, how: str, limits: HostLimits, message: str) -> None:
    async with host(tmp_path, how, limits=limits) as found:
        with pytest.raises(ModelRefused, match=message):
            await found.start()


async def test_closing_ends_the_child_and_later_calls(tmp_path: Path) -> None:
    async with host(tmp_path) as found:
        await found.start()
        child = found.pid
        assert child
        await found.close()
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
        with pytest.raises(Unavailable, match="closed"):
            await ask(found)


def test_the_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from headrace.compute.host import HostProcess
        async def main():
            found = HostProcess("toy", sys.argv[2:], log_path=Path(sys.argv[1]))
            await found.start()
            print(found.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
        """
    )
    command = [sys.executable, "-c", parent, str(tmp_path / "log"), *argv(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        process.kill()
    descriptor = os.pidfd_open(child) if Path(f"/proc/{child}").exists() else None
    if descriptor is not None:
        import select

        ended, _, _ = select.select([descriptor], [], [], 10)
        os.close(descriptor)
        assert ended
