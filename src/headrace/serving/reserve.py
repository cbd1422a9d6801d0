"""Memory for a version before it is loaded: what would not fit is refused, instead of killing the process that serves.

Called by fleet.py. Decides how much a package needs (a guess from its files, on the safe side) and that loads in
progress count as taken already. Ignores who wants it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from headrace.types.errors import ModelRefused
from headrace.types.model import Package

MARGIN = 128 << 20  # bytes that must stay free
FACTOR = 2  # of the files' size: the weights, and what the runtime makes of them
BASE = 32 << 20
_CGROUP = Path("/sys/fs/cgroup")


class Reservations:
    """`available` says how many bytes the machine (or the container) has left; None when nobody knows."""

    def __init__(self, available: Callable[[], int | None]) -> None:
        self._available = available
        self._reserved = 0

    @contextmanager
    def reserve(self, package: Package) -> Iterator[None]:
        """For as long as it loads. Raises ModelRefused."""
        need = BASE + FACTOR * sum(file.size for file in package.files)
        free = self._available()
        if free is not None and need + self._reserved + MARGIN > free:
            raise ModelRefused(
                f"{package.model}/{package.version} needs about {need >> 20} MiB; of {free >> 20} MiB that are free, "
                f"{MARGIN >> 20} MiB stay free and {self._reserved >> 20} MiB are taken by loads in progress",
                hint="unload what is not needed: POST /v2/repository/models/NAME/unload",
            )
        self._reserved += need
        try:
            yield
        finally:
            self._reserved -= need


def available_memory() -> int | None:
    """Bytes, by the machine and by the container's limit, whichever is less. None where neither is told."""
    told = [found for found in (_machine(), _container()) if found is not None]
    return min(told, default=None)


def resident_memory() -> int:
    """Bytes that this process and its children (model hosts) have in memory now."""
    own = psutil.Process()
    total = int(own.memory_info().rss)
    for child in own.children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            total += int(child.memory_info().rss)
    return total


def _machine() -> int | None:
    info = Path("/proc/meminfo")
    if not info.exists():
        return None
    lines = dict(line.split(":", 1) for line in info.read_text().splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None


def _container() -> int | None:
    limit, used = _CGROUP / "memory.max", _CGROUP / "memory.current"
    if not limit.exists() or not used.exists() or not (text := limit.read_text().strip()).isdigit():
        return None
    return max(0, int(text) - int(used.read_text()))
