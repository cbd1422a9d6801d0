"""A classifier that learns from the people who use it: three turns that help, and one that is poisoned and refused.

    python examples/flywheel/classical.py            # about three minutes; writes examples/flywheel/out

Data: scikit-learn's digits (1,797 scans, BSD), in the order of the file, which is the order of the people who wrote
them: what comes later looks a little different. 400 rows are the golden set, 250 are held out for this report alone,
the first 60 others are what version 1 learns from, and the rest is sent to a running platform as production traffic.

People: 120 users, who say of 60 % of their answers whether they are right, and correct those that are not. One word in
twenty is a slip; one user in twenty lies. Before the last turn 100 new accounts send a coordinated attack: four wrong
corrections each, few enough for nobody to be suspicious by himself. Words are handed in at the end of a slice, so that
how fast a machine is does not decide which of them a turn learns from.

Everything goes through the platform's public doors: /predict, /feedback, the flywheel's own trigger, its release.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from bench.running import Platform, wait_for
from headrace.client.admin import Admin
from headrace.client.predict import Headrace
from headrace.flywheel.intervals import wilson

HERE = Path(__file__).parent
GOLDEN, HELD, BASE, USERS = 400, 250, 60, 120
RATED, SLIPS, LIARS = 0.6, 0.05, 0.05
ATTACKERS, BLOWS = 100, 4
AT_ONCE = 1000  # words of a batch
ENDED = ("done", "refused", "failed", "cancelled")


@dataclass(frozen=True, kw_only=True)
class Digits:
    pixels: Any
    labels: Any
    golden: Any
    held: Any
    base: Any
    stream: Any


@dataclass(kw_only=True)
class Report:
    """`held_out`: after each turn, the live version's errors on rows that nobody ever saw."""

    held_out: list[dict[str, Any]] = field(default_factory=list)
    turns: list[dict[str, Any]] = field(default_factory=list)
    calls: int = 0
    words: int = 0
    seconds: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--short", action="store_true", help="one turn that helps, and the poisoned one")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="headrace-flywheel-") as folder,
        Platform(Path(folder) / "home") as platform,
    ):
        report = play(platform, short=given.short)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "classical.json").write_text(json.dumps(asdict(report), indent=2))
    (given.out / "classical.md").write_text(written(report))
    draw(report, given.out / "classical.png")
    sys.stdout.write(written(report))


def play(platform: Platform, *, short: bool = False) -> Report:
    digits, report, began = load(), Report(), time.monotonic()
    wheel = platform.home / "flywheels" / "digits"
    shutil.copytree(HERE / "classical", wheel)
    write(wheel / "base.jsonl", digits, digits.base)
    write(wheel / "golden.jsonl", digits, digits.golden)
    first(platform, wheel)
    with Admin(platform.control, timeout=120) as control, Headrace(platform.data) as plane:
        control.deploy("digits", "models:/digits/1")
        people = People(digits, plane, report)
        examine(people, "version 1", report)
        edges = (0, 450) if short else (0, 300, 620, len(digits.stream))
        for number, (start, end) in enumerate(pairwise(edges), start=1):
            last = newest(control)
            people.use(digits.stream[start:end])
            turn = turned(control, after=last)
            report.turns.append(turn)
            settle(control, turn, people)
            examine(people, f"after turn {number}", report)
        last = newest(control)
        people.attack(digits.stream[: edges[-1]])
        turn = turned(control, after=last)
        report.turns.append(turn)
        settle(control, turn, people)
        examine(people, "after the poisoned turn", report)
    report.seconds = time.monotonic() - began
    return report


def load() -> Digits:
    pixels, labels = load_digits(return_X_y=True)
    kept = np.random.default_rng(5).permutation(len(labels))[: GOLDEN + HELD]
    rest = np.setdiff1d(np.arange(len(labels)), kept)
    return Digits(
        pixels=pixels,
        labels=labels,
        golden=np.sort(kept[:GOLDEN]),
        held=np.sort(kept[GOLDEN:]),
        base=rest[:BASE],
        stream=rest[BASE:],
    )


