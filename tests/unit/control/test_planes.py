"""Asking the data plane: is a plan live, what does it answer?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from headrace.base.clock import ManualClock
from headrace.control.planes import POLL_SECONDS, PlaneHealth, Planes, report_of
from headrace.types.errors import NotFound, Overloaded, Unavailable

Answer = Callable[[httpx.Request], httpx.Response]


def planes(answer: Answer, clock: ManualClock | None = None, **options: Any) -> Planes:
    return Planes(
        "http://plane",
        clock=clock or ManualClock(),
        user_header="x-user-id",
        http=httpx.MockTransport(answer),
        **options,
    )


def health(revision: int, *, refused: int | None = None, error: str | None = None, status: int = 200) -> httpx.Response:
    plan = {"revision": revision, "error": error, "refused_revision": refused}
    return httpx.Response(status, json={"status": "ready", "revision": revision, "plan": plan})


def down(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def test_waits_until_the_plan_is_live() -> None:
    clock, seen = ManualClock(), [3, 3, 4]
    report = planes(lambda _: health(seen.pop(0)), clock).await_plan(4, 10.0)
    assert (report.live, report.refused, report.revision) == (True, "", 4)
    assert clock.steady() - ManualClock().steady() == pytest.approx(2 * POLL_SECONDS)


def test_a_later_plan_is_as_good() -> None:
    assert planes(lambda _: health(9)).await_plan(4, 1.0).live


def test_a_refusal_is_told_at_once() -> None:
    report = planes(lambda _: health(3, refused=4, error="checksum")).await_plan(4, 10.0)
    assert (report.live, report.refused) == (False, "checksum")


def test_an_old_refusal_is_none() -> None:
    assert planes(lambda _: health(5, refused=4, error="checksum")).await_plan(4, 1.0).live
    report = planes(lambda _: health(3, refused=2, error="checksum")).await_plan(4, 0.1)
    assert (report.live, report.refused) == (False, "")


def test_a_plane_that_starts_has_its_plan_counted_too() -> None:
    assert planes(lambda _: health(4, status=503)).await_plan(4, 1.0).live


def test_a_plane_that_is_down_is_waited_for_no_longer_than_asked() -> None:
    clock = ManualClock()
    report = planes(down, clock).await_plan(1, 2.0)
    assert (report.live, report.refused) == (False, "")
    assert 2.0 <= clock.steady() - ManualClock().steady() < 2.1


def test_whether_there_is_one_to_wait_for() -> None:
    assert planes(lambda _: health(1)).up()
    assert planes(lambda _: httpx.Response(500)).up(), "it is there, and may yet answer"
    assert not planes(down).up()


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b"3"])
def test_something_else_listens_there(body: bytes) -> None:
    (told,) = planes(lambda _: httpx.Response(200, content=body)).health()
    assert (told.told, told.down) == (None, False)


def worker(name: str, revision: int, refused: int = 0) -> PlaneHealth:
    plan = {"revision": revision, "error": "checksum" if refused else None, "refused_revision": refused or None}
    return PlaneHealth(name=name, told={"revision": revision, "plan": plan})


DOWN, HUNG = PlaneHealth(name="d", told=None, down=True), PlaneHealth(name="h", told=None)


@pytest.mark.parametrize(
    ("workers", "live", "refused"),
    [
        ((worker("a", 4), worker("b", 4)), True, ""),
        ((worker("a", 4), worker("b", 3)), False, ""),
        ((worker("a", 4), worker("b", 3, refused=4)), False, "checksum"),
        ((worker("a", 4), DOWN), True, ""),
        ((worker("a", 4), HUNG), False, ""),
        ((DOWN, DOWN), False, ""),
    ],
)
def test_a_plan_is_live_once_all_workers_that_are_up_run_it(
    workers: tuple[PlaneHealth, ...], live: bool, refused: str
) -> None:
    report = report_of(4, workers)
    assert (report.live, report.refused) == (live, refused)


def test_predicts_as_an_application_does() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        body = {"result": [7], "trace_id": "tr-1", "model_version": "2", "latency_ms": 1.0}
        return httpx.Response(200, json=body, headers={"x-headrace-variant": "v2"})

    found = planes(answer, key="secret").predict("digits", [[1.0]], "ann")
    assert (found["result"], found["variant"], found["trace_id"]) == ([7], "v2", "tr-1")
    assert json.loads(asked[0].content) == {"model": "digits", "inputs": [[1.0]]}
    assert asked[0].headers["x-user-id"] == "ann"
    assert asked[0].headers["authorization"] == "Bearer secret"


@pytest.mark.parametrize(
    ("status", "kind", "expected"), [(404, "not_found", NotFound), (503, "overloaded", Overloaded)]
)
def test_says_what_the_data_plane_said(status: int, kind: str, expected: type[Exception]) -> None:
    content = {"error": {"type": kind, "message": "no endpoint 'x'", "field": "model"}}
    with pytest.raises(expected, match="no endpoint 'x'"):
        planes(lambda _: httpx.Response(status, json=content)).predict("x", [], "")


def test_predict_while_the_data_plane_is_down() -> None:
    with pytest.raises(Unavailable):
        planes(down).predict("digits", [], "ann")
