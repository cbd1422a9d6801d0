"""Export: the rows of the window that people said something of, with their words, and who is live now.

The only step that looks at what changes by itself, so nothing of it is reused by another turn; what it made is the
input of all others, which are therefore the same again when nothing new was said.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.flywheel.made import Made, Say, Step
from headrace.flywheel.rightness import rightness
from headrace.flywheel.shop import Shop
from headrace.store import endpoints
from headrace.types.dataset import Recipe
from headrace.types.endpoint import Endpoint
from headrace.types.errors import Conflict, NotFound
from headrace.types.turn import StepName

ROWS = "rows.jsonl"
DAY = 86_400.0


def step(shop: Shop) -> Step:
    return Step(
        name=StepName.EXPORT,
        key=f"{StepName.EXPORT}-{shop.turn.id}",
        build=lambda folder, say: build(shop, folder, say),
    )


def build(shop: Shop, folder: Path, say: Say) -> Made:
    endpoint = live_endpoint(shop)
    baseline = _live_uri(endpoint)
    say(0.1, "reading the journal")
    recipe = recipe_of(shop, endpoint.model)
    found = shop.datasets.gather(recipe)
    with (folder / ROWS).open("wb") as file:
        for row in found.rows:
            file.write(msgspec.json.encode(row) + b"\n")
    say(0.7, "asking how many answers are right")
    right = rightness(shop.database, shop.query, endpoint.name, recipe.since or 0.0, recipe.until or 0.0)
    words = sum(len(row.words) for row in found.rows)
    return Made(
        says=f"{len(found.rows)} rows that people said {words} words of; {baseline} is live",
        counts={"rows": len(found.rows), "words": words, "misfits": found.misfits},
        facts={"model": endpoint.model, "baseline": baseline, "right": msgspec.to_builtins(right)},
    )


def recipe_of(shop: Shop, model: str) -> Recipe:
    """Of the dataset version that a turn learns from and is examined by."""
    turn, rules = shop.turn, shop.turn.flywheel.data
    return Recipe(
        model=model,
        name=f"{turn.endpoint}-turn",
        endpoint=turn.endpoint,
        since=max(0.0, turn.created - rules.window_days * DAY),
        until=turn.created,
        rules=rules.rules,
        validation=0.0,
        held=rules.fresh_share,
        salt=rules.salt,
    )


def live_endpoint(shop: Shop) -> Endpoint:
    with shop.database.read() as conn:
        found = endpoints.get(conn, shop.turn.endpoint)
    if found is None:
        raise NotFound(
            f"there is no endpoint {shop.turn.endpoint!r}", field="endpoint", hint="headrace deploy makes one"
        )
    return found


def _live_uri(endpoint: Endpoint) -> str:
    variant = endpoint.variant(endpoint.policy.baseline)
    if variant is None or not variant.model.uri.startswith("models:/"):
        raise Conflict(
            f"endpoint {endpoint.name!r} has no registered version live, so there is nothing to measure against",
            field="endpoint",
        )
    return variant.model.uri
