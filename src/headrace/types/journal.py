"""Where a reader of the journal stands."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Per data plane the next byte to read: (segment number, offset). A plane that is absent is read from its start."""

    offsets: dict[str, tuple[int, int]] = field(default_factory=dict)
