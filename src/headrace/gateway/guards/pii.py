"""Personal data does not leave the house: masked on the way to the model, put back on the way to the caller.

`settings`: `kinds` (email, key, iban, card, ip, phone; all of them), `answers`: `restore` (what was masked is put back,
the usual one) or `mask` (personal data that the model itself says is masked as well).
"""

from __future__ import annotations

import re
from typing import Any

from headrace.base.scrub import KINDS, spans
from headrace.gateway.guards.base import Memory, Span, choice, only, texts
from headrace.types.errors import BadInput

HOLD = 128  # an address is not longer, a stand-in much shorter
_STAND_IN = re.compile(r"<(?:" + "|".join(KINDS) + r")_\d{1,6}>")


class Pii:
    hold = HOLD

    def __init__(self, settings: dict[str, Any]) -> None:
        only(settings, "kinds", "answers")
        self._kinds = frozenset(texts(settings, "kinds") or KINDS)
        if strange := sorted(self._kinds - set(KINDS)):
            raise BadInput(f"kinds has {strange[0]!r}; allowed: {', '.join(KINDS)}", field="kinds")
        self._masks = choice(settings, "answers", "restore", "mask") == "mask"

    def before(self, text: str, memory: Memory) -> list[Span]:
        return [self._masked(text[start:end], kind, memory, start, end) for start, end, kind in self._found(text)]

    def after(self, text: str, memory: Memory) -> list[Span]:
        if self._masks:
            return [Span(start, end, f"<{kind}>") for start, end, kind in self._found(text)]
        known = ((match, memory.originals.get(match[0])) for match in _STAND_IN.finditer(text))
        return [Span(*match.span(), original) for match, original in known if original is not None]

    def end(self, text: str) -> None:
        """Nothing more."""

    def _found(self, text: str) -> list[tuple[int, int, str]]:
        return [span for span in spans(text) if span[2] in self._kinds] if len(text) > 5 else []

    def _masked(self, original: str, kind: str, memory: Memory, start: int, end: int) -> Span:
        stand_in = memory.stand_ins.get(original)
        if stand_in is None:
            stand_in = f"<{kind}_{len(memory.originals) + 1}>"
            memory.stand_ins[original], memory.originals[stand_in] = stand_in, original
        memory.count(f"pii.{kind}")
        return Span(start, end, stand_in)
