"""POST /predict: the forms that the contract names, and every way to get it wrong."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from http_edge import LIMIT, Http
from plane_samples import TABLE, endpoint, package

from headrace.api.errors import STATUS, kind_of, status_of
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.traffic.keys import key_hash
from headrace.types import errors
from headrace.types.endpoint import Limits
from headrace.types.errors import BadInput, HeadraceError, ModelFailed, Overloaded, TimedOut
from headrace.types.traffic import Reason, TrafficPolicy

CHUNKED = {"transfer-encoding": "chunked", "content-length": None, "content-type": "application/json"}
ROW = [1, 2, 3]


async def test_the_answer_has_its_four_fields_and_two_headers() -> None:
    http = await Http().serve(endpoint(package(1)))
    answer = await http.predict([ROW, ROW])
    assert answer.status == 200
    body = answer.json()
    assert body == {"result": [0, 0], "trace_id": body["trace_id"], "model_version": 1, "latency_ms": 0.0}
    assert answer.headers["x-headrace-trace"] == body["trace_id"] == http.journal.calls()[0].trace_id
    assert answer.headers["x-headrace-variant"] == "v1"
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize(
    ("more", "version"),
    [
        ({}, 1),
        ({"stage": "Production"}, 1),
        ({"stage": "production"}, 1),
        ({"stage": "Staging"}, 2),
        ({"stage": "@champion"}, 2),
        ({"stage": "champion"}, 2),
        ({"version": 2}, 2),
        ({"version": "2"}, 2),
    ],
)
async def test_stage_and_version(more: dict[str, Any], version: int) -> None:
    selectors = {"1": "v1", "2": "v2", "Staging": "v2", "@champion": "v2"}
    http = await Http().serve(endpoint(package(1), package(2), selectors=selectors))
    assert (await http.predict([ROW], **more)).json()["model_version"] == version


async def test_the_user_comes_from_the_header_or_the_body() -> None:
    http = await Http().serve(endpoint(package(1)))
    await http.predict([ROW], headers={"x-user-id": "alice"}, user="bob")
    await http.predict([ROW], user="alice")
    await http.predict([ROW], user=42)
    await http.predict([ROW])
    by_header, by_body, number, nobody = http.journal.calls()
    assert by_header.unit == by_body.unit == http.recorder.hashed("alice")
    assert number.unit == http.recorder.hashed("42")
    assert (nobody.sticky, nobody.unit) == (False, nobody.trace_id)


async def test_the_callers_trace_context_is_kept() -> None:
    http = await Http().serve(endpoint(package(1)))
    await http.predict([ROW], headers={"traceparent": "00-aa-bb-01"})
    assert http.journal.calls()[0].parent == "00-aa-bb-01"


WRONG: list[tuple[Any, int, str, str | None]] = [
    # body, status, type, field
    (b"", 400, "bad_input", "body"),
    (b"  ", 400, "bad_input", "body"),
    (b'{"model": "toy", "inputs": [[1, 2', 400, "bad_input", "body"),
    (b'{"model": "toy", "inputs": [[1, NaN, 3]]}', 400, "bad_input", "inputs"),
    (b'{"model": "toy", "inputs": [[1, -Infinity, 3]]}', 400, "bad_input", "inputs"),
    (b'{"model": "\xff", "inputs": []}', 400, "bad_input", None),
    (b'{"model": "toy", "inputs": ' + b"[" * 9_000 + b"]" * 9_000 + b"}", 400, "bad_input", None),
    ([1, 2], 400, "bad_input", None),
    ({"inputs": [ROW]}, 400, "bad_input", "model"),
    ({"model": "toy"}, 400, "bad_input", "inputs"),
    ({"model": 5, "inputs": [ROW]}, 400, "bad_input", "model"),
    ({"model": "toy", "inputs": [ROW], "stages": "Staging"}, 400, "bad_input", "stages"),
    ({"model": "toy", "inputs": [ROW], "version": 1, "stage": "Staging"}, 400, "bad_input", "version"),
    ({"model": "toy", "inputs": [[1, None, 3]]}, 400, "bad_input", "inputs[0][1]"),
    ({"model": "toy", "inputs": [[1, "2", 3]]}, 400, "bad_input", "inputs[0][1]"),
    ({"model": "toy", "inputs": [[1, 2]]}, 400, "bad_input", "inputs"),
    ({"model": "toy", "inputs": []}, 400, "bad_input", "inputs"),
    ({"model": "toy", "inputs": [ROW] * 6}, 413, "too_large", "inputs"),
    ({"model": "other", "inputs": [ROW]}, 404, "not_found", "model"),
    ({"model": "toy", "inputs": [ROW], "version": 9}, 404, "not_found", "version"),
    ({"model": "toy", "inputs": [ROW], "stage": "Staging"}, 404, "not_found", "stage"),
    ({"model": "empty", "inputs": [ROW]}, 503, "unavailable", "model"),
    ({"model": "full", "inputs": [ROW]}, 503, "overloaded", None),
    ({"model": "table", "inputs": [{"width": 1.0, "count": 1}]}, 400, "bad_input", "inputs[0].colour"),
    (
        {"model": "table", "inputs": [{"width": 1.0, "count": 1, "colour": "x", "z": 1}]},
        400,
        "bad_input",
        "inputs[0].z",
    ),
]


@pytest.mark.parametrize(("body", "status", "kind", "field"), WRONG)
async def test_what_is_wrong_is_said_in_the_form_of_the_contract(
    body: Any, status: int, kind: str, field: str | None
) -> None:
    http = await Http().serve(
        endpoint(package(1), limits=Limits(max_rows=5)),
        endpoint(name="empty"),
        endpoint(package(2), name="full", limits=Limits(max_concurrency=0)),
        endpoint(package(3, model="table", signature=TABLE), name="table"),
    )
    answer = await http.call("POST", "/predict", body)
    error = answer.json()["error"]
    assert (answer.status, error["type"], error["field"]) == (status, kind, field)
    assert set(error) == {"type", "message", "field", "hint", "trace_id"}
    assert error["message"]
    assert "Traceback" not in error["message"]
    assert answer.complete
    if status == 503:
        assert int(answer.headers["retry-after"]) >= 1


async def test_404_lists_what_there_is() -> None:
    http = await Http().serve(endpoint(package(1), package(2)))
    assert (
        "there are: toy"
        in (await http.call("POST", "/predict", {"model": "x", "inputs": []})).json()["error"]["message"]
    )
    assert "there are: 1, 2, Production" in (await http.predict([ROW], version=9)).json()["error"]["message"]


async def test_nan_says_that_json_has_none() -> None:
    http = await Http().serve(endpoint(package(1)))
    answer = await http.call("POST", "/predict", b'{"model": "toy", "inputs": [[1, NaN, 3]]}')
    assert "JSON has no NaN" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON", 200),
        ("application/vnd.x+json", 200),
        ("application/x-www-form-urlencoded", 415),
        ("text/plain", 415),
        ("application/octet-stream", 415),
    ],
)
async def test_content_types(media: str, status: int) -> None:
    http = await Http().serve(endpoint(package(1)))
    answer = await http.predict([ROW], headers={"content-type": media})
    assert answer.status == status
    if status == 415:
        assert answer.json()["error"]["type"] == "wrong_media"
        assert media in answer.json()["error"]["message"]


async def test_an_announced_giant_is_refused_before_it_is_read() -> None:
    http = await Http().serve(endpoint(package(1)))
    headers = {"content-length": str(100 << 20)}
    answer = await http.call("POST", "/predict", headers=headers, pieces=[b"x" * 1000] * 3)
    assert (answer.status, answer.json()["error"]["type"], answer.headers["connection"]) == (413, "too_large", "close")
    assert "1 MiB" in answer.json()["error"]["message"]


async def test_an_unannounced_giant_is_refused_when_it_passes_the_limit() -> None:
    http = await Http().serve(endpoint(package(1)))
    piece = b"%x\r\n%b\r\n" % (LIMIT // 4, b"x" * (LIMIT // 4))
    answer = await http.call("POST", "/predict", headers=CHUNKED, pieces=[piece] * 50)
    assert (answer.status, answer.headers["connection"]) == (413, "close")


async def test_a_body_in_pieces_is_put_together() -> None:
    http = await Http().serve(endpoint(package(1)))
    body = b'{"model": "toy", "inputs": [[1, 2, 3]]}'
    pieces = [body[i : i + 7] for i in range(0, len(body), 7)]
    assert (await http.call("POST", "/predict", body, pieces=pieces)).status == 200
    chunks = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]
    assert (await http.call("POST", "/predict", headers=CHUNKED, pieces=[*chunks, b"0\r\n\r\n"])).status == 200


@pytest.mark.parametrize("pieces", [[], [b'{"mod']])
async def test_a_client_that_hangs_up_is_answered_nothing(pieces: list[bytes]) -> None:
    http = await Http().serve(endpoint(package(1)))
    answer = await http.call("POST", "/predict", b"x" * 40, pieces=pieces, hang_up=True)
    assert (answer.status, http.journal.calls()) == (0, [])
    assert http.recorder.meter.counters["headrace_refused_total", "gone"] == 1


async def test_a_client_that_hangs_up_while_the_model_runs_counts_against_its_variant() -> None:
    http = await Http().serve(endpoint(package(1)))
    http.runtime.models[1].behave = lambda _: asyncio.get_running_loop().create_future()
    body = {"model": "toy", "inputs": [ROW]}
    answer = await http.call("POST", "/predict", body, hang_up=True)
    (call,) = http.journal.calls()
    assert (answer.status, call.status, call.error, call.counted) == (0, "timeout", "the caller hung up", True)


async def test_keys() -> None:
    http = await Http().serve(endpoint(package(1)), keys=(key_hash("secret"),))
    refused = await http.predict([ROW])
    assert (refused.status, refused.headers["www-authenticate"]) == (401, "Bearer")
    assert (await http.predict([ROW], headers={"authorization": "Bearer secret"})).status == 200


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [(ModelFailed("it broke"), 500, "model_failed"), (TimedOut("too slow"), 504, "timed_out")],
)
async def test_a_model_that_fails(error: HeadraceError, status: int, kind: str) -> None:
    http = await Http().serve(endpoint(package(1)))

    def broken(inputs: Inputs) -> Outputs:
        raise error

    http.runtime.models[1].behave = broken
    answer = await http.predict([ROW])
    (call,) = http.journal.calls()
    assert (answer.status, answer.json()["error"]["type"]) == (status, kind)
    assert answer.json()["error"]["trace_id"] == answer.headers["x-headrace-trace"] == call.trace_id
    assert answer.headers["x-headrace-variant"] == "v1"


async def test_a_bug_is_told_without_its_stack(caplog: pytest.LogCaptureFixture) -> None:
    http = await Http().serve(endpoint(package(1)))

    def bug(inputs: Inputs) -> Outputs:
        raise ZeroDivisionError("secret detail")

    http.runtime.models[1].behave = bug
    answer = await http.predict([ROW])
    assert answer.status == 500
    assert b"secret detail" not in answer.body
    assert "secret detail" in caplog.text


async def test_before_any_plan_it_says_so() -> None:
    answer = await Http().predict([ROW])
    assert (answer.status, answer.json()["error"]["type"]) == (503, "unavailable")
    assert "no plan yet" in answer.json()["error"]["message"]


@pytest.mark.parametrize(("method", "allow"), [("GET", "POST"), ("DELETE", "POST")])
async def test_other_methods(method: str, allow: str) -> None:
    answer = await Http().call(method, "/predict")
    assert (answer.status, answer.headers["allow"]) == (405, allow)


async def test_unknown_paths() -> None:
    answer = await Http().call("GET", "/nothing/here")
    assert (answer.status, answer.json()["error"]["type"]) == (404, "not_found")


def test_every_error_of_the_tree_has_a_status() -> None:
    tree = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, HeadraceError)]
    assert set(tree) <= set(STATUS)
    assert (status_of(Overloaded("x")), kind_of(BadInput("x"))) == (503, "bad_input")


@pytest.mark.parametrize("told", ["soon", "0", "-5", "99999999999"])
async def test_a_deadline_that_is_none(told: str) -> None:
    http = await Http().serve(endpoint(package(1)))
    answer = await http.predict([ROW], headers={"x-headrace-timeout-ms": told})
    assert (answer.status, answer.json()["error"]["field"]) == (400, "x-headrace-timeout-ms")


async def test_a_caller_says_how_long_it_waits() -> None:
    http = await Http().serve(endpoint(package(1)))
    http.runtime.models[1].behave = lambda _: asyncio.get_running_loop().create_future()
    answer = await http.predict([ROW], headers={"x-headrace-timeout-ms": "5"})
    assert (answer.status, http.journal.calls()[0].status) == (504, "timeout")


HALF = TrafficPolicy(baseline="v1", candidate="v2", share=5000, salt="rel_1")


async def test_a_decision_is_told_where_there_was_something_to_choose() -> None:
    plain = await Http().serve(endpoint(package(1)))
    assert "x-headrace-colour" not in (await plain.predict([ROW])).headers
    http = await Http().serve(endpoint(package(1), package(2), policy=HALF))
    answer = await http.predict([ROW], user="ann")
    (call,) = http.journal.calls()
    assert answer.headers["x-headrace-colour"] == call.colour
    assert call.colour.startswith(f"toy={call.variant};b=")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-headrace-colour": "toy=v2"},
        {"baggage": "tenant=acme,headrace-colour=toy%3Dv2"},
        {"x-headrace-colour": "toy=v2", "baggage": "headrace-colour=toy%3Dv1"},
    ],
)
async def test_a_colour_is_followed(headers: dict[str, str]) -> None:
    http = await Http().serve(endpoint(package(1), package(2)))
    for path, body in (
        ("/predict", {"model": "toy", "inputs": [ROW]}),
        ("/v2/models/toy/infer", {"inputs": [{"name": "input", "datatype": "FP64", "shape": [1, 3], "data": ROW}]}),
        ("/v2/models/toy/generate", {"input": ROW}),
    ):
        answer = await http.call("POST", path, body, headers=headers)
        assert (answer.status, answer.headers["x-headrace-variant"]) == (200, "v2")
        assert answer.headers["x-headrace-colour"] == "toy=v2"
        assert http.journal.calls()[-1].reason is Reason.COLOUR


async def test_baggage_of_others_is_no_colour() -> None:
    http = await Http().serve(endpoint(package(1), package(2)))
    answer = await http.predict([ROW], headers={"baggage": "tenant=acme"})
    assert answer.headers["x-headrace-variant"] == "v1"
    assert "x-headrace-colour" not in answer.headers
