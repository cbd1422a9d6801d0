"""Somebody else's word: a URL, or a function that a package registers under the entry point group headrace.policies.

Either gets the facts of the release (base.Trial.facts) and says yes or no with a reason. A policy that cannot be asked
says no: whoever set it wants it heard. A URL gets them as JSON by POST and answers {"allow": true, "reason": "…"}; a
function gets them as a dict and returns (allow, reason).
"""

from __future__ import annotations

from typing import Any

import msgspec

from headrace.release import hook
from headrace.release.gates.base import Trial, failed, passed, register, skipped
from headrace.types.errors import HeadraceError, UpstreamError
from headrace.types.gate import GateResult

NAME = "policy"
GROUP = "headrace.policies"
SECONDS = 15.0


class _Answer(msgspec.Struct):
    allow: bool
    reason: str = ""


def policy(trial: Trial) -> GateResult:
    which = trial.wanted.policy
    if not which:
        return skipped(NAME, "no policy is set")
    try:
        allow, reason = (_post if hook.is_url(which) else _call)(which, trial.facts())
    except HeadraceError as error:
        return failed(NAME, f"policy {which!r} cannot be asked: {error.sentence()}")
    told = reason or "without a reason"
    return passed(NAME, f"{which} says yes: {told}") if allow else failed(NAME, f"{which} says no: {told}")


def check_policy(which: str) -> None:
    """Raises BadInput for one that can never be asked."""
    hook.check(which, group=GROUP, field="gates.policy")


def _post(url: str, facts: dict[str, Any]) -> tuple[bool, str]:
    answer = hook.post(url, facts, _Answer, name="the policy", seconds=SECONDS)
    return answer.allow, answer.reason


def _call(name: str, facts: dict[str, Any]) -> tuple[bool, str]:
    asked = hook.function(name, group=GROUP)
    try:
        allow, reason = asked(facts)
    except Exception as error:  # somebody else's code: whatever it raises is a no
        raise UpstreamError(f"{type(error).__name__}: {error}") from error
    return bool(allow), str(reason)


register(NAME, policy)
