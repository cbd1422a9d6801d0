"""A turn whose training compiles a program, in the small world of turn_world.py: mails, teams, a language model that
learns from examples. Used by tests of the pipeline.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from headrace.programs.definition import read_program, signature_of
from headrace.programs.package import Packed, write_package
from headrace.serving.lm import Aliases
from headrace.store import endpoints, feedbacks
from headrace.store.db import Database
from headrace.store.programs import Registration, save_program
from headrace.types.model import ModelVersion
from tests.control_samples import START, call, corrected, endpoint, open_database, open_journal, version, write
from tests.turn_world import World

TICKET: dict[str, Any] = {
    "name": "ticket",
    "lm": "fast",
    "inputs": [{"name": "text"}],
    "outputs": [{"name": "team", "choices": ["billing", "technical"]}],
}
SPEC: dict[str, Any] = {
    "train": {
        "compile": {
            "optimizer": "BootstrapFewShot",
            "seed": 3,
            "settings": {"demos": 8},
            "budget": {"calls": 200, "money": 1.0},
        }
    },
    "data": {"golden": "golden.jsonl", "min_rows": 5, "rules": [{"name": "near_duplicates", "on": False}]},
    "gates": {"min_golden": 10, "max_cost": 1.0, "max_latency": 1000},
}


def text_of(number: int, part: str = "mail") -> str:
    return f"{part} {number} about {'money' if number % 2 else 'a crash'}"


def label_of(number: int) -> str:
    return "billing" if number % 2 else "technical"


def learns(body: dict[str, Any]) -> str:
    """Right when it was shown examples, and for every tenth mail; else it says billing."""
    shown = len(body["messages"]) > 2
    asked = str(body["messages"][-1]["content"])
    crash = "crash" in asked and (shown or "0 about" in asked)
    return json.dumps({"team": "technical" if crash else "billing"})


class ProgramRegistry:
    """The live version is the program as it was written down."""

    def resolve(self, uri: str) -> ModelVersion:
        return version(int(uri.rpartition("/")[2]))

    def download(self, found: ModelVersion, folder: Path) -> Path:
        packed = Packed(program=read_program(TICKET))
        write_package(packed, folder / "packed")
        save_program(
            folder / "model",
            Registration(name="ticket", folder=folder / "packed", signature=signature_of(packed.program)),
        )
        return folder / "model"


class ProgramWorld(World):
    def fill(self, *, shift: int = 0, **spec: Any) -> None:
        with open_journal(self.journal) as journal, self.database.write() as conn:
            endpoints.replace_all(conn, [endpoint()])
            for number in range(60):
                one = call(
                    number,
                    input={"text": text_of(number)},
                    output=["billing"],
                    unit=f"u{number % 20}",
                    time=START + number,
                )
                write(journal, [one])
                feedbacks.put(conn, [corrected(one, [label_of(number)], rater=f"u{number % 20}")])
        place = self.specs / "digits"
        place.mkdir(parents=True)
        golden = [{"inputs": {"text": text_of(n, "letter")}, "label": label_of(n)} for n in range(40)]
        (place / "golden.jsonl").write_text("\n".join(json.dumps(case) for case in golden))
        (place / "program.yaml").write_text(json.dumps(TICKET))
        (place / "flywheel.yaml").write_text(json.dumps({**SPEC, **spec}))


def at(folder: Path, database: Database) -> ProgramWorld:
    """The one that is there already."""
    place = ProgramWorld(folder, database)
    place.aliases, place.registry = Aliases(folder / "lms.yaml"), ProgramRegistry()
    return place


@contextmanager
def program_world(folder: Path, url: str, **spec: Any) -> Iterator[ProgramWorld]:
    """`url`: of the language model."""
    (folder / "lms.yaml").write_text(json.dumps({"fast": {"url": url, "model": "m", "price": {"input": 100}}}))
    with open_database(folder) as database:
        made = at(folder, database)
        made.fill(**spec)
        yield made
