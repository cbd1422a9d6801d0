"""The spine of curation: candidates in, rows with a label and a split out, and a report that counts every rule.

Called by flywheel/datasets.py. Reads from top to bottom: which rules are asked for → one after another → the report.
The order is that of rules/registry.py: whom to believe → which label → what to clean → what to leave out → the split.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

import msgspec

from headrace.data.rows import Candidate, Done, Scene
from headrace.data.rules.base import Rule
from headrace.data.rules.registry import RULES
from headrace.types.dataset import CurationReport, CurationRule, RuleReport, Split
from headrace.types.errors import BadInput

SHOWN = 20  # traces that a report names for each rule
LABELS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Curated:
    rows: tuple[Candidate, ...]
    report: CurationReport


def curate(rows: Sequence[Candidate], asked: Sequence[CurationRule], scene: Scene, *, misfits: int = 0) -> Curated:
    """Raises BadInput for a rule or an option that there is not."""
    wanted = settle(asked)
    left, reports = list(rows), []
    distrusted: dict[str, str] = {}
    disputed: dict[str, None] = {}
    for rule in RULES:
        setting = wanted[rule.name]
        seen = len(left)
        done = rule.apply(left, setting.options, scene) if setting.on else Done(rows=left)
        left = done.rows
        distrusted |= done.distrusted
        disputed |= dict.fromkeys(done.disputed)
        reports.append(_report(rule, setting, done, seen))
    out = tuple(
        sorted((row for row in left if row.split is not None), key=lambda row: (row.time, row.trace_id, row.index))
    )
    report = CurationReport(
        rules=tuple(reports),
        rows_in=len(rows),
        rows_out=len(out),
        splits={split.value: count for split in Split if (count := sum(row.split is split for row in out))},
        labels=_labels(out),
        raters=len({word.rater for row in rows for word in row.words}),
        distrusted=dict(sorted(distrusted.items())),
        disputed=tuple(disputed),
        misfits=misfits,
    )
    return Curated(rows=out, report=report)


def settle(asked: Sequence[CurationRule]) -> dict[str, CurationRule]:
    """Every rule, as it will run."""
    known = {rule.name: rule for rule in RULES}
    settled = {name: CurationRule(name=name, options=_options(rule, {})) for name, rule in known.items()}
    for one in asked:
        rule = known.get(one.name)
        if rule is None:
            raise BadInput(f"there is no rule {one.name!r}; there are: {', '.join(known)}", field="rules")
        if not one.on and rule.needed:
            raise BadInput(f"the rule {one.name!r} cannot be switched off: {rule.needed}", field=f"rules.{one.name}")
        settled[one.name] = CurationRule(name=one.name, on=one.on, options=_options(rule, one.options))
    return settled


def code_hash(rules: Mapping[str, CurationRule]) -> str:
    """Of what the rules say today and with which options: another text may give other rows from the same words."""
    digest = sha256()
    for rule in RULES:
        digest.update(inspect.getsource(type(rule)).encode())
    digest.update(msgspec.json.encode([rules[rule.name] for rule in RULES]))
    return digest.hexdigest()


def _options(rule: Rule, given: Mapping[str, float]) -> dict[str, float]:
    options = {name: float(value) for name, value in rule.defaults.items()}  # as they come back from JSON
    for name, value in given.items():
        if name not in options:
            there = ", ".join(options) or "none"
            raise BadInput(
                f"the rule {rule.name!r} has no option {name!r}; there are: {there}", field=f"rules.{rule.name}.{name}"
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
            raise BadInput(
                f"option {name!r} is {value!r}; allowed: a number from 0 on", field=f"rules.{rule.name}.{name}"
            )
        options[name] = float(value)
    return options


def _report(rule: Rule, setting: CurationRule, done: Done, seen: int) -> RuleReport:
    return RuleReport(
        name=rule.name,
        on=setting.on,
        options=setting.options,
        seen=seen,
        kept=len(done.rows),
        taken=seen - len(done.rows),
        changed=done.changed,
        why=dict(done.why),
        traces=tuple(dict.fromkeys(done.traces))[:SHOWN],
    )


def _labels(rows: Sequence[Candidate]) -> dict[str, int]:
    counts = Counter(msgspec.json.encode(row.label).decode()[:80] for row in rows if row.labelled)
    return dict(counts.most_common(LABELS))
