"""A classifier that learns from the people who use it: three turns that help, and one that is poisoned and refused.

    python -m examples.flywheel.classical            # about three minutes; writes examples/flywheel/out

Data: scikit-learn's digits (1,797 scans, BSD), in the order of the file, which is the order of the people who wrote
them: what comes later looks a little different. 400 rows are the golden set, 250 are held out for this report alone,
the first 60 others are what version 1 learns from, and the rest is sent to a running platform as production traffic.

People are those of loop.py. Before the last turn 100 new accounts send a coordinated attack: four wrong corrections
each, few enough for nobody to be suspicious by himself.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

from bench.options import say
from bench.running import Platform
from examples.flywheel.loop import People, Report, Sample, draw, newest, settle, turned, write, written
from headrace.client.admin import Admin
from headrace.client.predict import Headrace

HERE = Path(__file__).parent
TITLE = "The flywheel on digits"
GOLDEN, HELD, BASE = 400, 250, 60
ATTACKERS, BLOWS = 100, 4


@dataclass(frozen=True, kw_only=True)
class Digits:
    golden: list[Sample]
    held: list[Sample]
    base: list[Sample]
    stream: list[Sample]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--short", action="store_true", help="one turn that helps, and the poisoned one")
    given = parser.parse_args()
    say("a platform of its own")
    with (
        tempfile.TemporaryDirectory(prefix="headrace-flywheel-") as folder,
        Platform(Path(folder) / "home") as platform,
    ):
        report = play(platform, short=given.short)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "classical.json").write_text(json.dumps(asdict(report), indent=2))
    (given.out / "classical.md").write_text(written(TITLE, report))
    draw(
        "What people said made the next version better; the poisoned turn was refused",
        report,
        given.out / "classical.png",
    )
    sys.stdout.write(written(TITLE, report))


def play(platform: Platform, *, short: bool = False) -> Report:
    digits, report, began = load(), Report(), time.monotonic()
    wheel = platform.home / "flywheels" / "digits"
    shutil.copytree(HERE / "classical", wheel)
    write(wheel / "base.jsonl", digits.base)
    write(wheel / "golden.jsonl", digits.golden)
    first(platform, wheel)
    with Admin(platform.control, timeout=120) as control, Headrace(platform.data) as plane:
        control.deploy("digits", "models:/digits/1")
        people = People("digits", plane, report, held=digits.held, mistaken=mistaken)
        people.examine("version 1")

        def turn(when: str, act: Callable[[], None]) -> None:
            last = newest(control, "digits")
            act()
            report.turns.append(turned(control, "digits", after=last))
            settle(control, report.turns[-1], lambda: people.browse(digits.stream, 20))
            people.examine(when)

        edges = (0, 450) if short else (0, 300, 620, len(digits.stream))
        for number, (start, end) in enumerate(pairwise(edges), start=1):
            turn(f"after turn {number}", lambda: people.use(digits.stream[start:end]))  # noqa: B023
        turn("after the poisoned turn", lambda: attack(people, digits.stream[: edges[-1]]))
    report.seconds = time.monotonic() - began
    return report


def load() -> Digits:
    pixels, labels = load_digits(return_X_y=True)
    kept = np.random.default_rng(5).permutation(len(labels))[: GOLDEN + HELD]
    rest = np.setdiff1d(np.arange(len(labels)), kept)

    def samples(rows: Any) -> list[Sample]:
        return [Sample(inputs=pixels[row].tolist(), label=int(labels[row])) for row in rows]

    return Digits(
        golden=samples(np.sort(kept[:GOLDEN])),
        held=samples(np.sort(kept[GOLDEN:])),
        base=samples(rest[:BASE]),
        stream=samples(rest[BASE:]),
    )


def mistaken(truth: int, chance: np.random.Generator) -> int:
    return int((truth + chance.integers(1, 10)) % 10)


def attack(people: People, seen: Sequence[Sample]) -> None:
    """Each account says of a few pictures that they show the next digit."""
    say(f"{ATTACKERS} new accounts attack")
    for account in range(ATTACKERS):
        for place in people.chance.choice(len(seen), BLOWS, replace=False):
            sample = seen[int(place)]
            trace, _ = people.ask(sample, f"new-{account}")
            people.say(trace, f"new-{account}", rating=False, correction=(sample.label + 1) % 10)
    people.hand_in()


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


if __name__ == "__main__":
    main()
