"""Labelled rows of a program on its page: typed or pasted here, out of a dataset version, or what reviewers said.

Called by the page of a program. Decides where the rows of a compilation come from; what fits the program is
flywheel/teaching.py's.
"""

from __future__ import annotations

import csv
import io
from functools import partial
from typing import Any

import msgspec
from nicegui import run

from headrace.console.drafting import Desk
from headrace.console.parts import numbers
from headrace.console.parts.button import button, icon_button
from headrace.console.parts.form import lines
from headrace.console.parts.frame import panel, problem
from headrace.console.parts.tag import VALUE_OF_TARGET, choice, tag, text
from headrace.flywheel.teaching import Taught, rows_of_dataset, rows_of_reviews
from headrace.types.errors import BadInput, HeadraceError
from headrace.types.program import Program

HERE = "here"
SHOWN = 60  # rows that can be typed into


class Labelled:
    def __init__(self, desk: Desk, datasets: tuple[str, ...], endpoints: tuple[str, ...]) -> None:
        self._desk, self.source = desk, HERE
        self._pasted, self._shape = "", ""
        say = desk.visit.say
        sources = {HERE: say("builder.rows_here")}
        sources |= {f"dataset:{name}": say("builder.rows_dataset", name=name) for name in datasets}
        sources |= {f"review:{name}": say("builder.rows_review", endpoint=name) for name in endpoints}
        with panel(say("builder.rows")) as box:
            with box.head, tag("div", "push"):
                choice(sources, HERE, self._choose, label=say("builder.rows_from"))
            self._told = text("p", "soft", "")
            self._here = tag("div", "stack")
            with self._here:
                self._table = tag("div", "typed-rows")
                with tag("div", "row-flex wrap"):
                    button(say("builder.add_row"), self._add, kind="small")
                with tag("details"):
                    text("summary", "soft", say("builder.paste"))
                    self._paste = lines(
                        "", "", self._set_pasted, rows=4, hint=say("builder.paste_hint"), classes="mono"
                    )
                    button(say("builder.paste_go"), self._take, kind="small")
        desk.heard.append(self.show)
        self.show()

    async def taught(self, program: Program) -> Taught:
        """Raises HeadraceError."""
        services = self._desk.visit.services
        kind, _, name = self.source.partition(":")
        if kind == "dataset":
            found = await run.io_bound(rows_of_dataset, services.datasets, name, program)
        elif kind == "review":
            found = await run.io_bound(rows_of_reviews, services.database, services.query, name, program)
        else:
            found = Taught(rows=[dict(row) for row in self._desk.draft.rows], source=f"{program.name}.jsonl")
        return found or Taught()

    def show(self) -> None:
        names = self._columns()
        shape = repr((names, len(self._desk.draft.rows)))
        if shape != self._shape:
            self._shape = shape
            self._draw(names)
        if self.source == HERE:
            count = len(self._desk.draft.rows)
            self._told.set_text(self._desk.visit.say("builder.rows_typed", n=numbers.count(count)))

    def _columns(self) -> list[str]:
        parts = [self._desk.written.get(part) or () for part in ("inputs", "outputs")]
        return [str(each["name"]) for part in parts for each in part if each.get("name")]

    def _draw(self, names: list[str]) -> None:
        say, rows = self._desk.visit.say, self._desk.draft.rows
        self._table.clear()
        with self._table:
            if not rows:
                return
            with tag("table", "plain-table form-table"):
                with tag("thead"), tag("tr"):
                    for name in names:
                        text("th", "", name)
                    text("th", "", "")
                with tag("tbody"):
                    for number, row in enumerate(rows[:SHOWN]):
                        self._draw_row(number, row, names)
            if len(rows) > SHOWN:
                text("p", "faint small", say("builder.more_rows", n=numbers.count(len(rows) - SHOWN)))

    def _draw_row(self, number: int, row: dict[str, Any], names: list[str]) -> None:
        with tag("tr"):
            for name in names:
                with tag("td"), tag("span", "field"):
                    label = f"{name} {number + 1}"
                    box = tag("input", "", type="text", defaultValue=str(row.get(name, "")), aria_label=label)
                    box.on("change", self._setter(row, name), js_handler=VALUE_OF_TARGET)
            with tag("td"):
                label = self._desk.visit.say("builder.remove_row", n=number + 1)
                icon_button(label, partial(self._remove, number), icon_name="close")

    def _setter(self, row: dict[str, Any], name: str) -> Any:
        async def change(event: Any) -> None:
            row[name] = str(event.args or "")
            await self._desk.changed()

        return change

    async def _choose(self, source: str) -> None:
        self.source = source
        self._here.set_visibility(source == HERE)
        if source != HERE:
            await self._count()
        await self._desk.changed()

    async def _count(self) -> None:
        """What is there, and what of it this program cannot take."""
        say, program = self._desk.visit.say, self._desk.program()
        if program is None:
            self._told.set_text(say("builder.define_first"))
            return
        try:
            found = await self.taught(program)
        except HeadraceError as error:
            self._told.set_text(error.sentence())
            return
        words = say("builder.rows_found", n=numbers.count(len(found.rows)), test=numbers.count(len(found.test)))
        odd = say("builder.rows_odd", n=numbers.count(found.odd), why=found.why) if found.odd else ""
        self._told.set_text(f"{words} {odd}".strip())

    async def _add(self) -> None:
        self._desk.draft.rows.append({})
        await self._desk.changed()

    async def _remove(self, number: int) -> None:
        del self._desk.draft.rows[number]
        self._shape = ""
        await self._desk.changed()

    def _set_pasted(self, words: str) -> None:
        self._pasted = words

    async def _take(self) -> None:
        try:
            rows = rows_from(self._pasted)
        except BadInput as error:
            self._paste.blame(error.message)
            return
        self._paste.blame("")
        self._desk.draft.rows.extend(rows)
        try:
            await self._desk.changed()
        except HeadraceError as error:
            del self._desk.draft.rows[-len(rows) :]
            with self._here:
                problem(error.sentence())


def rows_from(words: str) -> list[dict[str, Any]]:
    """JSON lines, or CSV with a head line. Raises BadInput naming the line."""
    if not words.strip():
        raise BadInput("nothing was pasted", field="rows")
    if words.lstrip()[0] == "{":
        return [_object(line, number) for number, line in enumerate(words.splitlines(), start=1) if line.strip()]
    rows = list(csv.DictReader(io.StringIO(words.strip()), restkey=""))
    if not rows or "" in rows[0] or None in rows[0].values():
        raise BadInput("this is neither JSON lines nor CSV with a head line and a row", field="rows")
    return [dict(row) for row in rows]


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise BadInput(f"line {number} is no JSON object: {error}", field="rows") from error
