"""What both examples do with a platform: people who use it, rate and correct; turns, their releases, and the report.

People: 120 users, who say of 60 % of their answers whether they are right, and correct those that are not. One word in
twenty is a slip; one user in twenty lies. Words are handed in at the end of a slice, so that how fast a machine is does
not decide which of them a turn learns from. Everything goes through the platform's public doors: /predict, /feedback,
the flywheel's own trigger or its button, its release.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bench.options import say
from bench.running import wait_for
from headrace.client.admin import Admin
from headrace.client.predict import Headrace
from headrace.flywheel.intervals import wilson

USERS = 120
RATED, SLIPS, LIARS = 0.6, 0.05, 0.05
AT_ONCE = 1000  # words of a batch
TURN_SECONDS = 1800
RELEASE_SECONDS = 600
ENDED = ("done", "refused", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Sample:
    """`inputs`: a row, as /predict takes it."""

    inputs: Any
    label: Any


@dataclass(kw_only=True)
class Report:
    """`held_out`: after each turn, the live version's errors on rows that nobody ever saw."""

    held_out: list[dict[str, Any]] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    words: int = 0
    seconds: float = 0.0


class People:
    """`mistaken`: what somebody takes for right who errs, or lies; it gets the truth and a source of chance. `at_once`:
    rows of a call that examines."""

    def __init__(
        self,
        endpoint: str,
        plane: Headrace,
        report: Report,
        *,
        held: Sequence[Sample],
        mistaken: Callable[[Any, np.random.Generator], Any],
        at_once: int = 1000,
    ) -> None:
        self.report = report
        self.chance = np.random.default_rng(17)
        self._endpoint, self._plane, self._held, self._mistaken = endpoint, plane, held, mistaken
        self._at_once = at_once
        self._words: list[dict[str, Any]] = []

    def use(self, samples: Sequence[Sample]) -> None:
        """In their order. Who speaks does not depend on whether the answer is right."""
        say(f"people use it: {len(samples)} calls")
        for sample in samples:
            user = int(self.chance.integers(USERS))
            trace, answer = self.ask(sample, f"user-{user}")
            if self.chance.random() < RATED:
                believed = self._believes(sample.label, user)
                if answer == believed:
                    self.say(trace, f"user-{user}", rating=True)
                else:
                    self.say(trace, f"user-{user}", rating=False, correction=believed)
        self.hand_in()

    def browse(self, samples: Sequence[Sample], count: int) -> None:
        """Traffic while a release runs."""
        for place in self.chance.choice(len(samples), count):
            self.ask(samples[int(place)], f"user-{int(self.chance.integers(USERS))}")

    def examine(self, when: str) -> None:
        """As a caller of its own, who says nothing."""
        say(f"{when}: {len(self._held)} held-out rows")
        wrong = 0
        for start in range(0, len(self._held), self._at_once):
            some = self._held[start : start + self._at_once]
            answers = self._plane.predict(
                self._endpoint, [sample.inputs for sample in some], user="examiner", stage=None
            )
            self.report.calls += 1
            wrong += sum(answer != sample.label for answer, sample in zip(answers.result, some, strict=True))
        rate, low, high = wilson(wrong, len(self._held), 0.05)
        told = {"when": when, "wrong": wrong, "rows": len(self._held), "rate": rate, "low": low, "high": high}
        self.report.held_out.append(told)

    def ask(self, sample: Sample, user: str) -> tuple[str, Any]:
        self.report.calls += 1
        answer = self._plane.predict(self._endpoint, [sample.inputs], user=user)
        return answer.trace_id, answer.result[0]

    def say(self, trace: str, rater: str, *, rating: bool, correction: Any = None) -> None:
        word = {"trace_id": trace, "rater": rater, "user_rating": rating}
        self._words.append(word if correction is None else word | {"corrected_output": correction})

    def hand_in(self) -> None:
        for start in range(0, len(self._words), AT_ONCE):
            kept, errors = self._plane.feedback_batch(self._words[start : start + AT_ONCE])
            assert not errors, errors
            self.report.words += kept
        self._words.clear()

    def _believes(self, truth: Any, user: int) -> Any:
        liar = user < LIARS * USERS
        return self._mistaken(truth, self.chance) if liar or self.chance.random() < SLIPS else truth


