"""What is sent and what came back: a row as each protocol writes it, complete HTTP requests, the values of a reply.

Called by the peers and the sections. Decides that everybody gets the same row: FP32 (or INT32) tensors named as in the
ONNX file, and one wanted output. Ignores who answers.
"""

from __future__ import annotations

import http.client
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

JSON_HEADERS = {"content-type": "application/json"}
HEAD = "inference-header-content-length"
MOST_BYTES = 4 << 20  # of prepared requests
_RAW = {"FP32": np.float32, "FP64": np.float64, "INT32": np.int32, "INT64": np.int64}


class Wire(StrEnum):
    JSON = "json"
    BINARY = "binary"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One row of a model and what the model says to it."""

    name: str  # of the model
    input: str
    output: str
    row: np.ndarray[Any, Any]  # [1, k]
    expected: tuple[float, ...]

    @property
    def datatype(self) -> str:
        return "INT32" if self.row.dtype.kind == "i" else "FP32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    path: str
    body: bytes
    headers: Mapping[str, str]

    def bytes_for(self, user: str) -> bytes:
        headers = {"host": "127.0.0.1", **self.headers, "content-length": str(len(self.body))}
        if user:
            headers["x-user-id"] = user
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"POST {self.path} HTTP/1.1\r\n{head}\r\n".encode() + self.body


def post_json(path: str, value: object) -> Request:
    return Request(path=path, body=json.dumps(value).encode(), headers=JSON_HEADERS)


def predict(sample: Sample) -> Request:
    return post_json("/predict", {"model": sample.name, "inputs": sample.row.tolist()})


def invocations(sample: Sample) -> Request:
    return post_json("/invocations", {"inputs": sample.row.tolist()})


def infer(sample: Sample, wire: Wire, *, path: str = "", output: str | None = None) -> Request:
    """V2; `output` when the server names it otherwise, "" to ask for all."""
    path = path or f"/v2/models/{sample.name}/infer"
    wanted = sample.output if output is None else output
    tensor: dict[str, Any] = {"name": sample.input, "shape": list(sample.row.shape), "datatype": sample.datatype}
    asked: dict[str, Any] = {"inputs": [tensor]} | ({"outputs": [{"name": wanted}]} if wanted else {})
    if wire is Wire.JSON:
        tensor["data"] = sample.row.ravel().tolist()
        return post_json(path, asked)
    raw = sample.row.astype(_RAW[sample.datatype]).tobytes()
    tensor["parameters"] = {"binary_data_size": len(raw)}
    asked["outputs"] = [{"name": wanted, "parameters": {"binary_data": True}}]
    head = json.dumps(asked).encode()
    return Request(
        path=path, body=head + raw, headers={"content-type": "application/octet-stream", HEAD: str(len(head))}
    )


def prepare(file: Path, requests: Iterable[Request], *, users: int = 1000) -> Path:
    """Complete requests for a load generator, users in turn: for each its length on a line, then its bytes."""
    kinds, size = list(requests), 0
    with file.open("wb") as out:
        for number in range(max(users, len(kinds))):
            sent = kinds[number % len(kinds)].bytes_for(f"user-{number % users}" if users else "")
            out.write(b"%d\n%b" % (len(sent), sent))
            size += len(sent)
            if size > MOST_BYTES and number >= len(kinds):
                break
    return file


def prepared(file: Path) -> Iterator[bytes]:
    data, at = file.read_bytes(), 0
    while at < len(data):
        end = data.index(b"\n", at)
        size = int(data[at:end])
        yield data[end + 1 : end + 1 + size]
        at = end + 1 + size


def ask(port: int, request: Request) -> tuple[int, list[float]]:
    """Send it once: status and the values answered. Raises OSError, or ValueError for an answer without values."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", request.path, request.body, dict(request.headers))
        reply = connection.getresponse()
        body, head = reply.read(), int(reply.headers.get(HEAD) or 0)
    except http.client.HTTPException as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()
    if reply.status != 200:
        raise ValueError(f"status {reply.status}: {body[:200]!r}")
    return reply.status, list(_numbers(body, head))


def agrees(values: list[float], sample: Sample) -> bool:
    return len(values) == len(sample.expected) and all(
        math.isclose(a, b, rel_tol=1e-3, abs_tol=1e-4) for a, b in zip(values, sample.expected, strict=True)
    )


def _numbers(body: bytes, head: int) -> Iterator[float]:
    told = json.loads(body[:head] if head else body)
    if isinstance(told, dict) and "outputs" in told:
        first = told["outputs"][0]
        if head and "data" not in first:
            size = first["parameters"]["binary_data_size"]
            yield from np.frombuffer(body[head : head + size], _RAW[first["datatype"]]).tolist()
            return
        told = first["data"]
    yield from _flat(
        told["result"] if "result" in told else told.get("predictions") if isinstance(told, dict) else told
    )


def _flat(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = next(iter(value.values()))
    if isinstance(value, list):
        for each in value:
            yield from _flat(each)
    else:
        yield float(value)
