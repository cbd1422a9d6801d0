"""The lock of a data folder: one holder, told apart from what a dead one left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace.compute.lock import Holder, HomeLock, holder
from headrace.types.errors import Conflict

HOLD = """
import sys, time
from pathlib import Path
from headrace.compute.lock import Holder, HomeLock
lock = HomeLock(Path(sys.argv[1]))
lock.acquire(Holder(pid=4242, started=1.0, urls={"data plane": "http://127.0.0.1:8000"}))
print("held", flush=True)
time.sleep(60)
"""


def me() -> Holder:
    return Holder(pid=os.getpid(), started=1.0)


def test_second_is_told_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "home" / "run" / "lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(Conflict) as caught:
            HomeLock(path).acquire(me())
        assert "pid 4242" in caught.value.message
        assert "http://127.0.0.1:8000" in caught.value.message
        assert str(tmp_path / "home") in caught.value.message
        found = holder(path)
        assert found is not None
        assert found.pid == 4242

        process.send_signal(signal.SIGKILL)
        process.wait()
        assert holder(path) is None, "the file is still there, but nobody holds it"
        HomeLock(path).acquire(me())  # a stale lock heals
    finally:
        process.kill()
        process.communicate()


def test_describe_then_release(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path / "run" / "lock")
    assert holder(lock.path) is None
    lock.acquire(me())
    lock.describe(Holder(pid=7, started=2.0, urls={"control plane": "http://127.0.0.1:8001" + "x" * 100}))
    lock.describe(Holder(pid=8, started=2.0))
    found = holder(lock.path)
    assert found == Holder(pid=8, started=2.0), "a shorter description leaves nothing of the longer one"
    lock.release()
    lock.release()
    assert holder(lock.path) is None
    with pytest.raises(RuntimeError):
        lock.describe(me())


def test_children_do_not_inherit_it(tmp_path: Path) -> None:
    lock = HomeLock(tmp_path / "lock")
    lock.acquire(me())
    code = "print('up', flush=True); input()"
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, close_fds=False
    )
    try:
        assert child.stdout is not None
        # Popen may return a moment before the kernel has closed what exec closes, so the child says that it is there.
        assert child.stdout.readline() == b"up\n"
        lock.release()
        assert holder(lock.path) is None
    finally:
        child.communicate(b"\n")
