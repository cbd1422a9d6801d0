"""One piece of untrusted or heavy work in a child process of its own, from payload to result.

Called by rooms above for work that unpickles a model or may eat the machine (conversion). The child gets no secrets:
its environment is an allow-list, its home is an empty folder, it has no network. It runs nice, under memory and
processor limits (confine.py), in its own process group, and dies with us. It ignores what the work is: `payload` and
the result are bytes.

The child program speaks through `Report`: progress lines, then one result, on what was its standard output. Whatever it
or its libraries print goes to standard error, whose end is quoted when it fails.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO

from headrace.compute.confine import Limits, confined
from headrace.types.errors import ModelFailed

# What a child may know of our environment. Everything else (HEADRACE_*, tokens, cloud keys) stays here.
PASSED = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH")
# How many threads a library starts: one, unless said otherwise. Children share the machine with the serving of traffic.
THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "RAYON_NUM_THREADS",
)
FIXED = {"MALLOC_ARENA_MAX": "2", "PYTHONUNBUFFERED": "1"}
NICE = 10
FILE_MB = 16_384  # the largest file a job may write
TAIL = 4_000  # characters of standard error that an error quotes at most


def run_job(
    argv: Sequence[str],
    payload: bytes,
    *,
    timeout: float,
    memory_mb: int,
    on_progress: Callable[[str], None] = lambda line: None,
    env: Mapping[str, str] | None = None,
) -> bytes:
    """The child's result. Raises ModelFailed when it raised, was killed by a limit, or took longer than `timeout`."""
    with tempfile.TemporaryDirectory(prefix="headrace-job-") as home, tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            confined(argv, _limits(timeout, memory_mb)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=scrubbed_environment(home) | dict(env or {}),
            cwd=home,
            start_new_session=True,
        )
        late = threading.Event()
        timer = threading.Timer(timeout, _kill_late, args=(child, late))
        timer.start()
        try:
            result = _converse(child, payload, on_progress)
            if result is not None:
                return result  # nobody waits for the child to tidy up its libraries: that takes up to a second
            code = child.wait()
        finally:
            timer.cancel()
            _kill_group(child)
        raise ModelFailed(_cause(code, late=late.is_set(), timeout=timeout, memory_mb=memory_mb) + _tail(errors))


def scrubbed_environment(home: str, *, threads: int = 1) -> dict[str, str]:
    """The allow-list, with `home` as the only folder that the child thinks is its own."""
    kept = {name: os.environ[name] for name in PASSED if name in os.environ}
    return kept | FIXED | dict.fromkeys(THREADS, str(threads)) | {"HOME": home}


class Report:
    """The child's side. Made first thing, before any library can print: it takes standard output for itself."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def progress(self, text: str) -> None:
        self._out.write(b"progress " + text.replace("\n", " ").encode() + b"\n")
        self._out.flush()

    def result(self, data: bytes) -> None:
        self._out.write(b"result %d\n" % len(data) + data)
        self._out.flush()


def _limits(timeout: float, memory_mb: int) -> Limits:
    # Processor seconds end a child that loops even when we are gone; two threads may burn two per second.
    return Limits(memory_mb=memory_mb, nice=NICE, cpu_seconds=int(timeout * 2) + 1, file_mb=FILE_MB)


def _converse(child: subprocess.Popen[bytes], payload: bytes, on_progress: Callable[[str], None]) -> bytes | None:
    assert child.stdin is not None
    assert child.stdout is not None
    with suppress(BrokenPipeError), child.stdin:  # it died before it read all: its exit code tells why
        child.stdin.write(payload)
    with child.stdout:
        for line in child.stdout:
            word, _, rest = line.rstrip(b"\n").partition(b" ")
            if word == b"progress":
                on_progress(rest.decode(errors="replace"))
            elif word == b"result":
                data = child.stdout.read(int(rest))
                return data if len(data) == int(rest) else None
    return None


def _kill_late(child: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    _kill_group(child)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """Also what the child started: its group outlives it."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _cause(code: int, *, late: bool, timeout: float, memory_mb: int) -> str:
    if late:
        return f"the job took longer than {timeout:g} s and was stopped"
    if code == -signal.SIGXCPU:
        return f"the job used more processor time than {2 * timeout:g} s and was stopped"
    if code < 0:
        return f"the job was killed by {signal.Signals(-code).name} (its memory limit is {memory_mb} MiB)"
    return f"the job ended with status {code} and no result (its memory limit is {memory_mb} MiB)"


def _tail(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - TAIL))
    text = errors.read().decode(errors="replace").strip()
    return f": {text}" if text else ""
