"""Who may come in, and how many at once.

Called by serving/predict.py: the keyring before anything else, the gate of an endpoint once the endpoint is known.
Decides by the plan's key hashes and the endpoint's limit. Ignores what is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from headrace.traffic.route import Header
from headrace.types.errors import Overloaded, Unauthenticated

RETRY_AFTER = 1.0  # seconds; a full gate empties within a few calls


class Keyring:
    """The accepted API keys, as sha256 in hex; without any, everyone may come in.

    A set look-up is enough: who tries keys cannot steer the hash that is looked up, so its timing tells nothing.
    """

    __slots__ = ("_accepted",)

    def __init__(self, hashes: Iterable[str] = ()) -> None:
        self._accepted = frozenset(h.lower() for h in hashes)

    def check(self, header: Header) -> None:
        """`authorization: Bearer KEY` or `x-api-key: KEY`; raises Unauthenticated."""
        if not self._accepted:
            return
        key = header("x-api-key") or _bearer(header("authorization"))
        if not key:
            raise Unauthenticated("this endpoint asks for an API key", hint="send authorization: Bearer KEY")
        if key_hash(key) not in self._accepted:
            raise Unauthenticated("the API key is not known", hint="it may have been revoked")


def key_hash(key: str) -> str:
    return sha256(key.encode()).hexdigest()


def _bearer(value: str | None) -> str:
    scheme, _, key = (value or "").partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""


class Gate:
    """Bounds the calls inside one endpoint. Over the limit a call is refused at once: it never waits in a queue.

    A call that timed out still occupies its thread or host, so its place is given back only when the work ends.
    """

    __slots__ = ("inside", "limit", "name")

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.inside = 0

    def enter(self) -> None:
        if self.inside >= self.limit:
            raise self.full(self.inside)
        self.inside += 1

    def leave(self) -> None:
        self.inside -= 1

    def full(self, inside: int) -> Overloaded:
        return Overloaded(
            f"endpoint {self.name!r} already has {inside} calls inside, its limit",
            hint="try again shortly, or raise limits.max_concurrency",
            retry_after=RETRY_AFTER,
        )


def _alone(name: str) -> Gate:
    return Gate(name, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """What a data plane is started with: hashes of keys accepted besides the plan's, and how a gate is made."""

    keys: tuple[str, ...] = ()
    gate: Callable[[str], Gate] = _alone


OPEN = Door()
