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


async def test_reasons_source_and_a_late_time() -> None:
    http, trace = await traced()
    http.clock.move(DAY)
    late = http.clock.now() - 3600
    body = {"trace_id": trace, "user_rating": "down", "reasons": [" unsafe ", "slow", "slow"], "time": late}
    await http.call("POST", "/feedback", body | {"source": "code", "comment": "no"})
    rating, comment = given(http)
    assert (rating.reasons, rating.source, rating.time) == (("unsafe", "slow"), "code", late)
    assert (comment.reasons, comment.time) == ((), late)


async def test_a_time_in_words() -> None:
    http, trace = await traced()
    http.clock.move(DAY)
    await http.call("POST", "/feedback", {"trace_id": trace, "user_rating": True, "time": "2023-11-14T23:00:00"})
    assert [f.time for f in given(http)] == [1_700_002_800.0]


@pytest.mark.parametrize(
    ("withdraw", "names"),
    [(True, ["user_rating", "corrected_output", "comment"]), (["comment"], ["comment"])],
)
async def test_words_are_taken_back(withdraw: Any, names: list[str]) -> None:
    http, trace = await traced()
    first = (await http.call("POST", "/feedback", {"trace_id": trace, "comment": "x", "rater": "ann"})).json()
    answer = await http.call("POST", "/feedback", {"trace_id": trace, "withdraw": withdraw, "rater": "ann"})
    taken = given(http)[1:]
    assert [(f.name, f.value, f.withdrawn) for f in taken] == [(name, None, True) for name in names]
    assert first["feedback"][0] in answer.json()["feedback"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"user_rating": True, "time": "yesterday"}, "time"),
        ({"user_rating": True, "time": 5.0}, "time"),
        ({"user_rating": True, "time": 1e12}, "time"),
        ({"user_rating": True, "source": "alien"}, "source"),
        ({"comment": "x", "reasons": ["slow"]}, "reasons"),
        ({"user_rating": True, "reasons": ["x"] * 9}, "reasons"),
        ({"user_rating": True, "reasons": ["x" * 65]}, "reasons"),
        ({"user_rating": True, "reasons": [" "]}, "reasons"),
        ({"withdraw": ["rating"]}, "withdraw"),
        ({"withdraw": True, "comment": "x"}, "withdraw"),
        ({"withdraw": []}, "body"),
    ],
)
async def test_wrong_words_are_named(body: dict[str, Any], field: str) -> None:
    http, trace = await traced()
    answer = await http.call("POST", "/feedback", {"trace_id": trace} | body)
    assert (answer.status, answer.json()["error"]["field"]) == (400, field)
    assert given(http) == []


async def test_a_batch_keeps_its_good_rows_with_one_sync() -> None:
    http, trace = await traced()
    rows = [
        {"trace_id": trace, "user_rating": "up", "rater": "ann"},
        {"trace_id": trace, "user_rating": "perhaps"},
        {"trace_id": "tr-" + "0" * 32, "user_rating": "up"},
        {"trace_id": trace, "corrected_output": [3], "rater": "bob"},
        {"trace_id": trace, "colour": "red"},
        5,
        {"trace_id": trace, "token": "ft_x", "user_rating": True},
    ]
    answer = await http.call("POST", "/feedback/batch", {"feedback": rows})
    assert answer.status == 200
    told = answer.json()
    assert told["accepted"] == 2
    assert [(e["row"], e["field"]) for e in told["errors"]] == [
        (1, "user_rating"),
        (2, "trace_id"),
        (4, "colour"),
        (5, "body"),
        (6, "token"),
    ]
    assert [(f.name, f.channel) for f in given(http)] == [("user_rating", "upload"), ("corrected_output", "upload")]
    assert http.journal.synced == 1


@pytest.mark.parametrize("rows", [[], [{}] * 1001])
async def test_a_batch_has_a_size(rows: list[Any]) -> None:
    http, _ = await traced()
    answer = await http.call("POST", "/feedback/batch", {"feedback": rows})
    assert (answer.status, answer.json()["error"]["field"]) == (400, "feedback")
    assert http.journal.synced == 0


async def token_of(http: Http, trace: str, **more: Any) -> str:
    headers = {"authorization": "Bearer secret"}
    answer = await http.call("POST", "/feedback/tokens", {"trace_ids": [trace], **more}, headers=headers)
    assert answer.status == 200, answer.body
    return str(answer.json()["tokens"][trace])


async def locked() -> tuple[Http, str]:
    http = await Http().serve(endpoint(package(1)), keys=(key_hash("secret"),))
    answer = await http.predict([[1, 2, 3]], headers={"authorization": "Bearer secret"})
    return http, answer.json()["trace_id"]


async def test_a_token_lets_anyone_rate_that_one_answer() -> None:
    http, trace = await locked()
    token = await token_of(http, trace, rater="ann")
    assert (await http.call("POST", "/feedback", {"trace_id": trace, "user_rating": "up"})).status == 401
    answer = await http.call("POST", "/feedback", {"token": token, "user_rating": "up"})
    assert answer.status == 200
    (found,) = given(http)
    assert (found.trace_id, found.rater, found.channel) == (trace, http.recorder.hashed("ann"), "token")
    taken = await http.call("POST", "/feedback", {"token": token, "withdraw": True})
    assert taken.status == 200


async def test_a_token_for_whoever_holds_it() -> None:
    http, trace = await locked()
    await http.call("POST", "/feedback", {"token": await token_of(http, trace), "comment": "hm"})
    assert [f.rater for f in given(http)] == ["anonymous"]


async def test_a_token_is_for_its_trace_its_time_and_its_rater() -> None:
    http, trace = await locked()
    other = (await http.predict([[1, 2, 3]], headers={"authorization": "Bearer secret"})).json()["trace_id"]
    token = await token_of(http, trace, expires_in=60)
    forged = token[:-1] + ("A" if token[-1] != "A" else "B")
    for body, status, field in (
        ({"token": forged}, 401, "token"),
        ({"token": "ft_" + "A" * 60}, 401, "token"),
        ({"token": "hello"}, 401, "token"),
        ({"token": token, "trace_id": other}, 403, "trace_id"),
        ({"token": token, "rater": "bob"}, 403, "rater"),
        ({"token": token, "source": "code"}, 403, "source"),
        ({"token": token, "time": 5.0}, 403, "time"),
    ):
        answer = await http.call("POST", "/feedback", body | {"user_rating": True})
        assert (answer.status, answer.json()["error"]["field"]) == (status, field), body
    http.clock.move(61)
    answer = await http.call("POST", "/feedback", {"token": token, "user_rating": True})
    assert (answer.status, answer.json()["error"]["field"]) == (403, "token")
    assert given(http) == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"trace_ids": []}, "trace_ids"),
        ({"trace_ids": ["tr-1"]}, "trace_ids"),
        ({"trace_ids": ["x"] * 1001}, "trace_ids"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 1e9}, "expires_in"),
    ],
)
async def test_wrong_requests_for_tokens(body: dict[str, Any], field: str) -> None:
    http, trace = await traced()
    answer = await http.call("POST", "/feedback/tokens", {"trace_ids": [trace]} | body)
    told = answer.json()["error"]
    assert answer.status in (400, 404)
    assert told["field"] == field or (field == "trace_ids" and told["field"] == "trace_id")
