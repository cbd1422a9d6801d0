"""A thumbs down without a correction says that the answer is wrong, not which one is right: words for a metric.

Run after the rules that give labels. Such a row goes into the split `critique` with what was said; it is never a label.
What has no label after this and is no complaint is left out: nobody said what is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from headrace.data.rows import Candidate, Done, Scene, of_name
from headrace.types.call import Feedback, FeedbackName
from headrace.types.dataset import Split


class Complaints:
    name: ClassVar[str] = "complaints"
    defaults: ClassVar[Mapping[str, float]] = {}
    needed: ClassVar[str] = (
        "without it a complaint would be a row without a label; switch the file `critique` off by not reading it"
    )

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        done = Done()
        for row in rows:
            if row.rule:
                done.rows.append(row)
                continue
            down = [word for word in of_name(row.words, FeedbackName.RATING) if word.value is False]
            if down:
                told = _told(row.words)
                done.rows.append(replace(row, label=None, rule=self.name, split=Split.CRITIQUE, critique=told))
                done.changed += 1
            else:
                done.take(row, "nobody said what is right")
        return done


def _told(words: Sequence[Feedback]) -> str:
    """Everything that was said in words, each once."""
    lines: dict[str, None] = {}
    for word in words:
        if word.reasons:
            lines[", ".join(word.reasons)] = None
        if word.name == FeedbackName.COMMENT:
            lines[str(word.value)] = None
        elif word.comment:
            lines[word.comment] = None
    return "\n".join(lines)
