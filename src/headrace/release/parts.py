"""What the engine works with, built by app and passed to each of its steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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

    @property
    def work(self) -> Path:
        """Scratch on the same file system as the artifacts."""
        return self.settings.home / "work"


def cursor_name(release_id: str) -> str:
    """Of a release's reader of the journal."""
    return f"release:{release_id}"
