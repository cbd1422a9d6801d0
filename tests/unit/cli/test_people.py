"""History, approvals, undo, webhooks and the tree of a release, as the command line says them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from cli_planes import Planes, Ran, Stream

from headrace.cli.history import moment
from headrace.types.errors import BadInput

Run = Callable[..., Ran]
ENTRY: dict[str, Any] = {
    "id": 42,
    "time": time.time() - 90,
    "actor": "ann",
    "action": "release.promoted",
    "subject": "release:rel_1",
    "detail": "v2 is proven not worse",
    "sha256": "ab" * 32,
    "about": {
        "endpoint": "digits",
        "reason": "Monday",
        "before": [{"variant": "v1", "uri": "u", "share": 5000}, {"variant": "v2", "uri": "u", "share": 5000}],
        "after": [{"variant": "v2", "uri": "u", "share": 10_000}],
        "evidence": [
            {"metric": "errors", "baseline_events": 3, "baseline_units": 900, "candidate_events": 1,
             "candidate_units": 300, "log_harm": 1000.0, "log_limit": 3.7},
        ],
        "approvers": ["bob"],
        "revision": 7,
        "undoes": 0,
    },
}  # fmt: skip
APPROVAL: dict[str, Any] = {
    "id": "apr_1", "actor": "ann", "created": time.time(), "expires": time.time() + 3000, "state": "pending",
    "votes": [], "people": 1, "sentence": "digits is unloaded", "reason": "tidy", "failure": "",
}  # fmt: skip
HOOK: dict[str, Any] = {
    "name": "chat", "url": "https://chat/hook", "events": ["release.*"], "endpoints": [], "active": True, "why_off": "",
}  # fmt: skip


def test_history_is_filtered_and_told(run: Run, planes: Planes) -> None:
    planes.says["GET /api/v1/history"] = {"entries": [ENTRY], "next": None}
    found = run("history", "digits", "--actor", "ann", "--action", "release.*", "--since", "2h")
    assert found.status == 0
    assert "digits (rel_1)" in found.out
    assert "v2 is proven not worse (Monday)" in found.out
    (asked, _), *_ = planes.asked
    assert "endpoint=digits" in asked
    assert "action=release.%2A" in asked
    assert "since=" in asked
    assert "model" not in asked


def test_one_entry_has_it_all(run: Run, planes: Planes) -> None:
    planes.says["GET /api/v1/history/42"] = ENTRY
    found = run("history", "--entry", "42")
    for words in ("Monday", "bob", "v1 50 %, v2 50 %", "v2 100 %", "1 of 300", "10^434", "40.4"):
        assert words in found.out


def test_a_broken_chain_is_a_failure(run: Run, planes: Planes) -> None:
    planes.says["GET /api/v1/history/check"] = {"entries": 3, "broken": 0, "head": "abc"}
    assert "intact" in run("history", "--check").out
    planes.says["GET /api/v1/history/check"] = {"entries": 2, "broken": 3, "head": "abc"}
    found = run("history", "--check")
    assert (found.status, "entry 3 is not as it was written" in found.err) == (1, True)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("1.5h", 5400), ("7d", 604_800)])
def test_ages(text: str, seconds: float) -> None:
    assert moment(text, "--since") == pytest.approx(time.time() - seconds, abs=5)
    assert moment(None, "--since") is None
    assert moment("2026-11-21", "--since") is not None
    with pytest.raises(BadInput, match="is no moment"):
        moment("lately", "--since")


def test_what_needs_a_second_person_exits_with_four(run: Run, planes: Planes) -> None:
    told = {"type": "approval_needed", "message": "another person must approve it", "hint": "headrace approve apr_1"}
    planes.says["POST /models/digits/stage"] = (403, {"error": told})
    found = run("stage", "digits", "2", "Production", "--reason", "better")
    assert (found.status, "headrace approve apr_1" in found.err) == (4, True)
    assert planes.asked[-1][1] == {"version": 2, "stage": "Production", "reason": "better"}


def test_saying_yes_and_no(run: Run, planes: Planes) -> None:
    planes.says["GET /api/v1/approvals"] = {"approvals": [APPROVAL, APPROVAL | {"state": "done", "failure": "torn"}]}
    listed = run("approvals").out
    for words in ("apr_1", "0 of 1", "digits is unloaded (tidy)", "min", "failed", "torn"):
        assert words in listed
    done = APPROVAL | {"state": "done"}
    planes.says["POST /api/v1/approvals/apr_1/approve"] = Stream({"progress": "approved"}, {"result": done})
    assert "done: digits is unloaded" in run("approve", "apr_1", "--reason", "fine").out
    planes.says["POST /api/v1/approvals/apr_1/refuse"] = APPROVAL
    assert "refused" in run("refuse", "apr_1").out


def test_undo_says_what_it_would_do_and_does_that(run: Run, planes: Planes) -> None:
    planes.says["GET /api/v1/endpoints/digits/undo"] = {"entry": ENTRY, "sentence": "digits: back to v1", "to": {}}
    dry = run("undo", "digits", "--dry-run")
    assert "would do: digits: back to v1" in dry.out
    assert "takes back entry 42" in dry.out
    planes.says["POST /api/v1/endpoints/digits/undo"] = Stream({"result": {}})
    assert "digits: back to v1" in run("undo", "digits", "--reason", "wrong").out
    assert planes.asked[-1] == ("POST /api/v1/endpoints/digits/undo", {"entry": 42, "reason": "wrong"})
    told = {"type": "conflict", "message": "cannot be undone: it took traffic away for a reason"}
    planes.says["GET /api/v1/endpoints/digits/undo"] = (409, {"error": told})
    assert run("undo", "digits").status == 1


def test_webhooks(run: Run, planes: Planes) -> None:
    planes.says["POST /api/v1/webhooks"] = (201, {"hook": HOOK, "secret": "whsec_abc"})
    made = run("webhook", "add", "chat", "https://chat/hook", "--events", "release.*, stage.*", "-e", "digits")
    assert "whsec_abc" in made.out
    assert planes.asked[-1][1] == {
        "name": "chat", "url": "https://chat/hook", "events": ["release.*", "stage.*"], "endpoints": ["digits"],
    }  # fmt: skip
    planes.says["GET /api/v1/webhooks"] = {"webhooks": [HOOK, HOOK | {"active": False, "why_off": "by ann"}]}
    assert "off (by ann)" in run("webhook", "list").out
    delivered = {"state": "delivered", "seconds": 0.1, "status": 204, "error": ""}
    planes.says["POST /api/v1/webhooks/chat/test"] = [delivered, delivered | {"state": "failed", "error": "no answer"}]
    assert run("webhook", "test", "chat").status == 0
    failed = run("webhook", "test", "chat")
    assert (failed.status, "no answer" in failed.err) == (1, True)
    log = {"id": 3, "event": "release.promoted", "entry": 42, "attempts": 2, "time": time.time(), **delivered}
    planes.says["GET /api/v1/webhooks/chat/deliveries"] = {"deliveries": [log]}
    assert "release.promoted" in run("webhook", "log", "chat").out
    planes.says["POST /api/v1/webhooks/chat/deliveries/3/retry"] = log
    assert "due again" in run("webhook", "retry", "chat", "3").out
    planes.says["POST /api/v1/webhooks/chat/rotate"] = {"hook": HOOK, "secret": "whsec_new"}
    assert "whsec_new" in run("webhook", "rotate", "chat").out


def test_a_file_of_webhooks(run: Run, planes: Planes, tmp_path: Any) -> None:
    file = tmp_path / "webhooks.yaml"
    file.write_text("webhooks:\n  - {name: chat, url: 'https://chat/hook'}\n")
    planes.says["PUT /api/v1/webhooks"] = {
        "created": [{"hook": HOOK, "secret": "whsec_abc"}], "changed": [], "removed": [HOOK],
    }  # fmt: skip
    done = run("webhook", "apply", str(file), "--prune")
    assert "whsec_abc" in done.out
    assert "removed: chat" in done.out
    assert planes.asked[-1][1] == {"webhooks": [{"name": "chat", "url": "https://chat/hook"}], "prune": True}
    planes.says["DELETE /api/v1/webhooks/chat"] = {"removed": "chat"}
    planes.says["PATCH /api/v1/webhooks/chat"] = HOOK
    assert run("webhook", "remove", "chat").status == 0
    assert "on" in run("webhook", "on", "chat").out
    file.write_text("chat")
    assert run("webhook", "apply", str(file)).status == 2


STATUS: dict[str, Any] = {
    "id": "rel_1", "endpoint": "digits", "strategy": "blue_green", "phase": "progressing", "message": "12 users so far",
    "baseline": "v1", "candidate": "v2", "step": 2, "of": 3, "set_weight": 500, "started": time.time() - 70,
    "ended": 0.0, "time": time.time(), "actor": "ann",
    "steps": [
        {"name": "1 %", "mark": "done"},
        {"name": "5 %", "mark": "current", "seconds": 12.0, "min_seconds": 60.0, "units": 12, "min_units": 20,
         "note": "ask Bob"},
        {"name": "25 %", "mark": "waiting"},
    ],
    "endpoints": [{"name": "digits", "revision": 7, "variants": [
        {"name": "v1", "role": "baseline", "set": 9500, "actual": 0.951, "uri": "models:/digits/1",
         "stage": "Production", "seen": {"calls": 950, "rate": 19.0, "errors": 0.001, "p99_ms": 8.0}},
        {"name": "v2", "role": "candidate", "set": 500, "actual": 0.049, "uri": "models:/digits/2", "stage": "None",
         "seen": {"calls": 0, "rate": 0.0, "errors": 0.0, "p99_ms": None}},
    ]}],
    "metrics": [{"name": "errors", "reading": "open", "log_harm": -0.2, "log_limit": 3.7, "baseline": [3, 900],
                 "candidate": [1, 40]}],
    "events": [{"time": time.time() - 12, "name": "step", "detail": "1 % → 5 %"}],
}  # fmt: skip


def watched(run: Run, planes: Planes, *arguments: str) -> Ran:
    document = {"id": "rel_1", "endpoint": "digits", "phase": "progressing", "history": []}
    planes.says["GET /api/v1/releases/rel_1"] = document
    ended = STATUS | {"phase": "promoted", "message": "proven", "set_weight": 10_000, "ended": time.time()}
    planes.says["GET /api/v1/releases/rel_1/status"] = [STATUS, STATUS, ended]
    return run("release", "status", "rel_1", "--watch", *arguments)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.cli.releasetree.LOOK_SECONDS", 0.0)


def test_a_release_is_followed_to_its_end(run: Run, planes: Planes) -> None:
    found = watched(run, planes)
    assert found.status == 0
    assert found.out.splitlines() == [
        "progressing  step 2 of 3  5 %  12 users so far",
        "promoted  step 2 of 3  100 %  proven",
    ]


def test_programs_get_a_document_a_line(run: Run, planes: Planes) -> None:
    import json

    documents = [json.loads(line) for line in watched(run, planes, "--json").out.splitlines()]
    assert [d["phase"] for d in documents] == ["progressing", "promoted"]


def test_people_get_a_tree() -> None:
    from io import StringIO

    from rich.console import Console

    from headrace.cli.releasetree import tree

    console = Console(file=StringIO(), width=160)
    console.print(tree(STATUS))
    drawn = console.file.getvalue()  # type: ignore[attr-defined]
    for words in (
        "digits  v1 → v2  ◐ progressing", "blue green", "12 users so far", "✔ 1 %",
        "◐ 5 %  12 s of at least 1 min 0 s · 12 of 20 users · ask Bob", "○ 25 %",
        "● v1 baseline  set 95 %, seen 95.1 %  19.0/s, errors 0.10 %, p99 8.0 ms  models:/digits/1, Production",
        "◆ v2 candidate  set 5 %, seen 4.9 %  models:/digits/2", "0.819 of 40.4", "1 % → 5 %",
    ):  # fmt: skip
        assert words in drawn, drawn
