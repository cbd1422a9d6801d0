"""Who is told of what happens here, and what became of telling them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

EVENTS = ("release.*", "endpoint.*", "stage.*", "alias.*", "approval.*")  # all that moves traffic or may


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """`events`: actions of the history; one that ends in * is a whole kind. `endpoints`: empty means all.

    secret_env: the variable that holds the secret; empty: it follows from the platform's own key and `generation`.
    A generation that was replaced signs beside the new one for a day.
    """

    id: str  # hook_…
    name: str
    url: str
    events: tuple[str, ...] = EVENTS
    endpoints: tuple[str, ...] = ()
    secret_env: str = ""
    generation: int = 1
    rotated: float = 0.0
    active: bool = True
    why_off: str = ""
    created: float = 0.0
    position: int = 0  # the newest entry of the history that it was told of, or that is not for it


class DeliveryState(StrEnum):
    DUE = "due"  # to be sent at `next_time`
    DELIVERED = "delivered"  # answered with 2xx
    FAILED = "failed"  # given up after the last attempt


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message to one receiver. `entry` 0: a test."""

    id: int
    hook: str
    entry: int
    event: str
    state: DeliveryState
    created: float
    next_time: float = 0.0
    attempts: int = 0
    time: float = 0.0  # of the last attempt
    status: int = 0  # of its answer; 0: there was none
    seconds: float = 0.0  # that it took
    error: str = ""
