"""The same input once. Of rows with the same input and label one stays: that of the most people, then the newest.

Different labels for one input contradict each other: the more frequent label stays, a tie leaves none. Complaints are
compared among themselves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from headrace.data.rows import Candidate, Done, Scene, same
from headrace.types.dataset import Split


class Duplicates:
    name: ClassVar[str] = "duplicates"
    defaults: ClassVar[Mapping[str, float]] = {}
    needed: ClassVar[str] = ""

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        done = Done()
        groups: dict[tuple[bool, bytes], list[Candidate]] = {}
        for row in rows:
            groups.setdefault((row.split is Split.CRITIQUE, same(row.inputs)), []).append(row)
        for group in groups.values():
            if len(group) == 1:
                done.rows += group
            else:
                _merge(group, done)
        return done


def _merge(group: list[Candidate], done: Done) -> None:
    by_label: dict[bytes, list[Candidate]] = {}
    for row in group:
        by_label.setdefault(same(row.label), []).append(row)
    # What a reviewer decided outweighs any number of users.
    weight = {key: (any(r.rule == "review" for r in some), len(some)) for key, some in by_label.items()}
    most = max(weight.values())
    best = [key for key, value in weight.items() if value == most]
    winner = max(by_label[best[0]], key=stands) if len(best) == 1 else None
    for row in group:
        if row is winner:
            done.rows.append(row)
        elif winner is not None and same(row.label) == same(winner.label):
            done.take(row, "the same again")
        else:
            done.take(row, "another label for the same input")


def stands(row: Candidate) -> tuple[int, float, str]:
    """Which of equal rows stays: that of the most people, then the newest."""
    return len({word.rater for word in row.words}), row.time, row.row
