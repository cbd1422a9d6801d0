"""Gates say no when they should; flywheel.yaml says what is wrong with it; a turn does not begin twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from headrace.flywheel.fit import Rows, problems
from headrace.flywheel.intervals import compare
from headrace.flywheel.outlook import Pace, outlook, pace_of
from headrace.flywheel.score import cost_of, same
from headrace.flywheel.spec import flywheel_of, read_flywheel
from headrace.flywheel.steps.release import release_id
from headrace.flywheel.verdict import Measured, judge
from headrace.types.errors import BadInput, Conflict, ModelFailed
from headrace.types.turn import Cause, Gain, Metric, Proof, TurnState
from tests.turn_world import world

WHEEL = flywheel_of({"endpoint": "d", "train": {"command": "python train.py"}})
GOOD = compare("golden", Metric.EXACT, [1.0] * 30 + [0.0] * 70, [0.0] * 100, 0.05)
SAME = compare("fresh", Metric.EXACT, [0.0] * 50, [0.0] * 50, 0.05)
NONE = compare("must", Metric.EXACT, [], [], 0.05)


def refused(*gains: Gain, wheel: object = WHEEL, **changes: float) -> list[str]:
    given = {gain.on: gain for gain in (GOOD, SAME, NONE)} | {gain.on: gain for gain in gains}
    values = {"baseline_ms": 1.0, "candidate_ms": 1.0, "seconds": 1.0, "cost": 0.0} | changes
    found = judge(wheel, Measured(gains=tuple(given.values()), **values))  # type: ignore[arg-type]
    return [gate.gate for gate in found if not gate.passed]


def test_gates() -> None:
    assert refused() == []
    worse = compare("golden", Metric.EXACT, [0.0] * 100, [1.0] * 20 + [0.0] * 80, 0.05)
    assert refused(worse) == ["golden", "better"]
    assert refused(compare("golden", Metric.EXACT, [0.0] * 100, [0.0] * 100, 0.05)) == ["golden", "better"], (
        "100 rows cannot show that it is not 2 % worse"
    )
    assert refused(compare("fresh", Metric.EXACT, [0.0] * 50, [1.0] * 10 + [0.0] * 40, 0.05)) == ["fresh"]
    assert refused(compare("must", Metric.EXACT, [0.0] * 3, [0.0, 0.0, 1.0], 0.05)) == ["must"]
    assert refused(compare("label=3", Metric.EXACT, [0.0] * 40, [1.0] * 15 + [0.0] * 25, 0.05)) == ["slices"]
    assert refused(candidate_ms=9.0) == ["latency"]
    assert refused(candidate_ms=0.0) == ["latency"], "what was not measured does not pass"
    bound = replace(WHEEL, gates=replace(WHEEL.gates, max_train_seconds=2.0, max_cost=1.0, fresh=Proof.NOT_WORSE))
    assert refused(wheel=bound, seconds=3.0, cost=2.0) == ["fresh", "time", "cost"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ({"train": {}}, "train has none of them"),
        ({"train": {"command": "x"}, "colour": 1}, "unknown part 'colour'"),
        ({"train": {"command": "x", "speed": 1}}, "unknown part 'train.speed'"),
        ({"train": {"function": "train"}}, r"FILE\.py:NAME"),
        ({"train": {"command": "x", "compile": {}}}, "train has command and compile"),
        ({"train": {"compile": {"speed": 1}}}, "'speed' is not known"),
        ({"train": {"compile": {"optimizer": "Best"}}}, "Invalid enum value 'Best'"),
        ({"train": {"compile": {"budget": {"calls": -1}}}}, "budget.calls is -1"),
        ({"train": {"compile": {"settings": {"x": 1}}}}, "has no setting 'x'"),
        ({"train": {"compile": {}, "executor": "kubernetes"}}, "compiled beside the platform"),
        ({"train": {"command": "x"}, "alpha": 2}, "alpha is 2"),
        ({"train": {"command": "x"}, "triggers": {"cron": "x"}}, "minute hour"),
        ({"train": {"command": "x"}, "release": {"strategy": "x"}}, "strategy is 'x'"),
        ({"train": {"command": "x"}, "data": {"rules": [{"name": "x"}]}}, "no rule 'x'"),
        ({"train": {"command": "x"}, "metric": "x"}, "metric"),
    ],
)
def test_what_a_flywheel_cannot_be(text: dict[str, object], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        flywheel_of({"endpoint": "d", **text})


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no flywheel\.yaml"):
        read_flywheel(tmp_path)
    (tmp_path / "flywheel.yaml").write_text("[")
    with pytest.raises(BadInput, match="not YAML"):
        read_flywheel(tmp_path)


def test_turns_begin_once_and_end_when_cancelled(tmp_path: Path) -> None:
    with world(tmp_path) as place:
        kept = place.turns()
        turn = kept.begin("digits", cause=Cause.BUTTON, why="", actor="ann")
        with pytest.raises(Conflict, match="under way"):
            kept.begin("digits", cause=Cause.BUTTON, why="", actor="ann")
        assert kept.cancel(turn.id, actor="ann").state is TurnState.CANCELLED
        with pytest.raises(Conflict, match="has ended"):
            kept.cancel(turn.id, actor="ann")
        with pytest.raises(Conflict, match="rests for another 3600 s"):
            kept.drift("digits", why="psi", actor="monitor")
        found = kept.plan("digits")
        assert found.pace.seen == 160
        assert {need.name for need in found.needs} == {"teach", "prove", "thumbs", "pairs"}
        with pytest.raises(BadInput, match="is no name"):
            kept.begin("../digits", cause=Cause.BUTTON, why="", actor="ann")


def test_outlook() -> None:
    few = outlook(WHEEL, Pace(calls=1000, corrections=1, ratings=20, down=0.1), None)
    by_name = {need.name: need for need in few.needs}
    assert by_name["teach"].days == pytest.approx(20 / 0.7)
    assert by_name["thumbs"].days is not None
    assert by_name["thumbs"].days > 30, "thumbs decide nothing within a month"
    assert by_name["pairs"].days is not None
    assert by_name["pairs"].days < 1
    nobody = outlook(WHEEL, pace_of([], corrections=0, ratings=0, downs=0, now=0.0), None)
    assert all(need.days is None for need in nobody.needs)


def test_scores() -> None:
    assert same(3, 3.0)
    assert same([7], 7)
    assert not same("a", " a")
    assert not same(True, 0)
    assert cost_of(Metric.ABSOLUTE, 3, [5.0]) == 2.0
    assert cost_of(Metric.SQUARED, 3, 5) == 4.0
    with pytest.raises(ModelFailed, match="no number"):
        cost_of(Metric.ABSOLUTE, "a", 1)


def test_unfit_rows() -> None:
    golden = [{"inputs": [n], "label": n % 2} for n in range(40)]
    new = [{"inputs": [100 + n], "label": n % 2, "source": "corrections"} for n in range(30)]
    assert problems(Rows(train=new, golden=golden), WHEEL) == []
    found = problems(Rows(train=[*new[:3], golden[0]], golden=golden[:5], people=4, distrusted=3), WHEEL)
    assert [
        word
        for words in found
        for word in ("fewer than 20", "fewer than 30", "are among", "not believed")
        if word in words
    ] == [
        "fewer than 20",
        "fewer than 30",
        "are among",
        "not believed",
    ]
    odd = [{**case, "label": str(case["label"])} for case in new]
    assert "another kind" in problems(Rows(train=odd, golden=golden), WHEEL)[0]


def test_a_release_has_its_turns_id() -> None:
    assert release_id("turn_1") == release_id("turn_1") != release_id("turn_2")
    assert len(release_id("turn_1")) == 20
