"""Try it: predict with a real row from the journal, and see the answer, who gave it, and its trace.

Called by the endpoint page. Decides nothing: the row comes from a recent call, the answer from the data plane.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any

from nicegui import run

from headrace.console import snippets
from headrace.console.parts import numbers
from headrace.console.parts.button import button, copy_button
from headrace.console.parts.frame import facts, panel, problem
from headrace.console.parts.tag import VALUE_OF_TARGET, link, tag, text
from headrace.console.parts.values import show_answer, show_input
from headrace.console.visit import Visit
from headrace.types.call import CallStatus
from headrace.types.endpoint import Endpoint
from headrace.types.errors import HeadraceError

ROWS = 50  # recent calls to take a row from


class TryIt:
    def __init__(self, visit: Visit, endpoint: Endpoint) -> None:
        self._visit, self._endpoint = visit, endpoint
        self._rows: list[Any] = []
        self._row: Any = None
        self._user = "ada"

    def draw_copies(self) -> None:
        for label, make in (("curl", snippets.as_curl), ("Python", snippets.as_python)):
            copy_button(self._visit, label, partial(self._snippet, make), kind="ghost")

    def _snippet(self, make: Callable[..., str]) -> str:
        services = self._visit.services
        return make(
            services.planes.url,
            services.settings,
            endpoint=self._endpoint.name,
            inputs=self._row if self._row is not None else [],
            user=self._user,
        )

    def draw(self) -> None:
        say = self._visit.say
        with panel(say("try.title"), classes="try"), tag("div", "grid-3"):
            with tag("div", "stack stack-12"):
                text("p", "soft", say("try.row"))
                self._preview = tag("div")
                with tag("div", "row-flex wrap"):
                    self._other = button(say("try.other_row"), self._take_row, kind="small", icon_name="dice")
            with tag("div", "stack stack-12"):
                with tag("label", "labelled"):
                    text("span", "label", say("try.user"))
                    with tag("span", "field"):
                        box = tag("input", "", type="text", defaultValue=self._user, maxlength=100)
                        box.on("input", self._set_user, js_handler=VALUE_OF_TARGET)
                text("p", "faint small", say("try.user_hint"))
                with tag("div"):
                    self._go = button(say("try.go"), self._predict, kind="primary", icon_name="play")
            self._answer = tag("div", "stack stack-12", aria_live="polite")
            with self._answer:
                text("p", "faint", say("try.no_answer"))

    async def start(self) -> None:
        """Fetch rows that people really sent."""
        query, name = self._visit.services.query, self._endpoint.name
        calls = await run.io_bound(lambda: query.calls(endpoint=name, status=CallStatus.OK, limit=ROWS))
        self._rows = [snippets.one_row(call.input) for call in calls or () if call.input is not None]
        self._take_row()

    def _set_user(self, event: Any) -> None:
        self._user = str(event.args) or "ada"

    def _take_row(self) -> None:
        self._preview.clear()
        self._go.set_visibility(bool(self._rows))
        self._other.set_visibility(len(self._rows) > 1)
        with self._preview:
            if not self._rows:
                text("p", "faint", self._visit.say("try.no_rows"))
                return
            self._row = random.choice(self._rows)  # noqa: S311 - which example to show is no secret
            show_input(self._visit, self._row)

    async def _predict(self) -> None:
        services, name = self._visit.services, self._endpoint.name
        self._answer.clear()
        try:
            answer = await run.io_bound(services.predict, name, self._row, self._user)
        except HeadraceError as error:
            with self._answer:
                problem(error.sentence())
            return
        if answer is not None:
            with self._answer:
                self._show(answer)

    def _show(self, answer: dict[str, Any]) -> None:
        say = self._visit.say
        text("p", "soft", say("try.answer"))
        show_answer(self._visit, answer.get("result"))
        facts(
            [
                (say("column.variant"), str(answer.get("variant", ""))),
                (say("column.model_version"), str(answer.get("model_version", ""))),
                (say("figure.latency"), numbers.milliseconds(answer.get("latency_ms"))),
            ]
        )
        if trace_id := answer.get("trace_id"):
            with link(f"/traces?trace={trace_id}", "mono"):
                text("span", "", str(trace_id))
