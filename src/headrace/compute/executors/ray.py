"""A task on a Ray cluster: its folder travels there as an archive, what it made travels back.

Options: `address` (RAY_ADDRESS when empty; a local cluster when that is empty too) and `packages`, which Ray installs
for the task with pip. The lines of the program come when it has ended: Ray has its own log viewer meanwhile. A task
dies with the process that asked for it, and begins anew with the next.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any

from headrace.compute.executors.base import OUT, OnLine, Stopped, Task, tail_of
from headrace.types.errors import BadInput, ModelFailed, Unavailable, UpstreamError

LOOK_SECONDS = 1.0


class RayExecutor:
    def __init__(self, *, address: str = "", packages: Sequence[str] = ()) -> None:
        self._address, self._packages = address or os.environ.get("RAY_ADDRESS", ""), tuple(packages)

    def run(self, task: Task, *, on_line: OnLine, stop: Event) -> None:
        ray = _ray()
        self._join(ray)
        runtime = {"pip": list(self._packages)} if self._packages else {}
        remote = ray.remote(
            num_cpus=task.cpus,
            num_gpus=task.gpus,
            memory=task.memory_mb << 20,
            max_retries=0,
            runtime_env=runtime or None,
        )(run_packed)
        waiting = remote.remote(pack(task.folder), task.argv, dict(task.env), task.timeout_seconds)
        end = time.monotonic() + task.timeout_seconds
        while not ray.wait([waiting], timeout=LOOK_SECONDS)[0]:
            if stop.is_set() or time.monotonic() > end:
                ray.cancel(waiting, force=True)
                if stop.is_set():
                    raise Stopped
                raise ModelFailed(f"{' '.join(task.argv)!r} took longer than {task.timeout_seconds:g} s on Ray")
        try:
            code, said, made = ray.get(waiting)
        except ray.exceptions.RayError as error:
            raise UpstreamError(f"Ray lost the task: {error}") from error
        for line in said.splitlines():
            on_line(line)
        if code:
            raise ModelFailed(f"{' '.join(task.argv)!r} ended with status {code} on Ray" + tail_of(said))
        unpack(made, task.folder)

    def forget(self, task: Task) -> None:
        """Ray ends what belongs to a driver that is gone."""

    def _join(self, ray: Any) -> None:
        if ray.is_initialized():
            return
        try:
            ray.init(address=self._address or None, log_to_driver=False, include_dashboard=False)
        except Exception as error:  # what Ray raises of a node that does not start is no more than that
            raise UpstreamError(f"Ray at {self._address or 'this machine'!r} does not answer: {error}") from error


def run_packed(archive: bytes, argv: Sequence[str], env: dict[str, str], timeout: float) -> tuple[int, str, bytes]:
    """On the cluster: status, output, and the archive of what it made."""
    with tempfile.TemporaryDirectory(prefix="headrace-task-") as name:
        folder = Path(name)
        unpack(archive, folder)
        (folder / OUT).mkdir(exist_ok=True)
        program = [sys.executable, *argv[1:]] if argv[0] == "python" else list(argv)
        try:
            done = subprocess.run(
                program,
                cwd=folder,
                env=os.environ | env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return 124, f"it took longer than {timeout:g} s", b""
        return done.returncode, done.stdout.decode(errors="replace"), pack(folder, only=OUT)


def pack(folder: Path, *, only: str = "") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        archive.add(folder / only, arcname=only or ".")
    return buffer.getvalue()


def unpack(data: bytes, folder: Path) -> None:
    """Nothing leads out of `folder`: tarfile's filter `data` refuses it."""
    if data:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
            archive.extractall(folder, filter="data")


def _ray() -> Any:
    try:
        import ray  # noqa: PLC0415 - an extra, and heavy
    except ModuleNotFoundError as error:
        raise Unavailable("the executor 'ray' needs Ray: pip install 'headrace[ray]'") from error
    return ray


def make(options: dict[str, Any]) -> RayExecutor:
    try:
        return RayExecutor(**options)
    except TypeError as error:
        raise BadInput(f"options of the executor ray: {error}; allowed: address, packages", field="options") from error
