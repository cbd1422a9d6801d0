"""Dataset versions: /api/v1/datasets. A version is named by name@number, by name (the newest), or by id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse

from headrace.api.admin.endpoints import actor_of
from headrace.api.admin.reply import answer
from headrace.control.services import Services
from headrace.flywheel.selection import moment
from headrace.types.dataset import CurationRule, Recipe, Split
from headrace.types.errors import BadInput

CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Make:
    """`rules`: false switches one off, an object sets its options: {"praise": false, "cap": {"rows": 50}}."""

    model: str
    name: str = ""
    endpoint: str | None = None
    since: str | None = None
    until: str | None = None
    rules: dict[str, bool | dict[str, float]] | None = None
    validation: float = 0.1
    held: float = 0.2
    salt: str = "headrace"
    golden: int = 50


def router(services: Services) -> APIRouter:
    routes = APIRouter(prefix="/api/v1/datasets", tags=["data"])
    datasets = services.datasets

    @routes.get("")
    def list_datasets(name: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 200) -> Response:
        """Newest first."""
        return answer({"datasets": datasets.all(name, limit=limit)})

    @routes.post("")
    def make(request: Request, body: Make) -> Response:
        """The same words and rules are the same version: it is answered again, not made twice."""
        return answer(datasets.make(recipe_of(body), actor=actor_of(request)), status=201)

    @routes.get("/{name}")
    def show(name: str) -> Response:
        return answer(datasets.get(name))

    @routes.post("/{name}/freeze")
    def freeze(name: str, request: Request) -> Response:
        """Its held-out rows are the golden set of its name from now on."""
        return answer(datasets.freeze(name, actor=actor_of(request)))

    @routes.get("/{name}/diff")
    def diff(name: str, before: str, limit: Annotated[int, Query(ge=0, le=10_000)] = 100) -> Response:
        """From `before` to this one, row by row."""
        return answer(datasets.diff(before, name, limit=limit))

    @routes.get("/{name}/origin")
    def origin(name: str, row: str) -> Response:
        """Which call the row is from, and every word that was ever said of it. `row`: its id, or a trace id."""
        return answer(datasets.where_from(name, row))

    _rows(routes, services)
    return routes


def _rows(routes: APIRouter, services: Services) -> None:
    datasets = services.datasets

    @routes.get("/{name}/rows")
    def rows(
        name: str,
        split: str = Split.TRAIN.value,
        offset: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
    ) -> Response:
        version, wanted = datasets.get(name), split_of(split)
        some = list(islice(datasets.rows(version, wanted), offset, offset + limit))
        return answer({"rows": some, "of": version.count(wanted)})

    @routes.get("/{name}/file")
    def file(name: str, split: str = Split.TRAIN.value) -> Response:
        """All rows of a split, as JSON lines."""
        version, wanted = datasets.get(name), split_of(split)
        path, data = datasets.path(version, wanted), version.file(wanted)
        headers = {"content-disposition": f'attachment; filename="{wanted.value}.jsonl"'}
        if data is not None:
            headers |= {"content-length": str(data.size), "x-headrace-sha256": data.sha256}
        return StreamingResponse(_content(path), media_type="application/x-ndjson", headers=headers)


def recipe_of(body: Make) -> Recipe:
    return Recipe(
        model=body.model,
        name=body.name,
        endpoint=body.endpoint,
        since=moment("since", body.since),
        until=moment("until", body.until),
        rules=tuple(_rule(name, given) for name, given in (body.rules or {}).items()),
        validation=body.validation,
        held=body.held,
        salt=body.salt,
        golden=body.golden,
    )


def split_of(text: str) -> Split:
    try:
        return Split(text)
    except ValueError as error:
        raise BadInput(f"split is {text!r}; allowed: {', '.join(Split)}", field="split") from error


def _rule(name: str, given: bool | dict[str, float]) -> CurationRule:
    if isinstance(given, bool):
        return CurationRule(name=name, on=given)
    return CurationRule(name=name, options=given)


def _content(path: Path) -> Iterator[bytes]:
    with path.open("rb") as lines:
        while chunk := lines.read(CHUNK):
            yield chunk
