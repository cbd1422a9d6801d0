"""The definition of a program on its page: how it asks, what goes in and comes out, and the same as YAML and Python.

Called by the page of a program. Decides nothing about what is right: an error of the programs room stands at the field
that it names.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from headrace.console.drafting import Desk
from headrace.console.parts.button import button, copy_button, icon_button
from headrace.console.parts.form import Card, Field, cards, line, lines, one_of
from headrace.console.parts.frame import panel
from headrace.console.parts.tag import VALUE_OF_TARGET, choice, tag, text
from headrace.programs.drafts import as_python, as_yaml
from headrace.types.program import FieldType, ModuleKind, Writing

MODULE = "tools.py"
TOOL = '''def look_up(order: str) -> str:
    """What is known of an order."""
    return "shipped"
'''


class Definition:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._fields: dict[str, Field] = {}
        self._names: dict[str, Any] = {}  # of fields in and out, by where they stand
        say, written = desk.visit.say, desk.written
        with panel(say("builder.define")), tag("div", "stack"):
            self._wrong = text("p", "wrong", "", role="alert")
            kinds = [
                Card(value=kind.value, title=kind.value, sentence=desk.visit.name("builder.kind", kind.value))
                for kind in ModuleKind
            ]
            cards(say("builder.how"), kinds, str(written.get("kind") or ModuleKind.PREDICT), self._set_kind)
            with tag("div", "grid-2"):
                known = desk.visit.services.programs.aliases.names()
                self._fields["lm"] = line(
                    say("builder.lm"), str(written.get("lm", "")), self._setter("lm"), known=known,
                    hint=say("builder.lm_hint"),
                )  # fmt: skip
                styles = {style.value: desk.visit.name("builder.writing", style.value) for style in Writing}
                one_of(
                    say("builder.writes"), styles, str(written.get("writing") or Writing.JSON), self._setter("writing"),
                    hint=say("builder.writes_hint"),
                )  # fmt: skip
            self._fields["instructions"] = lines(
                say("builder.instructions"), str(written.get("instructions", "")), self._setter("instructions"),
                hint=say("builder.instructions_hint"),
            )  # fmt: skip
            self._parts = {part: self._draw_part(part) for part in ("inputs", "outputs")}
            self._tools = self._draw_tools()
        desk.heard.append(self.check)
        self.check()

    def check(self) -> None:
        """Says what is wrong where it is wrong."""
        self._desk.program()
        error = self._desk.error
        where = (error.field or "") if error else ""
        spot = next((known for known in (where, where.partition(".")[0]) if known in self._fields), "")
        for name, each in self._fields.items():
            each.blame(error.message if error and name == spot else "")
        for name, note in self._names.items():
            mine = error is not None and name == where
            note.set_text(error.message if error and mine else "")
            note.set_visibility(mine)
        elsewhere = error is not None and not spot and where not in self._names
        self._wrong.set_text(error.sentence() if error and elsewhere else "")
        self._wrong.set_visibility(elsewhere)
        self._tools.set_visibility(self._desk.written.get("kind") == ModuleKind.REACT)

    def _setter(self, name: str) -> Any:
        async def change(value: str) -> None:
            await self._desk.change(name, value.strip())

        return change

    async def _set_kind(self, kind: str) -> None:
        written = self._desk.written
        if kind == ModuleKind.REACT:
            self._desk.draft.code = self._desk.draft.code or TOOL
            written["code"] = written.get("code") or {"file": f"{self._desk.draft.name}_{MODULE}".replace("-", "_")}
            written["tools"] = written.get("tools") or ["look_up"]
        else:
            written.pop("tools", None)
            if written.get("kind") == ModuleKind.REACT:
                written.pop("code", None)
        await self._desk.change("kind", kind)

    # fields in and out

    def _draw_part(self, part: str) -> Any:
        say = self._desk.visit.say
        with tag("section", "part"):
            with tag("div", "row-flex"):
                text("h3", "", self._desk.visit.name("builder.part", part))
                button(say("builder.add_field"), partial(self._add, part), kind="ghost small push")
            box = tag("div", "stack stack-8")
        self._fields[part] = Field("")
        self._fill(part, box)
        return box

    def _fill(self, part: str, box: Any) -> None:
        box.clear()
        self._names = {name: note for name, note in self._names.items() if not name.startswith(part)}
        with box:
            for number, each in enumerate(self._desk.written.get(part) or ()):
                self._draw_field(part, number, each)

    def _draw_field(self, part: str, number: int, each: dict[str, Any]) -> None:
        say = self._desk.visit.say
        with tag("div", "field-row"):
            self._cell(each, "name", say("builder.field_name"), "name")
            kinds = {kind.value: kind.value for kind in FieldType}
            choice(
                kinds, str(each.get("type") or "str"), partial(self._put, each, "type"), label=say("builder.field_type")
            )
            self._cell(each, "description", say("builder.field_description"), "wide")
            if part == "outputs":
                self._cell(each, "choices", say("builder.field_choices"), "wide")
            icon_button(
                say("builder.remove_field", name=str(each.get("name", ""))), partial(self._remove, part, number),
                icon_name="close",
            )  # fmt: skip
        note = self._names[f"{part}[{number}].name"] = text("p", "wrong", "", role="alert")
        note.set_visibility(False)

    def _cell(self, each: dict[str, Any], name: str, label: str, classes: str) -> None:
        value = each.get(name) or ""
        shown = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
        with tag("span", f"field {classes}"):
            box = tag("input", "", type="text", defaultValue=shown, placeholder=label, aria_label=label)
            box.on("change", lambda event: self._put(each, name, str(event.args or "")), js_handler=VALUE_OF_TARGET)

    async def _put(self, each: dict[str, Any], name: str, value: str) -> None:
        if name == "choices":
            each[name] = [part.strip() for part in value.replace("，", ",").split(",") if part.strip()]
        else:
            each[name] = value.strip()
        await self._desk.changed()

    async def _add(self, part: str) -> None:
        listed = self._desk.written.setdefault(part, [])
        taken = {str(each.get("name")) for name in ("inputs", "outputs") for each in self._desk.written.get(name) or ()}
        number = next(n for n in range(1, 1000) if f"field_{n}" not in taken)
        listed.append({"name": f"field_{number}"})
        self._fill(part, self._parts[part])
        await self._desk.changed()

    async def _remove(self, part: str, number: int) -> None:
        del self._desk.written[part][number]
        self._fill(part, self._parts[part])
        await self._desk.changed()

    def _draw_tools(self) -> Any:
        say, draft = self._desk.visit.say, self._desk.draft

        async def name(value: str) -> None:
            await self._desk.change("tools", [part.strip() for part in value.split(",") if part.strip()])

        async def code(value: str) -> None:
            draft.code = value
            await self._desk.changed()

        with tag("section", "part stack") as box:
            tools = ", ".join(map(str, draft.written.get("tools") or ()))
            self._fields["tools"] = line(say("builder.tools"), tools, name, hint=say("builder.tools_hint"))
            self._fields["code"] = lines(
                say("builder.code"), draft.code or TOOL, code, rows=8, hint=say("builder.code_hint"), classes="mono"
            )
        return box


class AsFile:
    """The definition to copy, and the command that takes it."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._form = desk, "yaml"
        say = desk.visit.say
        with panel(say("builder.as_file")) as box:
            with box.head:
                with tag("div", "segmented push", role="group"):
                    self._forms = {form: self._form_button(form, name) for form, name in FORMS.items()}
                copy_button(desk.visit, say("builder.copy"), self._text)
            self._code = text("pre", "code-block", "")
            text("p", "faint small", say("builder.as_file_hint"))
            text("code", "code", f"headrace compile {desk.draft.name}.yaml --data {desk.draft.name}.jsonl")
        desk.heard.append(self.show)
        self.show()

    def show(self) -> None:
        self._code.set_text(self._text())
        for form, element in self._forms.items():
            element.props["aria-pressed"] = "true" if form == self._form else "false"

    def _text(self) -> str:
        return as_yaml(self._desk.written) if self._form == "yaml" else as_python(self._desk.written)

    def _form_button(self, form: str, name: str) -> Any:
        def press() -> None:
            self._form = form
            self.show()

        element = text("button", "", name, type="button")
        element.on("click", press, args=[])
        return element


FORMS = {"yaml": "YAML", "python": "Python"}
