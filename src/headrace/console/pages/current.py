"""The box of a release's current step: what its kind means, what it waits for as bars, and what a person is asked.

Called by the release page. Decides nothing: waits.py says what is missing, release/ when a step is over.
"""

from __future__ import annotations

from headrace.console.pages.acting import Actions
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.icon import icon
from headrace.console.parts.tag import tag, text
from headrace.console.visit import Visit
from headrace.console.waits import ICONS, Wait, question, step_title, waits
from headrace.release.sums import figures
from headrace.types.release import Phase, Release
from headrace.types.strategy import MetricKind, StepKind

METERS = 4  # the most that a kind of step waits for


class CurrentStep:
    def __init__(self, visit: Visit, release: Release, actions: Actions) -> None:
        self._visit = visit
        with tag("section", "panel now-step") as self._box:
            with tag("div", "panel-head"):
                self._icons = {k: icon(ICONS[k], "kind") for k in dict.fromkeys(s.kind for s in release.plan.steps)}
                self._title = text("h2", "", "")
            with tag("div", "panel-body stack stack-12"):
                self._means = text("p", "soft", "")
                with tag("div", "asked") as self._asked:
                    icon("person")
                    self._question = text("p", "", "")
                    self._approve = button(visit.say("action.approve"), actions.approve, kind="push", icon_name="check")
                with tag("div", "meters") as self._meters:
                    self._bars = [_Meter() for _ in range(METERS)]
                self._notes = tag("ul", "notes small faint")
        self._noted: list[str] = []

    def show(self, release: Release, now: float) -> None:
        visit, step = self._visit, release.current
        going = release.phase in (Phase.PROGRESSING, Phase.PAUSED)
        self._box.set_visibility(going)
        if not going:
            return
        self._title.set_text(visit.say("now.title", step=step_title(visit, step)))
        for kind, mark in self._icons.items():
            mark.set_visibility(kind is step.kind)
        named = {"candidate": release.candidate, "baseline": release.baseline}
        shares = {"share": numbers.share(step.share), "mirror": numbers.share(step.mirror)}
        self._means.set_text(visit.name("kind_means", step.kind, **named, **shares))
        approval = step.kind is StepKind.APPROVAL
        self._asked.set_visibility(approval)
        self._approve.set_visibility(release.phase is Phase.PAUSED)
        if approval:
            asked = question(visit, release)
            self._question.set_text(asked[:1].upper() + asked[1:] if not asked.startswith(release.candidate) else asked)
        found = waits(visit, release, now)
        self._meters.set_visibility(bool(found))
        for number, meter in enumerate(self._bars):
            meter.show(found[number] if number < len(found) else None)
        self._note(notes(visit, release))

    def _note(self, said: list[str]) -> None:
        if said == self._noted:
            return
        self._noted = said
        self._notes.clear()
        with self._notes:
            for line in said:
                text("li", "", line)


class _Meter:
    def __init__(self) -> None:
        with tag("div", "meter") as self._box:
            self._label = text("span", "label", "")
            with tag("span", "track"):
                self._fill = tag("i")
            self._words = text("span", "num-words", "")

    def show(self, wait: Wait | None) -> None:
        self._box.set_visibility(wait is not None)
        if wait is None:
            return
        self._box.classes(replace=f"meter {'met' if wait.met else ''}")
        self._label.set_text(wait.label)
        self._fill.classes(replace=f"role-{wait.role}").style(f"width: {100 * wait.part:.1f}%")
        self._words.set_text(wait.words)


def notes(visit: Visit, release: Release) -> list[str]:
    """What else one should know of this kind of step."""
    if release.current.kind is StepKind.SHADOW:
        return _of_shadow(visit, release)
    if release.current.kind is StepKind.SWITCH:
        return _of_switch(visit, release)
    return []


def _of_shadow(visit: Visit, release: Release) -> list[str]:
    if release.pairs is None or not release.pairs.pairs:
        return []
    found = figures(release.pairs)
    flips = next((m for m in release.plan.metrics if m.kind is MetricKind.FLIPS), None)
    limit = numbers.percent(flips.tolerance, 1) if flips else numbers.NOTHING
    part = numbers.percent(found.flip_rate or 0.0, 1)
    said = [visit.say("now.tolerated", part=part, n=visit.count("answers", found.pairs), limit=limit)]
    if found.lost or found.dropped:
        said.append(visit.say("now.lost", lost=visit.count("copies", found.lost), dropped=numbers.count(found.dropped)))
    if found.baseline_p50_ms is not None and found.candidate_p50_ms is not None:
        times = {
            "baseline_ms": numbers.milliseconds(found.baseline_p50_ms),
            "candidate_ms": numbers.milliseconds(found.candidate_p50_ms),
        }
        said.append(visit.say("now.speed", baseline=release.baseline, candidate=release.candidate, **times))
    return said


def _of_switch(visit: Visit, release: Release) -> list[str]:
    """The rates that the candidate is held to, learnt from the baseline before the switch."""
    evidence = release.evidence or {}
    limits = [(m.name, evidence[m.name].limit) for m in release.plan.metrics if m.guards and m.name in evidence]
    return [
        visit.say("now.limit", metric=name.replace("_", " "), limit=numbers.percent(limit, 1))
        for name, limit in limits
        if limit
    ]
