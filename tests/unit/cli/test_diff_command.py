"""`headrace release diff`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cli_planes import Planes, Ran

Run = Callable[..., Ran]

FIGURES = {
    "pairs": 1200, "flip_rate": 0.025, "deviating_rate": 0.1, "unequal_rate": 0.2, "overlap": 1.0,
    "candidate_errors": 3, "refused": 0, "lost": 7, "dropped": 5, "psi": 0.1234, "baseline_p50_ms": 1.0,
    "candidate_p50_ms": 2.0, "baseline_p99_ms": 3.0, "candidate_p99_ms": None,
}  # fmt: skip
PAIR = {
    "trace_id": "tr-1", "severity": 4.0, "baseline_output": 7, "candidate_output": [1.0] * 40, "error": "",
    "difference": {"what": "label[0]: 7 → 1"},
}  # fmt: skip


def document(**changes: Any) -> dict[str, Any]:
    return {
        "release": "rel_1", "endpoint": "digits", "baseline": "v1", "candidate": "v2", "tolerance": 0.01,
        "figures": FIGURES, "columns": ["age", "town"], "by": "", "value": "", "sampled": 3, "segments": [],
        "pairs": [PAIR],
    } | changes  # fmt: skip


def test_the_figures_and_the_worst_pairs(run: Run, planes: Planes) -> None:
    planes.says["GET /api/v1/releases/rel_1"] = {"id": "rel_1"}
    planes.says["GET /api/v1/releases/rel_1/pairs"] = document()
    found = run("release", "diff", "rel_1", "--limit", "5")
    assert found.status == 0, found.err
    assert planes.asked[-1][0] == "GET /api/v1/releases/rel_1/pairs?limit=5"
    lines = found.out.splitlines()
    assert lines[1] == "1,200 pairs, 2.5 % another answer (tolerated: 1 %), 10 % with a number that moved, 3 failed"
    assert "p99 3.0 → – ms; PSI of answers 0.123; 7 without a partner, 5 dropped" in lines[2]
    assert "by segment: --by age, town" in found.out
    assert "label[0]: 7 → 1" in lines[-1]
    assert "…" in lines[-1]


def test_by_segment_and_as_json(run: Run, planes: Planes) -> None:
    planes.says["GET /api/v1/releases/rel_1"] = {"id": "rel_1"}
    segment = {"value": "Ulm", "pairs": 4, "flips": 3, "rate": 0.75, "low": 0.3, "high": 0.95, "deviation": 0.0}
    planes.says["GET /api/v1/releases/rel_1/pairs"] = document(by="town", segments=[segment], pairs=[])
    found = run("release", "diff", "rel_1", "--by", "town", "--value", "Ulm")
    assert planes.asked[-1][0] == "GET /api/v1/releases/rel_1/pairs?by=town&value=Ulm&limit=20"
    assert "30 % to 95 %" in found.out
    assert "no pair differs" in found.out
    assert run("release", "diff", "rel_1", "--json").json["by"] == "town"
