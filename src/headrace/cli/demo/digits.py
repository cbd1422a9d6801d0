"""Scikit-learn's digits, split once: what the models learn from, what they are tested on, what production sends.

Called by the training program. As a program of its own it prints the production rows as JSON for the replay, so that
the command line does not wait for scikit-learn. 1,797 real images of handwritten digits, 8 x 8 pixels from 0 to 16.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.datasets import load_digits

EARLY, TRAIN, TEST = 120, 900, 250  # rows; what is left (647) is held out and replayed as production traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """`pixels` [n, 64] float64 and `labels` [n] int64 of one part."""

    pixels: Any
    labels: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    early: Split  # the first rows that were labelled: all that version 1 saw
    train: Split
    test: Split
    production: Split


def load() -> Digits:
    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(7).permutation(len(labels))
    pixels, labels = pixels[order], labels[order]

    def part(start: int, end: int | None) -> Split:
        return Split(pixels=pixels[start:end], labels=labels[start:end])

    return Digits(
        early=part(0, EARLY),
        train=part(0, TRAIN),
        test=part(TRAIN, TRAIN + TEST),
        production=part(TRAIN + TEST, None),
    )


def main() -> None:
    rows = load().production
    json.dump({"pixels": rows.pixels.tolist(), "labels": rows.labels.tolist()}, sys.stdout)


if __name__ == "__main__":
    main()
