"""The pairs of a release in a shadow step, on all its endpoints, as part of an interval.

Called by watch.py. Pure: pairs.py counts, this adds it to what evidence.py has closed. Decides that an answer which
differs, or fails to come, is the event of the metrics of kind flips; and that a step of copies is as long as its pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import reduce

from headrace.release.evidence import Closed, Counted, Find, Record
from headrace.release.judge import judge_of
from headrace.release.pairs import ClosedPairs, Known, Pairs
from headrace.release.spoken import as_texts
from headrace.release.sums import summed
from headrace.types.model import TensorSpec
from headrace.types.pair import Pair, PairTally, Profile
from headrace.types.release import Release, Tally
from headrace.types.strategy import MetricKind, StepKind
from headrace.types.traffic import Shadow

Specs = Mapping[str, Sequence[TensorSpec]]  # endpoint → outputs of its baseline, the answer first


class Copies:
    """`counted`: units by the name under which they were counted, from before a restart."""

    def __init__(self, release: Release, *, specs: Specs, counted: Mapping[str, set[str]], find: Find) -> None:
        self._steps, self._step, self._salt = release.plan.steps, release.step, release.id
        self._metrics = [m.name for m in release.plan.metrics if m.kind is MetricKind.FLIPS]
        judge = judge_of(release.plan.pairs.judge)
        self._compared = release.step_units if release.current.kind is StepKind.SHADOW else 0
        self._pairs = {
            member.endpoint: Pairs(
                member,
                self._shadow(release, member.candidate),
                as_texts(release.plan.pairs, specs.get(member.endpoint, ())),
                specs=specs.get(member.endpoint, ()),
                known=Known(
                    tested=counted.get(_scope(member.endpoint), ()),
                    profile=release.pairs.profile if release.pairs and not number else Profile(),
                ),
                find=find,
                judge=judge,
            )
            for number, member in enumerate(release.members)
        }

    def observe(self, records: Iterable[Record]) -> None:
        if self._steps[self._step].kind is not StepKind.SHADOW:
            return
        listed = list(records)
        for pairs in self._pairs.values():
            pairs.observe(listed)

    def next_step(self) -> None:
        self._step = min(self._step + 1, len(self._steps) - 1)
        self._compared = 0

    def close(self, closed: Closed) -> Closed:
        """The interval with its pairs. Calls that are no copies count as they did."""
        interval = closed.interval
        if self._steps[interval.step].kind is not StepKind.SHADOW:
            return closed
        found = {endpoint: pairs.close() for endpoint, pairs in self._pairs.items()}
        tally = reduce(summed, (one.tally for one in found.values()))
        self._compared += tally.pairs
        differing = Tally(candidate_units=tally.tested, candidate_events=tally.differing)
        told = replace(
            interval,
            pairs=None if tally == PairTally(failures_in_row=tally.failures_in_row) else tally,
            candidate_units=self._compared,
            failures_in_row=max(interval.failures_in_row, *(one.tally.failures_in_row for one in found.values())),
            release=interval.release | dict.fromkeys(self._metrics, differing),
        )
        return replace(closed, interval=told, fresh=closed.fresh | _fresh(found), pairs=_kept(found))

    def _shadow(self, release: Release, candidate: str) -> Shadow:
        """As the plan says it to the data planes: change.with_step."""
        mirror = max(step.mirror for step in release.plan.steps)
        return Shadow(variant=candidate, share=mirror, salt=self._salt)


def _scope(endpoint: str) -> str:
    return f"pairs/{endpoint}"


def _fresh(found: Mapping[str, ClosedPairs]) -> Counted:
    return {_scope(endpoint): set(one.fresh) for endpoint, one in found.items() if one.fresh}


def _kept(found: Mapping[str, ClosedPairs]) -> tuple[Pair, ...]:
    return tuple(pair for one in found.values() for pair in one.kept)
