"""What a change leaves in the history: who had the traffic before and after it, and what was known.

Called by deploy, act, moves and sync, in the transaction of the change; and by undo, which reads it back. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

from headrace.release import evalue, words
from headrace.types.endpoint import Endpoint
from headrace.types.history import About, Holding, Seen
from headrace.types.model import ModelVersion, Stage
from headrace.types.release import Release
from headrace.types.traffic import BUCKETS

DELETED, NOTHING = "deleted", "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryCall:
    """A stage, or the alias `name`, is to be put on a version; an alias on version 0 is taken away. `gone`: the
    version, or with version 0 the whole model under this name, goes away with what points to it."""

    model: str
    version: int
    name: str = ""
    stage: str = ""
    gone: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A stage or an alias of a model that is not where it was. `name` is the alias; empty for a stage."""

    model: str
    version: int
    name: str
    was: str
    now: str

    @property
    def action(self) -> str:
        return "alias.move" if self.name else "stage.move"

    @property
    def detail(self) -> str:
        what = f"@{self.name}: " if self.name else ""
        return f"{what}{self.was} → {self.now}"

    @property
    def call(self) -> RegistryCall:
        """What would have asked for it."""
        if not self.name:
            return RegistryCall(model=self.model, version=self.version, stage=self.now)
        pointed = 0 if self.now == NOTHING else self.version
        return RegistryCall(model=self.model, version=pointed, name=self.name)

    @property
    def about(self) -> About:
        return About(model=self.model, was=self.was, now=self.now)


def holdings(endpoint: Endpoint | None) -> tuple[Holding, ...]:
    """Who has how much of an endpoint's traffic; nothing for one that is not there, or is unloaded."""
    if endpoint is None or endpoint.parked:
        return ()
    policy = endpoint.policy
    candidate = policy.share if policy.candidate else 0
    parts = ((policy.baseline, BUCKETS - candidate), (policy.candidate, candidate))
    return tuple(_holding(endpoint, name, share) for name, share in parts if share)


def seen(release: Release) -> tuple[Seen, ...]:
    """The evidence as it stands, one line a metric."""
    return tuple(
        Seen(
            metric=spec.name,
            baseline_events=found.baseline_events,
            baseline_units=found.baseline_units,
            candidate_events=found.candidate_events,
            candidate_units=found.candidate_units,
            log_harm=finite(evalue.harm(found)),
            log_limit=finite(evalue.roll_back_at(spec, release.plan)),
        )
        for spec in release.plan.metrics
        if (found := (release.evidence or {}).get(spec.name)) is not None
    )


def traffic_words(holdings: Iterable[Holding]) -> str:
    """v1 95 %, v2 5 %"""
    return ", ".join(f"{one.variant} {words.share(one.share)}" for one in holdings) or "nobody"


def registry_moves(before: Iterable[ModelVersion], after: Iterable[ModelVersion]) -> tuple[Moved, ...]:
    """Every stage and alias that differs. A model that was not known at all before has not moved: it is seen first."""
    then = {(v.name, v.version): v for v in before}
    now = {(v.name, v.version): v for v in after}
    known = {name for name, _ in then}
    stages = [
        Moved(model=name, version=number, name="", was=was.value, now=version.stage.value)
        for (name, number), version in sorted(now.items())
        if name in known and (was := _stage(then.get((name, number)))) is not version.stage
    ]
    gone = [
        Moved(model=name, version=number, name="", was=version.stage.value, now=DELETED)
        for (name, number), version in sorted(then.items())
        if (name, number) not in now and version.stage is not Stage.NONE
    ]
    return (*stages, *gone, *_aliases(then.values(), now.values(), known))


def _aliases(then: Iterable[ModelVersion], now: Iterable[ModelVersion], known: set[str]) -> tuple[Moved, ...]:
    was, there = _pointing(then), _pointing(now)
    return tuple(
        Moved(
            model=model,
            version=there.get((model, alias)) or was[model, alias],
            name=alias,
            was=_version(was.get((model, alias))),
            now=_version(there.get((model, alias))),
        )
        for model, alias in sorted({*was, *there})
        if model in known and was.get((model, alias)) != there.get((model, alias))
    )


def finite(log_e: float) -> float:
    """A metric that never rolls back has no limit; JSON has no infinity."""
    return log_e if isfinite(log_e) else 0.0


def _holding(endpoint: Endpoint, name: str, share: int) -> Holding:
    variant = endpoint.variant(name)
    return Holding(variant=name, uri=variant.model.uri if variant else "", share=share)


def _stage(version: ModelVersion | None) -> Stage:
    return version.stage if version is not None else Stage.NONE


def _pointing(versions: Iterable[ModelVersion]) -> dict[tuple[str, str], int]:
    return {(v.name, alias): v.version for v in versions for alias in v.aliases}


def _version(number: int | None) -> str:
    return f"version {number}" if number else NOTHING
