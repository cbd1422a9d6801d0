"""Typed, prefixed identifiers, and trace ids that prove that we issued them.

A trace id is `tr-` and 32 hex digits (an OpenTelemetry trace id, as MLflow stores it):

    48 bits  milliseconds since the epoch     ids sort by time; the journal finds a call from its id alone
    48 bits  counter, from a random start     unique within and across processes
    32 bits  keyed BLAKE2b of the 96 bits     an id that we never issued is refused without a look-up

The key lives in the data folder and is shared by all data planes. 32 bits keep out mistakes and casual guessing; a
public feedback form needs a signed token on top.
"""

from __future__ import annotations

import re
import secrets
from hashlib import blake2b
from pathlib import Path

from headrace.base.files import write_atomic

TRACE_PREFIX = "tr-"
_PARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}.*")
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base 32, without i, l, o, u


def new_id(prefix: str) -> str:
    """Such as `rel_9f2k…`: the prefix and 80 random bits."""
    bits = secrets.randbits(80)
    return f"{prefix}_" + "".join(_ALPHABET[(bits >> shift) & 31] for shift in range(75, -1, -5))


def keyed_hash(key: bytes, text: str) -> str:
    """16 hex digits that stand for `text` (a user id) in records; not reversible without the key."""
    return blake2b(text.encode(), key=key, digest_size=8).hexdigest()


def token_of(key: bytes, purpose: str) -> str:
    """What only holders of the key can know: how one part of Headrace tells another that it is it. 64 hex digits."""
    return blake2b(purpose.encode(), key=key, person=b"headrace token", digest_size=32).hexdigest()


def load_key(path: Path) -> bytes:
    """The 32-byte key kept in `path`; made on first use, readable by the owner alone."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, secrets.token_bytes(32), mode=0o600, replace=False)
    return path.read_bytes()


def issued(trace_id: str) -> float:
    """When a trace id says it was issued, in seconds since the epoch; for one that is known to be ours."""
    return int(trace_id[len(TRACE_PREFIX) : len(TRACE_PREFIX) + 12], 16) / 1000


def feedback_id(trace_id: str, rater: str, name: str) -> str:
    """The same person's second word on the same thing has the id of the first."""
    return "fb_" + blake2b(f"{trace_id}\0{rater}\0{name}".encode(), digest_size=12).hexdigest()


def earliest_of(time: float) -> str:
    """No trace id of this time or later is less."""
    return f"{TRACE_PREFIX}{max(0, int(time * 1000)):012x}"


def latest_of(time: float) -> str:
    """No trace id of this time or earlier is greater."""
    return earliest_of(time) + "g"


def traceparent(trace_id: str, span: str) -> str:
    """W3C's header for what is asked of others on behalf of a call of ours."""
    return f"00-{trace_id[len(TRACE_PREFIX) :]}-{span}-01"


def caller_of(parent: str) -> tuple[str, str]:
    """The trace id and the span that a traceparent names; whether the trace is one of ours, who looks it up will see.
    Two empty words for what is no traceparent."""
    found = _PARENT.fullmatch(parent)
    return (f"{TRACE_PREFIX}{found[1]}", found[2]) if found else ("", "")


class TraceIds:
    def __init__(self, key: bytes) -> None:
        self._key = key
        self._counter = secrets.randbits(48)

    def mint(self, now: float) -> str:
        self._counter = (self._counter + 1) & 0xFFFF_FFFF_FFFF
        body = (int(now * 1000).to_bytes(6, "big")) + self._counter.to_bytes(6, "big")
        return TRACE_PREFIX + (body + blake2b(body, key=self._key, digest_size=4).digest()).hex()

    def issued(self, trace_id: str) -> float | None:
        """When we issued it, in seconds since the epoch; None if it was not us."""
        if len(trace_id) != 35 or not trace_id.startswith(TRACE_PREFIX):
            return None
        try:
            raw = bytes.fromhex(trace_id[3:])
        except ValueError:
            return None
        if len(raw) != 16 or blake2b(raw[:12], key=self._key, digest_size=4).digest() != raw[12:]:
            return None
        return int.from_bytes(raw[:6], "big") / 1000
