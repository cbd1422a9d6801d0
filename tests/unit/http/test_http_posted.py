"""POST /metrics/events: about a user or one call, all of a request or none, on the disk before the answer."""

from __future__ import annotations

from typing import Any

import pytest
from http_edge import Http
from plane_samples import endpoint, package

from headrace.types.call import Call, MetricEvent


async def serving() -> Http:
    return await Http().serve(endpoint(package(1)))


def kept(http: Http) -> list[MetricEvent]:
    return [record for record in http.journal.records() if isinstance(record, MetricEvent)]


async def test_an_event_is_about_the_user_of_the_calls() -> None:
    http = await serving()
    await http.predict([[1, 2, 3]], headers={"x-user-id": "alice"})
    (call,) = (record for record in http.journal.records() if isinstance(record, Call))
    events = [{"name": "purchase", "value": 12.5, "user": "alice", "id": "order-1"}, {"name": "visit", "user": 7}]
    answer = await http.call("POST", "/metrics/events", {"events": events})
    first, second = kept(http)
    assert (answer.status, answer.json()) == (200, {"events": ["order-1", second.id]})
    assert (first.name, first.value, first.unit, first.source) == ("purchase", 12.5, call.unit, "application")
    assert (second.value, second.unit) == (1.0, http.recorder.hashed("7"))
    assert http.journal.synced == 1


async def test_the_user_header_stands_for_a_user() -> None:
    http = await serving()
    body = {"events": [{"name": "visit"}]}
    await http.call("POST", "/metrics/events", body, headers={"x-user-id": "alice"})
    assert [event.unit for event in kept(http)] == [http.recorder.hashed("alice")]


async def test_an_event_may_be_about_one_call() -> None:
    http = await serving()
    trace = (await http.predict([[1, 2, 3]])).json()["trace_id"]
    body = {"events": [{"name": "score", "value": 0.25, "trace_id": trace, "source": "judge"}]}
    assert (await http.call("POST", "/metrics/events", body, headers={"x-user-id": "a judge"})).status == 200
    (event,) = kept(http)
    assert (event.trace_id, event.unit, event.source) == (trace, "", "judge")


@pytest.mark.parametrize(
    ("events", "status", "field"),
    [
        ([], 400, "events"),
        ([{"name": "x", "user": "a"}] * 1_001, 400, "events"),
        ([{"name": "", "user": "a"}], 400, "events[0].name"),
        ([{"name": "x", "user": "a"}, {"name": "x"}], 400, "events[1]"),
        ([{"name": "x", "user": "a", "trace_id": "TRACE"}], 400, "events[0]"),
        ([{"name": "x", "trace_id": "tr-0192f0c1a2b3c4d5e6f70123456789ab"}], 404, "events[0].trace_id"),
        ([{"name": "x" * 201, "user": "a"}], 413, "events[0].name"),
    ],
)
async def test_what_is_refused_leaves_nothing_behind(events: Any, status: int, field: str) -> None:
    http = await serving()
    trace = (await http.predict([[1, 2, 3]])).json()["trace_id"]
    given = [event | ({"trace_id": trace} if event.get("trace_id") == "TRACE" else {}) for event in events]
    answer = await http.call("POST", "/metrics/events", {"events": given})
    assert (answer.status, answer.json()["error"]["field"]) == (status, field)
    assert kept(http) == []


async def test_values_that_are_no_numbers() -> None:
    http = await serving()
    answer = await http.call("POST", "/metrics/events", {"events": [{"name": "x", "user": "a", "value": "much"}]})
    assert (answer.status, answer.json()["error"]["field"]) == (400, "events[0].value")
