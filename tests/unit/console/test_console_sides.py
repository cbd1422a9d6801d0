"""Two versions beside each other: what the registry measured, how they run, and by how much each number moved."""

from __future__ import annotations

from dataclasses import replace

from console_samples import endpoint, release, visit

from headrace.console.pages.sides import rows, sides_of
from headrace.console.sentences import Traffic
from headrace.types.endpoint import Variant
from headrace.types.model import ModelVersion, Package, RuntimeKind, Signature


def variant(number: int, **metrics: float) -> Variant:
    model = ModelVersion(name="digits", version=number, uri=f"models:/digits/{number}", metrics=metrics)
    package = Package(
        id=f"p{number}", model="digits", version=number, source_sha256="s", runtime=RuntimeKind.ONNX,
        signature=Signature(inputs=(), outputs=()), files=(),
    )  # fmt: skip
    return Variant(name=f"v{number}", model=model, package=package)


def test_a_version_that_is_gone_has_no_side() -> None:
    both = replace(endpoint(), variants=(variant(1), variant(2)))
    assert sides_of(both, release()) == both.variants
    assert sides_of(replace(both, variants=(variant(1),)), release()) is None
    assert sides_of(None, release()) is None


def test_numbers_stand_beside_each_other_with_their_change() -> None:
    live = {"v1": Traffic(calls=300, errors=3, p50_ms=2.0, p99_ms=9.0), "v2": Traffic(calls=100, p50_ms=1.0)}
    found = list(rows(visit(), (variant(1, auc=0.8), variant(2, auc=0.9, f1=0.7)), Traffic(variants=live)))
    told = {row["what"]["text"]: [row.get(side, {}).get("text") for side in ("baseline", "candidate", "change")]
            for row in found}  # fmt: skip
    assert told["auc"] == ["0.8", "0.9", "▲ 12 %"]
    assert told["f1"] == ["–", "0.7", "–"]
    assert told["p50"] == ["2.0 ms", "1.0 ms", "▼ 50 %"]
    assert told["p99"] == ["9.0 ms", "–", "–"]
    assert told["Calls, 5 min, and failed"] == ["300", "100", None]


def test_without_calls_nothing_is_said_of_speed() -> None:
    found = [row["what"]["text"] for row in rows(visit(), (variant(1), variant(2)), Traffic())]
    assert found == ["Model version", "Stage", "Runs in"]
