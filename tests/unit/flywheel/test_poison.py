"""A turn in which everybody says what is wrong: its candidate fails the examination, and nothing has changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace.flywheel.made import Kept, Made, Step
from headrace.flywheel.turn import Refused, take_turn
from tests.turn_world import world


def test_wrong_labels_fail_the_golden_gate(tmp_path: Path) -> None:
    made: list[tuple[str, bool]] = []
    with world(tmp_path, shift=1) as place:
        for _ in range(2):
            turn = place.begin()
            kept = Kept(place.state / "kept", turn=turn.id)

            def run(step: Step, kept: Kept = kept) -> Made:
                found = kept.make(step, lambda share, words: None)
                made.append((step.name.value, found.cached))
                if found.refused:
                    raise Refused(found.refused)
                return found

            with pytest.raises(Refused, match="gate golden"):
                take_turn(place.shop(turn.id), run)
            place.turns().cancel(turn.id, actor="ann")
    steps = ["export", "curate", "validate", "train", "evaluate", "gate"]
    assert made[:6] == [(step, False) for step in steps]
    assert made[6:] == [("export", False), *((step, True) for step in steps[1:])], (
        "the same words: nothing is done twice"
    )
    assert not place.versions.exists()
    assert not place.releases.exists()
