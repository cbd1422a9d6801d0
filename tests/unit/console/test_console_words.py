"""The catalogue has every message that is said, and says every message that it has, in both languages alike."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.console import messages, shell
from headrace.console.messages import CATALOGUE, KINDS, Language, choose_language, translate
from headrace.console.pages import (
    acting,
    costs,
    editor,
    flywheel,
    history,
    hooking,
    keying,
    keys,
    prices,
    teach,
    upstreams,
)
from headrace.console.pages.traces import PERIODS
from headrace.console.parts import diff
from headrace.console.quotes import TONES
from headrace.console.waits import Asked
from headrace.data.rules.registry import RULES
from headrace.flywheel.steps.curate import OURS
from headrace.flywheel.verdict import FORMS
from headrace.programs.metrics import METRICS
from headrace.programs.optimizers.registry import optimizers
from headrace.provision.money import Hold
from headrace.release.novelty import Course
from headrace.types.call import CallStatus
from headrace.types.dataset import Split
from headrace.types.endpoint import Capture
from headrace.types.gate import Outcome
from headrace.types.gateway import Affinity, Balance, Counted, Failure, Level, Scope, Window
from headrace.types.model import RuntimeKind, Stage
from headrace.types.program import ModuleKind, OptimizerName, Writing
from headrace.types.release import Phase, Verdict
from headrace.types.review import Why
from headrace.types.step import StepKind as Did
from headrace.types.strategy import MetricKind, Role, StepKind
from headrace.types.traffic import Reason
from headrace.types.turn import Cause, StepName, TurnState
from headrace.types.webhook import DeliveryState

SOURCE = Path(messages.__file__).parent
# Families that are said with name(family, member), with all members that can be asked for.
FAMILIES: dict[str, list[str]] = {
    "station": [station for station, _ in shell.MAP if station],
    "place": [place.name for place in shell.PLACES],
    "teach": [
        f"{place.name}.{line}" for place in shell.PLACES if place.later for line in (*teach.LINES, "sentence", "today")
    ],
    "kind": list(StepKind),
    "kind_means": list(StepKind),
    "place_of": list(StepKind),
    "stands": [kind for kind in StepKind if kind is not StepKind.APPROVAL],
    "asked": [why for why in Asked if why is not Asked.UNDECIDED],
    "asked_short": list(Asked),
    "overview_asked": list(Asked),
    "flywheel.gate": ["golden", "fresh", "better", "must", "slices", "latency", "time", "cost"],
    "flywheel.judged": list(FORMS),
    "trace.step": list(Did),
    "step_last": ["proof", "calm", "switch", "ask"],
    "results": ["fixed", "always"],
    "split": list(Split),
    "rule": [*(rule.name for rule in RULES), "review", *OURS],
    "review_why": list(Why),
    "review_mind": ["few", "skewed"],
    "review_column": ["raters", "cases", "share", "kappa", "ac1", "note"],
    "figure": ["p50", "p99"],
    "finding": list(TONES),
    "metric_role": [*Role, "dry_run"],
    "course": [course for course in Course if course is not Course.UNKNOWN],
    "phase": list(Phase),
    "ended": [phase for phase in Phase if phase.ended],
    "outcome": list(Outcome),
    "verdict": ["none", *Verdict],
    "verdict_fact": ["users", "row", "risk", "took"],
    "metric": list(MetricKind),
    "event": ["started", "step", "paused", "resumed", "promoted", "rolled_back", "aborted", "failed"],
    "status": list(CallStatus),
    "stage": list(Stage),
    "runtime": list(RuntimeKind),
    "endpoint.capture": list(Capture),
    "reason": list(Reason),
    "role": ["baseline", "candidate", "none"],
    "period": list(PERIODS),
    "action": list(acting.ICONS),
    "ask": [f"{action}{end}" for action in acting.ICONS for end in ("", "_means")],
    "did": list(acting.ICONS),
    "audit": [f"{start}{answer}" for start in ("", "ask_", "did_") for answer in ("approve", "refuse")],
    "audit.kind": list(history.KINDS),
    "flywheel": ["will_1", "will_2", "will_3", "who_people", "who_clock", "who_traffic"],
    "flywheel.station": ["live", *StepName],
    "flywheel.state": list(TurnState),
    "flywheel.cause": list(Cause),
    "flywheel.on": list(flywheel.SETS),
    "programs": ["will_1", "will_2", "will_3"],
    "optimizer": [f"{name}.{part}" for name in OptimizerName for part in ("does", "needs", "costs")],
    "builder.kind": list(ModuleKind),
    "builder.part": ["inputs", "outputs"],
    "builder.writing": list(Writing),
    "builder.metric": list(METRICS),
    "builder.phase": ["failed", "cancelled"],
    "builder.verdict": ["better", "worse", "unsure"],
    "builder.case": ["better", "worse", "same"],
    "sure.need": ["teach", "prove", "thumbs", "pairs"],
    "delivery": list(DeliveryState),
    "webhook_field": list(hooking.FIELDS),
    "webhook_hint": list(hooking.FIELDS),
    "webhook_ask": [f"{deed}{end}" for deed in ("rotate", "off", "remove") for end in ("", "_means")],
    "webhook_yes": ["rotate", "off", "remove"],
    "webhook_did": ["rotate", "off", "remove"],
    "upstream_state": list(upstreams.STATES),
    "failure": [*Failure, "given_up"],
    "balance": list(Balance),
    "affinity": [affinity for affinity in Affinity if affinity is not Affinity.NONE],
    "level": [level for level in Level if level is not Level.ALL],
    "counted": list(Counted),
    "window": list(Window),
    "deed": list(diff.SIGNS),
    "section": ["provider", "key", "person", "limit", "price", "endpoint", "secret"],
    "sections": list(editor.SECTIONS),
    "scope": list(Scope),
    "key_state": list(keys.State),
    "key_field": list(keying.FIELDS),
    "key_hint": list(keying.FIELDS),
    "key_ask": [f"{deed}{end}" for deed in ("rotate", "revoke") for end in ("", "_means")],
    "key_yes": ["rotate", "revoke"],
    "key_change": ["was", "rotate", "revoke"],
    "group": list(costs.GROUPS),
    "costs_top": list(costs.GROUPS),
    "nobody": list(costs.GROUPS),
    "bucket": list(costs.BUCKETS),
    "prices_only": list(prices.FILTERS),
    "hold": list(Hold),
    "webhook_change": [f"{deed}_{side}" for deed in ("rotate", "off", "remove") for side in ("was", "will")],
}


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                function = node.func
                name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
                if name in ("say", "count", "name"):
                    yield path, node, name


def literals() -> set[str]:
    return {
        node.value
        for path in SOURCE.rglob("*.py")
        if path.parent.name != "words"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_message_that_is_said_is_there() -> None:
    missing = []
    for path, node, name in calls():
        for said in _keys(node, name):
            forms = {"say": [said], "count": [f"{said}.one", f"{said}.many"]}.get(name)
            if forms is None:
                assert said in FAMILIES, f"{path.name} names the family {said!r}, which this test does not know"
                forms = [f"{said}.{member}" for member in FAMILIES[said]]
            missing += [f"{path.name}: {key}" for key in forms if key not in CATALOGUE]
    assert not missing


def _keys(node: ast.Call, name: str) -> list[str]:
    """The literal keys of a call; both sides of `a if x else b`."""
    if not node.args or (name == "count" and len(node.args) < 2):
        return []
    first = node.args[0]
    sides = [first.body, first.orelse] if isinstance(first, ast.IfExp) else [first]
    return [side.value for side in sides if isinstance(side, ast.Constant) and isinstance(side.value, str)]


def test_every_message_that_is_there_is_said() -> None:
    said = literals()
    members = {f"{family}.{member}" for family, known in FAMILIES.items() for member in known}
    unused = [
        key
        for key in CATALOGUE
        if key not in said and key not in members and key.removesuffix(".one").removesuffix(".many") not in said
    ]
    assert not unused


def test_no_key_stands_in_two_files() -> None:
    assert sum(len(kind.WORDS) for kind in KINDS) == len(CATALOGUE)


def test_both_languages_say_the_same_values() -> None:
    for key, (english, chinese) in CATALOGUE.items():
        assert _fields(english) == _fields(chinese), key
        assert english.strip() or key == "sentence.joint", key
        assert chinese.strip() or key == "sentence.joint", key
        assert "!" not in english, key
        assert "！" not in chinese, key


def _fields(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_a_sentence_in_chinese_is_chinese() -> None:
    """Only names and units stay as they are."""
    same = {key for key, (english, chinese) in CATALOGUE.items() if english == chinese}
    assert same <= {"figure.p50", "figure.p99", "chart.dashes", "runtime.onnx", "runtime.openvino", "kind.share"}


def test_language_is_what_was_chosen_then_what_the_browser_asks_for() -> None:
    assert choose_language("zh-CN", "en-US") is Language.CHINESE
    assert choose_language(None, "zh-TW,zh;q=0.9") is Language.CHINESE
    assert choose_language("tlh", "de-DE,zh;q=0.5") is Language.ENGLISH
    assert choose_language(None, "") is Language.ENGLISH


def test_an_unknown_key_is_an_error() -> None:
    with pytest.raises(KeyError):
        translate(Language.ENGLISH, "overview.nonsense")


def test_optimizers_are_explained_as_on_the_command_line() -> None:
    for found in optimizers().values():
        for part in ("does", "needs", "costs"):
            told = getattr(found, part).replace(" (--reflection-lm)", "")
            assert CATALOGUE[f"optimizer.{found.name.value}.{part}"][0] == told


def test_gates_say_the_same_in_the_record_and_in_the_console() -> None:
    assert {form: messages.CATALOGUE[f"flywheel.judged.{form}"][0] for form in FORMS} == FORMS
