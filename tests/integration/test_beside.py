"""`headrace llm` as people use it: started in the background, asked how it is, killed, stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from bench.running import HEADRACE, free_port, wait_for

pytestmark = pytest.mark.process


class Shell:
    def __init__(self, home: Path) -> None:
        self.env = os.environ | {"HEADRACE_HOME": str(home), "HEADRACE_LLM_CONTEXT": "2048"}

    def run(self, *arguments: str, status: int = 0) -> str:
        done = subprocess.run([HEADRACE, "llm", *arguments], env=self.env, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        return json.loads(self.run("status", "--json"))


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path / "home")
    yield shell
    shell.run("stop")


def test_llm_runs_comes_back_and_stops(shell: Shell) -> None:
    assert "does not run" in shell.run("status", status=3)
    port = free_port()
    made = json.loads(shell.run("start", "--detach", "--port", str(port), "--json"))
    assert made["url"] == f"http://127.0.0.1:{port}/v1"
    assert "already runs" in shell.run("start", status=1)

    asked = {"model": "smollm2", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
    httpx.post(f"{made['url']}/chat/completions", json=asked, timeout=60).raise_for_status()
    first = shell.status()
    assert first["ready"]
    assert first["tokens"]["answer"] == 3

    os.kill(first["pid"], signal.SIGKILL)
    again = wait_for(lambda: (s := shell.status())["ready"] and s, seconds=60, what="the next start")
    assert again["pid"] != first["pid"]
    assert again["restarts"] == 1
    assert again["url"] == made["url"]

    assert "stopped" in shell.run("stop")
    assert not psutil.pid_exists(again["pid"])
    assert "does not run" in shell.run("stop")


def test_says_who_holds_the_port_and_where_weights_come_from(shell: Shell, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = shell.run("start", "--port", str(taken.getsockname()[1]), status=1)
    assert "is taken by" in said
    shell.env["HEADRACE_LLM_MODEL"] = str(tmp_path / "none.gguf")
    assert "there is no such file" in shell.run("start", status=1)
