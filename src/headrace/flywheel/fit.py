"""Whether rows are fit to learn from. Pure; called by steps/validate.py. Each problem is a sentence with its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headrace.flywheel.cases import Case, digest_of, inputs_digest
from headrace.types.turn import Flywheel

CHECKS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Those of `train` that have a `source` are new. `people` spoke; `distrusted` of them are not believed."""

    train: Sequence[Case]
    golden: Sequence[Case]
    people: int = 0
    distrusted: int = 0


def problems(rows: Rows, flywheel: Flywheel) -> list[str]:
    rules, least = flywheel.data, flywheel.gates.min_golden
    new = [case for case in rows.train if "source" in case]
    seen = {inputs_digest(case) for case in rows.train} & {inputs_digest(case) for case in rows.golden}
    known = {_kind(case["label"]) for case in (*rows.golden, *(case for case in rows.train if "source" not in case))}
    strange = [case["label"] for case in new if known and _kind(case["label"]) not in known]
    asked = {digest_of(case["label"]) for case in rows.golden}
    taught = {digest_of(case["label"]) for case in rows.train}
    doubt = rows.distrusted / rows.people if rows.people else 0.0
    few = f"{len(rows.golden)} golden rows, fewer than {least}: too few to be sure that nothing got worse"
    found = [
        (len(new) < rules.min_rows, f"{len(new)} new rows to learn from, fewer than {rules.min_rows}"),
        (len(rows.golden) < least, few),
        (bool(seen), f"{len(seen)} golden rows are among what is learned"),
        (doubt > rules.max_distrusted, f"{rows.distrusted} of {rows.people} people are not believed"),
        (bool(strange), f"{len(strange)} labels are of another kind than all before, such as {strange[:1]}"),
        (len(asked) > 1 and len(taught) < 2, "every row to learn from has the same label"),
    ]
    return [words for failed, words in found if failed]


def _kind(label: object) -> str:
    """A number is a number, whole or not."""
    if isinstance(label, bool):
        return "truth"
    return "number" if isinstance(label, int | float) else type(label).__name__
