"""What was made of a rating that somebody gave in the chat application."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """The row that makes it idempotent: `updated` as of which it was read, `names` of the feedback that stands.
    `trace_id` empty: it was about nothing that we know."""

    id: str
    updated: float
    trace_id: str = ""
    rater: str = ""
    names: tuple[str, ...] = ()
    words: str = ""  # a hash of what was said; empty: nothing
