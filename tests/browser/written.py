"""The programs of the stage: written and compiled for real, with a language model that learns from examples.

What is played: it registers into the console's own snapshot of the registry, not into an MLflow.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from headrace.base.clock import Clock
from headrace.console.drafting import EXAMPLE_ROWS
from headrace.programs.compile import Request
from headrace.programs.orders import CompileOrder
from headrace.programs.package import Packed
from headrace.programs.service import Programs
from headrace.serving.lm import Aliases
from headrace.store import versions
from headrace.store.db import Database
from headrace.types.model import ModelVersion
from headrace.types.program import Compiled
from tests.lm_server import fake_lm

ADVICE = "Mails about prices are for sales."
TEAMS = {row["text"]: row["team"] for row in EXAMPLE_ROWS}


def reply(body: dict[str, Any]) -> str:
    """Right when it was shown examples; without any it takes half of all mails for bills. Asked for advice, it has one
    piece."""
    form = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties", {})
    if "team" not in form:
        return json.dumps(dict.fromkeys(form, ADVICE)) if form else f"```\n{ADVICE}\n```"
    asked = str(body["messages"][-1]["content"])
    shown = len(body["messages"]) > 2
    number, team = next(((n, team) for n, (text, team) in enumerate(TEAMS.items()) if text in asked), (0, "billing"))
    return json.dumps({"team": team if shown or number % 2 else "billing"})


class PlayedPrograms(Programs):
    """`database`: where the registry's snapshot is."""

    def __init__(self, folder: Path, database: Database, clock: Clock) -> None:
        self._language_model = fake_lm(reply)  # ends with the process
        aliases = folder / "lms.yaml"
        price = {"input": 0.15, "output": 0.6}
        aliases.write_text(
            json.dumps({"fast": {"url": self._language_model.__enter__().url, "model": "m", "price": price}})
        )
        super().__init__(
            registry=None,  # type: ignore[arg-type] - nothing is asked of it
            aliases=Aliases(aliases),
            work=folder / "work",
            clock=clock,
            drafts=folder / "programs",
        )
        self._database = database
        self._kept: dict[str, Packed] = {}

    def packed(self, uri: str) -> Packed:
        return self._kept[uri]

    def _registered(self, request: Request, order: CompileOrder, compiled: Compiled, actor: str) -> tuple[int, str]:
        name = request.packed.program.name
        with self._database.write() as conn:
            number = len(versions.all(conn, name)) + 1
            uri = f"models:/{name}/{number}"
            versions.put(conn, ModelVersion(name=name, version=number, uri=uri, flavor="program"))
        self._kept[uri] = Packed(program=request.packed.program, state=compiled.state)
        return number, ""
