"""Playground: a question to one chat model or two, side by side, as they write; thumbs; a traced call asked again.

Called by the shell. Decides nothing: calls go through the gateway like an application's, thumbs are ordinary feedback.
The models, and the trace to ask again, are in the address.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any
from urllib.parse import urlencode

from nicegui import run, ui

from headrace.console.parts import numbers
from headrace.console.parts.button import button, icon_button
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import Sentence, page_head, panel, problem
from headrace.console.parts.tag import VALUE_OF_TARGET, choice, link, tag, text
from headrace.console.visit import Visit
from headrace.types.errors import HeadraceError

NOBODY = ""  # in the place of a second model
DRAW_SECONDS = 0.05  # between two looks at what came: a page does not redraw for each token
SHOWN = 2000  # characters of a message asked again


async def show(visit: Visit, model: str = "", beside: str = "", trace: str = "") -> None:
    say = visit.say
    ui.page_title(f"{say('place.playground')} · Headrace")
    try:
        models = await visit.services.playground.models()
    except HeadraceError as error:
        page_head(say("place.playground"), say("playground.sentence"))
        problem(error.sentence())
        return
    if not models:
        page_head(say("place.playground"), say("playground.sentence"))
        with tag("div", "panel"):
            empty(
                visit,
                icon_name="playground",
                title=say("playground.empty"),
                will=[say("playground.will_1"), say("playground.will_2"), say("playground.will_3")],
                hint=say("playground.hint"),
                commands=["headrace up --llm"],
            )
        return
    first = model if model in models else models[0]
    await _Desk(visit, models, first, beside if beside in models else NOBODY).draw(trace)


class _Desk:
    def __init__(self, visit: Visit, models: tuple[str, ...], first: str, second: str) -> None:
        self._visit, self._models = visit, models
        self._chosen = [first, second]
        self._system, self._question = "", ""
        self._before: list[dict[str, Any]] = []  # messages of the call that is asked again
        self._columns: list[_Column] = []

    async def draw(self, trace: str) -> None:
        say = self._visit.say
        head = page_head(say("place.playground"), say("playground.sentence"))
        with tag("div", "stack"):
            with panel(say("playground.ask_title"), classes="try"), tag("div", "stack stack-12"):
                self._asked_again = tag("div")
                self._asked_again.set_visibility(False)
                with tag("div", "row-flex wrap"):
                    self._choice(0, {name: name for name in self._models}, say("playground.model"))
                    others = {NOBODY: say("playground.nobody")} | {name: name for name in self._models}
                    self._choice(1, others, say("playground.beside"))
                self._field("playground.system", rows=1, change=self._set_system)
                self._field("playground.question", rows=3, change=self._set_question)
                with tag("div"):
                    button(say("playground.ask"), self._ask, kind="primary", icon_name="play")
            self._answers = tag("div", "grid-2", aria_live="polite")
        if trace:
            await self._take(trace, head.sentence)

    def _choice(self, place: int, options: dict[str, str], label: str) -> None:
        def change(chosen: str) -> None:
            self._chosen[place] = chosen
            query = urlencode({k: v for k, v in zip(("model", "beside"), self._chosen, strict=True) if v})
            ui.run_javascript(f"history.replaceState(history.state, '', '/playground?{query}')")

        choice(options, self._chosen[place], change, label=label)

    def _field(self, key: str, *, rows: int, change: Any) -> None:
        with tag("label", "labelled"):
            text("span", "label", self._visit.say(key))
            box = tag("textarea", "prose-field", rows=rows, maxlength=20_000)
            box.on("input", lambda event: change(str(event.args or "")), js_handler=VALUE_OF_TARGET)

    def _set_system(self, given: str) -> None:
        self._system = given

    def _set_question(self, given: str) -> None:
        self._question = given

    async def _take(self, trace: str, sentence: Sentence) -> None:
        """Its messages come before what is asked now; without a question they are asked as they were."""
        call = await run.io_bound(self._visit.services.query.call, trace)
        messages = messages_of(call.input) if call is not None else []
        self._asked_again.set_visibility(True)
        with self._asked_again:
            if not messages:
                problem(self._visit.say("playground.no_trace", id=trace))
                return
            sentence.show(self._visit.say("playground.again", id=trace))
            self._before = messages
            with tag("div", "said-before"):
                for message in messages:
                    text("span", "faint small", str(message.get("role", "")))
                    text("span", "prose", words_of(message)[:SHOWN])

    async def _ask(self) -> None:
        messages = [*self._before]
        if self._system.strip():
            messages.insert(0, {"role": "system", "content": self._system})
        if self._question.strip():
            messages.append({"role": "user", "content": self._question})
        self._answers.clear()
        with self._answers:
            if not messages:
                problem(self._visit.say("playground.nothing"))
                return
            self._columns = [_Column(self._visit, name) for name in self._chosen if name]
        await asyncio.gather(*(column.follow(messages) for column in self._columns))


class _Column:
    """One model's answer."""

    def __init__(self, visit: Visit, model: str) -> None:
        self._visit, self._model = visit, model
        self._trace = self._upstream = ""
        with panel(model) as box:
            self._body = box.body
            self._words = text("p", "prose", "", data_answer=model)
            self._notes = tag("div")
            self._figures = text("p", "faint small", visit.say("playground.waiting"))
            self._acts = tag("div", "row-flex wrap")

    async def follow(self, messages: list[dict[str, Any]]) -> None:
        began, first, drawn, told, words = time.monotonic(), 0.0, 0.0, (0, 0), ""
        try:
            async for piece in self._visit.services.playground.ask(self._model, messages, user=self._visit.actor):
                if self._body.is_deleted:
                    return
                self._trace, self._upstream = piece.trace_id or self._trace, piece.upstream or self._upstream
                words += piece.text
                told = (piece.read, piece.written) if piece.written or piece.read else told
                now = time.monotonic()
                first = first or (now - began if piece.text else 0.0)
                if now - drawn >= DRAW_SECONDS:
                    drawn = now
                    self._words.set_text(words)
        except HeadraceError as error:
            with self._notes:
                problem(error.sentence())
        if not self._body.is_deleted:
            self._words.set_text(words)
            self._finish(first, time.monotonic() - began, told)

    def _finish(self, first: float, took: float, told: tuple[int, int]) -> None:
        say = self._visit.say
        figures = say(
            "playground.figures",
            first=numbers.milliseconds(first * 1000),
            took=numbers.milliseconds(took * 1000),
            read=numbers.count(told[0]),
            written=numbers.count(told[1]),
        )
        self._figures.set_text(" · ".join(filter(None, (self._upstream, figures))))
        if not self._trace:
            return
        with self._acts:
            for up in (True, False):
                label = say("playground.up" if up else "playground.down", model=self._model)
                icon_button(label, partial(self._rate, up), icon_name="up" if up else "down")
            self._rated = text("span", "faint small", "", role="status")
            with link(f"/traces?trace={self._trace}", "mono push"):
                text("span", "", self._trace)

    async def _rate(self, up: bool) -> None:
        try:
            await self._visit.services.playground.rate(self._trace, up=up, rater=self._visit.actor)
        except HeadraceError as error:
            with self._notes:
                problem(error.sentence())
            return
        self._rated.set_text(self._visit.say("feedback.rated_up" if up else "feedback.rated_down"))


def messages_of(kept: Any) -> list[dict[str, Any]]:
    """Of a call's input, as the journal has it: a list of messages, or a text that was completed."""
    if isinstance(kept, str):
        return [{"role": "user", "content": kept}]
    if isinstance(kept, list) and all(isinstance(message, dict) and "role" in message for message in kept):
        return list(kept)
    return []


def words_of(message: dict[str, Any]) -> str:
    content = message.get("content")
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content or "")
