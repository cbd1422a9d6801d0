"""Adapters: checked against both signatures before there is traffic, applied around a version's run, never in the way
of a variant without one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plane_samples import ROWS_OF_3, endpoint, package, plan, spec
from test_shadow import Plane as Shadowed
from test_spine import Plane

from headrace.serving import describe
from headrace.serving.adapt import Adapted, check_adapter
from headrace.serving.cast import Misfit, cast
from headrace.serving.codec import DTYPES, Codec
from headrace.serving.runtimes.base import Form, Inputs, Outputs
from headrace.types.adapter import Adapter, Cast, Compute, Default, Drop, Rename, Scale, Step
from headrace.types.call import CallStatus
from headrace.types.endpoint import Cache, Endpoint, Plan
from headrace.types.errors import BadInput, ModelFailed, ModelRefused
from headrace.types.model import Datatype, Layout, Signature
from headrace.types.traffic import Shadow, TrafficPolicy

# What callers know: a table. What the version takes: one tensor; and it gives scores, no label.
PERSON = Signature(
    inputs=(spec("weight"), spec("height"), spec("country", Datatype.BYTES), spec("session", Datatype.BYTES)),
    outputs=(spec("risk", Datatype.BYTES), spec("score", Datatype.FP64)),
    layout=Layout.COLUMNS,
)
VECTOR = Signature(
    inputs=(spec("x", Datatype.FP32, (-1, 3)), spec("lang", Datatype.BYTES), spec("k", Datatype.INT32)),
    outputs=(spec("probabilities", Datatype.FP32, (-1, 2)),),
)
STEPS_IN: tuple[Step, ...] = (
    Drop(tensor="session"),
    Scale(tensor="height", by=(0.01,)),
    Compute(tensor="bmi", expression="weight / height ** 2"),
    Compute(tensor="x", expression="row(weight, height, bmi)", datatype=Datatype.FP32),
    Drop(tensor="weight"),
    Drop(tensor="height"),
    Drop(tensor="bmi"),
    Compute(tensor="lang", expression="'de' if country in ('CH', 'DE') else 'en'"),
    Drop(tensor="country"),
    Default(tensor="k", datatype=Datatype.INT32, value=7),
)
STEPS_OUT: tuple[Step, ...] = (
    Compute(tensor="risk", expression="choose(argmax(probabilities), 'low', 'high')"),
    Compute(tensor="score", expression="probabilities[1]", datatype=Datatype.FP64),
    Drop(tensor="probabilities"),
)
BOTH = Adapter(outer=PERSON, inputs=STEPS_IN, outputs=STEPS_OUT)
ROW = b'[{"weight": 80, "height": 200, "country": "CH", "session": "s"}]'


def probabilities(inputs: Inputs) -> Outputs:
    """The third value, a body mass index, over 25 is a risk."""
    high = (inputs.arrays["x"][:, 2] > 25).astype(np.float32)
    return [np.stack([1 - high, high], axis=1)]


def person(adapter: Adapter | None = BOTH, **more: Any) -> Endpoint:
    """v1 as callers know it, v2 behind an adapter."""
    made = endpoint(package(1, signature=PERSON), package(2, signature=VECTOR), **more)
    one, two = made.variants
    return replace(made, variants=(one, replace(two, adapter=adapter)))


def low(inputs: Inputs) -> Outputs:
    risk = np.empty(inputs.rows, dtype=object)
    risk[:] = "low"
    return [risk, np.zeros(inputs.rows)]


async def plane(made: Endpoint) -> Plane:
    found = Plane(low)
    found.runtime.behaviours[2] = probabilities
    return await found.serve(made)


async def test_a_version_with_another_signature_answers_what_callers_know() -> None:
    found = await plane(person())
    light = await found.ask(ROW, wanted="2")
    heavy = await found.ask(ROW.replace(b"80", b"120"), wanted="2")
    assert (light.body, heavy.body) == (b'["low"]', b'["high"]')
    assert (await found.ask(ROW)).body == b'["low"]'
    ran = found.runtime.models[2].ran[0]
    assert ran.arrays["x"].dtype == np.float32
    assert ran.arrays["x"].tolist() == [[80.0, 2.0, 20.0]]
    assert ran.arrays["lang"].tolist() == ["de"]
    assert ran.arrays["k"].tolist() == [7]


async def test_the_journal_keeps_what_callers_sent_and_got() -> None:
    found = await plane(person())
    await found.ask(ROW, wanted="2")
    (call,) = found.journal.calls()
    assert (call.variant, call.status, call.output) == ("v2", CallStatus.OK, ["low"])
    assert call.input == msgspec.json.decode(ROW)


async def test_all_versions_are_described_as_callers_know_them() -> None:
    found = await plane(person())
    table = found.predictor.table
    one, two = describe.metadata(table, "toy", "1"), describe.metadata(table, "toy", "2")
    assert (one["inputs"], one["outputs"]) == (two["inputs"], two["outputs"])
    assert describe.configuration(table, "toy", "2")["input"] == describe.configuration(table, "toy", "1")["input"]


async def test_a_variant_without_an_adapter_is_not_touched() -> None:
    found = await Plane().serve(endpoint(package(1)))
    lane = found.predictor.table.lanes["toy"]
    assert lane.adapted is None
    assert lane.loaded["v1"].parts.adapter is None


async def test_what_it_cannot_adapt_counts_against_the_version() -> None:
    """The caller sent what the endpoint takes; the version before would have answered."""
    found = await plane(person())
    with pytest.raises(ModelFailed, match=r"adapter of v2 cannot take this call: step 4 .*row 0\[2\] is inf") as caught:
        await found.ask(ROW.replace(b"200", b"0"), wanted="2")
    assert caught.value.field == "x"
    (call,) = found.journal.calls()
    assert (call.variant, call.status) == ("v2", CallStatus.FAILED)


def test_what_is_not_finite_never_gets_to_the_version() -> None:
    outer = Signature(inputs=(spec("a"),), outputs=(spec("y"),))
    adapted = Adapted(Adapter(outer=outer, inputs=(compute("1 / a", "a"),)), Codec(outer, Form()), name="v2")
    assert adapted.inward(Inputs(2, {"a": np.array([1.0, 2.0])})).arrays["a"].tolist() == [1.0, 0.5]
    with pytest.raises(ModelFailed, match=r"input 'a' is inf in row 1 after it"):
        adapted.inward(Inputs(2, {"a": np.array([1.0, 0.0])}))


async def test_what_the_endpoint_does_not_take_is_the_callers_fault() -> None:
    found = await plane(person())
    with pytest.raises(BadInput, match="height"):
        await found.ask(b'[{"weight": 80, "country": "CH", "session": "s"}]', wanted="2")
    with pytest.raises(BadInput):
        await found.ask(b'{"x": [[1, 2, 3]], "lang": ["de"], "k": [7]}', wanted="2")


async def test_a_step_that_fails_is_named() -> None:
    adapter = Adapter(
        outer=PERSON, inputs=(Cast(tensor="country", datatype=Datatype.INT64), *STEPS_IN), outputs=STEPS_OUT
    )
    with pytest.raises(ModelRefused, match=r"compares a text with a number"):
        check_adapter(adapter, VECTOR)
    steps = (Compute(tensor="country", expression="country"), *STEPS_IN[:-1])
    number = (*steps, Cast(tensor="lang", datatype=Datatype.INT32), Rename(tensor="lang", to="k"))
    own = Signature(inputs=(VECTOR.inputs[0], spec("k", Datatype.INT32)), outputs=VECTOR.outputs)
    adapted = Adapted(Adapter(outer=PERSON, inputs=number, outputs=STEPS_OUT), Codec(own, Form()), name="v9")
    sent = adapted.codec.decode(msgspec.Raw(ROW))
    with pytest.raises(
        ModelFailed, match=r"adapter of v9 .*step 11 of inputs \(cast 'lang'\): row 0 is 'de', which is no number"
    ):
        adapted.inward(sent)


async def test_what_was_cached_for_a_version_is_adapted_again() -> None:
    found = await plane(person(cache=Cache(size_mb=1)))
    first, second = await found.ask(ROW, wanted="2"), await found.ask(ROW, wanted="2")
    assert first.body == second.body == b'["low"]'
    assert len(found.runtime.models[2].ran) == 1


async def test_a_plan_whose_adapter_does_not_fit_changes_nothing() -> None:
    found = await Plane(low).serve(endpoint(package(1, signature=PERSON)))
    found.runtime.behaviours[2] = probabilities
    refusal = await found.fleet.apply(plan(4, person(Adapter(outer=PERSON, inputs=STEPS_IN[1:], outputs=STEPS_OUT))))
    assert refusal is not None
    assert refusal.variant == "v2"
    assert "'session' is left over" in refusal.reason
    assert found.predictor.table.revision == 3
    assert (await found.ask(ROW)).body == b'["low"]'


async def test_a_plane_that_starts_serves_the_variants_whose_adapters_fit() -> None:
    found = Plane(low)
    found.runtime.behaviours[2] = probabilities
    policy = TrafficPolicy(baseline="v1", candidate="v2", share=10_000, salt="s")
    refusal = await found.fleet.apply(plan(4, person(Adapter(outer=PERSON), policy=policy)), partly=True)
    assert refusal is not None
    assert (await found.ask(ROW, user="ann")).call.variant == "v1"


async def test_a_model_that_wants_a_matrix_gets_one_from_callers_with_other_columns() -> None:
    """And a candidate's adapter takes what was decoded for a live version with a form of its own."""
    inner = Codec(
        Signature(inputs=(spec("b"), spec("a")), outputs=(spec("y"),), layout=Layout.COLUMNS),
        Form(matrix=np.dtype(np.float32)),
    )
    outer = Signature(inputs=(spec("u"), spec("v", Datatype.INT64)), outputs=(spec("y"),), layout=Layout.COLUMNS)
    steps = (Rename(tensor="u", to="a"), Cast(tensor="v", datatype=Datatype.FP64), Rename(tensor="v", to="b"))
    adapted = Adapted(Adapter(outer=outer, inputs=steps), inner, name="v2")
    sent = adapted.inward(adapted.codec.decode(msgspec.Raw(b'[{"u": 0.5, "v": 2}, {"u": 1.5, "v": 3}]')))
    assert sent.matrix is not None
    assert sent.matrix.tolist() == [[2.0, 0.5], [3.0, 1.5]]
    live = Inputs(2, {}, np.array([[0.5, 2], [1.5, 3]], dtype=np.float32))
    again = adapted.inward(live)
    assert again.matrix is not None
    assert np.array_equal(again.matrix, sent.matrix)


