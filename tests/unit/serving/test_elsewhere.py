"""Services elsewhere that answer wrongly, late or not at all: never the caller's fault, never taken for an answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from plane_samples import NUMBERS_TABLE, ROWS_OF_3, TABLE
from scripted import Request, scripted

from headrace.serving.answer import Check
from headrace.serving.runtimes.base import Inputs
from headrace.serving.runtimes.legacy import LegacyModel
from headrace.serving.runtimes.remote import RemoteModel
from headrace.serving.runtimes.upstream import UpstreamModel, secret_of
from headrace.types.errors import ModelFailed, ModelRefused, TimedOut, UpstreamError
from headrace.types.upstream import Legacy, Remote, SecretHeader

Answer = tuple[int, dict[str, str], bytes]
ONE = Inputs(1, {"input": np.array([[1.0, 2.0, 3.0]])})
TWO = Inputs(2, {name: np.array([1.0, 2.0]) for name in "abc"})
LABEL = {"name": "label", "datatype": "INT64", "shape": [1], "data": [1]}
SCORES = {"name": "scores", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 3.0]}


@asynccontextmanager
async def serving(
    answer: Answer, make: Callable[[str], UpstreamModel]
) -> AsyncIterator[tuple[UpstreamModel, list[Request]]]:
    """The model, and the requests that came."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status, headers, body = answer
        lines = "".join(f"{n}: {v}\r\n" for n, v in {"content-length": str(len(body)), **headers}.items())
        writer.write(f"HTTP/1.1 {status} Any\r\n{lines}\r\n".encode() + body)
        await writer.drain()

    async with scripted(script) as (port, came):
        model = make(f"http://127.0.0.1:{port}")
        try:
            yield model, came
        finally:
            await model.close()


def remote(url: str) -> UpstreamModel:
    return RemoteModel(Remote(url=url, model="m", binary=False), ROWS_OF_3)


def v2(*outputs: Any) -> Answer:
    return 200, {}, json.dumps({"outputs": outputs}).encode()


async def test_a_right_answer_is_taken_whatever_the_order() -> None:
    async with serving(v2(SCORES, LABEL, LABEL | {"name": "more"}), remote) as (model, came):
        label, scores = await model.run(ONE)
        assert (label.tolist(), scores.tolist()) == ([1], [[1.0, 3.0]])
        assert json.loads(came[0][1])["inputs"][0]["data"] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, {}, b"<html>welcome</html>"), "malformed"),
        ((200, {}, b""), "not asked for"),
        ((200, {}, b"{}"), "missing required field `outputs`"),
        (v2(LABEL), "output 'scores' is missing; there are: label"),
        (v2(LABEL | {"datatype": "INT99"}, SCORES), "'label' is INT99"),
        (v2(LABEL | {"shape": [-1]}, SCORES), "of shape \\[-1\\]"),
        (v2(LABEL | {"shape": [1 << 40]}, SCORES), "of shape"),
        (v2(LABEL | {"shape": [2]}, SCORES), "data has 1 values"),
        (v2(LABEL | {"data": ["1"]}, SCORES), "Expected 'int'"),
        (v2({k: v for k, v in LABEL.items() if k != "data"}, SCORES), "has no data"),
        (v2(LABEL | {"data": [1.5]}, SCORES), "Expected 'int'"),
        ((200, {"inference-header-content-length": "99999"}, b"{}"), "inference-header-content-length is '99999'"),
        ((200, {"inference-header-content-length": "2"}, b"{}junk"), "missing required field"),
        ((200, {}, b'{"outputs": [{"name": "label", "datatype": "INT64", "shape": [1], "data": [NaN]}]}'), "malformed"),
        ((302, {"location": "http://169.254.169.254/"}, b""), "status 302"),
        ((401, {}, b'{"error": "who are you"}'), "status 401: .*who are you"),
        ((400, {}, b'{"error": "bad shape"}'), "status 400: .*bad shape"),
        ((500, {}, b"\xff\xfe oops"), "status 500"),
    ],
)
async def test_an_answer_that_is_none_is_the_services_fault(answer: Answer, told: str) -> None:
    async with serving(answer, remote) as (model, came):
        with pytest.raises(UpstreamError, match=told):
            await model.run(ONE)
        assert len(came) == 1  # asked once


@pytest.mark.parametrize(
    "changed",
    [
        {"parameters": {"binary_data_size": 7}},
        {"parameters": {"binary_data_size": -1}},
        {"parameters": {"binary_data_size": "8"}},
    ],
)
async def test_bytes_that_are_not_what_their_head_says(changed: dict[str, Any]) -> None:
    label = {k: v for k, v in LABEL.items() if k != "data"} | changed
    head = json.dumps({"outputs": [label, SCORES]}).encode()
    answer = (200, {"inference-header-content-length": str(len(head))}, head + bytes(7))
    async with serving(answer, remote) as (model, _):
        with pytest.raises(UpstreamError, match="not asked for"):
            await model.run(ONE)


async def test_what_is_outside_the_signature_is_found_by_the_same_check_as_of_any_model() -> None:
    async with serving(v2(LABEL | {"shape": [3], "data": [1, 2, 3]}, SCORES), remote) as (model, _):
        outputs = await model.run(ONE)
        with pytest.raises(ModelFailed, match="'label' has shape"):
            Check(ROWS_OF_3)(outputs, 1)


@pytest.mark.parametrize(("said", "seconds"), [("7", 7.0), ("soon", 1.0), ("", 1.0)])
async def test_a_busy_service_says_when_to_come_back(said: str, seconds: float) -> None:
    async with serving((503, {"retry-after": said}, b"full"), remote) as (model, _):
        with pytest.raises(UpstreamError, match="status 503: full") as busy:
            await model.run(ONE)
        assert busy.value.retry_after == seconds


