"""Gates on a whole platform: a release that fails one changes nothing; their questions are in no figure."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.datasets import load_digits

from bench.running import Platform, wait_for

pytestmark = pytest.mark.process
ROWS = [row.tolist() for row in load_digits().data[-30:]]


def newest(platform: Platform) -> dict[str, Any]:
    found: dict[str, Any] = platform.http.get(f"{platform.control}/api/v1/releases?endpoint=digits").json()
    return dict(found["releases"][0])


def baseline(platform: Platform) -> str:
    return str(platform.http.get(f"{platform.control}/api/v1/endpoints/digits").json()["policy"]["baseline"])


def test_a_gate_that_fails_ends_the_release_before_its_first_share(platform: Platform) -> None:
    for row in ROWS:
        assert platform.predict("digits", [row]).status_code == 200
    live = baseline(platform)
    other = {"v1": 2, "v2": 1}[live]
    candidate = ("release", "digits", "--candidate", f"models:/digits/{other}", "--detach")
    platform.run("endpoint", "set", "digits", "gates.max_p99_ms=0.001")
    try:
        done = platform.run(*candidate, check=False)
    finally:
        platform.run("endpoint", "set", "digits", "gates.max_p99_ms=0")
    assert done.returncode != 0
    assert "gate 'latency' failed, no traffic has changed" in " ".join((done.stdout + done.stderr).split())
    release = newest(platform)
    assert release["phase"] == "failed"
    outcomes = {gate["name"]: gate["outcome"] for gate in release["gates"]}
    assert outcomes["latency"] == "failed"
    assert {outcomes[name] for name in ("data", "shapes", "finite", "determinism", "batch", "memory")} == {"passed"}
    assert next(gate["row"] for gate in release["gates"] if gate["name"] == "latency").startswith("[")
    assert baseline(platform) == live


def test_the_questions_of_gates_are_in_the_journal_and_in_no_figure(platform: Platform) -> None:
    def asked() -> list[dict[str, Any]]:
        calls = platform.http.get(f"{platform.control}/api/v1/traces?endpoint=digits&limit=500").json()["traces"]
        return [call for call in calls if call["reason"] == "gate"]

    gates = wait_for(asked, seconds=20, what="calls of gates in the journal")
    assert not any(call["counted"] for call in gates)
    candidate = {call["variant"] for call in gates} - {baseline(platform)}
    assert len(candidate) == 1
    figures = platform.http.get(f"{platform.data}/metrics").json()
    asked_too = [m["value"] for m in figures["metrics"] if m["name"] == "headrace_gate_calls_total"]
    assert sum(asked_too) >= len(gates)
