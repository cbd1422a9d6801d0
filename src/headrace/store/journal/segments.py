"""Files of one data plane: what a segment is called, whether it can still grow, who owns the folder.

Called by the writer, the reader, the archive and the query. Standard library only: the data plane imports it.

    journal/<plane>/00000007.open.jsonl   preallocated and growing; the first NUL byte is the end of its data
    journal/<plane>/00000006.jsonl        sealed: plain JSON lines, never written again
    journal/<plane>/spare, large          being prepared; means nothing until it is renamed
    journal/<plane>/lock                  held (flock) by the living writer; the kernel lets go when it dies
    journal/<plane>/floor                 highest number whose file the archive deleted, so that no number comes twice

Numbers of a plane are contiguous. A crash can leave an open segment with a torn tail; `seal_leftovers` cuts the NULs
behind the last written byte and keeps the torn bytes, so that every reader counts them.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from headrace.base.files import sync_folder, write_atomic
from headrace.types.errors import BadInput

Kind = Literal["calls", "feedback", "metrics", "events"]

SEALED, OPEN = ".jsonl", ".open.jsonl"
ARCHIVES: tuple[Kind, ...] = ("calls", "feedback", "metrics", "events")  # folders beside the planes' that hold Parquet
BLOCK = 1 << 20
_SEGMENT = re.compile(r"(\d{8,})(\.open)?\.jsonl")
_PLANE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def plane_folder(journal: Path, plane: str) -> Path:
    if not _PLANE.fullmatch(plane) or plane in ARCHIVES:
        raise BadInput(
            f"plane is {plane!r}; allowed: 1 to 64 letters, digits, '.', '_' and '-', none of {', '.join(ARCHIVES)}",
            field="plane",
        )
    return journal / plane


def planes(journal: Path) -> list[str]:
    """Names of all data planes that ever wrote here."""
    try:
        with os.scandir(journal) as entries:
            return sorted(e.name for e in entries if e.name not in ARCHIVES and e.is_dir() and e.name[0] != ".")
    except FileNotFoundError:
        return []


def sealed_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}{SEALED}"


def open_path(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}{OPEN}"


def numbers(folder: Path) -> list[int]:
    """Numbers of the segments there are. May miss one that is being renamed right now: probe `open_segment` too."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted({int(match[1]) for name in names if (match := _SEGMENT.fullmatch(name))})


def next_number(folder: Path, number: int) -> int | None:
    """What to read when `number` was not there: the lowest one above, None when there is none.

    Or `number` itself, when it came to be in between: the writer makes them in order, so once a later one is seen,
    looking again tells for certain.
    """
    later = next((found for found in numbers(folder) if found >= number), None)
    if later is not None and (open_path(folder, number).exists() or sealed_path(folder, number).exists()):
        return number
    return later


def floor(folder: Path) -> int:
    try:
        return int((folder / "floor").read_text())
    except FileNotFoundError:
        return 0


def raise_floor(folder: Path, number: int) -> None:
    """To be called before the files up to `number` are deleted."""
    if number > floor(folder):
        write_atomic(folder / "floor", b"%d" % number)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """A segment as found when it was opened. `sealed`: all of it is there, so its end is final."""

    descriptor: int
    sealed: bool

    def read(self, offset: int, size: int) -> bytes:
        return os.pread(self.descriptor, size, offset)


@contextmanager
def open_segment(folder: Path, number: int) -> Iterator[SegmentView | None]:
    """None when there is no such segment.

    A writer renames open to sealed and never back; so sealed, open, sealed finds it even while that happens.
    """
    view = _open(sealed_path(folder, number), sealed=True)
    view = view or _open(open_path(folder, number), sealed=False)
    view = view or _open(sealed_path(folder, number), sealed=True)
    try:
        yield view
    finally:
        if view:
            os.close(view.descriptor)


def _open(path: Path, *, sealed: bool) -> SegmentView | None:
    try:
        return SegmentView(descriptor=os.open(path, os.O_RDONLY), sealed=sealed)
    except FileNotFoundError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Lines without their newline. `size`: bytes consumed, torn ones included. `torn`: unfinished last lines."""

    lines: list[bytes]
    size: int
    torn: int


def read_lines(view: SegmentView, offset: int, *, limit: int, block: int = BLOCK) -> Chunk:
    """Up to `limit` complete lines from `offset`; a size of 0 means that there is nothing (yet).

    Open segment: data ends at the first NUL. memcpy does not promise an order in which bytes become visible, but as
    each unwritten byte is NUL, a line without one up to its newline is complete.
    """
    while True:
        data = view.read(offset, block)
        at_end = len(data) < block
        if not view.sealed and (nul := data.find(0)) >= 0:
            data, at_end = data[:nul], True
        whole = data.rfind(b"\n") + 1
        if whole:
            return _cut(data[:whole], limit)
        if at_end:
            torn = 1 if view.sealed and data else 0
            return Chunk(lines=[], size=len(data) * torn, torn=torn)
        block *= 4  # one line longer than the block


def _cut(data: bytes, limit: int) -> Chunk:
    lines = data.split(b"\n", limit)
    rest = lines.pop()
    return Chunk(lines=lines, size=len(data) - len(rest), torn=0)


class FileLock:
    """flock belongs to the open file, so it ends with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def take(self, *, shared: bool = False) -> bool:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def drop(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def plane_lock(folder: Path) -> FileLock:
    """One living writer for a plane folder."""
    return FileLock(folder / "lock")


def delete_lock(journal: Path) -> FileLock:
    """Whoever reads the manifest and then opens the segments that it does not cover shares this lock meanwhile;
    the archive deletes segments only while nobody does.
    """
    return FileLock(journal / ".delete.lock")


def seal_leftovers(folder: Path) -> int:
    """Seal what a dead writer left open, lock held by the caller. Returns how many of them end in a torn line."""
    torn = 0
    for number in numbers(folder):
        path = open_path(folder, number)
        if not path.exists():
            continue
        descriptor = os.open(path, os.O_RDWR)
        try:
            used = _written(descriptor)
            torn += _is_torn(descriptor, used)
            os.ftruncate(descriptor, used)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.rename(sealed_path(folder, number))
        sync_folder(folder)
    return torn


def _written(descriptor: int) -> int:
    """Where the last written byte ends."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - BLOCK)
        if block := os.pread(descriptor, end - start, start).rstrip(b"\0"):
            return start + len(block)
        end = start
    return 0


def _is_torn(descriptor: int, used: int) -> bool:
    """No newline at the end, or NULs before it: a line was being copied, or later pages reached the disk first."""
    last = b"\n"
    for start in range(0, used, BLOCK):
        block = os.pread(descriptor, min(BLOCK, used - start), start)
        if 0 in block:
            return True
        last = block[-1:]
    return last != b"\n"
