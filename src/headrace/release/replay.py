"""Judge a release again from what was stored: every e-value and verdict must come out the same, bit for bit.

Called by tests and by whoever doubts a decision. Starts from the release as it began and feeds it the stored intervals.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from headrace.release import evalue
from headrace.release.advance import advance, resumed
from headrace.store.releases import StoredInterval
from headrace.types.release import Phase, Release, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An interval whose replay does not give what was stored."""

    number: int
    stored: StoredInterval
    evalues: dict[str, float]
    verdict: Verdict
    reason: str


def replay(release: Release, stored: Iterable[StoredInterval]) -> list[Difference]:
    """Empty when every stored decision follows from its inputs. What people did is taken from the history."""
    differences = []
    now = begun(release)
    for number, each in enumerate(stored):
        now = _people(now, release, until=each.interval.end)
        decision = advance(now, each.interval, each.interval.end)
        evalues = {name: evalue.harm(found) for name, found in (decision.release.evidence or {}).items()}
        if (evalues, decision.judgement) != (each.evalues, each.judgement):
            differences.append(
                Difference(
                    number=number,
                    stored=each,
                    evalues=evalues,
                    verdict=decision.judgement.verdict,
                    reason=decision.judgement.reason,
                )
            )
        now = decision.release
    return differences


def begun(release: Release) -> Release:
    """As it was when the candidate got its first share."""
    started = next((e for e in release.history if e.name == "started"), None)
    return replace(
        release,
        phase=Phase.PROGRESSING,
        step=0,
        step_started=started.time if started else release.created,
        step_units=0,
        failures_in_row=0,
        paused_reason="",
        approved=False,
        exposed=(),
        evidence=None,
        judgement=None,
        history=release.history[:1],
        ended=0.0,
    )


def _people(now: Release, release: Release, *, until: float) -> Release:
    """What people did before this interval ended: the next events of the history, as far as they are theirs."""
    for event in release.history[len(now.history) :]:
        if event.time >= until or event.actor.startswith("system:") or event.name not in ("paused", "resumed"):
            break
        if event.name == "paused":
            now = replace(now, phase=Phase.PAUSED, paused_reason=event.detail)
        else:
            now = resumed(now, event.time)
        now = replace(now, history=(*now.history, event))
    return now