def write(path: Path, samples: Sequence[Sample]) -> None:
    path.write_text("".join(json.dumps({"inputs": each.inputs, "label": each.label}) + "\n" for each in samples))


def newest(control: Admin, endpoint: str) -> str:
    return next((str(turn["id"]) for turn in control.turns(endpoint=endpoint, limit=1)), "")


def turned(control: Admin, endpoint: str, *, after: str) -> dict[str, Any]:
    """The turn that the corrections have begun by themselves; a button where they were too few. Its end."""

    def begun() -> dict[str, Any] | None:
        found = control.turns(endpoint=endpoint, limit=1)
        return found[0] if found and found[0]["id"] != after else None

    say("a turn")
    try:
        turn = wait_for(begun, seconds=30, what="a turn")
    except AssertionError:
        turn = control.begin_turn(endpoint, why="the slice ended before there were enough corrections")
    return wait_for(lambda: _ended(control, turn["id"]), seconds=TURN_SECONDS, what="the end of the turn")


def _ended(control: Admin, turn_id: str) -> dict[str, Any] | None:
    turn = control.turn(turn_id)
    return turn if turn["state"] in ENDED else None


def settle(control: Admin, turn: dict[str, Any], browse: Callable[[], None]) -> None:
    """People go on calling until its release has ended."""
    if not turn["release"]:
        return

    say(f"the turn is {turn['state']}; its release, under traffic")

    def over() -> bool:
        browse()
        return control.find_release(turn["release"])["phase"] in ("promoted", "rolled_back", "aborted", "failed")

    wait_for(over, seconds=RELEASE_SECONDS, what="the end of the release")
    turn["released"] = control.find_release(turn["release"])["phase"]


def written(title: str, report: Report) -> str:
    lines = [
        f"# {title}",
        "",
        "| when | held-out errors | rate | 95 % interval (Wilson) |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {e['when']} | {e['wrong']} of {e['rows']} | {e['rate']:.1%} | {e['low']:.1%} to {e['high']:.1%} |"
        for e in report.held_out
    ]
    lines += [
        "",
        "| turn | begun by | state | golden | fresh | training | what it says |",
        "|---|---|---|---|---|---|---|",
    ]
    for number, turn in enumerate(report.turns, start=1):
        gains = {gain["on"]: gain for gain in turn["gains"]}
        seconds = f"{turn['seconds']:.1f} s" if turn["seconds"] else "–"
        cells = (
            _gain(gains.get("golden")),
            _gain(gains.get("fresh")),
            seconds,
            turn["error"] or turn.get("released", ""),
        )
        lines.append(f"| {number} | {turn['cause']} | {turn['state']} | " + " | ".join(cells) + " |")
    lines += ["", f"{report.calls:,} calls and {report.words:,} words of people in {report.seconds:.0f} s.", ""]
    return "\n".join(lines)


def _gain(gain: dict[str, Any] | None) -> str:
    if gain is None:
        return "–"
    return f"{gain['baseline']:.1%} → {gain['candidate']:.1%} ({gain['low']:+.1%} to {gain['high']:+.1%})"


def draw(title: str, report: Report, path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - slow, and the tests do not draw

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(8, 4.2), layout="constrained")
    rates = [100 * each["rate"] for each in report.held_out]
    spread = [
        [rate - 100 * each["low"] for rate, each in zip(rates, report.held_out, strict=True)],
        [100 * each["high"] - rate for rate, each in zip(rates, report.held_out, strict=True)],
    ]
    axes.errorbar(range(len(rates)), rates, yerr=spread, marker="o", capsize=4, color="#1f6f8b")
    for place, each in enumerate(report.held_out):
        axes.annotate(f"{each['rate']:.1%}", (place, 100 * each["rate"]), xytext=(8, 6), textcoords="offset points")
    axes.set_xticks(range(len(rates)), [each["when"] for each in report.held_out], rotation=12)
    axes.set_ylabel("held-out errors, per cent (95 % interval)")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title)
    figure.savefig(path, dpi=110)
