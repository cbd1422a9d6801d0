"""The words, colours and icons of states: phases, verdicts, statuses, stages. Called by pages and tables.

Decides that a state never shows by colour alone.
"""

from __future__ import annotations

from headrace.console.parts.frame import Badge
from headrace.console.parts.icon import svg
from headrace.console.parts.table import Cell, badge_cell, cell
from headrace.console.visit import Visit
from headrace.types.call import CallStatus
from headrace.types.model import Stage
from headrace.types.release import Phase, Release, Verdict

PHASES: dict[Phase, tuple[str, str]] = {  # tone, icon
    Phase.PREPARING: ("", "hold"),
    Phase.PROGRESSING: ("candidate", "play"),
    Phase.PAUSED: ("bad", "pause"),
    Phase.PROMOTED: ("good", "check"),
    Phase.ROLLED_BACK: ("bad", "undo"),
    Phase.ABORTED: ("", "close"),
    Phase.FAILED: ("bad", "warn"),
}
VERDICTS: dict[Verdict, tuple[str, str]] = {
    Verdict.ADVANCE: ("good", "promote"),
    Verdict.HOLD: ("candidate", "hold"),
    Verdict.ROLL_BACK: ("bad", "undo"),
    Verdict.INCONCLUSIVE: ("", "help"),
    Verdict.ERROR: ("bad", "warn"),
}
STATUSES: dict[CallStatus, tuple[str, str]] = {
    CallStatus.OK: ("good", "check"),
    CallStatus.REJECTED: ("", "close"),
    CallStatus.FAILED: ("bad", "warn"),
    CallStatus.TIMEOUT: ("bad", "clock"),
    CallStatus.SHED: ("bad", "warn"),
}
STAGES: dict[Stage, str] = {
    Stage.NONE: "",
    Stage.STAGING: "candidate",
    Stage.PRODUCTION: "good",
    Stage.ARCHIVED: "",
}


def phase_cell(visit: Visit, release: Release) -> Cell:
    tone, icon_name = PHASES[release.phase]
    return badge_cell(visit.name("phase", release.phase), tone=tone, icon_name=icon_name)


def status_cell(visit: Visit, status: CallStatus) -> Cell:
    """What went well stays quiet; the rest is a badge."""
    tone, icon_name = STATUSES[status]
    word = visit.name("status", status)
    if status is CallStatus.OK:
        return cell(word, classes="status-ok") | {"icon": svg(icon_name)}
    return badge_cell(word, tone=tone, icon_name=icon_name)


def stage_cell(visit: Visit, stage: Stage) -> Cell:
    return badge_cell(visit.name("stage", stage), tone=STAGES[stage])


class PhaseBadge:
    """Beside a title; it changes in place, its icon only with the phase."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._badges = {
            phase: Badge(visit.name("phase", phase), tone=tone, icon_name=name)
            for phase, (tone, name) in PHASES.items()
        }

    def show(self, phase: Phase | None) -> None:
        for shown, badge in self._badges.items():
            badge.set_visible(shown is phase)
