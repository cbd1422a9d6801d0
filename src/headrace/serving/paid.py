"""What language models have answered in a piece of work that may be killed: begun again, it does not pay twice.

Called by desk.py for compilations and examinations of a turn. Decides that the n-th time a question comes it gets the
n-th answer that it got before, so that work which asks the same several times and wants different answers repeats
itself exactly. A question is written down before it is sent: one whose answer nobody heard has been paid for as well,
and counts. What was half written when we were killed is not read.
"""

from __future__ import annotations

from collections import defaultdict, deque
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from headrace.types.program import Usage


class _Line(msgspec.Struct, omit_defaults=True):
    """Without an answer the question is about to be sent."""

    question: str
    answer: str | None = None
    usage: Usage = Usage(calls=1)


class Paid:
    """`usage`: what was spent before this process began."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._answers: dict[str, deque[bytes]] = defaultdict(deque)
        self.usage = Usage()
        sent = 0
        for line in _whole_lines(file):
            if line.answer is None:
                sent += 1
            else:
                self._answers[line.question].append(line.answer.encode())
                self.usage += line.usage
        self.usage += Usage(calls=max(0, sent - self.usage.calls))
        self._out = file.open("ab", buffering=0)

    @staticmethod
    def question(url: str, body: dict[str, Any]) -> str:
        return sha256(msgspec.json.encode([url, body], order="sorted")).hexdigest()

    def take(self, question: str) -> bytes | None:
        known = self._answers.get(question)
        return known.popleft() if known else None

    def send(self, question: str) -> None:
        """It is about to be sent."""
        self._write(_Line(question=question))

    def keep(self, question: str, answer: bytes, usage: Usage) -> None:
        """An answer is whole in the file, or it is not there."""
        self._write(_Line(question=question, answer=answer.decode(errors="replace"), usage=usage))

    def _write(self, line: _Line) -> None:
        self._out.write(msgspec.json.encode(line) + b"\n")

    def close(self) -> None:
        self._out.close()


def _whole_lines(file: Path) -> list[_Line]:
    """Cuts off what a kill left unfinished, so that the next line begins anew."""
    if not file.exists():
        return []
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        file.write_bytes(whole)
    return [msgspec.json.decode(line, type=_Line) for line in whole.splitlines()]
