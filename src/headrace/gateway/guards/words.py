"""Words and patterns that must not pass.

`settings`: `words` (whole words, any case), `patterns` (regular expressions), `action`: `block` (the usual one) or
`mask`, `window`: characters that a match may be long (256).
"""

from __future__ import annotations

import re
from typing import Any

from headrace.gateway.guards.base import Memory, Span, choice, number, only, texts
from headrace.types.errors import BadInput, Blocked


class Words:
    def __init__(self, settings: dict[str, Any]) -> None:
        only(settings, "words", "patterns", "action", "window")
        words, patterns = texts(settings, "words"), texts(settings, "patterns")
        if not words and not patterns:
            raise BadInput("neither words nor patterns are given", field="words")
        self.hold = number(settings, "window", 256, most=4096)
        self._masks = choice(settings, "action", "block", "mask") == "mask"
        try:
            forms = [rf"(?i:(?<!\w){re.escape(word)}(?!\w))" for word in words]
            self._pattern = re.compile("|".join([*forms, *(f"(?:{pattern})" for pattern in patterns)]))
        except re.error as error:
            raise BadInput(f"patterns: {error}", field="patterns") from error

    def before(self, text: str, memory: Memory) -> list[Span]:
        return self._spans(text, memory)

    def after(self, text: str, memory: Memory) -> list[Span]:
        return self._spans(text, memory)

    def end(self, text: str) -> None:
        """Nothing more."""

    def _spans(self, text: str, memory: Memory) -> list[Span]:
        found = [match for match in self._pattern.finditer(text) if match[0]]
        for _ in found:
            memory.count("words")
        if found and not self._masks:
            raise Blocked("a text has words that must not pass here", field="messages")
        return [Span(*match.span(), "*" * len(match[0])) for match in found]