async def test_a_shadow_answers_behind_its_adapter() -> None:
    """The same request, read as the endpoint's and turned into the shadow's own; answers of one kind to compare."""
    found = Shadowed(live=low, shadow=probabilities)
    policy = TrafficPolicy(baseline="v1", salt="s", shadow=Shadow(variant="v2"))
    await found.serve(person(policy=policy))
    assert await found.ask(ROW.replace(b"80", b"120")) == b'["low"]'
    (line,) = await found.settled()
    assert (line.variant, line.status, line.output) == ("v2", CallStatus.OK, ["high"])
    assert line.beside == {"outputs": {"score": [[0.0], [1.0]]}}
    assert await found.ask(ROW.replace(b"200", b"0")) == b'["low"]'
    line = (await found.settled())[-1]
    assert line.status is CallStatus.FAILED
    assert "the adapter of v2 cannot take this call" in line.error


async def test_a_live_version_behind_an_adapter_has_shadows_too() -> None:
    found = Shadowed(live=probabilities, shadow=low)
    made = person(policy=TrafficPolicy(baseline="v2", salt="s", shadow=Shadow(variant="v1")))
    found.runtime.behaviours = {1: low, 2: probabilities}
    await found.serve(made)
    assert await found.ask(ROW.replace(b"80", b"120")) == b'["high"]'
    (line,) = await found.settled()
    assert (line.variant, line.status, line.output) == ("v1", CallStatus.OK, ["low"])
    assert line.beside == {"outputs": {"score": [[1.0], [0.0]]}}


