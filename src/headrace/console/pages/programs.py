"""Programs: those that are being written, their versions, and what is being compiled; and the place to begin one.

Called by the shell. Decides nothing: a new program is a draft with one field in and one out, or the example.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from nicegui import run, ui

from headrace.console.drafting import BLANK, EXAMPLE, EXAMPLE_ROWS
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.empty import empty
from headrace.console.parts.form import line
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Row, Table, badge_cell, cell, column
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.programs.drafts import Draft
from headrace.programs.orders import Compiling
from headrace.store import versions
from headrace.types.errors import Conflict, HeadraceError

if TYPE_CHECKING:
    from headrace.control.services import Services

EXAMPLE_NAME = "ticket"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    draft: Draft
    versions: int
    compiling: Compiling | None


def load(services: Services) -> tuple[Found, ...]:
    drafts, recent = services.programs.drafts, services.programs.recent()
    with services.database.read() as conn:
        counts = {name: len(versions.all(conn, name)) for name in drafts.names()}
    return tuple(
        Found(
            draft=drafts.get(name),
            versions=counts[name],
            compiling=next((found for found in recent if found.model == name), None),
        )
        for name in counts
    )


async def show(visit: Visit) -> None:
    say = visit.say
    ui.page_title(f"{say('place.programs')} · Headrace")
    data = await first_look(lambda: load(visit.services))
    if data is None:
        return
    page_head(say("place.programs"), visit.count("programs.sentence", len(data)) if data else say("programs.lead"))
    with tag("div", "stack"):
        _Beginning(visit, example=not any(found.draft.name == EXAMPLE_NAME for found in data))
        if not data:
            with tag("div", "panel"):
                empty(
                    visit,
                    icon_name="programs",
                    title=say("programs.empty"),
                    will=[visit.name("programs", f"will_{number}") for number in (1, 2, 3)],
                    hint=say("programs.hint"),
                    commands=["headrace compile --optimizers"],
                )
            return
        with panel(say("place.programs"), flush=True):
            table = Table(
                [
                    column("name", say("programs.name")),
                    column("asks", say("programs.asks"), grow=True, wide_only=True),
                    column("lm", say("builder.lm"), wide_only=True),
                    column("rows", say("builder.rows"), end=True, wide_only=True),
                    column("versions", say("builder.versions"), end=True),
                    column("state", "", end=True),
                ],
                label=say("place.programs"),
                on_pick=lambda name: ui.navigate.to(f"/programs/{quote(name, safe='')}"),
            )

    def refresh(found: tuple[Found, ...]) -> None:
        table.show([_row(visit, each) for each in found])

    refresh(data)
    keep_fresh(lambda: load(visit.services), refresh, seconds=2.0)


class _Beginning:
    def __init__(self, visit: Visit, *, example: bool) -> None:
        self._visit, self._name = visit, ""
        say = visit.say
        with panel(say("programs.begin")), tag("div", "row-flex wrap end"):
            self._field = line(say("programs.name"), "", self._set_name, placeholder="ticket")
            button(say("programs.new"), self._blank, kind="primary", icon_name="pen")
            if example:
                button(say("programs.example"), self._example)

    def _set_name(self, name: str) -> None:
        self._name = name.strip()

    async def _blank(self) -> None:
        await self._begin(Draft(written={"name": self._name, **_copy(BLANK)}))

    async def _example(self) -> None:
        rows = [dict(row) for row in EXAMPLE_ROWS]
        await self._begin(Draft(written={"name": EXAMPLE_NAME, **_copy(EXAMPLE)}, rows=rows))

    async def _begin(self, draft: Draft) -> None:
        drafts = self._visit.services.programs.drafts
        try:
            if draft.name in drafts.names():
                raise Conflict(self._visit.say("programs.taken", name=draft.name), field="name")
            await run.io_bound(drafts.put, draft)
        except HeadraceError as error:
            self._field.blame(error.message)
            return
        ui.navigate.to(f"/programs/{quote(draft.name, safe='')}")


def _copy(written: dict[str, object]) -> dict[str, object]:
    return {key: [dict(each) for each in value] if isinstance(value, list) else value for key, value in written.items()}


def _row(visit: Visit, found: Found) -> Row:
    written, compiling = found.draft.written, found.compiling
    state = cell("")
    if compiling is not None and not compiling.phase.ended:
        state = badge_cell(f"{compiling.share:.0%}", tone="candidate", icon_name="play")
    elif compiling is not None and compiling.compiled is not None:
        gain = compiling.compiled.gain
        tone = "good" if gain.low > 0 else "bad" if gain.high < 0 else ""
        state = badge_cell(f"{gain.mean:+.1%}", tone=tone)
    return {
        "id": found.draft.name,
        "name": cell(found.draft.name, href=f"/programs/{quote(found.draft.name, safe='')}"),
        "asks": cell(str(written.get("instructions") or visit.say("programs.no_words")), classes="soft"),
        "lm": cell(str(written.get("lm", "")), classes="mono soft"),
        "rows": cell(numbers.count(len(found.draft.rows))),
        "versions": cell(numbers.count(found.versions)),
        "state": state,
    }
