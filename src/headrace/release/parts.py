"""What the engine works with, built by app and passed to each of its steps."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from headrace.base.clock import Clock
from headrace.base.settings import Settings
from headrace.release.gates.base import Planes
from headrace.store.artifacts import Artifacts
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.registry import Registry
from headrace.types.endpoint import PlaneReport

AwaitPlan = Callable[[int, float], PlaneReport]  # revision, seconds to wait at most
Progress = Callable[[str], None]

PLAN_SECONDS = 60.0  # for data planes to load a new version; a large one takes its time


@dataclass(frozen=True, kw_only=True)
class Parts:
    settings: Settings
    clock: Clock
    database: Database
    registry: Registry
    artifacts: Artifacts
    query: JournalQuery
    await_plan: AwaitPlan
    planes: Planes | None = None  # whom gates ask; None: nobody, and then they say that they could not
    # Held while the registry is changed or read and the outcome recorded: who moved what would be told wrongly else.
    registering: threading.RLock = field(default_factory=threading.RLock)

    @property
    def work(self) -> Path:
        """Scratch on the same file system as the artifacts."""
        return self.settings.home / "work"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Who wants a change, and why: what the history says of it. `action` is what it is called there."""

    actor: str
    reason: str = ""
    action: str = "endpoint.deploy"
    approval: str = ""
    approvers: tuple[str, ...] = ()
    undoes: int = 0


def cursor_name(release_id: str) -> str:
    """Of a release's reader of the journal."""
    return f"release:{release_id}"