def write(path: Path, digits: Digits, rows: Any) -> None:
    lines = [{"inputs": digits.pixels[row].tolist(), "label": int(digits.labels[row])} for row in rows]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def first(platform: Platform, wheel: Path) -> None:
    """Version 1, made by the same training and registered with the stock MLflow client."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(wheel / "base.jsonl", folder / "train.jsonl")
        params = {"C": 3.0, "gamma": 0.001}
        (folder / "task.json").write_text(
            json.dumps({"params": params, "endpoint": "digits", "baseline": "", "seed": 1})
        )
        trainer = [sys.executable, "-m", "headrace.client.training", str(wheel / "train.py") + ":train"]
        subprocess.run(trainer, cwd=folder, check=True, capture_output=True)
        script = (
            "import mlflow, sys; mlflow.set_tracking_uri(sys.argv[1]); mlflow.set_experiment('digits')\n"
            "with mlflow.start_run() as run: mlflow.log_artifacts(sys.argv[2], 'model')\n"
            "c = mlflow.MlflowClient(); c.create_registered_model('digits')\n"
            "c.create_model_version('digits', run.info.artifact_uri + '/model', run_id=run.info.run_id)"
        )
        uri = f"{platform.control}/mlflow"
        argv = [sys.executable, "-c", script, uri, str(folder / "out" / "model")]
        done = subprocess.run(argv, capture_output=True, text=True, env=platform.env)
        assert done.returncode == 0, done.stderr


class People:
    def __init__(self, digits: Digits, plane: Headrace, report: Report) -> None:
        self._digits, self._plane, self._report = digits, plane, report
        self._chance = np.random.default_rng(17)
        self._words: list[dict[str, Any]] = []

    def use(self, rows: Any) -> None:
        """In the order of the file. Who speaks does not depend on whether the answer is right."""
        for row in rows:
            user = int(self._chance.integers(USERS))
            trace, answer = self._ask(row, f"user-{user}")
            if self._chance.random() < RATED:
                self._say(trace, answer, self._believes(row, user), f"user-{user}")
        self._hand_in()

    def attack(self, rows: Any) -> None:
        """Each account says of a few pictures that they show the next digit."""
        for account in range(ATTACKERS):
            for row in self._chance.choice(rows, BLOWS, replace=False):
                trace, _ = self._ask(row, f"new-{account}")
                wrong = (int(self._digits.labels[row]) + 1) % 10
                self._words.append(_word(trace, f"new-{account}", rating=False, correction=wrong))
        self._hand_in()

    def look(self, rows: Any) -> list[int]:
        """As a caller of its own, who says nothing."""
        answers = self._plane.predict("digits", self._digits.pixels[rows].tolist(), user="examiner", stage=None)
        self._report.calls += 1
        return [int(each) for each in answers.result]

    def browse(self, count: int) -> None:
        """Traffic while a release runs."""
        for row in self._chance.choice(self._digits.stream, count):
            self._ask(row, f"user-{int(self._chance.integers(USERS))}")

    def errors(self) -> tuple[int, int]:
        held = self._digits.held
        wrong = sum(a != int(self._digits.labels[row]) for a, row in zip(self.look(held), held, strict=True))
        return wrong, len(held)

    def _ask(self, row: Any, user: str) -> tuple[str, int]:
        self._report.calls += 1
        answer = self._plane.predict("digits", [self._digits.pixels[row].tolist()], user=user)
        return answer.trace_id, int(answer.result[0])

    def _believes(self, row: Any, user: int) -> int:
        truth = int(self._digits.labels[row])
        liar = user < LIARS * USERS
        if liar or self._chance.random() < SLIPS:
            return int((truth + self._chance.integers(1, 10)) % 10)
        return truth

    def _say(self, trace: str, answer: int, believed: int, user: str) -> None:
        if answer == believed:
            self._words.append(_word(trace, user, rating=True))
        else:
            self._words.append(_word(trace, user, rating=False, correction=believed))

    def _hand_in(self) -> None:
        for start in range(0, len(self._words), AT_ONCE):
            kept, errors = self._plane.feedback_batch(self._words[start : start + AT_ONCE])
            assert not errors, errors
            self._report.words += kept
        self._words.clear()


def _word(trace: str, rater: str, *, rating: bool, correction: int | None = None) -> dict[str, Any]:
    word = {"trace_id": trace, "rater": rater, "user_rating": rating}
    return word if correction is None else word | {"corrected_output": correction}


def newest(control: Admin) -> str:
    return next((str(turn["id"]) for turn in control.turns(endpoint="digits", limit=1)), "")


def turned(control: Admin, *, after: str) -> dict[str, Any]:
    """The turn that the corrections have begun by themselves; a button where they were too few. Its end."""

    def begun() -> dict[str, Any] | None:
        found = control.turns(endpoint="digits", limit=1)
        return found[0] if found and found[0]["id"] != after else None

    try:
        turn = wait_for(begun, seconds=30, what="a turn")
    except AssertionError:
        turn = control.begin_turn("digits", why="the slice ended before there were enough corrections")
    return wait_for(lambda: _ended(control, turn["id"]), seconds=900, what="the end of the turn")


def _ended(control: Admin, turn_id: str) -> dict[str, Any] | None:
    turn = control.turn(turn_id)
    return turn if turn["state"] in ENDED else None


def settle(control: Admin, turn: dict[str, Any], people: People) -> None:
    """People go on calling until its release has ended."""
    if not turn["release"]:
        return

    def over() -> bool:
        people.browse(20)
        return control.find_release(turn["release"])["phase"] in ("promoted", "rolled_back", "aborted", "failed")

    wait_for(over, seconds=600, what="the end of the release")
    turn["released"] = control.find_release(turn["release"])["phase"]


def examine(people: People, when: str, report: Report) -> None:
    wrong, rows = people.errors()
    rate, low, high = wilson(wrong, rows, 0.05)
    report.held_out.append({"when": when, "wrong": wrong, "rows": rows, "rate": rate, "low": low, "high": high})


def written(report: Report) -> str:
    lines = [
        "# The flywheel on digits",
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


def draw(report: Report, path: Path) -> None:
    import matplotlib as mpl  # noqa: PLC0415 - slow, and the test does not draw

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
    axes.set_title("What people said made the next version better; the poisoned turn was refused")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
