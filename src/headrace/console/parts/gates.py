"""What the candidate showed before its first share: a table of gates. Called by the release's page.

Decides how an outcome looks. Hidden while there is nothing to show: a release that still prepares, or an endpoint that
wants no gates.
"""

from __future__ import annotations

from headrace.console.parts.frame import panel
from headrace.console.parts.table import Row, Table, cell, column
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.types.gate import GateResult, Outcome
from headrace.types.release import Release

TONES = {Outcome.PASSED: "good", Outcome.FAILED: "bad", Outcome.NOTED: "unknown", Outcome.SKIPPED: ""}


class GatePanel:
    def __init__(self, visit: Visit) -> None:
        self._visit, say = visit, visit.say
        with tag("div") as self._box, panel(say("release.gates"), flush=True):
            columns = [
                column("gate", say("column.gate")),
                column("outcome", say("column.outcome")),
                column("detail", say("column.detail"), grow=True),
            ]
            self._table = Table(columns, label=say("release.gates"))

    def show(self, release: Release) -> None:
        self._box.set_visibility(bool(release.gates))
        several = len({result.endpoint for result in release.gates}) > 1
        self._table.show([gate_row(self._visit, result, several=several) for result in release.gates])


def gate_row(visit: Visit, result: GateResult, *, several: bool) -> Row:
    """`several`: the release moves more than one endpoint, so each row says which."""
    return {
        "id": f"{result.endpoint}/{result.name}",
        "gate": cell(result.name, sub=result.endpoint if several else ""),
        "outcome": cell(visit.name("outcome", result.outcome.value), tone=TONES[result.outcome]),
        "detail": cell(result.detail, sub=result.row, title=result.row),
    }
