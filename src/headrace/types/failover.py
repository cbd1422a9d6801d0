"""When the live version breaks outside any release: how it is noticed, and what is known of one that was ejected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Failover:
    """Of an endpoint: when its live version is ejected, so that the one that was live before answers again.

    The limits are lower bounds: a version that always had failures must have more of them (traffic/eject.py).
    """

    enabled: bool = True
    failures_in_row: int = 5
    error_rate: float = 0.3  # of the calls of the last ten seconds; 0: not looked at
    min_calls: int = 20  # in these ten seconds, below which a rate says nothing
    stall_seconds: float = 3.0  # calls inside and none answered; 0: not looked at
    probe_seconds: float = 5.0  # until an ejected version is tried again, unseen; doubles each time it fails
    lasting_seconds: float = 30.0  # after which the version before stays: plan, audit, registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Ejection:
    """One data plane has ejected a version. `restored` is set when it took it back; `times` counts both."""

    endpoint: str
    plane: str
    variant: str
    fallback: str
    since: float
    detail: str
    times: int = 1
    restored: float = 0.0
