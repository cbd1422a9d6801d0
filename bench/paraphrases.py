"""How often the semantic cache answers what was asked in other words, and how often wrongly, by threshold.

Called by hand: `python -m bench.paraphrases FILE … [--plot FILE.png]`. A file has questions of people and what each of
them wants: BANKING77's test.csv (`text,category`) or CLINC150's data_full.json. They come one after the other in an
order by chance, none of them twice, through the parts that a data plane has: the same model of meanings, the same
shelves, the same marks (numbers, names, denials). A hit is right when both want the same; a question that CLINC150
counts as out of scope wants what nobody else does.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.base.proportion import wilson
from headrace.gateway.semantic import Near, Prompt, Shelves
from headrace.serving.embedding import Embedder

THRESHOLDS = (0.80, 0.85, 0.88, 0.90, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.99)
SEED = 7


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    wants: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    threshold: float
    asked: int
    hits: int
    false: int


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.paraphrases", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--plot", type=Path, default=None)
    given = parser.parse_args()
    told: dict[str, list[Found]] = {}
    for file in given.files:
        questions = list(_read(file))
        random.Random(SEED).shuffle(questions)
        nears = asyncio.run(_meanings(questions))
        told[file.stem] = [_asked(questions, nears, threshold) for threshold in THRESHOLDS]
        sys.stdout.write("\n".join(_table(file.stem, questions, told[file.stem])) + "\n\n")
    if given.plot is not None:
        _plot(told, given.plot)
    return 0


def _read(file: Path) -> Iterator[Question]:
    if file.suffix == ".csv":
        with file.open(newline="") as rows:
            yield from (Question(row["text"], row["category"]) for row in csv.DictReader(rows))
        return
    document = json.loads(file.read_text())
    yield from (Question(text, wants) for text, wants in document["test"])
    yield from (Question(text, f"out of scope {n}") for n, (text, _) in enumerate(document["oos_test"]))


async def _meanings(questions: Sequence[Question]) -> list[Near]:
    embedder, nears = Embedder(), []
    await embedder.load()
    for question in questions:
        vector = await embedder.embed(question.text)
        assert vector is not None, "one at a time, and none is long"
        nears.append(Near(Prompt(b"", question.text), vector))
    embedder.close()
    return nears


def _asked(questions: Sequence[Question], nears: Sequence[Near], threshold: float) -> Found:
    """What is not answered so is answered by a model, and kept."""
    shelves, hits, false = Shelves(), 0, 0
    for number, (question, near) in enumerate(zip(questions, nears, strict=True)):
        hit = next(shelves.close(near, threshold), None)
        if hit is None:
            shelves.add(near, number.to_bytes(4))
        else:
            hits += 1
            false += questions[int.from_bytes(hit[1])].wants != question.wants
    return Found(threshold=threshold, asked=len(questions), hits=hits, false=false)


def _table(name: str, questions: Sequence[Question], found: Sequence[Found]) -> list[str]:
    wants = len({question.wants for question in questions})
    return [
        f"{name}: {len(questions):,} questions, {wants:,} different wishes",
        "",
        "| threshold | answered by the cache | of these wrongly | 95 % |",
        "|--:|--:|--:|--:|",
        *(
            f"| {f.threshold:.2f} | {f.hits / f.asked:.1%} ({f.hits:,}) | {_share(f)} | {low:.1%} to {high:.1%} |"
            for f in found
            for _, low, high in [wilson(f.false, f.hits)]
        ),
    ]


def _share(found: Found) -> str:
    return f"{found.false / found.hits:.1%} ({found.false:,})" if found.hits else "–"


def _plot(told: dict[str, list[Found]], file: Path) -> None:
    from matplotlib import pyplot as plt  # noqa: PLC0415 - slow, and no dependency

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for name, found in told.items():
        at = [f.threshold for f in found]
        left.plot(at, [100 * f.hits / f.asked for f in found], marker="o", label=name)
        rates: list[Any] = [wilson(f.false, f.hits) for f in found]
        (line,) = right.plot(at, [100 * rate for rate, _, _ in rates], marker="o", label=name)
        right.fill_between(
            at,
            [100 * low for _, low, _ in rates],
            [100 * high for *_, high in rates],
            alpha=0.15,
            color=line.get_color(),
        )
    left.set_ylabel("answered by the cache, % of questions")
    right.set_ylabel("wrongly, % of these")
    for axes in (left, right):
        axes.set_xlabel("threshold (cosine)")
        axes.set_ylim(bottom=0)
        axes.set_xlim(right=0.975)  # above it there are hardly any hits
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    right.set_ylim(top=12)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
