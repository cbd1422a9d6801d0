"""What the steps of a turn work with. Built by app/turn.py; passed through turn.py to each step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Protocol

from headrace.base.clock import Clock
from headrace.compute.executors.base import Executor
from headrace.flywheel.datasets import Datasets
from headrace.serving.lm import Aliases
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.types.model import ModelVersion
from headrace.types.turn import Enrolment, Turn


class Versions(Protocol):
    """store/registry.py."""

    def resolve(self, uri: str) -> ModelVersion: ...
    def download(self, version: ModelVersion, folder: Path) -> Path: ...


class Enroller(Protocol):
    """store/enrol.py."""

    def enrol(self, item: Enrolment) -> str: ...


class Control(Protocol):
    """client/admin.py."""

    def release(
        self, endpoint: str, candidate: str, *, plan: dict[str, Any] | None, release_id: str
    ) -> dict[str, Any]: ...


@dataclass(frozen=True, kw_only=True)
class Shop:
    """`code` is the copy of the flywheel's folder that this turn uses from its beginning to its end."""

    turn: Turn
    code: Path
    database: Database
    datasets: Datasets
    query: JournalQuery
    registry: Versions
    enroller: Enroller
    executor: Executor  # of the training
    asker: Executor  # of the examination, beside the platform: both versions under the same conditions
    aliases: Aliases  # of language models, for programs
    control: Control
    clock: Clock
    stop: Event
    passed: Mapping[str, str]  # variables that the flywheel names for its training
