"""Each rule: what it keeps, what it takes, and that it says why."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.data.curate import code_hash, settle
from headrace.data.rows import Candidate, Scene, draw
from headrace.data.rules.registry import RULES
from headrace.data.rules.split import place
from headrace.types.dataset import LABELLED, CurationRule, Split
from headrace.types.errors import BadInput
from tests.unit.data.candidates import curated, down, fix, row, up, why, word

LABELS = ("corrections", "praise")


def label_of(*words: Any, **changes: Any) -> tuple[Any, str] | None:
    made = curated([row(1, *words, **changes)], only=LABELS)
    return (made.rows[0].label, made.rows[0].rule) if made.rows else None


def test_a_correction_becomes_gold() -> None:
    assert label_of(fix(1, 7)) == (7, "corrections")
    assert label_of(down(1), fix(1, 7)) == (7, "corrections")
    assert label_of(fix(1, None)) == (None, "corrections"), "that the answer should have been null is an answer"


def test_the_majority_of_corrections_wins_and_a_tie_is_disputed() -> None:
    assert label_of(fix(1, 7), fix(1, 7, "bob"), fix(1, 8, "cleo")) == (7, "corrections")
    made = curated([row(1, fix(1, 7), fix(1, 8, "bob"))], only=LABELS)
    assert made.rows == ()
    assert made.report.disputed == ("tr-0001",)
    assert why(made, "corrections") == {"people contradict each other": 1}


def test_one_and_true_are_different_labels() -> None:
    assert label_of(fix(1, 1), fix(1, True, "bob")) is None


def test_praise_of_the_answer_opposes_a_correction() -> None:
    assert label_of(fix(1, 7), up(1, "bob")) is None
    assert label_of(fix(1, 7), fix(1, 7, "cleo"), up(1, "bob")) == (7, "corrections")
    assert label_of(fix(1, 7), up(1, "bob"), up(1, "cleo")) is None, "more people hold the answer right: not gold"


def test_a_reviewer_decides() -> None:
    words = (fix(1, 7), fix(1, 7, "bob"), up(1, "cleo"), fix(1, 9, "eve", channel="review"))
    assert label_of(*words) == (9, "review")


def test_praise_counts_only_unopposed() -> None:
    assert label_of(up(1), up(1, "bob")) == (1, "praise")
    assert label_of(up(1), down(1, "bob")) is None
    assert label_of(up(1), output=None) is None


@pytest.mark.parametrize(("verdict", "kept"), [(True, 1), (False, 0), (None, 0)])
def test_praise_needs_the_judge_where_there_is_one(verdict: bool | None, kept: int) -> None:
    scene = Scene(held=0.0, validation=0.0, judge=lambda _: verdict)
    made = curated([row(1, up(1))], only=LABELS, scene=scene)
    assert len(made.rows) == kept
    assert curated([row(1, fix(1, 7))], only=LABELS, scene=scene).rows, "a person's correction needs no judge"


def test_a_complaint_is_words_for_a_metric_and_never_a_label() -> None:
    words = (down(1, reasons=("unsafe", "long")), word(1, "comment", "it swears"), down(1, "bob", comment="and lies"))
    (one,) = curated([row(1, *words)], only=LABELS).rows
    assert (one.split, one.label, one.rule) == (Split.CRITIQUE, None, "complaints")
    assert one.critique == "it swears\nunsafe, long\nand lies" or set(one.critique.split("\n")) == {
        "it swears",
        "unsafe, long",
        "and lies",
    }


def test_a_mere_comment_makes_no_row() -> None:
    made = curated([row(1, word(1, "comment", "hm"))], only=LABELS)
    assert made.rows == ()
    assert why(made, "complaints") == {"nobody said what is right": 1}


def test_the_same_input_once_and_contradictions_not_at_all() -> None:
    rows = [row(n, fix(n, 7, f"r{n}"), inputs=[5]) for n in range(3)] + [row(9, fix(9, 8, "x"), inputs=[5])]
    made = curated(rows, only=("corrections", "duplicates"))
    assert [r.trace_id for r in made.rows] == ["tr-0002"], "the newest of the majority"
    assert why(made, "duplicates") == {"the same again": 2, "another label for the same input": 1}
    tie = curated([rows[0], rows[3]], only=("corrections", "duplicates"))
    assert tie.rows == ()


def test_nearly_the_same_text_once() -> None:
    text = "please tell me how i can get my money back for the order that never came to my house last week"
    rows = [
        row(1, fix(1, "refund"), inputs=[text]),
        row(2, fix(2, "refund"), inputs=[f"{text.upper()}!"]),
        row(3, fix(3, "status"), inputs=[f"{text} please"]),
        row(4, fix(4, "refund"), inputs=["where is my parcel"]),
    ]
    made = curated(rows, only=("corrections", "near_duplicates"))
    assert [r.trace_id for r in made.rows] == ["tr-0002", "tr-0003", "tr-0004"]
    assert why(made, "near_duplicates") == {"nearly the same text": 1}


def test_numbers_that_differ_a_little_are_not_duplicates() -> None:
    rows = [row(n, fix(n, 1), inputs=[1.0, 2.0 + n / 1e6]) for n in range(5)]
    assert len(curated(rows).rows) == 5


def test_personal_data_goes_and_is_counted() -> None:
    one = row(1, fix(1, "write to ann@example.org"), inputs={"text": "my card is 4111 1111 1111 1111"})
    made = curated([one], only=("corrections", "privacy"))
    assert (made.rows[0].inputs, made.rows[0].label) == ({"text": "my card is <card>"}, "write to <email>")
    assert why(made, "privacy") == {"card": 1, "email": 1}


def test_nobody_fills_the_data() -> None:
    rows = [row(n, fix(n, 1, f"r{n}"), unit="greedy") for n in range(30)] + [row(99, fix(99, 1, "z"))]
    made = curated(rows, CurationRule(name="cap", options={"rows": 5}), only=("corrections", "cap"))
    assert Counter(r.unit for r in made.rows) == {"greedy": 5, "user99": 1}
    rater = [row(n, fix(n, 1, "greedy")) for n in range(30)]
    assert len(curated(rater, CurationRule(name="cap", options={"rows": 5}), only=("corrections",)).rows) == 5
    reviewed = [row(n, fix(n, 1, "expert", channel="review")) for n in range(30)]
    assert len(curated(reviewed, CurationRule(name="cap", options={"rows": 5}), only=("corrections",)).rows) == 30


def crowd(*, liars: int = 1, honest: int = 12, each: int = 15, seed: int = 1) -> list[Candidate]:
    """Two clouds of points, labelled 0 and 1; each person corrects points of their own. Liars say the contrary."""
    luck = random.Random(seed)
    rows = []
    for person in range(honest + liars):
        for _ in range(each):
            truth = luck.randrange(2)
            said = truth if person >= liars else 1 - truth
            number = len(rows)
            place = [luck.gauss(4.0 * truth, 1.0), luck.gauss(0.0, 1.0)]
            given = fix(number, said, f"person{person}", time=1_700_000_000.0 + 1000 * number)
            rows.append(row(number, given, inputs=place, unit=f"person{person}", output=1 - said))
    return rows


def test_who_flips_labels_is_not_heard() -> None:
    made = curated(crowd(liars=2), only=("raters", "corrections"))
    assert made.report.distrusted == {"person0": "flips labels", "person1": "flips labels"}
    assert {r.unit for r in made.rows}.isdisjoint({"person0", "person1"})
    assert why(made, "raters") == {"flips labels": 30}


@pytest.mark.parametrize("seed", range(5))
def test_honest_people_are_heard(seed: int) -> None:
    assert curated(crowd(liars=0, seed=seed), only=("raters", "corrections")).report.distrusted == {}


def test_who_contradicts_everybody_is_not_heard() -> None:
    rows = [row(n, fix(n, 7, "ann"), fix(n, 7, "bob"), fix(n, 3, "mallory")) for n in range(12)]
    made = curated(rows, only=("raters", "corrections"))
    assert made.report.distrusted == {"mallory": "contradicts others"}
    assert all("mallory" not in {w.rater for w in r.words} for r in made.rows)
    few = curated(rows[:4], only=("raters", "corrections"))
    assert few.report.distrusted == {}, "four words are not enough to judge anyone"


def test_who_fails_the_golden_set_is_not_heard() -> None:
    golden = [row(n, inputs=[n], label=1, rule="review") for n in range(12)]
    rows = [row(100 + n, fix(100 + n, 0, "mallory"), inputs=[n]) for n in range(12)]
    made = curated(rows, only=("raters", "corrections"), scene=Scene(golden=golden, frozen=True))
    assert made.report.distrusted == {"mallory": "fails known answers"}


def test_a_burst_is_not_typed_by_a_person() -> None:
    quick = [row(n, fix(n, 3, "bot", time=1_700_000_000.0 + n / 10)) for n in range(60)]
    assert curated(quick, only=("raters", "corrections")).report.distrusted == {"bot": "a burst of corrections"}
    for changes in ({"source": "code"}, {"channel": "upload"}, {"channel": "review"}):
        exempt = [replace(r, words=tuple(replace(w, **changes) for w in r.words)) for r in quick]
        assert curated(exempt, only=("raters", "corrections")).report.distrusted == {}, changes


def test_a_label_that_everything_around_contradicts_is_left_out() -> None:
    rows = crowd(liars=0, honest=20, each=8)
    wrong = row(999, fix(999, 1, "lost"), inputs=[0.0, 0.0], unit="lost")
    made = curated([*rows, wrong], only=("corrections", "outliers"))
    assert wrong.row not in {r.row for r in made.rows}
    assert len(made.rows) >= len(rows) * 0.95
    assert len(curated([*rows[:50], wrong], only=("corrections", "outliers")).rows) == 51, "too few to have neighbours"


def test_no_user_is_on_both_sides() -> None:
    rows = [row(n, fix(n, 1, f"r{n}"), unit=f"user{n % 40}") for n in range(400)]
    made = curated(rows, only=LABELS, scene=Scene(held=0.3, validation=0.2))
    by_split: dict[Split, set[str]] = {}
    for one in made.rows:
        assert one.split is not None
        by_split.setdefault(one.split, set()).add(one.unit)
    assert set(by_split) == {Split.TRAIN, Split.VALIDATION, Split.GOLDEN}
    learn = by_split[Split.TRAIN] | by_split[Split.VALIDATION]
    assert learn.isdisjoint(by_split[Split.GOLDEN])
    assert sum(len(users) for users in by_split.values()) == 40


@given(st.text(min_size=1), st.floats(0.05, 0.4), st.floats(0.0, 0.3))
def test_nobody_who_was_held_out_is_learned_from_when_more_are(unit: str, held: float, more: float) -> None:
    small, large = Scene(held=held, validation=0.1), Scene(held=held + more, validation=0.1)
    if place(unit, small) is Split.GOLDEN:
        assert place(unit, large) is Split.GOLDEN


def test_after_freezing_held_rows_are_fresh_and_the_exam_does_not_leak() -> None:
    scene = Scene(held=0.3, validation=0.1)
    units = [f"user{n}" for n in range(300)]
    inside = next(u for u in units if draw(scene.salt, u) < 0.3)
    outside = next(u for u in units if draw(scene.salt, u) > 0.6)
    golden = [row(1, inputs=[1.0], label=1, rule="corrections", unit=inside)]
    rows = [
        row(1, fix(1, 2), inputs=[1.0], unit=inside),
        row(2, fix(2, 2), inputs=[2.0], unit=inside),
        row(3, fix(3, 1), inputs=[1.0], unit=outside),
        row(4, fix(4, 2), inputs=[2.0], unit=outside),
        row(5, fix(5, 5), inputs=[5.0], unit=outside),
        row(6, fix(6, 1), inputs=[1.0], unit=inside),
    ]
    made = curated(rows, only=LABELS, scene=Scene(golden=golden, frozen=True, held=0.3, validation=0.1))
    assert {(r.trace_id, r.split) for r in made.rows} == {("tr-0002", Split.FRESH), ("tr-0005", Split.TRAIN)}
    assert why(made, "split") == {
        "in the frozen golden set": 1,
        "the same as a held-out row": 2,
        "the same as a golden row": 1,
    }


def test_every_rule_reports_and_the_counts_add_up() -> None:
    rows = [*crowd(), *[row(1000 + n, down(1000 + n)) for n in range(5)]]
    report = curated(rows, scene=Scene()).report
    assert [r.name for r in report.rules] == [rule.name for rule in RULES]
    assert report.rules[0].seen == report.rows_in == len(rows)
    for before, after in zip(report.rules, report.rules[1:], strict=False):
        assert before.kept == after.seen == before.seen - before.taken
    assert report.rows_out == sum(report.splits.values())


@given(st.randoms())
def test_the_order_of_rows_does_not_matter(luck: random.Random) -> None:
    rows = [row(n, up(n), fix(n, n % 3, "bob"), inputs=[n % 7], unit=f"user{n % 5}") for n in range(40)]
    mixed = list(rows)
    luck.shuffle(mixed)
    assert curated(rows, scene=Scene()).rows == curated(mixed, scene=Scene()).rows


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.needed], ids=lambda rule: rule.name)
def test_each_rule_can_be_switched_off(rule: Any) -> None:
    report = curated(crowd(), CurationRule(name=rule.name, on=False)).report
    mine = next(r for r in report.rules if r.name == rule.name)
    assert (mine.on, mine.taken, mine.changed) == (False, 0, 0)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        (CurationRule(name="magic"), "rules"),
        (CurationRule(name="split", on=False), "rules.split"),
        (CurationRule(name="cap", options={"columns": 3}), "rules.cap.columns"),
        (CurationRule(name="cap", options={"rows": -3}), "rules.cap.rows"),
        (CurationRule(name="cap", options={"rows": True}), "rules.cap.rows"),
    ],
)
def test_wrong_rules_are_named(asked: CurationRule, field: str) -> None:
    with pytest.raises(BadInput) as refused:
        settle([asked])
    assert refused.value.field == field


def test_other_options_are_other_code() -> None:
    assert code_hash(settle([])) == code_hash(settle([CurationRule(name="cap", options={"rows": 200})]))
    assert code_hash(settle([])) != code_hash(settle([CurationRule(name="cap", options={"rows": 201})]))


def test_a_labelled_row_is_in_a_labelled_split() -> None:
    made = curated([*crowd(), row(999, down(999))], scene=Scene())
    assert all((r.split in LABELLED) == r.labelled for r in made.rows)