def test_a_text_that_is_no_text_is_refused_where_the_version_needs_one() -> None:
    outer = Signature(inputs=(spec("word", Datatype.BYTES),), outputs=(spec("y"),))
    own = Signature(inputs=(spec("text", Datatype.BYTES),), outputs=(spec("y"),))
    adapted = Adapted(
        Adapter(outer=outer, inputs=(Rename(tensor="word", to="text"),)), Codec(own, Form(unicode=True)), name="v2"
    )
    words = np.array([b"\xff"], dtype=object)
    with pytest.raises(BadInput, match="not UTF-8"):
        adapted.codec.from_arrays({"word": words})


NUMBER, WORD = "input", "country"


def default(datatype: Datatype, value: Any, name: str = "k") -> Step:
    return Default(tensor=name, datatype=datatype, value=value)


def compute(text: str, name: str = NUMBER) -> Step:
    return Compute(tensor=name, expression=text)


# Steps for what callers send to ROWS_OF_3, a field, and what is said of them.
WRONG: list[tuple[tuple[Step, ...], str, str]] = [
    (
        (Rename(tensor="no", to="x"),),
        "[0]",
        "step 1 of inputs (rename 'no'): there is no tensor 'no' here; there are: in",
    ),
    ((default(Datatype.FP64, 1, NUMBER),), "[0]", "there is a tensor 'input' already"),
    ((default(Datatype.FP64, 1),), "", "'k' is left over"),
    ((Cast(tensor=NUMBER, datatype=Datatype.FP32),), "", "'input' is FP32, the version takes FP64"),
    ((compute("row(input, 1)"),), "", "'input' is [n, 4], the version takes [n, 3]"),
    ((compute("sum(input)"),), "", "'input' is [n], the version takes [n, 3]"),
    ((compute("input +"),), "[0]", "is no expression"),
    ((Drop(tensor=NUMBER), Drop(tensor=NUMBER)), "[1]", "there is no tensor 'input' here; there are: none"),
    ((Scale(tensor=NUMBER, by=(1, 2)),), "[0]", "2 numbers for rows of shape [3]"),
    ((Scale(tensor=NUMBER, by=()),), "[0]", "no finite numbers"),
    ((Scale(tensor=NUMBER, add=(float("nan"),)),), "[0]", "no finite numbers"),
    ((compute("'a'", WORD), Scale(tensor=WORD)), "[1]", "a text cannot be scaled"),
    ((compute("'a'", WORD), Cast(tensor=WORD, datatype=Datatype.BOOL)), "[1]", "BYTES cannot be cast to BOOL"),
    ((default(Datatype.INT8, 300),), "[0]", "300, which does not fit int8"),
    ((default(Datatype.INT8, 1.5),), "[0]", "1.5, which is no whole number"),
    ((default(Datatype.INT8, "1"),), "[0]", "'1', which is no INT8"),
    ((default(Datatype.BYTES, 1),), "[0]", "1, which is no BYTES"),
    ((default(Datatype.FP32, True),), "[0]", "True, which is no FP32"),
    ((default(Datatype.FP32, ()),), "[0]", "value has 0 values"),
]


