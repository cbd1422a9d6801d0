"""One pair, inside the drawer: the row, what the user was told, and what the candidate would have said.

Called by the diff explorer. Decides nothing: the input is read from the journal, as long as that keeps it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nicegui import ui

from headrace.console.parts import numbers
from headrace.console.parts.frame import facts, problem
from headrace.console.parts.icon import icon
from headrace.console.parts.live import first_look
from headrace.console.parts.tag import link, tag, text
from headrace.console.parts.values import rows_of, show_answer, show_input, show_row
from headrace.console.parts.when import when
from headrace.console.visit import Visit
from headrace.release.diff import Diff
from headrace.types.pair import Pair

if TYPE_CHECKING:
    from headrace.control.services import Services
    from headrace.types.call import Call


def load(services: Services, pair: Pair) -> tuple[Call | None, Call | None]:
    """The user's call and its copy."""
    return services.query.call(pair.trace_id), services.query.call(pair.shadow_id)


async def show_pair(visit: Visit, body: ui.element, pair: Pair, data: Diff) -> None:
    with body:
        found = await first_look(lambda: load(visit.services, pair))
        if found is None:
            return
        call, copy = found
        with tag("div", "row-flex wrap"):
            when(pair.time, "soft")
            with link(f"/traces?trace={pair.trace_id}", "btn ghost small"):
                icon("traces")
                text("span", "", visit.say("pairs.whole_call"))
        if pair.error:
            problem(pair.error)
        row = _row_of(pair, call)
        with tag("section"):
            text("h3", "", visit.say("pairs.segment"))
            show_input(visit, None) if row is None else show_row(visit, row)
        _draw_answers(visit, pair, data, copy)
        shown = row if isinstance(row, dict) else {}
        rest = [(name, numbers.scalar(value)) for name, value in pair.segment.items() if name not in shown]
        facts([*_facts(visit, pair, data), *rest])


def _row_of(pair: Pair, call: Call | None) -> Any:
    """The one that differs; what was kept of it, when the journal has it no more."""
    rows = rows_of(call.input) if call is not None and call.input is not None else []
    return rows[pair.difference.row] if pair.difference.row < len(rows) else pair.segment or None


def _draw_answers(visit: Visit, pair: Pair, data: Diff, copy: Call | None) -> None:
    scores = _scores(copy, pair.difference.row)
    sides = (
        (visit.say("pairs.baseline", name=data.baseline), pair.baseline_output, 0),
        (visit.say("pairs.candidate", name=data.candidate), pair.candidate_output, 1),
    )
    with tag("div", "grid-2"):
        for heading, output, side in sides:
            with tag("section"):
                text("h3", "", heading)
                show_answer(visit, {"answer": [output], **{n: [both[side]] for n, both in scores.items()}})


def _scores(copy: Call | None, row: int) -> dict[str, tuple[Any, Any]]:
    """The other outputs of both, of that row."""
    outputs = copy.beside.get("outputs") if copy is not None and isinstance(copy.beside, dict) else None
    found: dict[str, tuple[Any, Any]] = {}
    for name, both in outputs.items() if isinstance(outputs, dict) else ():
        if all(isinstance(side, list) and row < len(side) for side in both):
            found[name] = (both[0][row], both[1][row])
    return found


def _facts(visit: Visit, pair: Pair, data: Diff) -> list[tuple[str, str]]:
    found, say = pair.difference, visit.say
    return [
        (say("column.differs"), found.what),
        (say("column.moved"), numbers.percent(found.deviation, 1.0) if found.deviation else ""),
        (data.baseline, numbers.milliseconds(pair.baseline_ms)),
        (data.candidate, numbers.milliseconds(pair.candidate_ms)),
        (say("trace.rows"), numbers.count(pair.rows)),
    ]
