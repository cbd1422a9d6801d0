"""The program that a person is writing on a page: what is written so far, and who wants to hear when it changes.

Made by the page of a program, handed to its panels. Decides that every change is kept at once in the draft's file, and
which of its fields an error is about. Ignores how anything looks.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nicegui import run

from headrace.console.visit import Visit
from headrace.programs.definition import read_program
from headrace.programs.drafts import Draft
from headrace.programs.orders import CompileOrder, read_order
from headrace.programs.package import Packed
from headrace.types.errors import BadInput, HeadraceError
from headrace.types.program import Program

OPTIONAL = ("description", "choices")
EXAMPLE: dict[str, Any] = {
    "lm": "fast",
    "instructions": "Say which team answers this mail.",
    "inputs": [{"name": "text", "description": "the mail"}],
    "outputs": [{"name": "team", "choices": ["billing", "technical", "sales"]}],
}
BLANK: dict[str, Any] = {
    "lm": "fast",
    "instructions": "",
    "inputs": [{"name": "text"}],
    "outputs": [{"name": "answer"}],
}
EXAMPLE_ROWS = tuple(
    {"text": text, "team": team}
    for text, team in (
        ("My invoice of March is wrong, you charged me twice", "billing"),
        ("The app closes itself when I open a report", "technical"),
        ("What does the plan for fifty people cost?", "sales"),
        ("Please send the receipt to our accountant", "billing"),
        ("I cannot log in since the update", "technical"),
        ("Do you have a discount for schools?", "sales"),
        ("The card on file has expired, where do I change it", "billing"),
        ("Exports stop at 1,000 rows with an error 500", "technical"),
        ("We would like a demo for our board next week", "sales"),
        ("Why is there VAT on my last bill", "billing"),
        ("The page stays white in Firefox", "technical"),
        ("Can we move from monthly to yearly and what do we save", "sales"),
        ("I want my money back for the second licence", "billing"),
        ("Synchronising never ends on two of our laptops", "technical"),
        ("Is there a reseller in Portugal?", "sales"),
        ("Our order number has to be on the invoice", "billing"),
        ("Push messages come an hour late", "technical"),
        ("How many seats are in the smallest package", "sales"),
    )
)


@dataclass(slots=True, kw_only=True)
class Desk:
    """`current`: models:/… that is live or newest, empty when nothing is registered."""

    visit: Visit
    draft: Draft
    current: str = ""
    heard: list[Callable[[], Any]] = field(default_factory=list)
    error: HeadraceError | None = None

    @property
    def written(self) -> dict[str, Any]:
        return self.draft.written

    def program(self) -> Program | None:
        """As it is written now; None, and `error` says why, while it is not right."""
        try:
            found = self.packed().program
        except BadInput as error:
            self.error = error
            return None
        self.error = None
        return found

    def packed(self) -> Packed:
        """Raises BadInput."""
        written = self.written
        if isinstance(written.get("code"), dict) and self.draft.code:
            return read_order(CompileOrder(program=written, code=self.draft.code, rows=[])).packed
        return Packed(program=read_program(written))

    async def change(self, name: str, value: Any) -> None:
        """A key of the definition; empty values are not written."""
        if value in ("", [], None):
            self.written.pop(name, None)
        else:
            self.written[name] = value
        await self.changed()

    async def changed(self) -> None:
        for part in ("inputs", "outputs"):
            for each in self.written.get(part) or ():
                for name in OPTIONAL:
                    if not each.get(name):
                        each.pop(name, None)
        await run.io_bound(self.visit.services.programs.drafts.put, self.draft)
        for hear in self.heard:
            hear()
