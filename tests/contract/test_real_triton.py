"""The same requests to us and to a real Triton: the same statuses and the same JSON, but for what DIFFERENT names.

`make conformance` runs it: it needs an environment of its own with nvidia-pytriton, whose Python is named by
HEADRACE_TRITON_PYTHON.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bench.running import free_port, wait_for
from tests.contract.conftest import V2Plane

PYTHON = os.environ.get("HEADRACE_TRITON_PYTHON", "")
pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(not PYTHON, reason="make conformance: needs an environment with nvidia-pytriton"),
]
LENGTH = "inference-header-content-length"
ROW = np.arange(16, dtype="<i4")


@dataclass(frozen=True)
class Case:
    name: str
    path: str
    body: bytes | None = None  # None: a GET
    length: str | None = None


def pair(left: Any = None, **more: Any) -> dict[str, Any]:
    one = {"shape": [1, 16], "datatype": "INT32", "data": ROW.tolist()}
    return {"inputs": [{"name": "INPUT0", **one, **(left or {})}, {"name": "INPUT1", **one}], **more}


def infer(name: str, content: Any, model: str = "simple", version: str = "") -> Case:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Case(name, f"/v2/models/{model}{version}/infer", body)


def binary(name: str, request: dict[str, Any], blob: bytes, model: str = "simple", shift: int = 0) -> Case:
    text = json.dumps(request).encode()
    return Case(name, f"/v2/models/{model}/infer", text + blob, str(len(text) + shift))


def sized(name: str, size: Any, shape: list[int], datatype: str) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}}


BOTH = {"inputs": [sized(n, 64, [1, 16], "INT32") for n in ("INPUT0", "INPUT1")]}
BYTES_OUT = {"parameters": {"binary_data_output": True}}
TEXTS = b"\x01\0\0\0a\x02\0\0\0bc"
FP16 = {"inputs": [sized("INPUT0", 6, [1, 3], "FP16")]}
SCORES = {"name": "INPUT0", "shape": [1, 3], "datatype": "FP32", "data": [0.25, 0.5, 0.125]}
WRONG_TYPE, WRONG_SHAPE = {"datatype": "FP32"}, {"shape": [1, 15]}
CASES = (
    Case("live", "/v2/health/live"),
    Case("ready", "/v2/health/ready"),
    Case("model ready", "/v2/models/simple/ready"),
    Case("version ready", "/v2/models/simple/versions/1/ready"),
    Case("model metadata", "/v2/models/simple"),
    Case("version metadata", "/v2/models/simple/versions/1"),
    Case("metadata of an unknown model", "/v2/models/odd"),
    Case("metadata of an unknown version", "/v2/models/simple/versions/9"),
    Case("an unknown path", "/v2/odd"),
    Case("configuration", "/v2/models/simple/config"),
    Case("statistics", "/v2/models/simple/versions/1/stats"),
    infer("json", pair()),
    infer("a version", pair(), version="/versions/1"),
    infer("id", pair(id="my id")),
    infer("nested data", pair({"data": [ROW.tolist()]})),
    infer("one output", pair(outputs=[{"name": "OUTPUT1"}])),
    infer("outputs in another order", pair(outputs=[{"name": "OUTPUT1"}, {"name": "OUTPUT0"}])),
    infer("parameters", pair(parameters={"priority": 0, "mine": "x"})),
    infer("several rows", {"inputs": [{**t, "shape": [2, 16], "data": ROW.tolist() * 2} for t in pair()["inputs"]]}),
    infer(
        "text",
        {"inputs": [{"name": "INPUT0", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "é"]}]},
        "identity_bytes",
    ),
    infer("floats", {"inputs": [SCORES]}, "identity_fp32"),
    infer(
        "classification",
        {"inputs": [SCORES], "outputs": [{"name": "OUTPUT0", "parameters": {"classification": 2}}]},
        "identity_fp32",
    ),
    infer("binary out of json", pair(parameters={"binary_data_output": True})),
    infer(
        "one of two outputs binary",
        pair(outputs=[{"name": "OUTPUT0", "parameters": {"binary_data": True}}, {"name": "OUTPUT1"}]),
    ),
    binary("binary", BOTH, ROW.tobytes() * 2),
    binary("binary both ways", BOTH | BYTES_OUT, ROW.tobytes() * 2),
    binary("json and binary", {"inputs": [BOTH["inputs"][0], pair()["inputs"][1]]}, ROW.tobytes()),
    binary("fp16", FP16 | BYTES_OUT, np.array([1, 2, 3], "<f2").tobytes(), "identity_fp16"),
    binary("texts", {"inputs": [sized("INPUT0", len(TEXTS), [1, 2], "BYTES")]} | BYTES_OUT, TEXTS, "identity_bytes"),
    Case("raw", "/v2/models/identity_fp32/infer", np.arange(3, dtype="<f4").tobytes(), "0"),
    Case("raw for a model with two inputs", "/v2/models/simple/infer", ROW.tobytes(), "0"),
    infer("no json", b"{"),
    infer("an empty body", b""),
    infer("no inputs", {"id": "x"}),
    infer("an unknown model", pair(), "odd"),
    infer("an unknown version", pair(), version="/versions/9"),
    infer("an unknown output", pair(outputs=[{"name": "ODD"}])),
    infer("an unknown datatype", pair({"datatype": "ODD"})),
    infer("another datatype", pair(WRONG_TYPE)),
    infer("another shape", pair(WRONG_SHAPE)),
    infer("a negative dimension", pair({"shape": [-1, 16]})),
    infer("too few values", pair({"data": [1, 2, 3]})),
    infer("too many values", pair({"data": [*ROW.tolist(), 1]})),
    infer("a missing input", {"inputs": pair()["inputs"][:1]}),
    infer("an input twice", {"inputs": [*pair()["inputs"], pair()["inputs"][0]]}),
    infer("a value that is no number", pair({"data": [None, *ROW.tolist()[1:]]})),
    infer(
        "more rows than a batch may have",
        {"inputs": [{**t, "shape": [65, 16], "data": ROW.tolist() * 65} for t in pair()["inputs"]]},
    ),
    infer(
        "fp16 in json",
        {"inputs": [{"name": "INPUT0", "shape": [1, 1], "datatype": "FP16", "data": [1.0]}]},
        "identity_fp16",
    ),
    binary("fewer bytes than are told", BOTH, ROW.tobytes()),
    binary("more bytes than are told", BOTH, ROW.tobytes() * 3),
    binary(
        "bytes that do not fill the shape",
        {"inputs": [sized("INPUT0", 60, [1, 16], "INT32"), BOTH["inputs"][1]]},
        ROW.tobytes()[:60] + ROW.tobytes(),
    ),
    binary("a length that is too long", BOTH, ROW.tobytes() * 2, shift=10_000),
    binary(
        "texts that do not fill their bytes",
        {"inputs": [sized("INPUT0", 10, [1, 2], "BYTES")]},
        TEXTS[:10],
        "identity_bytes",
    ),
)
# What differs, and why. A case that is not here must be the same; one that is here must differ.
EMPTY = "the specification has a body with `live` or `ready`; Triton sends none"
BLAME = "Triton calls what cannot be parsed an error of its own, 500; to us it is the caller's, 400"
DIFFERENT = {
    "live": EMPTY,
    "ready": EMPTY,
    "model ready": EMPTY,
    "version ready": EMPTY,
    "outputs in another order": "we keep the order that was asked for; Triton gives the model's",
    "no json": BLAME,
    "no inputs": BLAME,
    "another shape": BLAME,
    "a negative dimension": BLAME,
    "too few values": BLAME,
    "too many values": BLAME,
    "a value that is no number": BLAME,
    "more rows than a batch may have": "here max_batch_size bounds what is run together, not what one caller may send",
    "fp16 in json": "we take and write it as numbers",
}
# What a model is run by is no part of the comparison.
KEPT = {
    "model metadata": ("name", "versions", "inputs", "outputs"),
    "version metadata": ("name", "versions", "inputs", "outputs"),
    "configuration": ("name", "max_batch_size"),
}


@pytest.fixture(scope="module")
def triton(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    ports = [free_port() for _ in range(3)]
    script = Path(__file__).with_name("real_triton") / "serve.py"
    home = tmp_path_factory.mktemp("triton")
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, str(script), *map(str, ports)], stdin=subprocess.PIPE, stdout=log, stderr=log, cwd=home
        )
        try:
            wait_for(lambda: b"\nready" in (home / "log").read_bytes(), seconds=90, what=f"Triton (see {home}/log)")
            yield f"http://127.0.0.1:{ports[0]}"
        finally:
            assert process.stdin
            process.stdin.close()
            process.wait(60)


def ask(url: str, case: Case) -> tuple[int, Any, bytes]:
    """Status, JSON, and the bytes behind it."""
    headers = {"triton-access-token": "conformance"} | ({LENGTH: case.length} if case.length is not None else {})
    if case.body is None:
        answer = httpx.get(url + case.path, headers=headers)
    else:
        answer = httpx.post(url + case.path, content=case.body, headers=headers)
    length = int(answer.headers.get(LENGTH, len(answer.content)))
    text = answer.content[:length]
    return answer.status_code, json.loads(text) if text else None, answer.content[length:]


def comparable(case: Case, found: tuple[int, Any, bytes]) -> tuple[int, Any, bytes]:
    """Messages are in our own words: that there is one, and nothing beside it, is what both agree on."""
    status, content, blob = found
    if status >= 400:
        assert set(content) == {"error"}, content
        assert content["error"]
        return status, "error", blob
    if case.name in KEPT:
        content = {name: content[name] for name in KEPT[case.name]}
    return status, content, blob


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_answer(case: Case, v2: V2Plane, triton: str) -> None:
    ours, theirs = ask(v2.running.url, case), ask(triton, case)
    print(case.name, ours, theirs, sep="\n  ")  # noqa: T201 -- shown with -s, and when it fails
    if case.name in DIFFERENT:
        assert comparable(case, ours) != comparable(case, theirs), f"no longer different: {DIFFERENT[case.name]}"
    else:
        assert comparable(case, ours) == comparable(case, theirs)


def test_statistics_have_the_same_members(v2: V2Plane, triton: str) -> None:
    case, stats = infer("json", pair()), Case("statistics", "/v2/models/simple/stats")
    shapes = []
    for url in (v2.running.url, triton):
        ask(url, case)
        (row,) = ask(url, stats)[1]["model_stats"]
        assert row["inference_count"] >= row["execution_count"] > 0
        assert row["batch_stats"]
        shapes.append((set(row), set(row["inference_stats"]), set(row["batch_stats"][0]), row["response_stats"]))
    assert shapes[0] == shapes[1]
