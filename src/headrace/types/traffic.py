"""Where a request goes: the traffic policy of an endpoint and the decision it leads to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

BUCKETS = 10_000  # a share is given in these: 1 % = 100


class Reason(StrEnum):
    """Why a request went to its variant."""

    FORCED = "forced"  # the caller named a variant in x-headrace-variant
    PINNED = "pinned"  # the caller asked for a version, stage or alias
    COLOUR = "colour"  # another endpoint, or this one, decided before, and the request says so
    RULE = "rule"  # a header rule or an allow-list matched
    HOLDOUT = "holdout"  # the unit is held out of experiments
    BUCKET = "bucket"  # the salted hash of the unit
    GATE = "gate"  # nobody's call: Headrace itself asks a variant, before a release gives it traffic


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A request that matches goes to `variant`. Exactly one of `header` and `units` is set.

    `header`: (lower-case name, value), such as ("x-canary", "true"). `units`: an allow-list of unit ids.
    """

    variant: str
    header: tuple[str, str] | None = None
    units: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shadow:
    """Calls that the baseline has answered are put to `variant` too, when nothing else is to be done; nobody but the
    journal hears what it says. What finds no room is dropped and counted: a live answer never waits for a shadow.
    """

    variant: str
    share: int = BUCKETS  # of the baseline's calls, in BUCKETS: by the trace id, under a salt of its own
    salt: str = ""
    max_concurrency: int = 1  # shadow calls that run at the same time, per data plane
    max_queue: int = 256  # calls that wait, per data plane
    attributes: tuple[str, ...] = ()  # request headers kept with a pair, to look at pairs by

    def __post_init__(self) -> None:
        if not 0 <= self.share <= BUCKETS:
            raise ValueError(f"share of a shadow is {self.share!r}; allowed: 0 to {BUCKETS}")
        if self.max_concurrency < 1 or self.max_queue < 1:
            raise ValueError(
                f"max_concurrency {self.max_concurrency!r} and max_queue {self.max_queue!r} of a shadow: from 1"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPolicy:
    """Order of decision: forced header → rules → holdout → bucket.

    bucket = hash(salt:unit) mod 10,000. The candidate owns [0, share), so widening its share never moves a unit that it
    already has; everyone else goes to the baseline.
    """

    baseline: str
    candidate: str = ""
    share: int = 0  # of BUCKETS, to the candidate
    salt: str = ""
    rules: tuple[Rule, ...] = ()
    holdout: int = 0  # of BUCKETS (own salt), always baseline and never counted
    shadow: Shadow | None = None
    fallback: str = ""  # was live before and is still loaded: answers when the baseline breaks


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`counted` is true when the unit was assigned by its bucket, so that it may serve as evidence."""

    variant: str
    reason: Reason
    sticky: bool
    counted: bool
