"""A whole Headrace for one measurement or test: own folder, own ports, real processes; ended when the block ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

ROOT = Path(__file__).parents[1]
HEADRACE = str(Path(sys.executable).with_name("headrace"))

T = TypeVar("T")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], T | None], *, seconds: float, what: str) -> T:
    """The first value of `condition` that is not None or False; an AssertionError that says `what` when time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {seconds} s")


class Platform:
    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        self.port, self.control_port = free_port(), free_port()
        self.grpc_port = free_port()
        ports = {"port": self.port, "control_port": self.control_port, "grpc_port": self.grpc_port}
        self.settings = {"home": home, **ports} | settings
        self.env = os.environ | {f"HEADRACE_{k.upper()}": str(v) for k, v in self.settings.items()}
        self.data = f"http://127.0.0.1:{self.port}"
        self.control = f"http://127.0.0.1:{self.control_port}"
        self.http = httpx.Client(timeout=120)
        self.process: subprocess.Popen[bytes] | None = None
        self.ready_seconds = 0.0

    def __enter__(self) -> Platform:
        try:
            self.up()
        except BaseException:  # nobody else would end what has begun
            self.down()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()
        self.http.close()

    def up(self) -> None:
        start = time.monotonic()
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "up.log").open("ab") as log:
            self.process = subprocess.Popen([HEADRACE, "up"], env=self.env, stdout=log, stderr=log, cwd=self.home)
        wait_for(self._ready, seconds=240, what=f"headrace up (see {self.home}/up.log)")
        self.ready_seconds = time.monotonic() - start

    def _ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "up.log").read_text()
        return self.alive(f"{self.data}/health/live") and self.alive(f"{self.control}/mlflow/health")

    def alive(self, url: str) -> bool:
        try:
            return self.http.get(url, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    def down(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def pid(self, name: str) -> int:
        """Of a child: data, control or mlflow."""
        state = json.loads(subprocess.check_output([HEADRACE, "status", "--json"], env=self.env))
        return next(int(p["pid"]) for p in state["processes"] if p["name"] == name)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """`headrace ARGUMENTS` against this platform."""
        done = subprocess.run([HEADRACE, *arguments], env=self.env, capture_output=True, text=True, cwd=self.home)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def train(self, *names: str) -> None:
        """Register models of `bench.models` with the stock MLflow client, in a process of its own. Takes its options
        too."""
        env = self.env | {"MLFLOW_TRACKING_URI": f"{self.control}/mlflow", "MLFLOW_DISABLE_TELEMETRY": "true"}
        done = subprocess.run(
            [sys.executable, "-m", "bench.models", *names], env=env, capture_output=True, text=True, cwd=ROOT
        )
        assert done.returncode == 0, done.stderr

    def predict(self, model: str, inputs: Any, **headers: str) -> httpx.Response:
        return self.http.post(f"{self.data}/predict", json={"model": model, "inputs": inputs}, headers=headers)
