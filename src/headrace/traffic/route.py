"""Which variant answers a request. Pure: a policy and a request in, a decision out.

Called by serving/predict.py once per request. Order of precedence, first match wins:

    forced    header x-headrace-variant names a variant              not counted
    pinned    the caller asks for a version, a stage or an alias     not counted
    colour    decided before, here or elsewhere: colour.py           counted if a bucket did
    rule      a header (x-canary: true) or an allow-list matches     not counted
    holdout   the unit is held out of experiments: baseline          not counted
    bucket    hash(salt:unit) mod 10,000; the candidate owns [0, share)

Only the bucket assigns by chance, so only its calls are evidence for a release. Widening a share moves nobody who has
the candidate already: their bucket stays where it is and the share only grows over it.
Ignores whether the variant is loaded; its caller knows.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from hmac import compare_digest

from headrace.types.errors import BadInput, NotFound
from headrace.types.model import Stage
from headrace.types.traffic import BUCKETS, Decision, Reason, Rule, Shadow, TrafficPolicy

FORCED_HEADER = "x-headrace-variant"
GATE_HEADER = "x-headrace-gate"  # with the token of the control plane: a forced call that is nobody's
_HOLDOUT_SALT = ":holdout"
_SHADOW_SALT = ":shadow"
_STAGES = {stage.value.lower(): stage.value for stage in Stage}

Header = Callable[[str], str | None]


def decide(
    policy: TrafficPolicy,
    *,
    unit: str,
    sticky: bool,
    header: Header,
    selectors: Mapping[str, str],
    wanted: str | None,
) -> Decision:
    """`unit` is the hashed user, or random when there is none (then not `sticky`); `wanted` is what the caller pins."""
    pinned = None if wanted is None else _select(selectors, wanted)
    forced = header(FORCED_HEADER)
    if forced is not None:
        if pinned not in (None, forced):
            raise BadInput(
                f"the request asks for variant {forced!r} in {FORCED_HEADER} and for {pinned!r} by version or stage",
                field=FORCED_HEADER,
                hint="send one of them",
            )
        return Decision(variant=forced, reason=Reason.FORCED, sticky=sticky, counted=False)
    if pinned is not None:
        return Decision(variant=pinned, reason=Reason.PINNED, sticky=sticky, counted=False)
    for rule in policy.rules:
        if _matches(rule, unit, header):
            return Decision(variant=rule.variant, reason=Reason.RULE, sticky=sticky, counted=False)
    if policy.holdout and bucket(policy.salt + _HOLDOUT_SALT, unit) < policy.holdout:
        return Decision(variant=policy.baseline, reason=Reason.HOLDOUT, sticky=sticky, counted=False)
    # Without a share there is nothing to choose; the hash is saved.
    candidate = policy.share > 0 and policy.candidate and bucket(policy.salt, unit) < policy.share
    variant = policy.candidate if candidate else policy.baseline
    return _drawn(variant, sticky)


@lru_cache(maxsize=4096)
def _drawn(variant: str, sticky: bool) -> Decision:
    """What nearly every call gets: there are as many as variants, so they are made once."""
    return Decision(variant=variant, reason=Reason.BUCKET, sticky=sticky, counted=True)


def as_applied(policy: TrafficPolicy, loaded: Container[str], hashed: Callable[[str], str]) -> TrafficPolicy:
    """A candidate that is not loaded gets no traffic: the baseline has its share, the plan is reported as refused. An
    allow-list may be written with user ids or with their hashes; requests only carry hashes from here on."""
    if policy.candidate not in loaded:
        policy = replace(policy, candidate="", share=0)
    rules = tuple(
        replace(rule, units=(*rule.units, *(hashed(unit) for unit in rule.units)))
        for rule in policy.rules
        if rule.variant in loaded
    )
    return replace(policy, rules=rules)


def owned(decision: Decision, token: str, header: Header) -> Decision:
    """A forced call that shows the token is a gate's. Without it, or with another, it stays what it is: a caller's."""
    shown = header(GATE_HEADER)
    if shown is None or not compare_digest(shown.encode(), token.encode()):
        return decision
    return replace(decision, reason=Reason.GATE)


def bucket(salt: str, unit: str) -> int:
    """0 to 9,999; tests/golden/buckets.json holds vectors for other implementations."""
    digest = blake2b(f"{salt}:{unit}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % BUCKETS


def shadowed(shadow: Shadow, trace_id: str) -> bool:
    """Whether a call is in the shadow's share: by chance, and the same for whoever asks."""
    return shadow.share >= BUCKETS or bucket(f"{shadow.salt}{_SHADOW_SALT}", trace_id) < shadow.share


def selector(stage: str | None, version: int | str | None) -> str | None:
    """What `stage` and `version` of a request pin; None is the endpoint's own traffic policy."""
    if version is not None:
        if stage is not None:
            raise BadInput(
                f"the request names version {version!r} and stage {stage!r}", field="version", hint="send one of them"
            )
        return str(version)
    if stage is None:
        return None
    canonical = _STAGES.get(stage.lower(), stage)
    return None if canonical == Stage.PRODUCTION else canonical


def _select(selectors: Mapping[str, str], wanted: str) -> str:
    variant = selectors.get(wanted) or selectors.get(f"@{wanted}")
    if variant is None:
        there = ", ".join(sorted({*selectors, Stage.PRODUCTION.value}))
        raise NotFound(
            f"no version, stage or alias {wanted!r} is loaded; there are: {there}",
            field="version" if wanted.isdigit() else "stage",
        )
    return variant


def _matches(rule: Rule, unit: str, header: Header) -> bool:
    if rule.header is not None:
        name, value = rule.header
        return header(name) == value
    return unit in rule.units
