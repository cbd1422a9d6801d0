"""The report on a cut-over: what is counted of which calls, and how it is told."""

from __future__ import annotations

from typing import Any

import pytest

from headrace.cli.cutover import release_figures, report_on, show_report, variant_figures


def call(latency: float, status: str = "ok", shadow_of: str = "", reason: str = "bucket") -> dict[str, Any]:
    told = {"latency_ms": latency, "status": status, "shadow_of": shadow_of}
    return told | {"reason": reason, "time": 1000.0 + latency}


RELEASE: dict[str, Any] = {
    "id": "rel_1",
    "baseline": "v1000001",
    "candidate": "v1",
    "phase": "promoted",
    "created": 1.0,
    "ended": 2.0,
    "actor": "ada",
    "pairs": {"pairs": 40},
    "history": [{"time": 1.0, "name": "started", "detail": "v1000001 → v1", "actor": "ada", "share": 0}],
}
UNDONE: dict[str, Any] = {
    "id": 9,
    "time": 3.0,
    "actor": "ada",
    "action": "endpoint.undo",
    "detail": "all traffic back to v1000001",
    "about": {
        "reason": "too quick",
        "before": [{"variant": "v1", "uri": "models:/churn/1", "share": 10_000}],
        "after": [{"variant": "v1000001", "uri": "legacy:http://h/s", "share": 10_000}],
    },
}
NOTED = UNDONE | {"id": 8, "action": "endpoint.set", "about": UNDONE["about"] | {"after": UNDONE["about"]["before"]}}
FIGURES = {
    "pairs": 40,
    "flip_rate": 0.025,
    "deviating_rate": 0.0,
    "candidate_errors": 1,
    "lost": 0,
    "dropped": 0,
    "psi": None,
}


class Control:
    """As the admin API answers."""

    def __init__(self, releases: list[dict[str, Any]]) -> None:
        self._releases = releases

    def endpoint(self, name: str) -> dict[str, Any]:
        return {"name": name, "variants": [{"name": "v1000001"}]}

    def releases(self, **_: Any) -> list[dict[str, Any]]:
        return self._releases

    def traces(self, *, variant: str, **_: Any) -> list[dict[str, Any]]:
        return [call(30.0), call(50.0, "failed")] if variant == "v1000001" else [call(3.0), call(1.0, shadow_of="tr-1")]

    def history(self, **_: Any) -> list[dict[str, Any]]:
        return [UNDONE, NOTED] if self._releases else []

    def pairs(self, release_id: str, **_: Any) -> dict[str, Any]:
        assert release_id == "rel_1"
        return {"figures": FIGURES}


def test_only_calls_that_a_user_waited_for_count() -> None:
    nobodys = [call(500, shadow_of="tr"), call(600, reason="gate")]
    found = variant_figures("v1", [*(call(i) for i in range(1, 101)), call(9.9, "failed"), *nobodys])
    assert (found["calls"], found["failed"], found["p50_ms"], found["p99_ms"]) == (101, 1, 51, 100)
    assert found["failed_rate"] == pytest.approx(1 / 101)
    nothing = variant_figures("v1", [])
    assert (nothing["calls"], nothing["failed_rate"], nothing["p50_ms"], nothing["to"]) == (0, None, None, None)


def test_a_report_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    control: Any = Control([RELEASE])
    found = report_on(control, "churn")
    assert [v["variant"] for v in found["variants"]] == ["v1000001", "v1"]
    assert found["releases"] == [release_figures(RELEASE, {k: v for k, v in FIGURES.items() if k != "psi"})]
    assert [v["p50_change"] for v in found["variants"]] == [None, pytest.approx(-0.9)]
    assert [(m["from"], m["to"], m["why"]) for m in found["moves"]] == [
        ({"v1": 10_000}, {"v1000001": 10_000}, "too quick")
    ]
    show_report(found)
    told = capsys.readouterr().out
    assert "-90 %" in told
    assert "too quick" in told
    assert "rel_1 v1000001 → v1: promoted" in told
    assert "40 answers compared, 2.5 % were another one, 1 failed, 0 without a partner" in told
    assert "started" in told


def test_a_report_before_any_release(capsys: pytest.CaptureFixture[str]) -> None:
    control: Any = Control([])
    show_report(report_on(control, "churn"))
    told = capsys.readouterr().out
    assert "no release yet: headrace release churn" in told
    assert "v1000001" in told
