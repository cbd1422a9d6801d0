"""When two answers are the same, by datatype."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.edits import TEXT_LIMIT, edit_distance
from headrace.release.compare import compare, severity
from headrace.types.model import Datatype, TensorSpec
from headrace.types.pair import Difference, PairRules

RULES = PairRules()


def spec(datatype: Datatype, *shape: int, name: str = "answer") -> TensorSpec:
    return TensorSpec(name=name, datatype=datatype, shape=(-1, *shape))


LABEL, NUMBER, SCORES = spec(Datatype.INT64), spec(Datatype.FP64), spec(Datatype.FP32, 3)
TEXT = spec(Datatype.BYTES)


def differ(kind: TensorSpec, before: Any, after: Any, rules: PairRules = RULES) -> Difference:
    return compare(rules, [kind], {kind.name: before}, {kind.name: after})


def test_labels_are_equal_or_not() -> None:
    assert differ(LABEL, [7, 2], [7, 2]) == Difference()
    found = differ(LABEL, [7, 2, 1, 0], [7, 2, 3, 5])
    assert (found.flips, found.row, found.what) == (0.5, 2, "answer[2]: 1 → 3")
    assert differ(spec(Datatype.BYTES), ["cat"], ["car"]).flips == 1, "a label is no text"
    assert differ(spec(Datatype.BOOL), [True], [False]).flips == 1


@pytest.mark.parametrize(
    ("datatype", "inside", "outside"),
    [
        (Datatype.FP64, 1e-9, 1e-5),
        (Datatype.FP32, 5e-4, 5e-3),
        (Datatype.FP16, 5e-3, 5e-2),
        (Datatype.BF16, 5e-3, 5e-2),
    ],
)
def test_numbers_have_the_tolerance_of_their_datatype(datatype: Datatype, inside: float, outside: float) -> None:
    assert not differ(spec(datatype), [1.0], [1 + inside]).unequal
    assert differ(spec(datatype), [1.0], [1 + outside]).unequal
    loose = PairRules(tolerances={datatype.value: (1.0, 0.0)})
    assert not differ(spec(datatype), [1.0], [1 + outside], loose).unequal


def test_a_number_flips_when_it_deviates_by_more_than_the_rules_say() -> None:
    close, far = differ(NUMBER, [100.0], [104.0]), differ(NUMBER, [100.0], [120.0])
    assert (close.flips, close.unequal) == (0, True)
    assert (far.flips, round(far.deviation, 3)) == (1, 0.167)
    assert differ(NUMBER, [100.0], [120.0], PairRules(deviation=0.5)).flips == 0
    assert differ(NUMBER, [0.0], [0.0]) == Difference(), "nothing is no change of nothing"
    assert differ(NUMBER, [1.0], [-1.0]).flips == 1


def test_scores_flip_when_another_one_is_highest() -> None:
    kept = differ(SCORES, [[0.7, 0.2, 0.1]], [[0.6, 0.3, 0.1]])
    assert (kept.flips, kept.overlap) == (0, 1)
    assert kept.deviation == pytest.approx(0.1 / 0.7)
    other = differ(SCORES, [[0.7, 0.2, 0.1], [1, 0, 0]], [[0.2, 0.7, 0.1], [1, 0, 0]])
    assert (other.flips, other.overlap, other.row) == (0.5, 0.5, 0)


def test_top_k_of_many_scores() -> None:
    wide = spec(Datatype.FP32, 10)
    before = [[float(n) for n in range(10)]]
    after = [[0.0, 1, 2, 3, 4, 9, 6, 7, 8, 5]]  # the highest and the fifth have changed places
    assert differ(wide, before, after, PairRules(top_k=2)).overlap == 0.5
    assert differ(wide, before, after, PairRules(top_k=5)).overlap == 1


def test_the_first_output_is_the_answer_and_scores_ride_along() -> None:
    scores = spec(Datatype.FP32, 2, name="scores")
    before = {"answer": [1, 0], "scores": [[0.1, 0.9], [0.8, 0.2]]}
    after = {"answer": [1, 0], "scores": [[0.1, 0.9], [0.45, 0.55]]}
    found = compare(RULES, [LABEL, scores], before, after)
    assert (found.flips, found.unequal, found.row) == (0, True, 1), "the label decides, not the scores"
    assert found.deviation == pytest.approx(0.35 / 0.8)
    assert compare(RULES, [LABEL, scores], {"answer": [1]}, {"answer": [1]}) == Difference()


@pytest.mark.parametrize(
    ("before", "after"),
    [([1.0, 2.0], [1.0]), ([1.0], None), (None, [1.0]), ([[1.0, 2.0]], [[1.0]]), ([1.0], 1.0), ([], [1.0])],
)
def test_another_form_flips_as_a_whole(before: Any, after: Any) -> None:
    found = differ(NUMBER, before, after)
    assert found.flips == 1
    assert found.what


def test_ragged_numbers_are_compared_as_they_are() -> None:
    assert differ(NUMBER, [[1.0, 2.0], [1.0]], [[1.0, 2.0], [3.0]]).flips == 0.5
    assert differ(spec(Datatype.FP32, 0), [[], []], [[], []]) == Difference()


def test_text_by_edits_per_character_or_by_a_judge() -> None:
    rules = PairRules(texts=("answer",), text_distance=0.2)
    assert differ(TEXT, ["the same"], ["the same"], rules) == Difference()
    near, far = differ(TEXT, ["colour"], ["coloor"], rules), differ(TEXT, ["yes"], ["no"], rules)
    assert (near.flips, near.distance) == (0, pytest.approx(1 / 6))
    assert (far.flips, far.distance) == (1, 1)
    asked: list[tuple[str, str]] = []

    def judge(before: str, after: str) -> float | None:
        asked.append((before, after))
        return None if before == "?" else 0.0

    told = compare(rules, [TEXT], {"answer": ["yes", "?"]}, {"answer": ["indeed", "no"]}, judge=judge)
    assert asked == [("yes", "indeed"), ("?", "no")]
    assert (told.flips, told.distance, told.row) == (0.5, 1, 1), "who cannot say leaves it to the edits"


def test_the_worst_come_first() -> None:
    order = [
        differ(LABEL, [1, 1], [2, 2]),
        differ(LABEL, [1, 1], [1, 2]),
        differ(SCORES, [[0.7, 0.2, 0.1]], [[0.5, 0.3, 0.2]]),
        differ(SCORES, [[0.7, 0.2, 0.1]], [[0.7, 0.2, 0.1]]),
    ]
    severities = [severity(found) for found in order]
    assert severities == sorted(severities, reverse=True)
    assert severities[-1] == 0


def slow_distance(a: str, b: str) -> int:
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@given(st.text("abc", max_size=40), st.text("abc", max_size=40))
def test_edits_are_those_of_the_plain_table(a: str, b: str) -> None:
    longest = max(len(a), len(b))
    assert edit_distance(a, b) == (pytest.approx(slow_distance(a, b) / longest) if longest else 0)


def test_long_texts_are_compared_by_their_beginnings() -> None:
    assert edit_distance("a" * (TEXT_LIMIT + 5), "a" * (TEXT_LIMIT + 9)) == 0


Floats = st.floats(-1e6, 1e6)


@given(st.lists(st.lists(Floats, min_size=3, max_size=3), min_size=1, max_size=5))
def test_an_answer_is_as_itself(rows: list[list[float]]) -> None:
    assert differ(SCORES, rows, rows) == Difference()


@given(st.data())
def test_shares_stay_shares(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 6))
    row = st.lists(Floats, min_size=4, max_size=4)
    before, after = (data.draw(st.lists(row, min_size=count, max_size=count)) for _ in range(2))
    found = differ(spec(Datatype.FP32, 4), before, after)
    assert 0 <= found.flips <= 1
    assert 0 <= found.overlap <= 1
    assert 0 <= found.deviation <= 2
    assert 0 <= found.row < count


@pytest.mark.parametrize("wrong", [{"top_k": 0}, {"deviation": -1}, {"text_distance": 1}])
def test_rules_have_bounds(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        PairRules(**wrong)
