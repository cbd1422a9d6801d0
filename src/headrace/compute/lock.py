"""One supervisor per data folder.

Called by `headrace up` (takes the lock) and by every command that looks for a running platform (reads it).
Decides who runs on a folder: the holder of an flock, not a pid in a file. The kernel drops the lock with its process,
so a lock that a killed supervisor left behind is stale by itself and the next one simply takes it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from headrace.types.errors import Conflict

_PATIENCE = 0.5  # seconds; a reader holds the lock for microseconds while it looks


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who runs on this folder and where it listens. `urls` is empty while it is still binding its ports."""

    pid: int
    started: float
    urls: dict[str, str] = field(default_factory=dict)

    def sentence(self) -> str:
        where = ", ".join(f"{name} {url}" for name, url in self.urls.items())
        return f"pid {self.pid}" + (f", {where}" if where else "")


class HomeLock:
    """Held from `acquire` until `release` or the end of the process. The file stays: to delete it would be a race."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, holder: Holder) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)  # not inheritable: children never hold it
        if not _try_lock(descriptor, fcntl.LOCK_EX, patience=_PATIENCE):
            other = _read(descriptor)
            who = other.sentence() if other else "it is just starting"
            os.close(descriptor)
            raise Conflict(
                f"Headrace already runs on {str(self.path.parent.parent)!r}: {who}",
                field="home",
                hint="stop it with `headrace down`, or give another folder with --home",
            )
        self._descriptor = descriptor
        self.describe(holder)

    def describe(self, holder: Holder) -> None:
        """Write who we are, once the ports are known."""
        if self._descriptor is None:
            raise RuntimeError("the lock is not held")
        content = json.dumps(asdict(holder)).encode()
        os.pwrite(self._descriptor, content, 0)
        os.ftruncate(self._descriptor, len(content))

    def release(self) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def holder(path: Path) -> Holder | None:
    """Who holds the lock now; None when nobody does, whatever the file says."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        if _try_lock(descriptor, fcntl.LOCK_SH, patience=0):
            return None
        return _read(descriptor) or Holder(pid=0, started=0.0)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int, *, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True


def _read(descriptor: int) -> Holder | None:
    try:
        content = json.loads(os.pread(descriptor, 1 << 16, 0))
        return Holder(pid=int(content["pid"]), started=float(content["started"]), urls=dict(content["urls"]))
    except (ValueError, KeyError, TypeError):  # being written
        return None
