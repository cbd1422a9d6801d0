"""Simulated scores: a rating or a business metric of users in a release, harmless or not.

Called by the tests of betting.py and asymptotic.py and by `python -m bench.release`. A user scores once, when they
first come. Users of one group are alike; the base level drifts; the ramp widens over the same buckets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, Floats], Floats]  # values around these means


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreScene:
    """`draw` makes values from means; `effect` is added to the candidate's means."""

    draw: Draw
    users: int = 1_500
    mean: float = 0.5
    effect: float = 0.0
    drift: float = 0.1  # of the mean, up and down twice
    groups: int = 50
    alike: float = 0.1  # how far the means of groups lie apart
    shares: tuple[float, ...] = (0.01, 0.05, 0.25, 0.5)  # in turn, each for as many users


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """In the order in which users came."""

    candidate: NDArray[np.bool_]
    values: Floats
    share: Floats


def scored(scene: ScoreScene, seed: int) -> Scored:
    random = np.random.default_rng(seed)
    number = np.arange(scene.users)
    share = np.array(scene.shares)[number * len(scene.shares) // scene.users]
    candidate = random.random(scene.users) < share
    group = random.normal(0, scene.alike, scene.groups)[random.integers(0, scene.groups, scene.users)]
    wave = np.sin(random.random() * 2 * np.pi + 4 * np.pi * number / scene.users)
    means = scene.mean * (1 + scene.drift * wave) + group + scene.effect * candidate
    return Scored(candidate=candidate, values=scene.draw(random, means), share=share)


def thumbs(random: np.random.Generator, means: Floats) -> Floats:
    """0 or 1."""
    return (random.random(len(means)) < np.clip(means, 0, 1)).astype(float)


def ratings(random: np.random.Generator, means: Floats) -> Floats:
    """Between 0 and 1, close to the mean."""
    return np.clip(random.normal(means, 0.15), 0, 1)


def revenue(random: np.random.Generator, means: Floats) -> Floats:
    """Most spend nothing, some a little, few a lot: log-normal, and half of it 0."""
    spent = random.lognormal(0, 1.0, len(means)) / np.exp(0.5) * 2 * np.maximum(means, 0)
    return np.where(random.random(len(means)) < 0.5, spent, 0.0)
