"""Dataset versions: made from what people said, kept for ever, compared row by row, traced back to a person's word.

Called by the retraining turn, the admin API, the console and the command line. `make` reads from top to bottom: whose
calls → what was said of them → the rules → files → the manifest, whose hash is the version's id. The same words and
rules give the same version again, so making is safe to repeat.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import msgspec

from headrace.base.clock import Clock
from headrace.data.curate import Curated, code_hash, curate, settle
from headrace.data.rows import Candidate, Judge, Scene
from headrace.flywheel.columns import Columns
from headrace.flywheel.differ import difference
from headrace.flywheel.gather import Gathered, gather
from headrace.flywheel.lines import COLUMNS, candidate_of, line_of, origin_of
from headrace.flywheel.review import disputes
from headrace.flywheel.wanted import endpoints_of
from headrace.store import audit, datasets, feedbacks
from headrace.store.dataset_files import DatasetFiles, sum_hashes
from headrace.store.datasets import Golden
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.types.call import Call, Feedback
from headrace.types.dataset import (
    DataFile,
    DatasetDiff,
    DatasetVersion,
    Recipe,
    RowOrigin,
    Split,
)
from headrace.types.errors import BadInput, NotFound

SYSTEM: Final = "flywheel"
TOLD: Final = 20  # versions that MLflow is told of in one turn
_sorted: Final = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """One row, the call that it came from, and every word that was ever said of it. `call` is None past retention."""

    dataset: str
    origin: RowOrigin
    values: dict[str, Any]
    call: Call | None
    words: tuple[Feedback, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """Rows that somebody brings beside what people said, as a flywheel does. `golden` are frozen where they are kept;
    without any the dataset has its own golden set."""

    base: tuple[Candidate, ...] = ()  # to learn from
    golden: tuple[Candidate, ...] = ()
    must: tuple[Candidate, ...] = ()

    @property
    def rows(self) -> tuple[Candidate, ...]:
        return (*self.base, *self.golden, *self.must)


class Sink(Protocol):
    """What this needs of store.dataset_sink.DatasetSink."""

    def list(self, version: DatasetVersion) -> str: ...


class Datasets:
    def __init__(
        self, *, database: Database, query: JournalQuery, folder: Path, clock: Clock, sink: Sink | None = None
    ) -> None:
        """`folder` is the artifact store's, for datasets. `sink`: where versions are listed."""
        self.files = DatasetFiles(folder)
        self._sink = sink
        self._database, self._query, self._clock = database, query, clock

    def make(self, recipe: Recipe, *, judge: Judge | None = None, actor: str = SYSTEM) -> DatasetVersion:
        """Raises NotFound for an unknown model or endpoint, BadInput for a recipe that makes no sense or no row."""
        return self.curate(recipe, self.gather(recipe), judge=judge, actor=actor)

    def gather(self, recipe: Recipe) -> Gathered:
        """What was said so far: the only part of making that looks at what changes by itself."""
        _check(recipe)
        with self._database.read() as conn:
            models = endpoints_of(conn, model=recipe.model, endpoint=recipe.endpoint)
        return gather(self._database, self._query, recipe, models)

    def curate(
        self,
        recipe: Recipe,
        found: Gathered,
        *,
        given: Given = Given(),
        judge: Judge | None = None,
        actor: str = SYSTEM,
    ) -> DatasetVersion:
        rules = settle(recipe.rules)
        with self._database.read() as conn:
            golden = None if given.golden else datasets.golden(conn, recipe.dataset)
            before = datasets.latest(conn, recipe.dataset)
        scene = Scene(
            golden=[*given.golden, *given.must, *self._golden_rows(golden)],
            frozen=golden is not None or bool(given.golden),
            salt=recipe.salt,
            validation=recipe.validation,
            held=recipe.held,
            judge=judge,
        )
        made = curate(found.rows, recipe.rules, scene, misfits=found.misfits)
        rows = (*given.rows, *made.rows)
        if not rows:
            raise _nothing(recipe, len(found.rows))
        columns = Columns(COLUMNS)
        files = tuple(
            file
            for split in Split
            if (file := self._file(split, [r for r in rows if r.split is split], golden, recipe, columns))
        )
        report = replace(made.report, splits={file.split: file.rows for file in files})
        version = DatasetVersion(
            id="",
            name=recipe.dataset,
            created=0.0,
            files=files,
            columns=columns.kinds,
            rows=sum(file.rows for file in files),
            row_hash=sum_hashes(file.row_hash for file in files),
            query=_query_of(recipe),
            corrected=sum(row.rule in ("corrections", "review") for row in made.rows),
            model=recipe.model,
            code=code_hash(rules),
            report=report,
        )
        self._dispute(made, found.rows)
        return self._keep(version, before, golden, frozen=bool(given.golden), least=recipe.golden, actor=actor)

    def get(self, name: str) -> DatasetVersion:
        """By `name@number`, by `name` (the newest), by id or the beginning of one."""
        with self._database.read() as conn:
            found = _find(conn, name)
            if found is None:
                there = ", ".join(datasets.names(conn)) or "none yet"
                raise NotFound(
                    f"there is no dataset {name!r}; there are: {there}", field="dataset", hint="headrace dataset list"
                )
        return found

    def all(self, name: str | None = None, *, limit: int = 200) -> tuple[DatasetVersion, ...]:
        """Newest first."""
        with self._database.read() as conn:
            return datasets.all(conn, name, limit=limit)

    def golden(self, name: str) -> Golden | None:
        with self._database.read() as conn:
            return datasets.golden(conn, name)

    def rows(self, version: DatasetVersion, split: Split) -> Iterator[dict[str, Any]]:
        """Keys are those of lines.COLUMNS; a critique has `critique` and no label."""
        return self.files.rows(version, split)

    def path(self, version: DatasetVersion, split: Split) -> Path:
        """The file of one split: JSON lines."""
        return self.files.path(version, split)

    def verify(self, version: DatasetVersion) -> None:
        self.files.verify(version)

    def tell(self) -> bool:
        """Lists in MLflow what is not listed yet. Raises UpstreamError while it is away; True when there is more."""
        if self._sink is None:
            return False
        with self._database.read() as conn:
            waiting = datasets.unlisted(conn, limit=TOLD)
        for version in waiting:
            self._sink.list(version)
            with self._database.write() as conn:
                datasets.mark_listed(conn, version.id, self._clock.now())
        return len(waiting) >= TOLD

    def freeze(self, name: str, *, actor: str = SYSTEM) -> Golden:
        """All held-out rows of this version are the golden set of its name from now on. A person's decision: results
        before and after are not comparable."""
        version = self.get(name)
        held = [file for split in (Split.GOLDEN, Split.FRESH) if (file := version.file(split)) is not None]
        if not held:
            raise BadInput(f"{version.name}@{version.number} holds no row out: nothing to freeze", field="dataset")
        frozen = self._frozen(self.files.join(held, Split.GOLDEN), version, actor)
        with self._database.write() as conn:
            self._freeze(conn, version, frozen)
        return frozen

    def diff(self, before: str, after: str, *, limit: int = 100) -> DatasetDiff:
        old, new = self.get(before), self.get(after)
        return difference(self.files, old, new, limit=limit)

    def origins(self, version: DatasetVersion, split: Split) -> Iterator[RowOrigin]:
        return (origin_of(row, split) for row in self.rows(version, split))

    def where_from(self, name: str, row: str) -> Provenance:
        """`row` is a row's id, or the trace id of a call: then the first row of it. Raises NotFound."""
        version = self.get(name)
        for split in Split:
            for values in self.rows(version, split):
                if row in (values["row"], values["trace_id"]):
                    return self._provenance(version, values, split)
        raise NotFound(f"{version.name}@{version.number} has no row {row!r}", field="row", hint="headrace dataset rows")

    def containing(self, trace_id: str) -> tuple[DatasetVersion, ...]:
        """Versions that learned from this call, newest first. Reads every file once."""
        wanted = trace_id.encode()
        known: dict[str, bool] = {}
        found = []
        for version in self.all(limit=10_000):
            for file in version.files:
                if file.sha256 not in known:
                    known[file.sha256] = self.files.mentions(file, wanted)
            if any(known[file.sha256] for file in version.files):
                found.append(version)
        return tuple(found)

    # making

    def _golden_rows(self, golden: Golden | None) -> list[Candidate]:
        return [candidate_of(row, Split.GOLDEN) for row in self.files.read(golden.file)] if golden else []

    def _file(
        self, split: Split, rows: list[Candidate], golden: Golden | None, recipe: Recipe, columns: Columns
    ) -> DataFile | None:
        if split is Split.GOLDEN and golden is not None:
            for line in self.files.read(golden.file):
                columns.look(line)
            return golden.file
        if not rows:
            return None
        lines = [line_of(row, recipe.model) for row in rows]
        for line in lines:
            columns.look(line)
        return self.files.add(lines, split)

    def _dispute(self, made: Curated, rows: list[Candidate]) -> None:
        """What people contradict each other about waits for a reviewer."""
        where = {row.trace_id: row.endpoint for row in rows}
        disputed = [(trace_id, where[trace_id]) for trace_id in made.report.disputed]
        if disputed:
            with self._database.write() as conn:
                disputes(conn, disputed, self._clock.now())

    def _keep(
        self,
        version: DatasetVersion,
        before: DatasetVersion | None,
        golden: Golden | None,
        *,
        frozen: bool,
        least: int,
        actor: str,
    ) -> DatasetVersion:
        """`frozen`: elsewhere, by whoever gave the golden rows."""
        if before is not None and _content(before) == _content(version):
            return before
        parents = dict.fromkeys([*([before.id] if before else ()), *([golden.source] if golden else ())])
        version = replace(version, parents=tuple(parents))
        version = replace(version, id=identity(version), created=self._clock.now())
        self.files.seal(version)
        held = version.file(Split.GOLDEN)
        with self._database.write() as conn:
            version = datasets.add(conn, version)
            told = f"{version.rows} rows, {version.corrected} of them corrected by people"
            _tell(conn, version, "dataset.made", told, actor, self._clock.now())
            if not frozen and golden is None and held is not None and held.rows >= least:
                self._freeze(conn, version, self._frozen(held, version, actor))
        return version

    def _frozen(self, file: DataFile, version: DatasetVersion, actor: str) -> Golden:
        return Golden(source=version.id, file=file, frozen=self._clock.now(), actor=actor)

    def _freeze(self, conn: Any, version: DatasetVersion, frozen: Golden) -> None:
        datasets.freeze(conn, version.name, frozen)
        told = f"the golden set of {version.name} is {frozen.file.rows} rows of @{version.number}"
        _tell(conn, version, "dataset.frozen", told, frozen.actor, frozen.frozen)

    def _provenance(self, version: DatasetVersion, values: dict[str, Any], split: Split) -> Provenance:
        origin = origin_of(values, split)
        with self._database.read() as conn:
            words = feedbacks.history(conn, origin.trace_id)
        call = self._query.call(origin.trace_id)
        return Provenance(dataset=version.id, origin=origin, values=values, call=call, words=words)


