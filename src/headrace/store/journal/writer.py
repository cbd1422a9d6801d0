"""The writing end: one line costs a memcpy into a mapped file, and a thread makes it durable.

Called by the data plane: `append` for calls (the kernel has the bytes when it returns, so kill -9 loses nothing),
`await durable` for what is acknowledged (returns after the fdatasync that covers the line). Decides which file a line
goes to. Ignores what is in it, except that it ends with a newline and holds no NUL: records.encode_* see to that.

Files are preallocated, because a store to a mapped page that finds the disk full is a SIGBUS, while posix_fallocate
reports it. The thread, every 10 ms when there is something to do: fdatasync (group commit) → seal what is full or old →
prepare the next file. When the disk is full, append counts the loss and goes on by itself once there is room.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from headrace.base.clock import Clock
from headrace.base.files import sync_folder
from headrace.base.log import fields
from headrace.store.journal.segments import (
    FileLock,
    floor,
    numbers,
    open_path,
    plane_folder,
    plane_lock,
    seal_leftovers,
    sealed_path,
)
from headrace.types.errors import Conflict, Unavailable

SYNC_SECONDS = 0.01  # lines of this span share one fdatasync
IDLE_SECONDS = 0.5  # how often the thread looks at ages, and at a full disk, when nothing is written
LOCK_SECONDS = 5.0  # an archive may hold the folder of a dead plane for a moment

log = logging.getLogger("headrace.journal")

Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Segment:
    """A preallocated file and its mapping. `number` is 0 while it is a spare."""

    __slots__ = ("born", "descriptor", "map", "named", "number", "path", "size", "used")

    def __init__(self, path: Path, size: int) -> None:
        """Raises OSError, and leaves nothing behind, when there is no room."""
        self.path, self.size, self.number, self.used, self.born, self.named = path, size, 0, 0, 0.0, False
        path.unlink(missing_ok=True)
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.posix_fallocate(self.descriptor, 0, size)
            self.map = mmap.mmap(self.descriptor, size)
        except OSError:
            os.close(self.descriptor)
            path.unlink(missing_ok=True)
            raise

    def sync(self) -> None:
        if not self.named:  # its name must survive a power cut too
            sync_folder(self.path.parent)
            self.named = True
        os.fdatasync(self.descriptor)

    def drop(self) -> None:
        self.map.close()
        os.close(self.descriptor)
        self.path.unlink(missing_ok=True)


class Journal:
    """One per data-plane process and plane name. `append` may be called from any thread."""

    def __init__(self, folder: Path, plane: str, *, segment_bytes: int, segment_seconds: float, clock: Clock) -> None:
        """Raises Conflict when another living process writes under this plane name."""
        self.lost = 0  # lines that found no room
        self._folder = plane_folder(folder, plane)
        self._size = -(-segment_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._seconds, self._clock = segment_seconds, clock
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock_file = _take_lock(self._folder, plane)
        self.torn = seal_leftovers(self._folder)  # segments that the process before us left with an unfinished line
        if self.torn:
            log.warning("journal had a torn tail", extra=fields(plane=plane, segments=self.torn))
        self._number = max([floor(self._folder), *numbers(self._folder)])
        self._lock = threading.Lock()
        self._full = False  # the last try to make a file found no room
        self._clean = True  # nothing to sync
        self._closing = False
        self._active: Segment | None = None
        self._spare: Segment | None = None
        self._retired: list[Segment] = []  # full or old, to be sealed in this order
        self._waiters: list[Waiter] = []
        self._wake, self._hurry = threading.Event(), threading.Event()
        self._prepare()
        with self._lock:
            self._roll(0)
        self._thread = threading.Thread(target=self._run, name=f"journal-{plane}", daemon=True)
        self._thread.start()

    def append(self, line: bytes) -> bool:
        """False, and one more `lost`, when the disk is full. About a microsecond; it never waits for the disk."""
        with self._lock:
            return self._put(line)

    async def durable(self, line: bytes, *, within: float = 10.0) -> None:
        """Append and wait until a power cut cannot take it back. Raises Unavailable when that did not happen."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:  # one hold for both: the commit that takes the waiter covers its line
            if not self._put(line):
                raise Unavailable("the journal has no room: the disk is full", retry_after=IDLE_SECONDS)
            self._waiters.append((loop, future))
        self._hurry.set()
        self._wake.set()
        try:
            async with asyncio.timeout(within):
                await future
        except TimeoutError as error:
            raise Unavailable(f"the journal's disk did not answer within {within} s", retry_after=1.0) from error

    def close(self) -> None:
        """Sync and seal. Later appends are lost, and counted."""
        self._closing = True
        self._hurry.set()
        self._wake.set()
        self._thread.join()
        self._lock_file.drop()

    # appending: all below holds the lock

    def _put(self, line: bytes) -> bool:
        active, size = self._active, len(line)
        if active is None or active.used + size > active.size:
            active = self._roll(size)
            if active is None:
                self.lost += 1
                return False
        active.map.write(line)
        active.used += size
        if self._clean:
            self._clean = False
            self._wake.set()
        return True

    def _roll(self, need: int) -> Segment | None:
        """Make a new segment active, with room for `need`. None when there is none; then the active one stays."""
        if self._closing:
            return None
        segment = self._take_spare() if need <= self._size else self._make("large", need)
        if segment is None:
            return None
        path = open_path(self._folder, self._number + 1)
        try:
            segment.path.rename(path)
        except OSError as error:
            log.warning("journal segment not named", extra=fields(path=str(path), error=str(error)))
            segment.drop()
            self._full = True
            return None
        self._number += 1
        segment.path, segment.number, segment.born = path, self._number, self._clock.steady()
        if self._active is not None:
            self._retired.append(self._active)
        self._active = segment
        return segment

    def _take_spare(self) -> Segment | None:
        """The prepared one; made on the spot when the thread was too slow, but not on a disk known to be full."""
        segment, self._spare = self._spare, None
        return segment or (None if self._full else self._make("large", self._size))

    def _make(self, name: str, need: int) -> Segment | None:
        size = -(-need // mmap.PAGESIZE) * mmap.PAGESIZE
        try:
            return Segment(self._folder / name, size)
        except OSError as error:
            if not self._full:
                log.warning("journal has no room", extra=fields(bytes=size, error=str(error)))
            self._full = self._full or size <= self._size
            return None

    # the thread

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait(IDLE_SECONDS)
            self._wake.clear()
            if not self._clean:
                self._hurry.wait(SYNC_SECONDS)
            self._hurry.clear()
            self._commit()
            self._retire_old()
            self._seal_retired()
            self._prepare()
        with self._lock:
            last, self._active = self._active, None
            if last is not None:
                self._retired.append(last)
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.drop()
        self._commit()
        self._seal_retired()

    def _commit(self) -> None:
        """One fdatasync for all lines so far, then answer those who wait for it."""
        with self._lock:
            waiters, self._waiters = self._waiters, []
            dirty = [] if self._clean else [*self._retired, *([self._active] if self._active else [])]
            self._clean = True
        try:
            for segment in dirty:
                segment.sync()
        except OSError as error:
            # After a failed fsync the kernel may call the pages clean: another try would lie. Leave this file.
            log.error("journal not synced", extra=fields(error=str(error)))
            with self._lock:
                self._roll(0)
            _answer(waiters, Unavailable(f"the journal's disk failed: {error}", retry_after=1.0))
        else:
            _answer(waiters, None)

    def _retire_old(self) -> None:
        with self._lock:
            active = self._active
            if active is None or self._spare is None:
                return
            if not active.used:
                active.born = self._clock.steady()  # age counts from the first line
            elif self._clock.steady() - active.born >= self._seconds:
                self._roll(0)

    def _seal_retired(self) -> None:
        """In order: a reader goes on to the next number only after this one is sealed."""
        while self._retired:
            segment = self._retired[0]
            try:
                self._seal(segment)
            except OSError as error:
                log.warning("journal segment not sealed", extra=fields(path=str(segment.path), error=str(error)))
                return
            self._retired.pop(0)

    def _seal(self, segment: Segment) -> None:
        if not segment.used and segment.number == self._number:  # the last: the next process takes the number again
            segment.drop()
            return
        os.ftruncate(segment.descriptor, segment.used)
        os.fdatasync(segment.descriptor)
        sealed = sealed_path(self._folder, segment.number)
        if segment.path != sealed:
            segment.path = segment.path.rename(sealed)
        sync_folder(self._folder)
        segment.map.close()
        os.close(segment.descriptor)

    def _prepare(self) -> None:
        with self._lock:  # a spare that was taken has its own name once the lock is free
            if self._spare is not None:
                return
        try:
            spare = Segment(self._folder / "spare", self._size)
        except OSError as error:
            if not self._full:
                log.warning("journal has no room", extra=fields(bytes=self._size, error=str(error)))
            self._full = True
            return
        with self._lock:
            self._spare, self._full = spare, False


def _take_lock(folder: Path, plane: str) -> FileLock:
    lock = plane_lock(folder)
    deadline = time.monotonic() + LOCK_SECONDS
    while not lock.take():
        if time.monotonic() > deadline:
            raise Conflict(f"another process writes the journal of plane {plane!r}", hint="give each its own name")
        time.sleep(0.02)
    return lock


def _answer(waiters: Iterable[Waiter], error: Unavailable | None) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for loop, future in waiters:
        by_loop.setdefault(loop, []).append(future)
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # the loop closed while we synced: nobody waits any more
            loop.call_soon_threadsafe(_resolve, futures, error)


def _resolve(futures: list[asyncio.Future[None]], error: Unavailable | None) -> None:
    for future in futures:
        if future.done():
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
