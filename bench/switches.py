"""Users before and after a switch, and who of them becomes unhappy: what follow.py would hold against each other.

Called by the tests of the release statistics and by `python -m bench.release`. Vectorised over releases and users.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headrace.release import evalue
from headrace.release.follow import GROUPS, span_of
from headrace.release.logs import mean
from headrace.release.plans import plan_from
from headrace.types.release import Tally

MARGIN = 1.25
BLOCK = 250  # releases at a time

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class After:
    """A preview, then a watch. `chronic` of the users are unhappy with each answer. `heavy`: 1 makes all users call
    alike often. `worse` multiplies the unhappy answers after the switch; `drift` is by how much they grow by themselves
    from the beginning to the end."""

    users: int = 3000
    per_second: float = 20.0
    preview: float = 60.0
    watch: float = 300.0
    unhappy: float = 0.02  # of the answers
    chronic: float = 0.0
    heavy: float = 2.0
    worse: float = 1.0
    drift: float = 0.0


def stretches(crowd: After, count: int, seed: int = 0) -> Iterator[list[Tally]]:
    """Of each release the tallies of its groups, in order."""
    steps = [
        {"kind": "preview", "min_seconds": crowd.preview},
        {"kind": "switch", "share": 100, "min_seconds": crowd.watch},
    ]
    span = span_of(plan_from({"strategy": "blue-green", "steps": steps}).steps)
    assert span is not None
    random = np.random.default_rng(seed)
    for start in range(0, count, BLOCK):
        size = (min(BLOCK, count - start), crowd.users)
        # Calls of a user come by chance (Poisson), as often as the k-th of users in a power law.
        often = crowd.users * crowd.heavy**-1.0 * ((np.arange(crowd.users) + 1) / crowd.users) ** (1 / crowd.heavy - 1)
        often = often / often.sum() * crowd.per_second
        chronic = random.random(size) < crowd.chronic
        both = []
        for group, change in ((span.group_before, 1.0), (span.group_after, crowd.worse)):
            came = random.exponential(1 / often, size)
            growth = 1 + crowd.drift * (came / crowd.watch if group is span.group_after else 0.0)
            each = np.minimum(1.0, crowd.unhappy * change * growth)
            never = (1 - each) * np.exp(-often * each * span.follow / 1000)
            event = (random.random(size) > never) | chronic
            both.append(_counts(came, event, group / 1000))
        for release in range(size[0]):
            yield [
                Tally(
                    baseline_units=int(both[0][0][release, n]),
                    candidate_units=int(both[1][0][release, n]),
                    baseline_events=int(both[0][1][release, n]),
                    candidate_events=int(both[1][1][release, n]),
                )
                for n in range(GROUPS)
            ]


def harm_of(groups: list[Tally]) -> float:
    """The largest logarithm of the e-value on the way."""
    logs, most = evalue.NO_HARM, 0.0
    for tally in groups:
        logs = evalue.add_changed(logs, tally, MARGIN)
        most = max(most, mean(logs))
    return most


def _counts(came: NDArray[np.float64], event: NDArray[np.bool_], seconds: float) -> tuple[Ints, Ints]:
    """By release and group: who began in it, and those of them with the event."""
    group = (came / seconds).astype(np.int64)
    inside = group < GROUPS
    place = np.arange(len(came))[:, None] * GROUPS + group
    found = [np.bincount(place[which], minlength=len(came) * GROUPS) for which in (inside, inside & event)]
    return found[0].reshape(-1, GROUPS), found[1].reshape(-1, GROUPS)
