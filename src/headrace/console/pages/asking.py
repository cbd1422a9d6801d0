"""Try a program while it is being written: one row, asked live, beside the version that is registered.

Called by the page of a program. Decides nothing: both are asked through the platform as when deployed, and what it cost
is shown with the answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

from nicegui import run

from headrace.console.drafting import Desk
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.frame import panel, problem
from headrace.console.parts.tag import VALUE_OF_TARGET, tag, text
from headrace.programs.package import Packed
from headrace.programs.service import Programs
from headrace.types.errors import BadInput, HeadraceError


class Asking:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._row: dict[str, str] = {}
        say = desk.visit.say
        with panel(say("builder.try"), classes="try"), tag("div", "stack stack-12"):
            self._form = tag("div", "stack stack-8")
            with tag("div", "row-flex wrap"):
                button(say("builder.ask"), self._ask, icon_name="play")
                button(say("builder.a_row"), self._take, kind="ghost small", icon_name="dice")
            self._answers = tag("div", "grid-2" if desk.current else "stack", aria_live="polite")
            with self._answers:
                text("p", "faint", say("builder.no_answer"))
        self._taken = 0
        self._shape = ""
        desk.heard.append(self.show)
        self.show()

    def show(self) -> None:
        """Fields as the inputs are; nothing moves while those stay."""
        inputs = [each for each in self._desk.written.get("inputs") or () if each.get("name")]
        shape = repr([(each["name"], each.get("description")) for each in inputs])
        if shape == self._shape:
            return
        self._shape = shape
        self._draw(inputs)

    def _draw(self, inputs: list[dict[str, Any]]) -> None:
        self._form.clear()
        with self._form:
            for each in inputs:
                name = str(each["name"])
                with tag("label", "labelled"):
                    text("span", "label", name)
                    box = tag("textarea", "prose-field", rows=2, defaultValue=self._row.get(name, ""))
                    box.on("input", self._setter(name), js_handler=VALUE_OF_TARGET)

    def _setter(self, name: str) -> Any:
        def change(event: Any) -> None:
            self._row[name] = str(event.args or "")

        return change

    def _take(self) -> None:
        """One of the rows that are there."""
        rows = self._desk.draft.rows
        if rows:
            row = rows[self._taken % len(rows)]
            self._taken += 1
            self._row = {name: str(value) for name, value in row.items()}
            self._draw([each for each in self._desk.written.get("inputs") or () if each.get("name")])

    async def _ask(self) -> None:
        say = self._desk.visit.say
        self._answers.clear()
        try:
            packed = self._desk.packed()
            row = {item.name: self._typed(item.type, self._row.get(item.name, "")) for item in packed.program.inputs}
        except BadInput as error:
            with self._answers:
                problem(error.sentence())
            return
        with self._answers:
            asked = [_Column(self._desk, say("builder.as_written"), packed)]
            if self._desk.current:
                asked.append(_Column(self._desk, self._desk.current, None))
        await asyncio.gather(*(column.ask(row) for column in asked))

    @staticmethod
    def _typed(kind: str, words: str) -> Any:
        try:
            return {"int": int, "float": float}.get(kind, str)(words)
        except ValueError as error:
            raise BadInput(f"{words!r} is to be {kind}", field="inputs") from error


class _Column:
    """One program's answer. Without `packed` it is the registered version."""

    def __init__(self, desk: Desk, title: str, packed: Packed | None) -> None:
        self._desk, self._packed = desk, packed
        with tag("div", "stack stack-4") as self._box:
            text("b", "", title)
            self._told = text("p", "faint small", desk.visit.say("builder.asking"))

    async def ask(self, row: dict[str, Any]) -> None:
        programs = self._desk.visit.services.programs
        try:
            found = await run.io_bound(self._asked, programs, row)
        except HeadraceError as error:
            self._say("")
            with self._box:
                problem(error.sentence())
            return
        if found is not None and not self._box.is_deleted:
            self._show(found)

    def _asked(self, programs: Programs, row: dict[str, Any]) -> dict[str, Any]:
        return programs.ask(self._packed or programs.packed(self._desk.current), row)

    def _show(self, found: dict[str, Any]) -> None:
        usage = found["usage"]
        money = f" · {numbers.money_figure(usage['money'])}" if usage["money"] else ""
        tokens = usage["prompt_tokens"] + usage["completion_tokens"]
        self._say(
            self._desk.visit.say(
                "builder.took",
                took=numbers.milliseconds(found["milliseconds"]),
                calls=numbers.count(usage["calls"]),
                tokens=numbers.count(tokens),
            )
            + money
        )
        with self._box:
            for name, value in found["outputs"].items():
                text("span", "faint small", name)
                text("div", "answer prose", str(value))

    def _say(self, words: str) -> None:
        if not self._box.is_deleted:
            self._told.set_text(words)
