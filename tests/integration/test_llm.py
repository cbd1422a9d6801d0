"""The local LLM as an upstream: what a gateway and an application need of it, asked over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bench.running import free_port
from headrace.programs.definition import read_program, signature_of
from headrace.programs.package import Packed, write_package
from headrace.serving.lm import Aliases
from headrace.serving.runtimes.base import Inputs, Surroundings
from headrace.serving.runtimes.program import ProgramRuntime
from headrace.types.model import Package, RuntimeKind
from tests.llm import Llm, start_llm

pytestmark = pytest.mark.process

QUESTION = [{"role": "user", "content": "Name a colour."}]


def ask(llm: Llm, **more: Any) -> httpx.Response:
    body = {"model": llm.model, "messages": QUESTION, "max_tokens": 12, "temperature": 0, "seed": 1} | more
    return httpx.post(f"{llm.url}/chat/completions", json=body, timeout=120)


def test_answers_and_counts_tokens(llm: Llm) -> None:
    answer = ask(llm).raise_for_status().json()
    assert answer["choices"][0]["message"]["content"].strip()
    usage = answer["usage"]
    assert 0 < usage["completion_tokens"] <= 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_streams_the_same_words_with_usage_at_the_end(llm: Llm) -> None:
    whole = ask(llm, cache_prompt=False).json()["choices"][0]["message"]["content"]
    lines = ask(llm, cache_prompt=False, stream=True, stream_options={"include_usage": True}).text.splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    assert data[-1] == "[DONE]"
    events = [json.loads(piece) for piece in data[:-1]]
    words = "".join(choice["delta"].get("content") or "" for event in events for choice in event["choices"])
    assert words == whole
    assert sum(bool(event["choices"]) for event in events) > 2, "it came in pieces"
    assert events[-1]["usage"]["completion_tokens"] > 0


async def test_a_program_streams_its_words(llm: Llm, tmp_path: Path) -> None:
    """In its model host, as it is served: real tokens, JSON by a schema, the text of one field as it is written."""
    (tmp_path / "lms.yaml").write_text(json.dumps({"small": {"url": llm.url, "model": llm.model}}))
    program = read_program(
        {
            "name": "colours",
            "lm": "small",
            "writing": "brief",
            "instructions": "Answer in a sentence.",
            "inputs": [{"name": "question"}],
            "outputs": [{"name": "answer", "choices": ["the sky is blue on most days", "grass is green all summer"]}],
            "max_tokens": 60,
        }
    )
    write_package(Packed(program=program), tmp_path / "package")
    package = Package(
        id="p" * 64,
        model="colours",
        version=1,
        source_sha256="",
        runtime=RuntimeKind.PROGRAM,
        signature=signature_of(program),
        files=(),
    )
    around = Surroundings(run=tmp_path, logs=tmp_path, report=lambda *_: None, aliases=Aliases(tmp_path / "lms.yaml"))
    model = await ProgramRuntime(around).load(tmp_path / "package", package)
    try:
        question, pieces = np.array(["Name a colour."], dtype=object), list[str]()
        inputs = Inputs(1, {"question": question}, deadline=asyncio.get_running_loop().time() + 100)
        inputs.hear = pieces.append
        (answer,) = await model.run(inputs)  # type: ignore[misc]
    finally:
        await model.close()
    assert "".join(pieces) == answer[0]
    assert len(pieces) > 2, "it came in pieces"
    (step,) = inputs.steps
    assert step.output_tokens > 2


def test_keeps_to_a_json_schema(llm: Llm) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"type": "string", "enum": ["red", "green"]}, "sure": {"type": "boolean"}},
        "required": ["colour", "sure"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "colour", "schema": schema, "strict": True}}
    answer = ask(llm, max_tokens=60, response_format=form).raise_for_status().json()
    said = json.loads(answer["choices"][0]["message"]["content"])
    assert set(said) == {"colour", "sure"}
    assert said["colour"] in ("red", "green")
    assert isinstance(said["sure"], bool)


def test_lists_one_model_and_shows_no_prompts_and_no_pages(llm: Llm) -> None:
    models = httpx.get(f"{llm.url}/models", headers={"origin": "http://elsewhere.example"})
    assert [model["id"] for model in models.json()["data"]] == [llm.model]
    assert models.headers.get("access-control-allow-origin", "") == ""
    root = llm.url.removesuffix("/v1")
    assert httpx.get(f"{root}/slots").status_code == 501
    assert httpx.get(f"{root}/").status_code == 404
    assert "llamacpp:prompt_tokens_total" in httpx.get(f"{root}/metrics").text


def test_says_what_is_wrong_with_weights_and_ports(tmp_path: Path, llm: Llm) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF but no more")
    for settings, words in (
        ({"HEADRACE_LLM_MODEL": str(tmp_path / "none.gguf")}, "there is no such file"),
        ({"HEADRACE_LLM_MODEL": str(broken)}, "the local LLM did not start"),
        ({"HEADRACE_LLM_PORT": llm.url.rsplit(":", 1)[1].removesuffix("/v1")}, "the local LLM did not start"),
    ):
        env = os.environ | {"HEADRACE_HOME": str(tmp_path), "HEADRACE_LLM_PORT": str(free_port())} | settings
        done = subprocess.run(
            [sys.executable, "-m", "headrace.app.llm"], env=env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1
        assert words in done.stderr.splitlines()[-1]


def test_ends_when_told(tmp_path: Path) -> None:
    process = start_llm(tmp_path, free_port())
    process.send_signal(signal.SIGTERM)  # also while it is still loading
    assert process.wait(30) in (0, -signal.SIGTERM)
