"""POST /feedback: only for traces of ours, idempotent, on the disk before the answer."""

from __future__ import annotations

from typing import Any

import pytest
from http_edge import DAY, Http
from plane_samples import endpoint, package

from headrace.base.ids import TraceIds
from headrace.traffic.keys import key_hash
from headrace.types.call import Feedback
from headrace.types.errors import Unavailable


async def traced() -> tuple[Http, str]:
    http = await Http().serve(endpoint(package(1)))
    return http, (await http.predict([[1, 2, 3]])).json()["trace_id"]


def given(http: Http) -> list[Feedback]:
    return [record for record in http.journal.records() if isinstance(record, Feedback)]


async def test_all_three_in_one_durable_write() -> None:
    http, trace = await traced()
    body = {"trace_id": trace, "user_rating": "up", "corrected_output": [3], "comment": "nearly"}
    answer = await http.call("POST", "/feedback", body, headers={"x-user-id": "alice"})
    found = given(http)
    assert answer.status == 200
    assert answer.json() == {"trace_id": trace, "feedback": [f.id for f in found]}
    assert [(f.name, f.value) for f in found] == [
        ("user_rating", True),
        ("corrected_output", [3]),
        ("comment", "nearly"),
    ]
    assert {f.rater for f in found} == {http.recorder.hashed("alice")}
    assert {f.trace_id for f in found} == {trace}
    assert http.journal.synced == 1


@pytest.mark.parametrize(
    ("rating", "value"),
    [(True, True), (False, False), ("up", True), ("down", False), ("thumbs_up", True), ("thumbs_down", False)],
)
async def test_ratings(rating: Any, value: bool) -> None:
    http, trace = await traced()
    await http.call("POST", "/feedback", {"trace_id": trace, "user_rating": rating})
    assert [f.value for f in given(http)] == [value]


async def test_the_same_person_replaces_another_adds() -> None:
    http, trace = await traced()
    ids = []
    for rater, rating in (("alice", "up"), ("alice", "down"), ("bob", "up"), (None, "up")):
        body = {"trace_id": trace, "user_rating": rating} | ({"rater": rater} if rater else {})
        ids.append((await http.call("POST", "/feedback", body)).json()["feedback"][0])
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert given(http)[-1].rater == "anonymous"
    assert b"alice" not in b"".join(http.journal.lines)


@pytest.mark.parametrize("correction", [3, "seven", [1, 2], {"label": 3}, False, 0, [[0.1, 0.9]]])
async def test_a_correction_is_any_json(correction: Any) -> None:
    http, trace = await traced()
    await http.call("POST", "/feedback", {"trace_id": trace, "corrected_output": correction})
    assert [f.value for f in given(http)] == [correction]


@pytest.mark.parametrize(
    ("more", "status", "field"),
    [
        ({}, 400, "body"),
        ({"corrected_output": None}, 400, "body"),
        ({"comment": ""}, 400, "body"),
        ({"user_rating": "maybe"}, 400, "user_rating"),
        ({"user_rating": 1}, 400, "user_rating"),
        ({"rating": "up"}, 400, "rating"),
        ({"comment": 5}, 400, "comment"),
        ({"comment": "x" * 10_001}, 413, "comment"),
        ({"corrected_output": "x" * 70_000}, 413, "corrected_output"),
    ],
)
async def test_what_is_wrong_is_named(more: dict[str, Any], status: int, field: str) -> None:
    http, trace = await traced()
    answer = await http.call("POST", "/feedback", {"trace_id": trace, **more})
    assert (answer.status, answer.json()["error"]["field"]) == (status, field)
    assert given(http) == []


@pytest.mark.parametrize("trace", ["", "nonsense", "tr-" + "0" * 32, "tr-" + "z" * 32, "x" * 10_000])
async def test_an_unknown_trace_is_not_found(trace: str) -> None:
    http, _ = await traced()
    answer = await http.call("POST", "/feedback", {"trace_id": trace, "user_rating": "up"})
    assert (answer.status, answer.json()["error"]["field"]) == (404, "trace_id")
    assert len(answer.body) < 500


async def test_a_trace_of_another_installation_is_not_found() -> None:
    http, _ = await traced()
    foreign = TraceIds(b"another key").mint(http.clock.now())
    assert (await http.call("POST", "/feedback", {"trace_id": foreign, "user_rating": "up"})).status == 404


async def test_a_trace_beyond_retention_is_not_found() -> None:
    http, trace = await traced()
    http.clock.move(30 * DAY - 1)
    assert (await http.call("POST", "/feedback", {"trace_id": trace, "user_rating": "up"})).status == 200
    http.clock.move(2)
    answer = await http.call("POST", "/feedback", {"trace_id": trace, "user_rating": "up"})
    assert (answer.status, "older than 30 days" in answer.json()["error"]["message"]) == (404, True)


async def test_what_is_not_on_the_disk_is_not_acknowledged(monkeypatch: pytest.MonkeyPatch) -> None:
    http, trace = await traced()

    async def full(line: bytes) -> None:
        raise Unavailable("the journal has no room: the disk is full", retry_after=0.5)

    monkeypatch.setattr(http.journal, "durable", full)
    answer = await http.call("POST", "/feedback", {"trace_id": trace, "user_rating": "up"})
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_keys_and_content_type() -> None:
    http = await Http().serve(endpoint(package(1)), keys=(key_hash("secret"),))
    assert (await http.call("POST", "/feedback", {"trace_id": "x"})).status == 401
    wrong = {"content-type": "text/plain", "x-api-key": "secret"}
    assert (await http.call("POST", "/feedback", {"trace_id": "x"}, headers=wrong)).status == 415
