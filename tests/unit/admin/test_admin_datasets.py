"""Feedback and dataset versions over the admin API: made, read, compared, traced back; errors name the field."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from headrace.store import feedbacks, plans
from headrace.types.call import FeedbackName
from tests.control_samples import START, call, corrected, endpoint, said, write

if TYPE_CHECKING:
    from admin_stand import Stand


@pytest.fixture
def spoken(stand: Stand) -> Stand:
    calls = [call(n, unit=f"user{n}", input=[[float(n), 1.0]]) for n in range(60)]
    write(stand.journal, calls)
    with stand.database.write() as conn:
        if not plans.revision(conn):
            plans.publish(conn, [endpoint()], reason="test", now=START)
        feedbacks.put(conn, [corrected(c, 7, rater=c.unit) for c in calls])
    return stand


async def test_make_list_and_read(client: httpx.AsyncClient, spoken: Stand) -> None:
    body = {"model": "digits", "rules": {"praise": False, "cap": {"rows": 5}}, "golden": 1000}
    made = await client.post("/api/v1/datasets", json=body)
    assert made.status_code == 201, made.text
    version = made.json()
    assert (version["name"], version["number"], version["rows"]) == ("digits", 1, 60)
    rules = {rule["name"]: rule for rule in version["report"]["rules"]}
    assert (rules["praise"]["on"], rules["cap"]["options"]) == (False, {"rows": 5.0})
    assert (await client.get("/api/v1/datasets")).json()["datasets"] == [version]
    assert (await client.get("/api/v1/datasets/digits@1")).json() == version
    rows = (await client.get("/api/v1/datasets/digits/rows", params={"limit": 3, "offset": 1})).json()
    assert (len(rows["rows"]), rows["of"]) == (3, version["files"][0]["rows"])
    file = await client.get("/api/v1/datasets/digits/file", params={"split": "train"})
    assert len(file.text.splitlines()) == rows["of"]
    assert file.headers["x-headrace-sha256"] == version["files"][0]["sha256"]
    origin = (await client.get("/api/v1/datasets/digits/origin", params={"row": rows["rows"][0]["row"]})).json()
    assert origin["call"]["trace_id"] == rows["rows"][0]["trace_id"]
    assert [word["value"] for word in origin["words"]] == [7]
    frozen = await client.post("/api/v1/datasets/digits/freeze", json={})
    assert frozen.json()["source"] == version["id"]
    diff = (await client.get("/api/v1/datasets/digits/diff", params={"before": "digits@1"})).json()
    assert (diff["added"], diff["same"]) == (0, 60)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"model": "nix"}, "model"),
        ({"model": "digits", "rules": {"magic": True}}, "rules"),
        ({"model": "digits", "rules": {"cap": {"rows": -1}}}, "rules.cap.rows"),
        ({"model": "digits", "since": "yesterday"}, "since"),
        ({"model": "digits", "held": 2}, "held"),
        ({"model": "digits", "rules": {"split": False}}, "rules.split"),
    ],
)
async def test_recipes_that_make_no_sense(
    client: httpx.AsyncClient, spoken: Stand, body: dict[str, object], field: str
) -> None:
    answer = await client.post("/api/v1/datasets", json=body)
    assert answer.status_code in (400, 404), answer.text
    assert answer.json()["field"] == field


@pytest.mark.parametrize("path", ["nix", "nix/rows", "nix/origin?row=1", "nix/diff?before=nix", "digits@9/file"])
async def test_versions_that_there_are_not(client: httpx.AsyncClient, spoken: Stand, path: str) -> None:
    answer = await client.get(f"/api/v1/datasets/{path}")
    assert (answer.status_code, answer.json()["field"]) == (404, "dataset")


async def test_splits_that_there_are_not(client: httpx.AsyncClient, spoken: Stand) -> None:
    await client.post("/api/v1/datasets", json={"model": "digits"})
    answer = await client.get("/api/v1/datasets/digits/rows", params={"split": "exam"})
    assert (answer.status_code, answer.json()["field"]) == (400, "split")
    assert "critique" in answer.json()["detail"]


async def test_feedback_and_its_history(client: httpx.AsyncClient, stand: Stand) -> None:
    one = call(1)
    words = [said(one, FeedbackName.COMMENT, "hm"), said(one, FeedbackName.COMMENT, "ha", after=5.0)]
    with stand.database.write() as conn:
        for word in (*words, corrected(one, 3), replace(corrected(one, None, after=9.0), withdrawn=True)):
            feedbacks.put(conn, [word])
    listed = (await client.get("/api/v1/feedback", params={"name": "comment"})).json()["feedback"]
    assert [f["value"] for f in listed] == ["ha"]
    history = (await client.get(f"/api/v1/feedback/{one.trace_id}")).json()["feedback"]
    assert [(f["value"], f["withdrawn"]) for f in history] == [("hm", False), (3, False), ("ha", False), (None, True)]
    wrong = await client.get("/api/v1/feedback", params={"name": "stars"})
    assert (wrong.status_code, wrong.json()["field"]) == (400, "name")
