"""Signed trace tokens: whoever holds one may rate one answer, and nothing else, until it expires.

Made by the data plane for an application (POST /feedback/tokens), shown by a person's browser to POST /feedback.
Nothing is stored: the token says which trace, until when, and (as a hash) who; and proves that we made it.

    ft_ and base64url of   version 1 · trace 16 · expiry 4 · rater 8 · proof 16   bytes

The proof is a keyed BLAKE2b of the rest: 128 bits, so that a public form cannot be guessed into.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

from headrace.base.ids import TRACE_PREFIX

PREFIX: Final = "ft_"
_VERSION: Final = b"\x01"
_SIZE: Final = 45
_PROOF: Final = 16
_NOBODY: Final = bytes(8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """`rater` is a person's keyed hash; empty: whoever holds the token."""

    trace_id: str
    expires: float
    rater: str = ""


class Tickets:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def issue(self, ticket: Ticket) -> str:
        trace = bytes.fromhex(ticket.trace_id.removeprefix(TRACE_PREFIX))
        rater = bytes.fromhex(ticket.rater) if ticket.rater else _NOBODY
        body = _VERSION + trace + int(ticket.expires).to_bytes(4, "big") + rater
        return PREFIX + urlsafe_b64encode(body + self._proof(body)).decode().rstrip("=")

    def read(self, token: str) -> Ticket | None:
        """What it allows, also when it has expired; None when we did not make it."""
        text = token.removeprefix(PREFIX)
        if text == token or len(text) != _SIZE // 3 * 4:
            return None
        try:
            raw = urlsafe_b64decode(text.encode())
        except (NotBase64, ValueError):
            return None
        body, proof = raw[:-_PROOF], raw[-_PROOF:]
        if len(raw) != _SIZE or body[:1] != _VERSION or not compare_digest(self._proof(body), proof):
            return None
        rater = body[21:29]
        return Ticket(
            trace_id=TRACE_PREFIX + body[1:17].hex(),
            expires=float(int.from_bytes(body[17:21], "big")),
            rater="" if rater == _NOBODY else rater.hex(),
        )

    def _proof(self, body: bytes) -> bytes:
        return blake2b(body, key=self._key, person=b"headrace ticket", digest_size=_PROOF).digest()
