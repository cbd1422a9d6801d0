"""One release: the steps, the evidence against the line at which it rolls back, the verdict in words, and the actions.

Called by the shell. Decides nothing: the verdict is the release room's; what an action does is its too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from nicegui import ui

from headrace.console.pages.acting import Actions
from headrace.console.pages.current import CurrentStep
from headrace.console.pages.members import MemberNow, MemberPanel, members_now, share_now
from headrace.console.pages.results import ResultsPanel
from headrace.console.pages.sides import SideBySide, Sides, sides_of
from headrace.console.pages.undoing import UndoButton, undo_of
from headrace.console.parts import numbers
from headrace.console.parts.chart import Axis, Chart
from headrace.console.parts.empty import empty
from headrace.console.parts.evidence import MetricView, evidence_lines, metric_views, thresholds
from headrace.console.parts.figures import traffic_of
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.gates import GatePanel
from headrace.console.parts.icon import icon
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.progress import step_views
from headrace.console.parts.states import VERDICTS, PhaseBadge
from headrace.console.parts.table import Cell, Row, Table, bar_cell, cell, column
from headrace.console.parts.tag import link, tag, text
from headrace.console.parts.traffic import Stepper
from headrace.console.parts.when import when
from headrace.console.quotes import has_results
from headrace.console.sentences import Traffic, say_release, taken, upper_first, why_now
from headrace.console.visit import Visit
from headrace.console.waits import Asked, asked
from headrace.release.results import Results
from headrace.release.undo import Undo
from headrace.store import endpoints, releases
from headrace.types.release import Event, Release, Verdict
from headrace.types.strategy import StepKind

if TYPE_CHECKING:
    from headrace.control.services import Services
    from headrace.store.releases import StoredInterval

EVENT_ROLES = {"promoted": "good", "rolled_back": "bad", "failed": "bad", "step": "candidate", "started": "candidate"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    release: Release | None
    intervals: tuple[StoredInterval, ...]
    policy_share: int  # what the endpoint's policy gives the candidate now
    results: Results | None
    sides: Sides | None
    traffic: Traffic
    members: tuple[MemberNow, ...]
    undo: Undo | None
    now: float


def load(services: Services, release_id: str) -> Found:
    with services.database.read() as conn:
        release = releases.get(conn, release_id)
        there = {m.endpoint: endpoints.get(conn, m.endpoint) for m in release.members} if release else {}
    endpoint = there.get(release.endpoint) if release else None
    told = services.releases.tell(release) if release else None
    return Found(
        release=release,
        intervals=told.intervals if told else (),
        policy_share=share_now(endpoint, release.candidate) if release else 0,
        results=told.results if told and release and has_results(release) else None,
        now=services.clock.now(),
        sides=sides_of(endpoint, release) if release else None,
        traffic=traffic_of(services, release.endpoint) if release else Traffic(),
        members=members_now(services, release, there) if release else (),
        undo=undo_of(services, release) if release else None,
    )


async def show(visit: Visit, id: str) -> None:  # noqa: A002 - the name of the path parameter
    ui.page_title(f"{visit.say('place.releases')} · Headrace")
    data = await first_look(lambda: load(visit.services, id))
    if data is None:
        return
    if data.release is None:
        empty(
            visit,
            icon_name="releases",
            title=visit.say("release.missing", id=id),
            hint=visit.say("release.missing_hint"),
        )
        return
    page = _Page(visit, data.release)
    page.show(data)
    timer = keep_fresh(lambda: load(visit.services, id), page.show)
    page.stop_when_ended(timer)


class _Page:
    def __init__(self, visit: Visit, release: Release) -> None:
        self._visit, say = visit, visit.say
        title = say("release.title", endpoint=release.endpoint, candidate=release.candidate)
        said = say_release(visit, release, visit.now())
        self._head = page_head(title, said.text, tone=said.tone, crumb=(say("place.releases"), "/releases"))
        with self._head.title:
            self._phase = PhaseBadge(visit)
            if release.others:
                text("span", "faint small", visit.count("members.more", len(release.others)))
        with self._head.acts:
            if any(step.kind is StepKind.SHADOW for step in release.plan.steps):
                with link(f"/releases/{release.id}/pairs", "btn ghost"):
                    text("span", "", say("pairs.link"))
            self._undo = UndoButton(visit, done=lambda: None)
            self._actions = Actions(visit, release)
        self._history: tuple[Event, ...] = ()
        self._timer: ui.timer | None = None
        with tag("div", "stack"):
            with panel(say("release.steps")):
                self._steps = Stepper(step_views(visit, release, visit.now()), full=True)
            self._current = CurrentStep(visit, release, self._actions)
            self._members = MemberPanel(visit, release) if release.others else None
            self._results = ResultsPanel(visit, release) if has_results(release) else None
            with tag("div", "grid-side"):
                with panel(say("release.evidence")) as box:
                    self._chart = Chart(visit, say("release.evidence"), box, tall=True)
                    text("p", "faint small", say("release.evidence_hint", alpha=f"{100 * release.plan.alpha:.3g} %"))
                with panel(say("release.verdict")):
                    self._verdict = _VerdictBox(visit)
            self._draw_tallies(release)
            self._gates = GatePanel(visit)
            self._sides = SideBySide(visit, release)
            with panel(say("release.history")) as box:
                with box.head, link(f"/history?endpoint={quote(release.endpoint)}", "btn ghost small push"):
                    text("span", "", say("release.all_history", endpoint=release.endpoint))
                    icon("right")
                self._events = tag("ol", "history")

    def _draw_tallies(self, release: Release) -> None:
        say = self._visit.say
        with panel(say("release.tallies"), flush=True, classes="tallies"):
            columns = [
                column("metric", say("column.metric")),
                column("baseline", say("release.of_baseline", name=release.baseline), end=True),
                column("candidate", say("release.of_candidate", name=release.candidate), end=True),
                column("evalue", say("column.evalue"), end=True),
                column("way", say("column.way"), wide_only=True),
                column("weight", say("column.consequence"), wide_only=True),
            ]
            self._tallies = Table(columns, label=say("release.tallies"))

    def stop_when_ended(self, timer: ui.timer) -> None:
        self._timer = timer

    def show(self, data: Found) -> None:
        release = data.release
        if release is None:
            return
        said = say_release(self._visit, release, data.now)
        self._head.sentence.show(said.text, said.tone)
        self._phase.show(release.phase)
        self._actions.show(release, data.policy_share)
        self._steps.show(step_views(self._visit, release, data.now))
        self._current.show(release, data.now)
        self._sides.show_if(data.sides, data.traffic)
        self._undo.show(data.undo)
        if self._members is not None:
            self._members.show(data.members)
        if self._results is not None and data.results is not None:
            self._results.show(release, data.results)
        drawn = thresholds(self._visit, release)
        self._chart.show(evidence_lines(self._visit, release, data.intervals), axis=Axis(log=True, thresholds=drawn))
        self._verdict.show(release)
        self._tallies.show(
            [_tally_row(self._visit, view) for view in metric_views(self._visit, release, data.intervals)]
        )
        self._gates.show(release)
        self._show_history(release)
        if release.phase.ended and self._timer is not None:
            self._timer.deactivate()

    def _show_history(self, release: Release) -> None:
        if release.history == self._history:
            return
        self._history = release.history
        self._events.clear()
        with self._events:
            for event in reversed(release.history):
                _show_event(self._visit, event)


def _show_event(visit: Visit, event: Event) -> None:
    with tag("li"):
        tag("i", f"dot role-{EVENT_ROLES.get(event.name, 'none')}")
        with tag("div"):
            with tag("div", "row-flex wrap"):
                text("span", "what", visit.name("event", event.name))
                if event.share:
                    text("span", "badge tone-candidate num", numbers.share(event.share))
                text("span", "faint small", event.actor)
            if event.detail:
                text("div", "detail", event.detail)
        when(event.time, "faint small")


class _VerdictBox:
    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._boxes: dict[Verdict | None, ui.element] = {}
        for verdict in (None, *Verdict):
            tone, icon_name = VERDICTS[verdict] if verdict else ("", "hold")
            with tag("div", f"verdict tone-{tone}") as box:
                icon(icon_name)
                with tag("div", "stack stack-4"):
                    text("div", "word", visit.name("verdict", verdict.value if verdict else "none"))
            self._boxes[verdict] = box
        self._why = text("p", "soft", "").style("margin-top: 12px; overflow-wrap: anywhere")
        with tag("dl", "facts").style("margin-top: 16px"):
            self._facts = {
                name: self._fact(visit.name("verdict_fact", name)) for name in ("users", "row", "risk", "took")
            }

    def _fact(self, name: str) -> ui.label:
        text("dt", "", name)
        with tag("dd"):
            return text("span", "num", "")  # type: ignore[return-value]

    def show(self, release: Release) -> None:
        verdict = release.judgement.verdict if release.judgement else None
        for shown, box in self._boxes.items():
            box.set_visibility(shown is verdict)
        why = why_now(self._visit, release, self._visit.now()) or self._visit.say("release.no_reason")
        if asked(release) is Asked.HORIZON:  # all that was counted, which the results say better
            why = upper_first(release, self._visit.name("asked_short", Asked.HORIZON))
        self._why.set_text(why)
        counts = release.current.kind not in (StepKind.APPROVAL, StepKind.PREVIEW) and not release.phase.ended
        need = f" / {numbers.count(release.current.min_units)}" if counts else ""
        self._facts["users"].set_text(numbers.count(release.step_units) + need)
        self._facts["row"].set_text(f"{release.failures_in_row} / {release.plan.max_failures_in_row}")
        self._facts["risk"].set_text(f"≤ {100 * release.plan.alpha:.3g} %")
        self._facts["took"].set_text(numbers.duration(taken(release, self._visit.now())))


def _tally_row(visit: Visit, view: MetricView) -> Row:
    e, line = view.log_evalue, view.log_line
    tone = "bad" if e >= line else "unknown"
    proof = {"have": numbers.evidence(view.log_proof), "need": numbers.evidence(view.log_proven)}
    needs = visit.say("metric.proof", **proof) if view.required else ""
    limit = f"/ {numbers.evidence(line)}" if view.critical else ""
    counts = ((view.baseline_events, view.baseline_units), (view.candidate_events, view.candidate_units))
    baseline, candidate = (_rate_cell(events, units) for events, units in counts)
    if view.means is not None:  # of those who gave a value
        baseline, candidate = (
            cell(mean, sub=f"/ {numbers.count(events)}") for mean, (events, _) in zip(view.means, counts, strict=True)
        )
    return {
        "id": view.name,
        "metric": cell(view.name, sub=view.title),
        "baseline": baseline,
        "candidate": candidate,
        "evalue": cell(numbers.evidence(e), sub=limit, tone="bad" if e >= line else ""),
        "way": bar_cell(max(e, 0.0) / line, "", tone=tone) if view.critical else cell(numbers.NOTHING),
        "weight": cell(_consequence(visit, view), sub=needs),
    }


def _consequence(visit: Visit, view: MetricView) -> str:
    if view.dry_run:
        return visit.say("metric.dry_run")
    if view.success:
        return visit.say("metric.success")
    return visit.say("metric.critical" if view.critical else "metric.watched")


def _rate_cell(events: int, units: int) -> Cell:
    return cell(numbers.percent_interval(events, units), sub=f"{numbers.count(events)} / {numbers.count(units)}")
