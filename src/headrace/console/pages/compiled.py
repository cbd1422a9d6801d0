"""A compilation of a program on its page: how far it is, with cancel; then what it brought, row by row, and what to do.

Called by the page of a program. Decides the order of the rows: what got worse, what got better, the rest. A version
gets traffic by a deploy where nothing serves the model yet, else by a release.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from nicegui import ui

from headrace.console.drafting import Desk
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.confirm import Change, Question, confirm, toast
from headrace.console.parts.frame import Stat, panel
from headrace.console.parts.table import Row, Table, cell, column
from headrace.console.parts.tag import link, tag, text
from headrace.programs.orders import Compiling
from headrace.types.program import Case, Compiled, Phase, Score

WORDS = 160  # characters of a cell


class Result:
    """Of the newest compilation of this program. `endpoints` serve the model."""

    def __init__(self, desk: Desk, endpoints: tuple[str, ...]) -> None:
        self._desk, self._endpoints = desk, endpoints
        self._shown: Compiling | None = None
        say = desk.visit.say
        with panel(say("builder.result")) as box:
            self._panel = box.body.parent_slot.parent if box.body.parent_slot else box.body
            self._running = tag("div", "stack stack-8")
            with self._running:
                with tag("div", "so-far", role="progressbar", aria_label=say("builder.compile")) as self._meter:
                    self._bar = tag("i")
                self._told = text("p", "", "", role="status")
                with tag("div"):
                    self._stop = button(say("builder.cancel"), self._cancel, kind="danger", icon_name="close")
            self._ended = tag("div", "stack")
        self._panel.set_visibility(False)

    def show(self, found: Compiling | None) -> None:
        if found is None or found == self._shown:
            return
        self._shown = found
        self._panel.set_visibility(True)
        running = not found.phase.ended
        self._running.set_visibility(running)
        self._ended.set_visibility(not running)
        if running:
            self._bar.style(f"width: {100 * found.share:.1f}%")
            self._meter.props["aria-valuenow"] = round(100 * found.share)
            self._told.set_text(self._progress(found))
            return
        self._ended.clear()
        with self._ended:
            if found.compiled is None:
                word = self._desk.visit.name("builder.phase", found.phase)
                text("p", "" if found.phase is Phase.CANCELLED else "wrong", f"{word}: {found.error}")
            else:
                self._draw(found, found.compiled)

    def _progress(self, found: Compiling) -> str:
        say, usage = self._desk.visit.say, found.usage
        return say(
            "builder.progress",
            told=found.told or say("builder.begins"),
            calls=numbers.count(usage.calls),
            planned=numbers.count(found.calls),
            elapsed=f"{max(0.0, self._desk.visit.now() - found.began):.0f}",
        )

    def _cancel(self) -> None:
        if self._shown is not None:
            self._desk.visit.services.programs.cancel(self._shown.id)

    def _draw(self, found: Compiling, compiled: Compiled) -> None:
        visit, say, usage = self._desk.visit, self._desk.visit.say, compiled.usage
        with tag("div", "grid-3"):
            for key, score in (("before", compiled.before), ("after", compiled.after)):
                Stat(say(f"builder.{key}")).show(f"{score.mean:.1%}", note=_between(score))
            tone = "good" if compiled.gain.low > 0 else "bad" if compiled.gain.high < 0 else ""
            gain = compiled.gain
            Stat(say("builder.gain")).show(f"{gain.mean:+.1%}", note=f"{gain.low:+.1%} … {gain.high:+.1%}", tone=tone)
        sure = "better" if compiled.gain.low > 0 else "worse" if compiled.gain.high < 0 else "unsure"
        text("p", "", visit.name("builder.verdict", sure, rows=numbers.count(compiled.after.rows)))
        money = f" · {numbers.money_figure(usage.money)}" if usage.money else ""
        cost = say(
            "builder.cost",
            calls=numbers.count(usage.calls),
            tokens=numbers.count(usage.prompt_tokens + usage.completion_tokens),
            seconds=f"{compiled.seconds:.0f}",
            demos=compiled.demos,
        )
        text("p", "soft small", cost + money + (f" · {compiled.stopped}" if compiled.stopped else ""))
        self._draw_next(found)
        self._draw_cases(compiled)

    def _draw_next(self, found: Compiling) -> None:
        say = self._desk.visit.say
        if not found.version:
            text("p", "", say("builder.not_registered", why=found.note))
            return
        uri = f"models:/{found.model}/{found.version}"
        with tag("div", "row-flex wrap"):
            text("span", "badge tone-good", say("builder.registered", uri=uri))
            for endpoint in self._endpoints:
                label = say("builder.release", endpoint=endpoint)
                button(label, partial(self._ask_release, endpoint, uri), kind="primary", icon_name="promote")
            if not self._endpoints:
                button(say("builder.deploy"), partial(self._ask_deploy, uri), kind="primary", icon_name="play")
            with link("/versions", "btn ghost"):
                text("span", "", say("builder.versions"))

    def _ask_deploy(self, uri: str) -> None:
        visit, name = self._desk.visit, self._desk.draft.name
        question = Question(
            title=visit.say("builder.ask_deploy", uri=uri),
            sentence=visit.say("builder.ask_deploy_sentence", endpoint=name),
            changes=[Change(what=name, was="", will=uri)],
            yes=visit.say("builder.deploy"),
        )
        confirm(
            visit,
            question,
            act=lambda why: visit.services.releases.deploy(name, uri, actor=visit.actor, reason=why),
            done=lambda: self._deployed(name, uri),
        )

    def _deployed(self, name: str, uri: str) -> None:
        toast(self._desk.visit, self._desk.visit.say("builder.deployed", uri=uri))
        ui.navigate.to(f"/endpoints/{name}")

    def _ask_release(self, endpoint: str, uri: str) -> None:
        visit = self._desk.visit
        question = Question(
            title=visit.say("builder.ask_release", uri=uri, endpoint=endpoint),
            sentence=visit.say("builder.ask_release_sentence"),
            changes=[Change(what=endpoint, was=self._desk.current, will=uri, role="candidate")],
            yes=visit.say("builder.release", endpoint=endpoint),
            reasoned=False,
        )
        confirm(
            visit,
            question,
            act=lambda _: visit.services.releases.start(endpoint, uri, actor=visit.actor),
            done=lambda: ui.navigate.to("/releases"),
        )

    def _draw_cases(self, compiled: Compiled) -> None:
        say = self._desk.visit.say
        if not compiled.cases:
            return
        text("h3", "", say("builder.cases"))
        table = Table(
            [
                column("mark", ""),
                column("input", say("column.input"), grow=True),
                column("expected", say("builder.expected")),
                column("before", say("builder.before")),
                column("after", say("builder.after")),
            ],
            label=say("builder.cases"),
        )
        ordered = sorted(compiled.cases, key=lambda case: _place(case.score_after - case.score_before))
        table.show([self._case(number, case) for number, case in enumerate(ordered)])

    def _case(self, number: int, case: Case) -> Row:
        moved = case.score_after - case.score_before
        word = "better" if moved > 0 else "worse" if moved < 0 else "same"
        tone = {"better": "good", "worse": "bad"}.get(word, "")
        return {
            "id": str(number),
            "mark": cell(self._desk.visit.name("builder.case", word), tone=tone),
            "input": cell(" · ".join(str(value) for value in case.inputs.values())[:WORDS], classes="soft"),
            "expected": cell(_short(case.expected)),
            "before": cell(_short(case.before), tone="" if case.score_before >= 1 else "bad"),
            "after": cell(_short(case.after), tone="bad" if case.score_after < 1 else tone),
        }


def _place(moved: float) -> tuple[bool, float]:
    """Worse first, then better, then the rest."""
    return moved == 0, moved


def _between(score: Score) -> str:
    return f"{score.low:.1%} … {score.high:.1%}"


def _short(value: Any) -> str:
    return numbers.NOTHING if value is None else str(value)[:60]
