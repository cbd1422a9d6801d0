"""A real LLM for tests: SmolLM2-135M on llama.cpp, one thread, started once in a session that asks for it.

`llm.url` is an OpenAI-compatible base URL, `llm.model` the model's name. Real tokens, streams, usage and JSON schemas.
Assert on forms and counts: never on how fast it is, nor on what it knows. Tools it accepts and never calls.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bench.running import free_port, wait_for
from headrace.gateway.local import MODEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Llm:
    url: str  # http://127.0.0.1:PORT/v1
    model: str
    pid: int


@pytest.fixture(scope="session")
def llm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llm]:
    port, folder = free_port(), tmp_path_factory.mktemp("llm")
    process = start_llm(folder, port)
    try:
        wait_for(lambda: _answers(process, folder, port), seconds=60, what="the local LLM")
        yield Llm(url=f"http://127.0.0.1:{port}/v1", model=MODEL, pid=process.pid)
    finally:
        process.terminate()
        process.wait(20)


def start_llm(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Its log is FOLDER/llm.log."""
    settings = {"HOME": folder, "LLM_PORT": port, "LLM_THREADS": 1, "LLM_CONTEXT": 4096, "LLM_SLOTS": 2}
    env = os.environ | {f"HEADRACE_{name}": str(value) for name, value in settings.items()}
    with (folder / "llm.log").open("ab") as log:
        return subprocess.Popen([sys.executable, "-m", "headrace.app.llm"], env=env, stdout=log, stderr=log, cwd=folder)


def _answers(process: subprocess.Popen[bytes], folder: Path, port: int) -> bool:
    assert process.poll() is None, (folder / "llm.log").read_text()
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
