"""The record of what was done: who, why, on what evidence, and what was so before and after it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A variant's part of an endpoint's traffic. `share` is of traffic.BUCKETS, `uri` that of its version."""

    variant: str
    uri: str
    share: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What was known of one metric when it was decided. E-values as natural logarithms: they can be enormous."""

    metric: str
    baseline_events: int
    baseline_units: int
    candidate_events: int
    candidate_units: int
    log_harm: float = 0.0  # e-value against the candidate
    log_limit: float = 0.0  # at which it rolls back; 0: never, it is only shown


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What an entry of the history is about, beyond its own words. All of it is optional.

    was, now: of a stage or an alias, in words. before, after: who had the traffic; both empty when none has moved.
    """

    endpoint: str = ""
    model: str = ""
    release: str = ""
    reason: str = ""  # why, in the words of the person who did it
    was: str = ""
    now: str = ""
    before: tuple[Holding, ...] = ()
    after: tuple[Holding, ...] = ()
    evidence: tuple[Seen, ...] = ()
    revision: int = 0  # of the plan that made it so
    approval: str = ""  # the request that was approved for it
    approvers: tuple[str, ...] = ()
    undoes: int = 0  # the entry that it takes back


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the history. `sha256` is over this entry and the one before it, so that nothing can be changed or
    taken out in between without being seen."""

    id: int
    time: float
    actor: str
    action: str  # endpoint.deploy, release.start, release.step, stage.move, alias.move, …
    subject: str  # endpoint:digits, release:rel_…, model:digits/3
    detail: str
    about: About = About()
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries somebody asks for; empty means any. `action` may end in *: release.*"""

    endpoint: str = ""
    model: str = ""
    release: str = ""
    actor: str = ""
    action: str = ""
    subject: str = ""
    since: float = 0.0
    until: float = 0.0
    before: int = 0  # entries older than this one
    after: int = 0  # entries newer than this one


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """Whether the history is as it was written. `broken`: the first entry that does not fit, 0 when all do; `head`:
    the seal of the newest one. Who keeps it elsewhere can prove that nothing before it was changed."""

    entries: int
    broken: int
    head: str
