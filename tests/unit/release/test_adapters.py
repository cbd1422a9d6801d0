"""Adapters as people write them, and which one a variant gets: callers go on as they did, also after a promotion."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import yaml
from made import endpoint, signature, variant

from headrace.release.adapters import Written, attached, read_adapter, told
from headrace.release.change import check_fits, promoted, rolled_back, switched, with_candidate, with_variant
from headrace.serving.adapt import Adapted
from headrace.serving.codec import Codec
from headrace.serving.functions import FUNCTIONS
from headrace.serving.runtimes.base import Form
from headrace.types.adapter import Adapter, Cast, Compute, Default, Drop, Rename, Scale
from headrace.types.endpoint import Variant
from headrace.types.errors import BadInput, ModelRefused
from headrace.types.model import Datatype, Layout, Signature, TensorSpec

WIDE = signature(5)  # a later version takes one feature more
MORE = read_adapter({"inputs": [{"compute": {"input": "row(input, 1)"}}]})
HALF = read_adapter({"inputs": [{"scale": {"input": 0.5}}]})

PERSON = Signature(
    inputs=(
        TensorSpec(name="customer_age", datatype=Datatype.INT64, shape=(-1,)),
        TensorSpec(name="weight", datatype=Datatype.FP64, shape=(-1,)),
        TensorSpec(name="height", datatype=Datatype.FP64, shape=(-1,)),
        TensorSpec(name="session", datatype=Datatype.BYTES, shape=(-1,)),
    ),
    outputs=(
        TensorSpec(name="label", datatype=Datatype.BYTES, shape=(-1,)),
        TensorSpec(name="score", datatype=Datatype.FP64, shape=(-1,)),
    ),
    layout=Layout.COLUMNS,
)
CHURN = Codec(
    Signature(
        inputs=(
            TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 3)),
            TensorSpec(name="channel", datatype=Datatype.BYTES, shape=(-1,)),
        ),
        outputs=(TensorSpec(name="scores", datatype=Datatype.FP32, shape=(-1, 2)),),
    ),
    Form(),
)


def wide(number: int, written: Written | None = MORE) -> Variant:
    return attached(variant(number, shape=WIDE), written, endpoint())


def test_every_kind_of_step_is_read() -> None:
    found = read_adapter(
        {
            "inputs": [
                {"rename": {"a": "b", "c": "d"}},
                {"cast": {"b": "FP32"}},
                {"scale": {"b": 2, "d": {"by": [1, 2], "add": 3}}},
                {"default": {"k": {"datatype": "INT64", "value": 1}, "w": {"datatype": "BYTES", "value": ["x", "y"]}}},
                {"drop": "d"},
                {"drop": ["k", "w"]},
                {"compute": {"e": "b + 1", "f": {"expression": "b > 1", "datatype": "INT8"}}},
            ],
            "outputs": None,
            "signature": {"layout": "columns", "inputs": [_spec("a")], "outputs": [_spec("y")]},
        }
    )
    assert found.inputs == (
        Rename(tensor="a", to="b"),
        Rename(tensor="c", to="d"),
        Cast(tensor="b", datatype=Datatype.FP32),
        Scale(tensor="b", by=(2.0,)),
        Scale(tensor="d", by=(1.0, 2.0), add=(3.0,)),
        Default(tensor="k", datatype=Datatype.INT64, value=1),
        Default(tensor="w", datatype=Datatype.BYTES, value=("x", "y")),
        Drop(tensor="d"),
        Drop(tensor="k"),
        Drop(tensor="w"),
        Compute(tensor="e", expression="b + 1"),
        Compute(tensor="f", expression="b > 1", datatype=Datatype.INT8),
    )
    assert found.outputs == ()
    assert found.signature == Signature(
        inputs=(TensorSpec(name="a", datatype=Datatype.FP64, shape=(-1,)),),
        outputs=(TensorSpec(name="y", datatype=Datatype.FP64, shape=(-1,)),),
        layout=Layout.COLUMNS,
    )


def _spec(name: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": "FP64", "shape": shape or (-1,)}


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ([], "adapter", "is []; it is an object"),
        ({"input": []}, "adapter", "has a part 'input'; allowed: inputs, outputs, signature"),
        ({"inputs": {"rename": {"a": "b"}}}, "adapter.inputs", "it is a list of steps"),
        ({"inputs": ["rename"]}, "adapter.inputs[0]", "the step is 'rename'"),
        ({"inputs": [{"rename": {"a": "b"}, "drop": "c"}]}, "adapter.inputs[0]", "write one kind of step"),
        ({"outputs": [{"drop": "c"}, {"move": {"a": "b"}}]}, "adapter.outputs[1]", "no step 'move'; there are"),
        ({"inputs": [{"rename": "a"}]}, "adapter.inputs[0]", "rename cannot be 'a': Expected 'object', got 'str'"),
        ({"inputs": [{"cast": {"a": "FLOAT"}}]}, "adapter.inputs[0]", "Invalid enum value 'FLOAT'"),
        ({"inputs": [{"cast": ["a"]}]}, "adapter.inputs[0]", "cast cannot be ['a']"),
        ({"inputs": [{"scale": {"a": "2"}}]}, "adapter.inputs[0]", "scale cannot be {'a': '2'}"),
        ({"inputs": [{"scale": {"a": {"factor": 2}}}]}, "adapter.inputs[0]", "unknown field 'factor'"),
        ({"inputs": [{"default": {"a": 1}}]}, "adapter.inputs[0]", "default cannot be {'a': 1}"),
        ({"inputs": [{"default": {"a": {"value": 1}}}]}, "adapter.inputs[0]", "missing required field 'datatype'"),
        ({"inputs": [{"drop": 3}]}, "adapter.inputs[0]", "drop cannot be 3"),
        ({"inputs": [{"compute": {"a": 3}}]}, "adapter.inputs[0]", "compute cannot be {'a': 3}"),
        ({"signature": {"inputs": []}}, "adapter.signature", "missing required field"),
        ({"signature": {"inputs": [_spec("a")], "outputs": []}}, "adapter.signature", "one output at least"),
        ({"signature": {"inputs": [_spec("a", 3)], "outputs": [_spec("y")]}}, "adapter.signature", "shape of 'a'"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_named(text: Any, field: str, told: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_adapter(text)
    assert caught.value.field == field
    assert told in caught.value.message


def test_the_example_of_the_docs_does_what_it_says() -> None:
    page = (Path(__file__).parents[3] / "docs" / "adapters.md").read_text()
    written = read_adapter(yaml.safe_load(page.split("```yaml\n")[1].split("```")[0]))
    adapted = Adapted(Adapter(outer=PERSON, inputs=written.inputs, outputs=written.outputs), CHURN, name="v4")
    row = b'[{"customer_age": 40, "weight": 80, "height": 200, "session": "s"}]'
    made = adapted.inward(adapted.codec.decode(msgspec.Raw(row)))
    assert made.arrays["x"].tolist() == [[40, 80, 20]]
    assert made.arrays["channel"].tolist() == ["web"]
    label, score = adapted.outward([np.array([[0.25, 0.75]], dtype=np.float32)], 1)
    assert (label.tolist(), score.tolist()) == (["leave"], [0.75])


def test_the_docs_name_every_function() -> None:
    page = (Path(__file__).parents[3] / "docs" / "adapters.md").read_text()
    assert {name for name in FUNCTIONS if not re.search(rf"[`( ]{name}[`( ]", page)} == set()


def test_steps_are_told_in_a_line() -> None:
    steps = read_adapter(
        {
            "inputs": [
                {"rename": {"a": "b"}},
                {"cast": {"b": "FP32"}},
                {"scale": {"b": 0.5, "c": {"by": [1, 2], "add": 3}}},
                {"default": {"k": {"datatype": "BYTES", "value": ["x"]}}},
                {"drop": "d"},
                {"compute": {"e": "b + 1", "f": {"expression": "b > 1", "datatype": "INT8"}}},
            ]
        }
    ).inputs
    assert [told(step) for step in steps] == [
        "rename a → b",
        "cast b → FP32",
        "scale b · 0.5 + 0",
        "scale c · [1, 2] + 3",
        "default k = ['x'] (BYTES)",
        "drop d",
        "compute e = b + 1",
        "compute f = b > 1 (INT8)",
    ]


def test_an_adapter_is_checked_when_it_is_attached() -> None:
    with pytest.raises(ModelRefused, match=r"'input' is \[n, 4\], the version takes \[n, 5\]"):
        attached(variant(2, shape=WIDE), Written(), endpoint())


def test_a_new_endpoint_needs_to_be_told_what_callers_send() -> None:
    with pytest.raises(BadInput, match="nobody knows yet what callers send") as caught:
        attached(variant(2, shape=WIDE), MORE, None)
    assert caught.value.field == "adapter.signature"
    told = replace(MORE, signature=signature())
    assert attached(variant(2, shape=WIDE), told, None).signature == signature()


def test_another_signature_fits_only_behind_an_adapter() -> None:
    with pytest.raises(ModelRefused, match="does not fit endpoint 'digits'") as caught:
        check_fits(endpoint(), variant(2, shape=WIDE))
    assert "--adapter" in (caught.value.hint or "")
    assert caught.value.field == "signature"
    check_fits(endpoint(), wide(2))


def test_an_adapter_that_promises_callers_something_else_does_not_fit() -> None:
    other = attached(variant(2, shape=WIDE), Written(signature=WIDE), None)
    with pytest.raises(ModelRefused, match=r"is FP64 \[-1, 5\], the live version's FP64 \[-1, 4\]"):
        check_fits(endpoint(), other)


def test_callers_send_the_same_after_a_promotion() -> None:
    made = promoted(with_candidate(endpoint(), wide(2), salt="s"))
    live = made.variant(made.policy.baseline)
    assert live is not None
    assert (live.name, live.signature, live.package.signature) == ("v2", signature(), WIDE)


def test_a_roll_back_takes_the_adapter_with_its_version() -> None:
    made = rolled_back(with_candidate(endpoint(), wide(2), salt="s"))
    assert [v.adapter for v in made.variants] == [None]


def test_the_same_version_keeps_its_adapter() -> None:
    """A stage move makes the variant anew, and knows no adapter."""
    live = switched(endpoint(), wide(2))
    check_fits(live, variant(2, shape=WIDE))
    again = switched(live, variant(2, shape=WIDE)).variant("v2")
    assert again is not None
    assert again.adapter == wide(2).adapter
    assert with_variant(live, variant(2, shape=signature(9))).variants[-1].adapter is None


def test_what_is_trained_anew_gets_the_adapter_of_the_live_version() -> None:
    live = switched(endpoint(), wide(2))
    check_fits(live, variant(3, shape=WIDE))
    third = with_candidate(live, variant(3, shape=WIDE), salt="s").variant("v3")
    assert third is not None
    assert third.adapter == wide(2).adapter


def test_a_version_as_callers_know_it_needs_none() -> None:
    live = switched(endpoint(), wide(2))
    check_fits(live, variant(3))
    assert switched(live, variant(3)).variants[-1].adapter is None


def test_where_the_signature_does_not_tell_a_person_has_to() -> None:
    """The live version is fed half of what callers send. Nothing says whether the next one wants that, too."""
    live = switched(endpoint(), attached(variant(2), HALF, endpoint()))
    with pytest.raises(ModelRefused, match="does not say whether v3 needs it") as caught:
        check_fits(live, variant(3))
    assert caught.value.field == "adapter"
    without = attached(variant(3), read_adapter({}), live)
    assert without.adapter == Adapter(outer=signature())
    check_fits(live, without)
    check_fits(live, attached(variant(3), HALF, live))