async def test_nobody_waits_longer_than_the_caller_does() -> None:
    async with serving(v2(LABEL, SCORES), remote) as (model, came):
        late = Inputs(1, ONE.arrays, deadline=asyncio.get_running_loop().time() - 1)
        with pytest.raises(TimedOut):
            await model.run(late)
        assert not came


def legacy(**more: Any) -> Callable[[str], UpstreamModel]:
    described: dict[str, Any] = {
        "request": {"items": "$rows", "tenant": "$$acme"},
        "response": {"label": "out[].label", "scores": "out[].scores"},
        "inputs": NUMBERS_TABLE.inputs,
        "outputs": NUMBERS_TABLE.outputs,
    }
    return lambda url: LegacyModel(Legacy(url=f"{url}/score?key=k1", **described | more), NUMBERS_TABLE)


def out(*entries: Any) -> Answer:
    return 200, {}, json.dumps({"out": entries}).encode()


GOOD = {"label": 1, "scores": [0.5, 2]}


async def test_a_json_service_is_asked_in_its_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "s3cret")
    secret = SecretHeader(env="UPSTREAM_KEY", header="x-api-key", scheme="")
    make = legacy(headers={"X-Tenant": "acme"}, secret=secret)
    async with serving(out(GOOD, GOOD), make) as (model, came):
        label, scores = await model.run(TWO)
        assert label.tolist() == [1, 1]
        assert scores.dtype == np.float32
        head, body = came[0]
        assert json.loads(body) == {"items": [dict.fromkeys("abc", v) for v in (1.0, 2.0)], "tenant": "$acme"}
        assert head.startswith("POST /score?key=k1 ")
        assert "x-api-key: s3cret\r\n" in head
        assert "x-tenant: acme\r\n" in head


async def test_row_by_row_each_row_is_a_request() -> None:
    make = legacy(request={"x": "$row.a"}, response={"label": "label", "scores": "scores"}, each=True)
    async with serving((200, {}, json.dumps(GOOD).encode()), make) as (model, came):
        label, _ = await model.run(TWO)
        assert label.tolist() == [1, 1]
        assert sorted(json.loads(body)["x"] for _, body in came) == [1.0, 2.0]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((200, {}, b"OK"), "it is not JSON"),
        ((200, {}, b"[" * 100_000), "it is not JSON"),
        ((200, {}, b"{}"), "the answer is an object without 'out'"),
        ((200, {}, b'{"out": 3}'), "out is a number, not a list"),
        (out(GOOD, {"label": 1}), "without 'scores'"),
        (out({"label": "1", "scores": [1, 2]}), "output 'label': Expected `int`, got `str`"),
        (out({"label": 1.5, "scores": [1, 2]}), "output 'label': Expected `int`, got `float`"),
        (out({"label": True, "scores": [1, 2]}), "output 'label': Expected `int`, got `bool`"),
        (out({"label": None, "scores": [1, 2]}), "output 'label': Expected `int`, got `null`"),
        (out({"label": 1, "scores": [1, 2]}, {"label": 1, "scores": [1]}), "output 'scores'"),
        (out({"label": 1, "scores": [1e300, 2]}), "does not fit float32"),
        ((404, {}, b"not here"), "status 404: not here"),
    ],
)
async def test_a_json_answer_that_is_none_is_the_services_fault(answer: Answer, told: str) -> None:
    async with serving(answer, legacy()) as (model, came):
        with pytest.raises(UpstreamError, match=told) as found:
            await model.run(TWO)
        assert "k1" not in str(found.value)  # what its address carries is not told
        assert len(came) == 1


async def test_an_answer_for_another_number_of_rows_is_the_models_failure() -> None:
    async with serving(out(GOOD), legacy()) as (model, _):
        with pytest.raises(ModelFailed, match="for 2 rows"):
            Check(NUMBERS_TABLE)(await model.run(TWO), 2)


async def test_texts_go_both_ways() -> None:
    row = Inputs(1, {"width": np.array([1.0]), "count": np.array([2]), "colour": np.array(["rot"], dtype=object)})
    what = Legacy(url="http://x", request="$rows", response={"label": "[]"}, inputs=(), outputs=())
    make: Callable[[str], UpstreamModel] = lambda url: LegacyModel(  # noqa: E731
        Legacy(url=url, request=what.request, response=what.response, inputs=(), outputs=()), TABLE
    )
    async with serving((200, {}, b"[4]"), make) as (model, came):
        assert (await model.run(row))[0].tolist() == [4]
        assert json.loads(came[0][1]) == [{"width": 1.0, "count": 2, "colour": "rot"}]


def test_a_secret_of_two_lines_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", "a\r\nx: y")
    with pytest.raises(ModelRefused, match="is not one line") as refused:
        secret_of(SecretHeader(env="UPSTREAM_KEY"))
    assert "x: y" not in str(refused.value)


async def test_what_travels_with_a_call_is_sent_and_nothing_else() -> None:
    travels = {"x-headrace-colour": "toy=v2", "baggage": "a=b,headrace-colour=toy%3Dv2"}
    one = Inputs(1, ONE.arrays, travels=travels)
    async with serving(v2(LABEL, SCORES), remote) as (model, came):
        await model.run(one)
        await model.run(ONE)
    (first, _), (second, _) = came
    assert "x-headrace-colour: toy=v2\r\n" in first
    assert "baggage: a=b,headrace-colour=toy%3Dv2\r\n" in first
    assert "x-headrace-colour" not in second
    assert "baggage" not in second
