"""What needs a second person, and what waits for one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from headrace.types.model import Stage


class Action(StrEnum):
    """What people do to an endpoint that may need a second one. Stopping never does: pause and abort are free."""

    DEPLOY = "deploy"
    RELEASE = "release"  # start one
    RESUME = "resume"  # let one go on, such as from a step that waits for approval
    PROMOTE = "promote"  # all traffic, whatever the evidence says
    UNDO = "undo"
    UNLOAD = "unload"
    CONFIGURE = "configure"


class Registry(StrEnum):
    """What people do in the registry that may need a second one."""

    STAGE = "stage"
    ALIAS = "alias"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """A setting of an endpoint. `stages` and `aliases` of its model are moved by two people, whichever way is taken;
    to take away what is said here needs a second person too."""

    actions: tuple[Action, ...] = ()
    stages: tuple[Stage, ...] = ()
    aliases: tuple[str, ...] = ()
    people: int = 1  # others than the one who asks
    expires_seconds: float = 86_400.0

    @property
    def any(self) -> bool:
        return bool(self.actions or self.stages or self.aliases)


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Exactly what is to be done: approved for one thing, nothing else is. `arguments` are JSON values."""

    kind: str  # an Action or a Registry
    endpoint: str = ""
    model: str = ""
    arguments: dict[str, Any] | None = None


class ApprovalState(StrEnum):
    PENDING = "pending"  # not enough people have said yes
    APPROVED = "approved"  # enough have; it may be done once
    DONE = "done"  # it was done, or tried: `failure` says why not
    REFUSED = "refused"  # somebody said no, or the one who asked took it back
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    actor: str
    time: float
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A deed that waits for people."""

    id: str  # apr_…
    deed: Deed
    sentence: str  # the deed in words
    actor: str  # who wants it
    reason: str
    created: float
    expires: float
    people: int
    votes: tuple[Vote, ...] = ()
    state: ApprovalState = ApprovalState.PENDING
    ended: float = 0.0
    failure: str = ""

    @property
    def approvers(self) -> tuple[str, ...]:
        return tuple(vote.actor for vote in self.votes)
