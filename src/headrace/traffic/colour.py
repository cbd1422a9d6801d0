"""How a decision travels: which variant answered at each endpoint that a request has passed, and who follows it.

Called by serving/predict.py for requests that come with a colour and for endpoints with a candidate. A colour is text:

    x-headrace-colour: digits=v2;b=9f2c61d07a4be813,scores=v1

and the same as member `headrace-colour` of W3C's `baggage`, beside the members of others. An endpoint follows the
variant that is told for itself; or, when one release moves several endpoints (they have one salt), the side that is
told for another of them. `b` proves, under a key that only data planes have, that a bucket assigned this unit under
this salt: only then may a call that followed be evidence. Text that cannot be read is no colour: a request never fails
by it. Decides nothing of what the caller asked for by name: a forced or pinned variant goes first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

from headrace.traffic.route import bucket
from headrace.types.traffic import Decision, Reason, TrafficPolicy

HEADER = "x-headrace-colour"
BAGGAGE = "baggage"
MEMBER = "headrace-colour"
MAX_MARKS = 32  # endpoints; the oldest ones go first
MAX_TEXT = 2048  # characters of a colour
MAX_BAGGAGE = 8192  # W3C's bounds, of all members together
MAX_MEMBERS = 64

_MARK = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,99})=([A-Za-z0-9][A-Za-z0-9._-]{0,99})(?:;b=([0-9a-f]{16}))?")

Marks = tuple["Mark", ...]
Prove = Callable[[str, str, str, str], str]  # (salt, endpoint, variant, unit) → 16 hex digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One endpoint's decision. `proof` is empty when no bucket made it."""

    endpoint: str
    variant: str
    proof: str = ""

    def __str__(self) -> str:
        return f"{self.endpoint}={self.variant};b={self.proof}" if self.proof else f"{self.endpoint}={self.variant}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Where a request is: the endpoint, how it decides, what it has loaded, how others decide; and whose it is."""

    endpoint: str
    policy: TrafficPolicy
    loaded: Collection[str]
    others: Callable[[str], TrafficPolicy | None]
    unit: str
    prove: Prove


def told(header: str | None, baggage: str | None) -> str:
    """The colour that a request came with; empty when it has none."""
    if header:
        return header.strip()[:MAX_TEXT]
    for member in (baggage or "")[:MAX_BAGGAGE].split(","):
        name, _, value = member.partition("=")
        if name.strip() == MEMBER:
            return unquote(value.partition(";")[0].strip())[:MAX_TEXT]
    return ""


def read(text: str) -> Marks:
    """What cannot be read is left out; of two marks for one endpoint the later one counts."""
    found: dict[str, Mark] = {}
    for part in text[:MAX_TEXT].split(","):
        if match := _MARK.fullmatch(part.strip()):
            found.pop(match[1], None)
            found[match[1]] = Mark(endpoint=match[1], variant=match[2], proof=match[3] or "")
    return tuple(found.values())[-MAX_MARKS:]


def write(marks: Marks) -> str:
    """As a header; without the oldest marks when it would be too long."""
    parts = [str(mark) for mark in marks[-MAX_MARKS:]]
    while sum(map(len, parts)) + len(parts) > MAX_TEXT:
        del parts[0]
    return ",".join(parts)


def follow(marks: Marks, decision: Decision, here: Here) -> Decision:
    """`decision` is what the endpoint would do by itself. What is not loaded here is not followed."""
    if decision.reason in (Reason.FORCED, Reason.PINNED):
        return decision
    mark, variant = _for(marks, here)
    if mark is None or variant not in here.loaded:
        return decision
    return replace(decision, variant=variant, reason=Reason.COLOUR, counted=_by_chance(mark, variant, here))


def mark(decision: Decision, *, endpoint: str, policy: TrafficPolicy, unit: str, prove: Prove) -> Mark:
    """This endpoint's own decision."""
    by_chance = decision.counted and policy.candidate and policy.salt
    proof = prove(policy.salt, endpoint, decision.variant, unit) if by_chance else ""
    return Mark(endpoint=endpoint, variant=decision.variant, proof=proof)


def alone(decision: Decision, *, endpoint: str, policy: TrafficPolicy, unit: str, prove: Prove) -> str:
    """`write` of this endpoint's own decision and no other: what nearly every call of a release has, in fewer steps."""
    if decision.counted and policy.candidate and policy.salt:
        return f"{endpoint}={decision.variant};b={prove(policy.salt, endpoint, decision.variant, unit)}"
    return f"{endpoint}={decision.variant}"


def added(marks: Marks, own: Mark) -> Marks:
    """As the newest one."""
    return (*(mark for mark in marks if mark.endpoint != own.endpoint), own)


def travels(baggage: str | None, colour: str) -> dict[str, str]:
    """Headers of the request that goes on to a service elsewhere; `baggage` as it came."""
    return {HEADER: colour, BAGGAGE: packed(baggage, colour)}


def packed(baggage: str | None, colour: str) -> str:
    """`baggage` of a request that goes on: the members of others as they came, and ours. When there is no room for
    ours, it goes without: the header of our own says the same."""
    others = [member.strip() for member in (baggage or "").split(",") if member.partition("=")[0].strip() != MEMBER]
    kept = [member for member in others if member]
    ours = f"{MEMBER}={quote(colour, safe='')}"
    if len(kept) >= MAX_MEMBERS or sum(map(len, kept)) + len(kept) + len(ours) > MAX_BAGGAGE:
        return ",".join(kept)
    return ",".join([*kept, ours])


def _for(marks: Marks, here: Here) -> tuple[Mark | None, str]:
    """The mark that is for this endpoint, and the variant that follows from it."""
    own = next((mark for mark in marks if mark.endpoint == here.endpoint), None)
    if own is not None:
        return own, own.variant
    policy = here.policy
    if not (policy.salt and policy.candidate):
        return None, ""
    for mark in reversed(marks):
        other = here.others(mark.endpoint)
        if other is None or other.salt != policy.salt or not other.candidate:
            continue
        if mark.variant in (other.candidate, other.baseline):
            return mark, policy.candidate if mark.variant == other.candidate else policy.baseline
    return None, ""


def _by_chance(mark: Mark, variant: str, here: Here) -> bool:
    """Whether a bucket assigned this unit, and would do so here: shares may have moved on the way."""
    policy = here.policy
    if not mark.proof or not policy.salt:
        return False
    if here.prove(policy.salt, mark.endpoint, mark.variant, here.unit) != mark.proof:
        return False
    candidate = bool(policy.candidate) and bucket(policy.salt, here.unit) < policy.share
    return variant == (policy.candidate if candidate else policy.baseline)
