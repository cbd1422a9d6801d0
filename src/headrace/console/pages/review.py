"""The review queue: one answer at a time, a key a label, and how far reviewers agree.

Called by the shell. Decides only how it is shown and which key does what; flywheel/review.py decides the rest.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from nicegui import run, ui
from nicegui.events import KeyEventArguments

from headrace.console.pages.traces import feedback_word
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel, problem
from headrace.console.parts.live import first_look
from headrace.console.parts.table import Row, Table, cell, column
from headrace.console.parts.tag import choice, tag, text
from headrace.console.parts.values import show_answer, show_input
from headrace.console.visit import Visit
from headrace.data.agreement import Agreement
from headrace.flywheel.review import Case, Standing
from headrace.store import endpoints
from headrace.types.errors import HeadraceError

if TYPE_CHECKING:
    from headrace.control.services import Services

AT_ONCE = 50  # calls in one draw, and cases held by the page
Interval = tuple[float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    cases: list[Case]
    standing: Standing
    endpoints: tuple[str, ...]


def load(services: Services, actor: str, endpoint: str) -> Found:
    with services.database.read() as conn:
        names = tuple(one.name for one in endpoints.all(conn))
    wanted = endpoint or None
    return Found(
        cases=services.reviews.cases(actor, endpoint=wanted, limit=AT_ONCE),
        standing=services.reviews.standing(wanted),
        endpoints=names,
    )


async def show(visit: Visit, endpoint: str = "") -> None:
    ui.page_title(f"{visit.say('place.review')} · Headrace")
    data = await first_look(lambda: load(visit.services, visit.actor, endpoint))
    if data is not None:
        _Page(visit, data, endpoint)


class _Page:
    def __init__(self, visit: Visit, data: Found, endpoint: str) -> None:
        self._visit, self._data, self._endpoint = visit, data, endpoint
        self._at = 0
        self._done: list[str] = []  # trace ids that this person answered here, the last one last
        say = visit.say
        self._head = page_head(say("place.review"), "")
        with self._head.acts:
            if len(data.endpoints) > 1:
                names = {"": say("traces.all_endpoints"), **{name: name for name in data.endpoints}}
                choice(names, endpoint, lambda v: ui.navigate.to(f"/review?endpoint={v}"), label=say("column.endpoint"))
            if data.endpoints:
                button(say("review.draw", n=AT_ONCE), self._draw, kind="" if data.cases else "primary")
        self._notice = text("p", "soft", "", aria_live="polite")
        with tag("div", "stack"):
            self._case = tag("section", "panel")
            with panel(say("review.agreement"), flush=True) as box:
                self._agreement = box.body
        self._show()
        self._going = False  # after g, which leads to other pages
        ui.keyboard(self._key, repeating=False, ignore=["input", "select", "textarea"])

    def _show(self) -> None:
        visit, standing = self._visit, self._data.standing
        words = [visit.count("review.waiting", standing.waiting)]
        if (right := standing.right) is not None:
            shares = {name: numbers.percent(getattr(right, name), 1.0) for name in ("low", "high")}
            words.append(visit.say("review.right", share=numbers.percent(right.mean, 1.0), **shares))
        self._head.sentence.show(visit.say("sentence.joint").join(words), "")
        self._case.clear()
        with self._case:
            if self._data.cases:
                self._at %= len(self._data.cases)
                self._draw_case(self._data.cases[self._at])
            else:
                lines = [visit.say("review.will_1"), visit.say("review.will_2"), visit.say("review.will_3")]
                empty(visit, icon_name="review", title=visit.say("review.empty"), will=lines)
        self._agreement.clear()
        with self._agreement:
            self._draw_agreement(standing)

    def _draw_case(self, case: Case) -> None:
        say = self._visit.say
        with tag("div", "panel-head"):
            text("h2", "", say("review.case"))
            text("span", "badge", self._visit.name("review_why", case.item.why))
            text("span", "faint small push", say("review.place", n=self._at + 1, all=len(self._data.cases)))
        with tag("div", "panel-body stack"):
            with tag("div", "row-flex wrap", data_review=case.item.trace_id).style(
                "align-items: flex-start; gap: 32px"
            ):
                with tag("div", "stack stack-8").style("flex: 1 1 260px"):
                    text("span", "faint small", say("trace.input"))
                    show_input(self._visit, case.call.input)
                with tag("div", "stack stack-8").style("flex: 1 1 200px"):
                    text("span", "faint small", say("review.answer"))
                    show_answer(self._visit, case.call.output)
                    if case.words:
                        text("span", "faint small", say("review.users_said"))
                        for word in case.words:
                            text("span", "soft", feedback_word(self._visit, word))
            self._draw_choices(case)

    def _draw_choices(self, case: Case) -> None:
        say = self._visit.say
        with tag("div", "row-flex wrap"):
            for number, value in enumerate(case.choices, 1):
                label = say("review.is_right") if number == 1 else _told(value)
                with tag("span", "row-flex keyed"):
                    text("kbd", "", str(number))
                    button(label, partial(self._label, value), kind="primary" if number == 1 else "")
        with tag("div", "row-flex wrap"):
            hint, name = say("review.correct_hint"), say("review.correct")
            with tag("label", "field keyed"):
                text("kbd", "", "c")
                box = tag("input", "", type="text", placeholder=hint, aria_label=name)
            box.props["data-correct"] = True
            box.on("change", lambda e: self._typed(str(e.args)), js_handler="(e) => emit(e.target.value)")
            for key, word, act in (
                ("s", "review.skip", self._skip),
                ("u", "review.undo", self._undo),
                ("k", "review.before", lambda: self._move(-1)),
                ("j", "review.next", lambda: self._move(1)),
            ):
                with tag("span", "row-flex keyed"):
                    text("kbd", "", key)
                    button(say(word), act, kind="ghost small")

    def _draw_agreement(self, standing: Standing) -> None:
        say = self._visit.say
        if not standing.pairs:
            with tag("div", "panel-body"):
                text("p", "faint", say("review.nobody"))
            return
        names = (("raters", False), ("cases", True), ("share", True), ("kappa", True), ("ac1", True))
        columns = [
            column(name, self._visit.name("review_column", name), end=end, wide_only=name == "kappa")
            for name, end in names
        ]
        table = Table(
            [*columns, column("note", self._visit.name("review_column", "note"), grow=True, wide_only=True)],
            label=say("review.agreement"),
        )
        table.show([self._pair(raters, found) for raters, found in standing.pairs.items()])

    def _pair(self, raters: tuple[str, str], found: Agreement) -> Row:
        names = " · ".join(rater.removeprefix("reviewer:") for rater in raters)
        note = self._visit.name("review_mind", found.warning) if found.warning else ""
        return {
            "id": names,
            "raters": cell(names),
            "cases": cell(numbers.count(found.cases)),
            "share": cell(*_interval(found.share, found.share_interval)),
            "kappa": _cell(found.kappa, found.kappa_interval),
            "ac1": _cell(found.ac1, found.ac1_interval),
            "note": cell(note, classes="soft"),
        }

    # what keys and buttons do

    async def _key(self, event: KeyEventArguments) -> None:
        """No key that is typed into a field comes here."""
        if not event.action.keydown or event.modifiers.ctrl or event.modifiers.meta or event.modifiers.alt:
            return
        name, going = str(event.key.name), self._going
        self._going = name == "g"
        if going:
            return
        case = self._data.cases[self._at] if self._data.cases else None
        if name in ("j", "k"):
            self._move(1 if name == "j" else -1)
        elif name == "u":
            await self._undo()
        elif case is None:
            return
        elif name == "s":
            await self._skip()
        elif name == "c":
            ui.run_javascript("document.querySelector('[data-correct]')?.focus()")
        elif name.isdigit() and 1 <= int(name) <= len(case.choices):
            await self._label(case.choices[int(name) - 1])

    def _move(self, step: int) -> None:
        if self._data.cases:
            self._at = (self._at + step) % len(self._data.cases)
            self._show()

    async def _typed(self, words: str) -> None:
        if words.strip():
            await self._label(_value(words.strip()))

    async def _label(self, value: Any) -> None:
        case = self._data.cases[self._at]
        told = self._visit.say("review.labelled", value=_told(value))
        await self._act(told, self._visit.services.reviews.label, case.item.trace_id, value, self._visit.actor)
        self._done.append(case.item.trace_id)

    async def _skip(self) -> None:
        if self._data.cases:
            case = self._data.cases[self._at]
            await self._act(self._visit.say("review.skipped"), self._visit.services.reviews.skip, case.item.trace_id)
            self._done.append(case.item.trace_id)

    async def _undo(self) -> None:
        if self._done:
            trace_id = self._done.pop()
            reviews, actor = self._visit.services.reviews, self._visit.actor
            await self._act(self._visit.say("review.undone"), reviews.undo, trace_id, actor)
            self._at = next((n for n, c in enumerate(self._data.cases) if c.item.trace_id == trace_id), 0)
            self._show()

    async def _draw(self) -> None:
        endpoint = self._endpoint or self._data.endpoints[0]
        try:
            made = await run.io_bound(self._visit.services.reviews.draw, endpoint, AT_ONCE)
        except HeadraceError as error:
            self._refused(error)
            return
        if made is None:
            return
        calls, drawn = numbers.count(made.calls), numbers.count(made.drawn)
        await self._again(self._visit.say("review.drawn", n=drawn, calls=calls))

    async def _act(self, told: str, act: Any, *arguments: Any) -> None:
        try:
            await run.io_bound(act, *arguments)
        except HeadraceError as error:
            self._refused(error)
            return
        await self._again(told)

    async def _again(self, told: str) -> None:
        data = await run.io_bound(load, self._visit.services, self._visit.actor, self._endpoint)
        if data is not None and not self._case.is_deleted:
            self._data = data
            self._notice.set_text(told)
            self._show()

    def _refused(self, error: HeadraceError) -> None:
        with self._case:
            problem(error.sentence())


def _value(words: str) -> Any:
    try:
        return json.loads(words)
    except ValueError:
        return words


def _told(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)[:60]


def _interval(value: float | None, interval: Interval) -> tuple[str]:
    if value is None or interval is None:
        return (numbers.NOTHING,)
    return (f"{numbers.percent(value, 1.0)} ({numbers.percent(interval[0], 1.0)}–{numbers.percent(interval[1], 1.0)})",)


def _cell(value: float | None, interval: Interval) -> dict[str, Any]:
    if value is None:
        return cell(numbers.NOTHING)
    return cell(f"{value:.2f}", sub=f"{interval[0]:.2f} … {interval[1]:.2f}" if interval else "")