@pytest.mark.parametrize(("steps", "field", "told"), WRONG, ids=[told for _, _, told in WRONG])
def test_what_does_not_fit_is_named_before_there_is_traffic(steps: tuple[Step, ...], field: str, told: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        check_adapter(Adapter(outer=ROWS_OF_3, inputs=steps), ROWS_OF_3)
    assert caught.value.field == f"adapter.inputs{field}"
    assert told in caught.value.message


@pytest.mark.parametrize(
    ("adapter", "own", "told"),
    [
        (BOTH, ROWS_OF_3, "'input' is missing; there are: x, lang, k"),
        (Adapter(outer=ROWS_OF_3), VECTOR, "'x' is missing; there are: input"),
        (Adapter(outer=ROWS_OF_3, outputs=(Rename(tensor="label", to="scores"),)), ROWS_OF_3, "a tensor 'scores' alr"),
        (
            Adapter(outer=ROWS_OF_3, outputs=(Cast(tensor="label", datatype=Datatype.BYTES),)),
            ROWS_OF_3,
            "'label' is BYTES, callers know INT64",
        ),
        (Adapter(outer=ROWS_OF_3, inputs=(Scale(tensor=NUMBER),) * 201), ROWS_OF_3, "201 steps for inputs; allowed"),
    ],
)
def test_both_signatures_are_looked_at(adapter: Adapter, own: Signature, told: str) -> None:
    with pytest.raises(ModelRefused) as caught:
        check_adapter(adapter, own)
    assert told in caught.value.message


def test_defaults_are_new_arrays_for_each_call() -> None:
    outer = Signature(inputs=(spec("a"),), outputs=(spec("y"),))
    own = Signature(
        inputs=(
            spec("a"),
            spec("b", Datatype.BOOL),
            spec("t", Datatype.BYTES, (-1, 2)),
            spec("f", Datatype.FP16, (-1, 2)),
        ),
        outputs=(spec("y"),),
    )
    steps = (
        Default(tensor="b", datatype=Datatype.BOOL, value=True),
        Default(tensor="t", datatype=Datatype.BYTES, value=("x", "y")),
        Default(tensor="f", datatype=Datatype.FP16, value=(1, 0.5)),
    )
    adapted = Adapted(Adapter(outer=outer, inputs=steps), Codec(own, Form()), name="v2")
    made = adapted.inward(Inputs(2, {"a": np.zeros(2)})).arrays
    made["f"][:] = 9
    again = adapted.inward(Inputs(2, {"a": np.zeros(2)})).arrays
    assert again["b"].tolist() == [True, True]
    assert again["t"].tolist() == [["x", "y"]] * 2
    assert again["f"].tolist() == [[1.0, 0.5]] * 2
    assert again["f"].dtype == np.float16


def test_scale_is_per_value_of_a_row_and_keeps_the_precision() -> None:
    outer = Signature(inputs=(spec("x", Datatype.FP32, (-1, 2)), spec("n", Datatype.UINT8)), outputs=(spec("y"),))
    own = Signature(inputs=(spec("x", Datatype.FP32, (-1, 2)), spec("n")), outputs=(spec("y"),))
    steps = (Scale(tensor="x", by=(2, 4), add=(1, -1)), Scale(tensor="n", by=(1 / 255,)))
    adapted = Adapted(Adapter(outer=outer, inputs=steps), Codec(own, Form()), name="v2")
    sent = {"x": np.array([[1, 2]], dtype=np.float32), "n": np.array([255], dtype=np.uint8)}
    made = adapted.inward(Inputs(1, sent)).arrays
    assert made["x"].tolist() == [[3.0, 7.0]]
    assert made["n"].tolist() == [1.0]
    assert sent["x"].tolist() == [[1.0, 2.0]]


@pytest.mark.parametrize("datatype", [d for d in Datatype if d is not Datatype.BOOL])
@settings(max_examples=25)
@given(st.integers(-(2**70), 2**70))
def test_a_cast_keeps_the_value_or_says_which_does_not_fit(datatype: Datatype, value: int) -> None:
    texts = np.empty(1, dtype=object)
    texts[0] = str(value)
    dtype = DTYPES[datatype]
    limit = (
        float(np.finfo(dtype).max) if dtype.kind == "f" else int(np.iinfo(dtype).max) if dtype.kind != "O" else 2**99
    )
    low = -limit if dtype.kind != "u" else 0
    if not low - (dtype.kind == "i") <= value <= limit:
        with pytest.raises(Misfit, match="does not fit"):
            cast(texts, datatype)
        return
    made = cast(texts, datatype)
    assert made.dtype == dtype
    wanted = {"O": str, "f": float}.get(dtype.kind, int)(value)
    assert made[0] == wanted if dtype.kind != "f" else np.isclose(made[0], wanted, rtol=1e-3)


@pytest.mark.parametrize(
    ("given_", "datatype", "wanted"),
    [
        (np.array([0.0, 1.0]), Datatype.BOOL, [False, True]),
        (np.array([True, False]), Datatype.FP32, [1.0, 0.0]),
        (np.array([True]), Datatype.BYTES, ["true"]),
        (np.array([1.5]), Datatype.BYTES, ["1.5"]),
        (np.array([3], dtype=np.int64), Datatype.BYTES, ["3"]),
        (np.array([300]), Datatype.UINT16, [300]),
        (np.array([2.0**62]), Datatype.INT64, [2**62]),
        (np.array(["1e3"], dtype=object), Datatype.FP64, [1000.0]),
    ],
)
def test_casts(given_: Any, datatype: Datatype, wanted: list[Any]) -> None:
    assert cast(given_, datatype).tolist() == wanted


@pytest.mark.parametrize(
    ("given_", "datatype", "told"),
    [
        (np.array([0.0, 2.0]), Datatype.BOOL, "row 1 is 2.0, which is neither 0 nor 1"),
        (np.array([[1.0, 1.5]]), Datatype.INT64, r"row 0\[1\] is 1.5, which is no whole number"),
        (np.array([np.nan]), Datatype.INT64, "is nan, which is no whole number"),
        (np.array([256]), Datatype.UINT8, "row 0 is 256, which does not fit uint8"),
        (np.array([-1]), Datatype.UINT64, "does not fit uint64"),
        (np.array([2.0**63]), Datatype.INT64, "does not fit int64"),
        (np.array([2.0**64]), Datatype.UINT64, "does not fit uint64"),
        (np.array([1e39]), Datatype.FP32, "row 0 is 1e.39, which does not fit FP32"),
        (np.array(["x" * 100], dtype=object), Datatype.FP64, "which is no number"),
        (np.array(["1.5"], dtype=object), Datatype.INT32, "which is no number"),
    ],
)
def test_casts_that_do_not_fit(given_: Any, datatype: Datatype, told: str) -> None:
    with pytest.raises(Misfit, match=told):
        cast(given_, datatype)


def test_a_plan_with_an_adapter_reads_back_as_it_was_written() -> None:
    made = plan(4, person())
    for form in (msgspec.json, msgspec.msgpack):
        assert form.decode(form.encode(made), type=Plan) == made
