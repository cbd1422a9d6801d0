"""Simulated releases: users, a drifting base rate, a ramp, and a candidate that is harmless or not.

Called by the tests of the release statistics and by `python -m bench.release`, so that the table in the docs and the
tests speak of the same streams. Vectorised over users within one look; a look is one interval of the release clock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.types.release import Tally
from headrace.types.traffic import BUCKETS


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """`ratio` multiplies the candidate's failures. `chronic`: this share of users fails in every call."""

    users: int = 4_000
    per_second: float = 20.0
    base_rate: float = 0.005
    drift: float = 0.3  # of the base rate, up and down in half an hour
    chronic: float = 0.0
    ratio: float = 1.0
    shares: tuple[float, ...] = (0.1,)  # per cent / 100, in turn
    seconds: float = 3600.0
    look: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What one interval shows. `requests`, `failures`: (baseline, candidate), every call counted, for naive rules."""

    end: float
    step: int
    release: Tally
    step_wise: Tally
    requests: tuple[int, int]
    failures: tuple[int, int]


def looks(scene: Scene, seed: int) -> list[Look]:
    random = np.random.default_rng(seed)
    bucket = random.integers(0, BUCKETS, scene.users)
    chronic = random.random(scene.users) < scene.chronic
    ever, in_step = np.zeros(scene.users, bool), np.zeros(scene.users, bool)
    count = int(scene.seconds / scene.look)
    phase = random.random() * 2 * np.pi
    found, last_step = [], 0
    for number in range(count):
        step = min(len(scene.shares) - 1, number * len(scene.shares) // count)
        if step != last_step:
            in_step[:] = False
            last_step = step
        candidate = bucket < scene.shares[step] * BUCKETS
        rate = scene.base_rate * (1 + scene.drift * np.sin(phase + 2 * np.pi * number * scene.look / 1800))
        calls = random.integers(0, scene.users, random.poisson(scene.per_second * scene.look))
        risk = np.where(candidate[calls], np.minimum(1, rate * scene.ratio), rate)
        failed = (random.random(len(calls)) < risk) | chronic[calls]
        on = candidate[calls]
        found.append(
            Look(
                end=(number + 1) * scene.look,
                step=step,
                release=_tally(calls, failed, candidate, ever),
                step_wise=_tally(calls, failed, candidate, in_step),
                requests=(int((~on).sum()), int(on.sum())),
                failures=(int((failed & ~on).sum()), int((failed & on).sum())),
            )
        )
    return found


def _tally(
    calls: NDArray[np.int64], failed: NDArray[np.bool_], candidate: NDArray[np.bool_], counted: NDArray[np.bool_]
) -> Tally:
    """As release/evidence.py counts: units seen and not counted before; those with an event are counted from now on."""
    seen = np.unique(calls)
    seen = seen[~counted[seen]]
    hit = np.unique(calls[failed])
    hit = hit[~counted[hit]]
    counted[hit] = True
    return Tally(
        baseline_units=int((~candidate[seen]).sum()),
        candidate_units=int(candidate[seen].sum()),
        baseline_events=int((~candidate[hit]).sum()),
        candidate_events=int(candidate[hit].sum()),
    )
