"""Simulated releases: users, a drifting base rate, a ramp, and a candidate that is harmless or not.

Called by the tests of the release statistics and by `python -m bench.release`, so that the table in the docs and the
tests speak of the same streams. Vectorised over releases and users; a look is one interval of the release clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.types.release import Tally
from headrace.types.traffic import BUCKETS

BLOCK = 250  # releases at a time, so that they fit in memory

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """`ratio` multiplies the candidate's failures. `chronic`: this share of users fails in every call.

    `heavy`: 1 makes all users alike; with 3 a tenth of them makes nearly half of the calls. `outage`: the chance that
    in a look all calls of some random tenth of the users fail.
    """

    users: int = 4_000
    per_second: float = 20.0
    base_rate: float = 0.005
    drift: float = 0.3  # of the base rate, up and down in half an hour
    chronic: float = 0.0
    heavy: float = 1.0
    outage: float = 0.0
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
    return _block(scene, 1, np.random.default_rng(seed))[0]


def releases(scene: Scene, count: int, seed: int = 0) -> Iterator[list[Look]]:
    """Many of them; the same ones for the same seed."""
    random = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        yield from _block(scene, min(BLOCK, count - start), random)


def _block(scene: Scene, count: int, random: np.random.Generator) -> list[list[Look]]:
    size = (count, scene.users)
    bucket = random.integers(0, BUCKETS, size)
    chronic = (random.random(size) < scene.chronic).ravel()
    ever, in_step = np.zeros(size, bool), np.zeros(size, bool)
    phase = random.random(count) * 2 * np.pi
    number_of_looks = int(scene.seconds / scene.look)
    found: list[list[Look]] = [[] for _ in range(count)]
    last_step = 0
    for number in range(number_of_looks):
        step = min(len(scene.shares) - 1, number * len(scene.shares) // number_of_looks)
        if step != last_step:
            in_step[:] = False
            last_step = step
        candidate = bucket < scene.shares[step] * BUCKETS
        rate = scene.base_rate * (1 + scene.drift * np.sin(phase + 2 * np.pi * number * scene.look / 1800))
        owner = np.repeat(np.arange(count), random.poisson(scene.per_second * scene.look, count))
        calls = owner * scene.users + (scene.users * random.random(len(owner)) ** scene.heavy).astype(np.int64)
        on = candidate.ravel()[calls]
        risk = np.where(on, np.minimum(1, rate[owner] * scene.ratio), rate[owner])
        failed = (random.random(len(calls)) < risk) | chronic[calls]
        if scene.outage:
            failed |= _outage(scene, count, random).ravel()[calls]
        seen, hit = np.zeros(size, bool), np.zeros(size, bool)
        seen.ravel()[calls], hit.ravel()[calls[failed]] = True, True
        counts = zip(tallies(seen, hit, candidate, ever), tallies(seen, hit, candidate, in_step), strict=True)
        requests = zip(*(np.bincount(owner[on == arm], minlength=count).tolist() for arm in (False, True)), strict=True)
        failures = zip(
            *(np.bincount(owner[failed & (on == arm)], minlength=count).tolist() for arm in (False, True)), strict=True
        )
        for mine, (release, step_wise), of_requests, of_failures in zip(found, counts, requests, failures, strict=True):
            mine.append(
                Look(
                    end=(number + 1) * scene.look,
                    step=step,
                    release=release,
                    step_wise=step_wise,
                    requests=of_requests,
                    failures=of_failures,
                )
            )
    return found


def _outage(scene: Scene, count: int, random: np.random.Generator) -> Bools:
    hurt: Bools = (random.random((count, 1)) < scene.outage) & (random.random((count, scene.users)) < 0.1)
    return hurt


def tallies(seen: Bools, hit: Bools, candidate: Bools, counted: Bools) -> list[Tally]:
    """As release/evidence.py counts: units seen and not counted before; those with an event are counted from now on."""
    at_risk, events = seen & ~counted, hit & ~counted
    counted |= events
    columns = (_sums(at_risk), _sums(at_risk & candidate), _sums(events), _sums(events & candidate))
    return [
        Tally(
            baseline_units=units - candidates,
            candidate_units=candidates,
            baseline_events=all_events - of_candidate,
            candidate_events=of_candidate,
        )
        for units, candidates, all_events, of_candidate in zip(*columns, strict=True)
    ]


def _sums(flags: Bools) -> list[int]:
    counts: list[int] = np.count_nonzero(flags, axis=1).tolist()
    return counts
