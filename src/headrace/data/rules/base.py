"""What a rule is. Called by curate.py; each file beside is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from headrace.data.rows import Candidate, Done, Scene


class Rule(Protocol):
    """`defaults` are its options and their values. `needed` says why it cannot be switched off; empty: it can."""

    @property
    def name(self) -> str: ...
    @property
    def defaults(self) -> Mapping[str, float]: ...
    @property
    def needed(self) -> str: ...

    def apply(self, rows: Sequence[Candidate], options: Mapping[str, float], scene: Scene) -> Done:
        """Must not depend on the order of rows, except where it says so."""
        ...
