"""Whose calls are wanted: the endpoints that serve a model. Called by export.py, datasets.py and review.py."""

from __future__ import annotations

from headrace.store import endpoints, versions
from headrace.store.db import Connection
from headrace.types.errors import NotFound


def endpoints_of(conn: Connection, *, model: str, endpoint: str | None) -> dict[str, str]:
    """Endpoint → model. Raises NotFound for a model that nobody knows, or an endpoint that does not serve it."""
    models = {one.name: one.model for one in endpoints.all(conn)}
    known = set(models.values()) | set(versions.names(conn))
    if model not in known:
        there = ", ".join(sorted(known)) or "none yet"
        raise NotFound(f"no model {model!r} is known; there is: {there}", field="model")
    mine = {name: served for name, served in models.items() if served == model}
    if endpoint is None:
        return mine
    if endpoint not in mine:
        there = ", ".join(sorted(mine)) or "none"
        raise NotFound(f"no endpoint {endpoint!r} serves {model!r}; those that do: {there}", field="endpoint")
    return {endpoint: model}
