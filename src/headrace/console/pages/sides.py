"""Baseline and candidate side by side: what they are, what the registry measured, how fast they answer now.

Called by the release page. Decides nothing: rows of what is known, and by how much a number moved.
"""

from __future__ import annotations

from collections.abc import Iterator

from headrace.console.parts import numbers
from headrace.console.parts.frame import panel
from headrace.console.parts.states import stage_cell
from headrace.console.parts.table import Cell, Row, Table, cell, column
from headrace.console.parts.tag import tag
from headrace.console.sentences import Traffic
from headrace.console.visit import Visit
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.release import Release

Sides = tuple[Variant, Variant]  # baseline, candidate


class SideBySide:
    def __init__(self, visit: Visit, release: Release) -> None:
        self._visit, say = visit, visit.say
        with tag("div") as self._box, panel(say("sides.title"), flush=True):
            columns = [
                column("what", ""),
                column("baseline", say("release.of_baseline", name=release.baseline)),
                column("candidate", say("release.of_candidate", name=release.candidate)),
                column("change", say("sides.change"), end=True, wide_only=True),
            ]
            self._table = Table(columns, label=say("sides.title"))

    def show_if(self, sides: Sides | None, traffic: Traffic) -> None:
        """A version that is gone has nothing to show."""
        self._box.set_visibility(sides is not None)
        if sides is not None:
            self._table.show(list(rows(self._visit, sides, traffic)))


def sides_of(endpoint: Endpoint | None, release: Release) -> Sides | None:
    """None when a version is gone, as after a release that ended long ago."""
    found = [endpoint.variant(name) for name in (release.baseline, release.candidate)] if endpoint else []
    baseline, candidate = found or (None, None)
    return (baseline, candidate) if baseline is not None and candidate is not None else None


def rows(visit: Visit, sides: Sides, traffic: Traffic) -> Iterator[Row]:
    say = visit.say
    models = [side.model for side in sides]
    yield _row(say("column.model_version"), [cell(f"{m.name} {m.version}", sub=m.flavor, title=m.uri) for m in models])
    yield _row(say("column.stage"), [stage_cell(visit, m.stage) for m in models])
    yield _row(say("column.runtime"), [cell(visit.name("runtime", side.package.runtime)) for side in sides])
    known = [m.metrics or {} for m in models]
    for name in sorted({*known[0], *known[1]}):
        yield _figures(name, [of.get(name) for of in known], [numbers.scalar(of.get(name)) for of in known])
    live = [traffic.variants.get(side.name, Traffic()) for side in sides]
    if any(each.calls for each in live):
        yield _row(
            say("sides.calls"),
            [cell(numbers.count(each.calls), sub=numbers.percent(each.errors, each.calls)) for each in live],
        )
        for name, times in (("p50", [t.p50_ms for t in live]), ("p99", [t.p99_ms for t in live])):
            yield _figures(visit.name("figure", name), times, [numbers.milliseconds(ms) for ms in times])


def _figures(name: str, values: list[float | None], shown: list[str]) -> Row:
    before, after = values
    moved = numbers.change(after, before) if before is not None and after is not None else ""
    return _row(name, [cell(each, classes="num") for each in shown]) | {"change": cell(moved or numbers.NOTHING)}


def _row(name: str, cells: list[Cell]) -> Row:
    return {"id": name, "what": cell(name, classes="faint"), "baseline": cells[0], "candidate": cells[1]}
