"""What a peer is, its environment, and its life: install → start → ready → stop, or a reason why not.

Called by bench/serving.py. Decides where environments live: `BENCH_HOME`, by default .headrace-bench beside the
sources. A peer that does not install, start or answer rightly raises PeerFailed, which ends up in the table.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psutil

from bench.running import ROOT, free_port
from bench.wire import Request, Sample, Wire, infer

HOME = Path(os.environ.get("BENCH_HOME", ROOT / ".headrace-bench"))
APPS = Path(__file__).with_name("apps")
UV = Path(sys.executable).with_name("uv")
READY_SECONDS = 90.0
STOP_SECONDS = 15.0
HEAVY = ("mlp",)  # where a peer's own batching is worth its wait
_TOKEN = "BENCH_PEER"


class PeerFailed(Exception):
    """Not installed, not started, or a wrong answer; says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """One model, in every form that a server may take."""

    name: str
    onnx: Path
    mlflow: Path  # folder
    sklearn: Path | None  # joblib; None for a net


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    files: Files
    port: int
    folder: Path  # empty, for what the server wants to write
    python: Path  # of its environment


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    command: list[str]
    env: Mapping[str, str] = field(default_factory=dict)


Asked = Callable[[Sample, Wire], Request | None]


def v2_json(sample: Sample, wire: Wire) -> Request | None:
    return infer(sample, wire) if wire is Wire.JSON else None


def onnx_file(_: Files) -> str:
    return "ONNX"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    name: str
    environment: str  # peers may share one
    requires: tuple[str, ...]
    start: Callable[[Setup], Start]
    ready: Callable[[str], str]  # model name → path that answers 200 once it is loaded
    ask: Asked = v2_json  # None: does not speak it
    runs: Callable[[Files], str] = onnx_file  # which file, for the table
    python: str = sys.executable  # to make the environment with
    only: tuple[str, ...] = ()  # models that it is meant for; none: all


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server under measurement; `beside`: processes that work for it but do not answer."""

    name: str
    pid: int
    port: int
    ask: Asked
    beside: tuple[int, ...] = ()


def installed(
    environment: str, requires: tuple[str, ...], *, python: str = sys.executable, alone: bool = False
) -> Path:
    """Its interpreter; makes the environment when it is not there, or was made for other requirements."""
    folder = HOME / "envs" / environment
    interpreter, stamp = folder / "bin" / "python", folder / ".made-for"
    asked = "\n".join((python, *requires))
    if stamp.exists() and stamp.read_text() == asked:
        return interpreter
    folder.parent.mkdir(parents=True, exist_ok=True)
    _uv("venv", "--quiet", "--clear", "--python", python, str(folder))
    flags = ("--no-deps",) if alone else ()
    _uv("pip", "install", "--quiet", "--python", str(interpreter), *flags, *requires)
    stamp.write_text(asked)
    return interpreter


@contextmanager
def running(peer: Peer, files: Files, folder: Path) -> Iterator[Running]:
    """Started, and every process of it ended afterwards."""
    interpreter = installed(peer.environment, peer.requires, python=peer.python) if peer.requires else Path("/")
    folder.mkdir(parents=True, exist_ok=True)
    setup = Setup(files=files, port=free_port(), folder=folder, python=interpreter)
    start, token = peer.start(setup), uuid4().hex
    # Nothing of ours leaks in; one thread per call everywhere, as two would take turns on these cores.
    kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
    env = kept | {
        "PATH": f"{interpreter.parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "PYTHONUNBUFFERED": "1",
        _TOKEN: token,
        **start.env,
    }
    log = folder / "log.txt"
    with log.open("wb") as out:
        try:
            process = subprocess.Popen(
                start.command, env=env, cwd=folder, stdout=out, stderr=out, start_new_session=True
            )
        except OSError as error:
            raise PeerFailed(f"does not start: {error}") from error
    try:
        _await_ready(process, f"http://127.0.0.1:{setup.port}{peer.ready(files.name)}", log)
        yield Running(name=peer.name, pid=process.pid, port=setup.port, ask=peer.ask)
    finally:
        _stop(process, token)


def script(setup: Setup, name: str, *more: str) -> list[str]:
    """A program of apps/ in the peer's environment, with the arguments that all of them take."""
    given = ["--model", setup.files.name, "--file", str(setup.files.onnx), "--port", str(setup.port)]
    return [str(setup.python), str(APPS / name), *given, *more]


def _uv(*arguments: str) -> None:
    done = subprocess.run([str(UV), *arguments], capture_output=True, text=True)
    if done.returncode:
        raise PeerFailed(f"not installed: {_last_words(done.stderr)}")


def _await_ready(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise PeerFailed(
                f"ended at start with {process.returncode}: {_last_words(log.read_text(errors='replace'))}"
            )
        try:
            with urllib.request.urlopen(url, timeout=2) as reply:
                if reply.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise PeerFailed(f"not ready within {READY_SECONDS:g} s: {_last_words(log.read_text(errors='replace'))}")


def _last_words(text: str) -> str:
    """The last line that names an error, else the last."""
    lines = [line.strip() for line in text.splitlines() if line.strip()] or ["it said nothing"]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1])[:200]


def _stop(process: subprocess.Popen[bytes], token: str) -> None:
    """Its own way first, for it may have processes that only it knows how to end; then whoever is left."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
    left = _started(process.pid, token)
    for each in left:
        with suppress(psutil.NoSuchProcess):
            each.kill()
    psutil.wait_procs(left, timeout=STOP_SECONDS)
    process.wait()


def _started(pid: int, token: str) -> list[psutil.Process]:
    """Of one start: below its process, or carrying its token where it moved itself out of the tree."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == pid or process.environ().get(_TOKEN) == token:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found