def identity(version: DatasetVersion) -> str:
    """Neither its number nor its time is part of it."""
    return f"ds_{sha256(_sorted.encode(replace(version, id='', number=0, created=0.0))).hexdigest()}"


def _content(version: DatasetVersion) -> bytes:
    """All but when it was made and after which."""
    return _sorted.encode(replace(version, id="", number=0, created=0.0, parents=()))


def _find(conn: Any, name: str) -> DatasetVersion | None:
    base, at, number = name.rpartition("@")
    if at and number.isdigit():
        return datasets.numbered(conn, base, int(number))
    if name.startswith("ds_") and len(name) >= 8:
        ids = datasets.begins(conn, name)
        if len(ids) > 1:
            raise BadInput(f"more than one dataset version begins with {name!r}", field="dataset")
        return datasets.get(conn, ids[0]) if ids else None
    return datasets.latest(conn, name)


def _check(recipe: Recipe) -> None:
    for name in ("validation", "held"):
        share = getattr(recipe, name)
        if not 0 <= share < 1:
            raise BadInput(f"{name} is {share!r}; allowed: a share from 0 to below 1", field=name)
    if recipe.validation + recipe.held >= 1:
        raise BadInput(
            f"validation {recipe.validation!r} and held {recipe.held!r} leave no user to learn from", field="held"
        )
    if recipe.golden < 1:
        raise BadInput(f"golden is {recipe.golden!r}; allowed: 1 or more", field="golden")
    if recipe.since is not None and recipe.until is not None and recipe.since >= recipe.until:
        raise BadInput(f"from {recipe.since!r} is not before to {recipe.until!r}", field="since")
    if not recipe.dataset or "@" in recipe.dataset or "/" in recipe.dataset or recipe.dataset.startswith("ds_"):
        raise BadInput(
            f"name is {recipe.dataset!r}; allowed: any text without @ and / that does not begin with ds_", field="name"
        )


def _nothing(recipe: Recipe, candidates: int) -> BadInput:
    if not candidates:
        return BadInput(
            f"nobody has said anything of a call of {recipe.model!r} in this time that is still in the journal",
            field="model",
            hint="headrace feedback list",
        )
    return BadInput(f"the rules left none of {candidates} rows", field="rules", hint="switch some of them off")


def _query_of(recipe: Recipe) -> str:
    wanted = {
        "model": recipe.model,
        "endpoint": recipe.endpoint,
        "from": recipe.since,
        "to": recipe.until,
        "validation": recipe.validation,
        "held": recipe.held,
        "salt": recipe.salt,
    }
    return urlencode({name: str(value) for name, value in wanted.items() if value is not None})


def _tell(conn: Any, version: DatasetVersion, action: str, detail: str, actor: str, now: float) -> None:
    subject = f"dataset:{version.name}@{version.number}"
    audit.append(conn, actor=actor, action=action, subject=subject, detail=detail, now=now)
