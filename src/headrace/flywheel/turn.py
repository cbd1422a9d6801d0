"""One turn of the flywheel, from what people said to a release. Reads from top to bottom.

Called by conduct.py, which runs each step once, keeps what came out, and shows how far it is. A step gets what earlier
ones made; one that refuses ends the turn, and nothing has changed.
"""

from __future__ import annotations

from collections.abc import Callable

from headrace.flywheel.made import Made, Step
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps import curate, evaluate, export, gate, register, release, train, validate

Run = Callable[[Step], Made]


class Refused(Exception):
    """No error: the turn has done what it is for."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def take_turn(shop: Shop, run: Run) -> None:
    exported = run(export.step(shop))
    curated = run(curate.step(shop, exported))
    run(validate.step(shop, curated))
    trained = run(train.step(shop, curated, exported))
    evaluated = run(evaluate.step(shop, curated, exported, trained))
    run(gate.step(shop, evaluated, trained))
    registered = run(register.step(shop, curated, exported, trained, evaluated))
    run(release.step(shop, registered))
