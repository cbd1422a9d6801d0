"""Gate: whether the candidate may go on. Decides by verdict.py; refuses when one gate says no."""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.flywheel import verdict
from headrace.flywheel.made import Made, Say, Step, key_of
from headrace.flywheel.shop import Shop
from headrace.types.turn import Gain, StepName


def step(shop: Shop, evaluated: Made, trained: Made) -> Step:
    flywheel = shop.turn.flywheel
    return Step(
        name=StepName.GATE,
        key=key_of(
            StepName.GATE,
            verdict,
            inputs={"gains": evaluated.digest, "trained": trained.digest},
            params=(flywheel.gates, flywheel.alpha, flywheel.metric),
        ),
        build=lambda folder, say: build(shop, evaluated, trained, folder, say),
    )


def build(shop: Shop, evaluated: Made, trained: Made, folder: Path, say: Say) -> Made:
    say(0.5, "judging")
    found = verdict.judge(
        shop.turn.flywheel,
        verdict.Measured(
            gains=msgspec.convert(evaluated.facts["gains"], tuple[Gain, ...]),
            baseline_ms=evaluated.facts["baseline_row_ms"],
            candidate_ms=evaluated.facts["candidate_row_ms"],
            seconds=trained.facts["seconds"],
            cost=trained.facts["cost"],
        ),
    )
    (folder / "gates.json").write_bytes(msgspec.json.encode(found))
    refused = "; ".join(f"gate {gate.gate}: {gate.says}" for gate in found if not gate.passed)
    return Made(
        says=f"{len(found)} gates passed",
        refused=refused,
        counts={"gates": len(found), "refused": sum(not gate.passed for gate in found)},
        facts={"gates": msgspec.to_builtins(found)},
    )
