"""One person's page load: who, in which language, with which services. Made by shell, handed to every page and part.

Decides nothing; it carries. `say` is the only way from a key to a string.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace.console.messages import Language, translate
from headrace.console.parts import numbers

if TYPE_CHECKING:
    from headrace.control.services import Services


ANYBODY = "operator"  # somebody who gave no name


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    services: Services
    language: Language
    actor: str = ANYBODY

    @property
    def name_given(self) -> str:
        """As the person said it; empty when they have not."""
        return "" if self.actor == ANYBODY else self.actor

    def say(self, key: str, **values: object) -> str:
        return translate(self.language, key, **values)

    def name(self, family: str, member: str, **values: object) -> str:
        """The words for one of a kind, such as a member of an enum: name("phase", "paused") says "phase.paused"."""
        return translate(self.language, f"{family}.{member}", **values)

    def count(self, key: str, number: int, **values: object) -> str:
        """A message with a number in it: `key`.one or `key`.many. count("users", 1) is a noun to build with: 1 user."""
        form = "one" if number == 1 else "many"
        return translate(self.language, f"{key}.{form}", n=numbers.count(number), **values)

    def now(self) -> float:
        return self.services.clock.now()
