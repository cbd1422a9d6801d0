"""Answers of a chat endpoint, kept for who asks the very same again.

Called by complete.py before an upstream is asked. Decides what is the same: version, form, and every field of the
request but those that do not change the answer; and of the same tenant, unless the version shares. HTTP's own words
(Cache-Control: no-cache, no-store, max-age) are the caller's. In memory, bounded in bytes, the least used goes first.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

from headrace.compute.line import Headers
from headrace.gateway.dialects.base import Asked, Told
from headrace.traffic.keys import Caller
from headrace.types.gateway import ChatCache, Wire

_SILENT = frozenset(("stream_options", "user", "metadata", "store", "safety_identifier", "prompt_cache_key"))
_MAX_AGE = re.compile(r"max-age=(\d{1,9})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer, whole: of a stream all its events. `at`: when it was given, by the steady clock."""

    status: int
    headers: Headers
    body: bytes
    told: Told
    at: float


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller says of the cache. `age`: an older answer is none."""

    look: bool = True
    keep: bool = True
    age: float = float("inf")


USUAL = Wish()


def wish_of(control: str | None) -> Wish:
    """Of a request's Cache-Control."""
    if not control:
        return USUAL
    said = control.lower()
    silent = "no-store" in said
    found = _MAX_AGE.search(said)
    return Wish("no-cache" not in said and not silent, not silent, float(found[1]) if found else float("inf"))


def key_of(package: str, wire: Wire, asked: Asked, caller: Caller, *, shared: bool) -> bytes:
    digest = blake2b(digest_size=20)
    tenant = "" if shared else caller.workspace or caller.team or caller.key
    digest.update(f"{package}\n{wire}\n{tenant}\n{asked.stream}\n{asked.media}\n".encode())
    for name in sorted(asked.fields.keys() - _SILENT):
        raw = bytes(asked.fields[name])
        digest.update(f"{name}\n{len(raw)}\n".encode())
        digest.update(raw)
    digest.update(asked.raw)
    return digest.digest()


class Cache:
    """Of one endpoint."""

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes, settings: ChatCache, wish: Wish) -> Kept | None:
        found = self._kept.get(key) if wish.look else None
        if found is None:
            return None
        age = self._steady() - found.at
        if age > settings.ttl_seconds:
            self._drop(key)
            return None
        if age > wish.age:
            return None
        self._kept.move_to_end(key)
        return found

    def put(self, key: bytes, kept: Kept, settings: ChatCache) -> None:
        limit = settings.size_mb << 20
        if len(kept.body) > limit // 4:  # one answer must not push out all others
            return
        self._drop(key)
        self._kept[key] = kept
        self._bytes += len(kept.body)
        while self._bytes > limit:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: bytes) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.body)
