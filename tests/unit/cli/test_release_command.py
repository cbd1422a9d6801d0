"""`headrace release`: both its forms, what is watched, and what the shell is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_planes import Planes, Ran, Stream

from headrace.cli import release as module

Run = Callable[..., Ran]


def document(phase: str = "progressing", *, step: int = 0, **changes: Any) -> dict[str, Any]:
    history = [
        {"time": 10.0, "name": "started", "detail": "v2 gets 1 %", "actor": "ann", "share": 100},
        {"time": 14.0, "name": "step", "detail": "v2 gets 5 %", "actor": "system:release", "share": 500},
    ]
    return {
        "id": "rel_1",
        "endpoint": "digits",
        "baseline": "v1",
        "candidate": "v2",
        "phase": phase,
        "step": step,
        "plan": {"steps": [{"share": 100}, {"share": 500}]},
        "created": 9.0,
        "ended": 20.0,
        "paused_reason": "",
        "judgement": {"verdict": "hold", "reason": "5 users of 20"},
        "history": history[: step + 1],
    } | changes


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.001)


@pytest.mark.parametrize(
    "form",
    [
        ("release", "digits", "--candidate", "models:/digits/2", "--canary"),
        ("release", "start", "digits", "--candidate", "models:/digits/2", "--canary"),
        ("release", "--candidate", "models:/digits/2", "digits"),
    ],
)
def test_each_form_starts_and_watches(run: Run, planes: Planes, form: tuple[str, ...]) -> None:
    planes.says["POST /api/v1/endpoints/digits/releases"] = Stream(
        {"progress": "convert"}, {"result": document("preparing")}
    )
    judged = {"verdict": "advance", "reason": "v2 is not worse"}
    planes.says["GET /api/v1/releases/rel_1"] = [
        document(),
        document(step=1),
        document("promoted", step=1, judgement=judged),
    ]
    found = run(*form)
    assert found.status == 0, found.err
    assert planes.asked[0] == ("POST /api/v1/endpoints/digits/releases", {"candidate": "models:/digits/2"})
    assert [line.split("  ", 2)[-1].strip() for line in found.err.splitlines()] == [
        "convert",
        "started  1 %  v2 gets 1 %",
        "step  5 %  v2 gets 5 %",
    ]
    assert found.out == "promoted after 11.0 s: v2 is not worse\n"


@pytest.mark.parametrize(
    ("phase", "status", "words"),
    [
        ("rolled_back", 1, "rolled back after 11.0 s: 5 users of 20"),
        ("aborted", 1, "aborted after 11.0 s: v2 gets 1 %"),
        ("failed", 1, "failed after 11.0 s: v2 gets 1 %"),
        ("paused", 4, "paused after 11.0 s: nobody knows"),
    ],
)
def test_the_end_is_the_exit_status(run: Run, planes: Planes, phase: str, status: int, words: str) -> None:
    planes.says["GET /api/v1/releases"] = {"releases": [document()]}
    planes.says["GET /api/v1/releases/rel_1"] = document(phase, paused_reason="nobody knows")
    found = run("release", "watch", "digits")
    assert found.status == status
    assert found.out.strip() == words


def test_plan_overrides_and_detach(run: Run, planes: Planes) -> None:
    planes.says["POST /api/v1/endpoints/digits/releases"] = Stream({"result": document("preparing")})
    found = run(
        *("release", "digits", "--candidate", "models:/digits/2", "--shares", "1,12.5,100"),
        *("--step-seconds", "4", "--min-units", "3", "--alpha", "0.01", "--detach"),
    )
    assert found.status == 0, found.err
    plan = {"min_seconds": 4.0, "min_units": 3, "alpha": 0.01, "shares": [1.0, 12.5, 100.0]}
    assert planes.asked == [
        ("POST /api/v1/endpoints/digits/releases", {"candidate": "models:/digits/2", "plan": plan})
    ], "not watched"
    assert "rel_1" in found.out
    wrong = run("release", "digits", "--candidate", "models:/digits/2", "--shares", "one")
    assert wrong.status == 2
    assert "'one'" in wrong.err


def test_adapters_come_from_files_for_each_endpoint(run: Run, planes: Planes, tmp_path: Path) -> None:
    planes.says["POST /api/v1/endpoints/digits/releases"] = Stream({"result": document("preparing")})
    for name in ("digits", "rank"):
        (tmp_path / f"{name}.yaml").write_text(f"inputs: [{{drop: {name}}}]\n")
    found = run(
        *("release", "digits", "--candidate", "models:/digits/2", "--also", "rank=models:/rank/7", "--detach"),
        *("--adapter", str(tmp_path / "digits.yaml"), "--adapter", f"rank={tmp_path / 'rank.yaml'}"),
    )
    assert found.status == 0, found.err
    ((_, sent),) = planes.asked
    assert sent["adapters"] == {name: {"inputs": [{"drop": name}]} for name in ("digits", "rank")}


def test_a_second_release(run: Run, planes: Planes) -> None:
    conflict = {"type": "conflict", "detail": "release rel_1 is moving endpoint 'digits'", "hint": "wait for it"}
    planes.says["POST /api/v1/endpoints/digits/releases"] = (409, conflict)
    found = run("release", "digits", "--candidate", "models:/digits/2")
    assert found.status == 1
    assert found.err.strip() == "error: release rel_1 is moving endpoint 'digits' (wait for it)"


@pytest.mark.parametrize("action", ["pause", "resume", "promote", "abort"])
@pytest.mark.parametrize("which", ["digits", "rel_1"])
def test_a_person_decides(run: Run, planes: Planes, action: str, which: str) -> None:
    planes.says["GET /api/v1/releases"] = {"releases": [document()]}
    planes.says["GET /api/v1/releases/rel_1"] = document()
    planes.says[f"POST /api/v1/releases/rel_1/{action}"] = document("paused")
    found = run("release", action, which, "--reason", "because")
    assert found.status == 0, found.err
    assert found.out.strip() == "rel_1 of digits is now paused"
    assert planes.asked[-1] == (f"POST /api/v1/releases/rel_1/{action}", {"reason": "because"})


def test_an_endpoint_without_release(run: Run, planes: Planes) -> None:
    planes.says["GET /api/v1/releases"] = {"releases": []}
    found = run("release", "status", "digits")
    assert found.status == 1
    assert "'digits'" in found.err


def test_list_and_status(run: Run, planes: Planes) -> None:
    metric = {"baseline_events": 3, "candidate_events": 1, "baseline_units": 200, "candidate_units": 20}
    planes.says["GET /api/v1/releases"] = {"releases": [document(step=1), document("promoted")]}
    planes.says["GET /api/v1/releases/rel_1"] = document(step=1, evidence={"errors": metric})
    listed = run("release", "list").out.splitlines()
    assert "5 %" in listed[1]
    assert "100 %" in listed[2]
    assert len(run("release", "list", "--json").json) == 2
    shown = run("release", "status", "digits").out
    assert "v1 → v2" in shown
    assert "5 users of 20" in shown
    assert "200 / 20" in shown
    assert run("release", "status", "digits", "--json").json["id"] == "rel_1"


def test_a_plan_in_a_file_and_endpoints_that_move_together(run: Run, planes: Planes, tmp_path: Path) -> None:
    planes.says["POST /api/v1/endpoints/digits/releases"] = Stream({"result": document("preparing")})
    file = tmp_path / "plan.yaml"
    file.write_text("strategy: shadow\nalpha: 0.2\nadd_metrics:\n- {name: bought, kind: rate, event: purchase}\n")
    words = ("release", "digits", "--candidate", "models:/digits/2", "--detach")
    found = run(*words, "--plan", str(file), "--alpha", "0.01", "--also", "rank=models:/rank/7")
    assert found.status == 0, found.err
    metric = {"name": "bought", "kind": "rate", "event": "purchase"}
    plan = {"strategy": "shadow", "alpha": 0.01, "add_metrics": [metric]}
    body = {"candidate": "models:/digits/2", "plan": plan, "also": {"rank": "models:/rank/7"}}
    assert planes.asked == [("POST /api/v1/endpoints/digits/releases", body)]
    assert run(*words, "--also", "rank").status == 2
    file.write_text("[]")
    wrong = run(*words, "--plan", str(file))
    assert wrong.status == 2
    assert "holds list" in wrong.err


def test_strategies_by_option(run: Run, planes: Planes) -> None:
    planes.says["POST /api/v1/endpoints/digits/releases"] = Stream({"result": document("preparing")})
    words = ("release", "digits", "--candidate", "models:/digits/2", "--detach")
    run(*words, "--canary")
    run(*words, "--strategy", "blue-green")
    assert [asked[1].get("plan") for asked in planes.asked] == [None, {"strategy": "blue-green"}]
    assert run(*words, "--canary", "--strategy", "ab").status == 2


def test_a_replay_says_whether_the_decisions_hold(run: Run, planes: Planes) -> None:
    planes.says["GET /api/v1/releases/rel_1"] = document()
    planes.says["GET /api/v1/releases/rel_1/replay"] = {"intervals": 1_200, "differences": []}
    found = run("release", "replay", "rel_1")
    assert (found.status, found.out) == (0, "1,200 decisions, each as it was recorded, bit for bit\n")
    other = {"number": 3, "stored": {"judgement": {"verdict": "hold"}}, "verdict": "advance", "reason": "proven"}
    planes.says["GET /api/v1/releases/rel_1/replay"] = {"intervals": 4, "differences": [other]}
    found = run("release", "replay", "rel_1")
    assert found.status == 1
    assert "advance" in found.out


def test_results_as_one_may_quote_them(run: Run, planes: Planes) -> None:
    always = {"difference": 0.03, "low": 0.01, "high": 0.05, "always": True, "asymptotic": True}
    rate = {
        "spec": {"name": "bought", "kind": "rate"},
        "baseline": 0.1,
        "candidate": 0.13,
        "fixed": None,
        "always": always,
        "novelty": {"course": "fading"},
    }
    mean = {
        "spec": {"name": "spent", "kind": "value"},
        "baseline": 6.0,
        "candidate": None,
        "fixed": None,
        "always": always | {"low": None, "asymptotic": False},
        "novelty": {"course": "steady"},
    }
    planes.says["GET /api/v1/releases/rel_1"] = document()
    planes.says["GET /api/v1/releases/rel_1/results"] = {
        "metrics": [rate, mean],
        "split": {"log_bayes_factor": 9.0, "alarm": True},
        "at_horizon": False,
    }
    found = run("release", "results", "rel_1")
    assert found.status == 0, found.err
    words = " ".join(found.out.split())
    assert "bought 10.00 % 13.00 % +3.00 % - +1.00 % to +5.00 % *" in words
    assert "spent 6 - +0.03 - - to +0.05" in words
    assert "no comparison can be trusted" in words
    assert "bought: the difference is fading over time" in words


def test_a_dry_run_for_people(run: Run, planes: Planes) -> None:
    step = {"name": "5 %", "kind": "share", "seconds": 400.0, "waits_for": "users"}
    sight = {
        "metric": "errors",
        "rate": 0.005,
        "share": 0.05,
        "seconds_to_stop": {"x2": None, "x4": 300.0, "x10": 40.0},
        "smallest_ratio": 3.25,
        "seconds": 400.0,
    }
    foretold = {
        "today": {"calls": 9, "calls_per_second": 20.0, "users_per_second": 5.0, "error_rate": 0.005},
        "steps": [step, step | {"name": "approval at 5 %", "seconds": None, "waits_for": "a person"}],
        "seconds": None,
        "sights": [sight],
    }
    member = {"endpoint": "digits", "baseline": "v1", "candidate": "v2"}
    planes.says["POST /api/v1/endpoints/digits/releases/dry-run"] = {
        "members": [member],
        "plan": {"alpha": 0.05},
        "forecast": foretold,
    }
    found = run("release", "plan", "digits", "--candidate", "models:/digits/2", "--shares", "5", "--dry-run")
    assert found.status == 0, found.err
    assert planes.asked == [
        (
            "POST /api/v1/endpoints/digits/releases/dry-run",
            {"candidate": "models:/digits/2", "plan": {"shares": [5.0]}},
        )
    ]
    words = " ".join(found.out.split())
    assert "digits: v1 → v2 today 20 calls/s of 5 users/s, 0.5 % failed" in words
    assert "5 % 6.67 min users approval at 5 % - a person" in words
    assert "errors 5 % - 5 min 40 s x3.25 in 6.67 min" in words
