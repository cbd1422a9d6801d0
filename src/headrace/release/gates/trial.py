"""A candidate on trial: rows of real traffic, and what it and the live version say to them.

Built by run.py, read by the gates. Decides which rows are asked: what callers sent lately, else the rows that the
version brings along. Each question is asked once, however many gates want its answer, one at a time, so that the live
traffic beside it hardly notices. Ignores what the answers mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from headrace.release.gates.base import Array, Arrays, Asked, Planes, Row
from headrace.release.parts import Parts
from headrace.serving.codec import Codec
from headrace.serving.runtimes.base import Form, Inputs
from headrace.serving.warm import read_rows
from headrace.store.rowfile import open_rows
from headrace.types.call import CallStatus
from headrace.types.endpoint import Endpoint, Variant
from headrace.types.errors import BadInput, HeadraceError, TimedOut
from headrace.types.gate import GateResult
from headrace.types.job import FileFormat
from headrace.types.release import Release

FEW = 16  # captured rows; with fewer, the version's own join them
EACH = 4  # rows of one call at most, so that one large batch is not the whole sample
KNOWN = 5000  # rows of a file of known answers at most
_EXPECTED = ("output", "label", "expected")


class CandidateTrial:
    """base.Trial, with `results` filled in by run.py as gates end."""

    def __init__(self, parts: Parts, release: Release, endpoint: Endpoint, *, candidate: str) -> None:
        self.wanted = endpoint.gates
        self.names = (endpoint.policy.baseline, candidate)
        self.results: list[GateResult] = []
        self._parts, self._release, self._endpoint = parts, release, endpoint
        self._old, self._new = (_variant(endpoint, name) for name in self.names)
        self.signature = self._new.signature
        self._deadline = parts.clock.steady() + endpoint.gates.timeout_seconds
        self._codec = Codec(self.signature, Form())
        self.silent = self._silent(self._new)
        self.rows, self.misfits = self._sample()

    def candidate(self) -> tuple[Asked, ...]:
        return self._candidate

    def baseline(self) -> tuple[Asked, ...]:
        return self._baseline

    def again(self, row: Row) -> Asked:
        return self._ask(self._new, row.arrays)

    def together(self, rows: tuple[Row, ...]) -> Asked:
        arrays = {name: np.concatenate([row.arrays[name] for row in rows]) for name in rows[0].arrays}
        return self._ask(self._new, arrays)

    def memory_mb(self) -> int | None:
        planes = self._parts.planes
        return planes.memory_mb(self._new.model.name, self._new.model.version) if planes is not None else None

    def answers(self) -> tuple[Row, ...]:
        path = self._place(self.wanted.answers)
        found = [self._known(line, record) for line, record in enumerate(_records(path), 1)]
        if not found:
            raise BadInput("it has no rows", field="gates.answers")
        return tuple(found)

    def facts(self) -> dict[str, Any]:
        release = self._release
        return {
            "release": release.id,
            "endpoint": self._endpoint.name,
            "actor": release.actor,
            "strategy": release.plan.strategy,
            "baseline": msgspec.to_builtins(self._old.model),
            "candidate": msgspec.to_builtins(self._new.model),
            "gates": msgspec.to_builtins(self.results),
        }

    # asking

    @cached_property
    def _candidate(self) -> tuple[Asked, ...]:
        return tuple(self._ask(self._new, row.arrays) for row in self.rows)

    @cached_property
    def _baseline(self) -> tuple[Asked, ...]:
        if why := self._silent(self._old):
            return tuple(Asked(outputs={}, error=BadInput(why)) for _ in self.rows)
        return tuple(self._ask(self._old, row.arrays) for row in self.rows)

    def _ask(self, variant: Variant, arrays: Arrays) -> Asked:
        planes = self._planes
        if self._parts.clock.steady() > self._deadline:
            limit = self.wanted.timeout_seconds
            late = TimedOut(f"the gates were not done after {limit:g} s", hint="gates.timeout_seconds or gates.rows")
            return Asked(outputs={}, error=late)
        return planes.ask(self._endpoint.name, variant.name, arrays, specs=self.signature.inputs)

    @property
    def _planes(self) -> Planes:
        if self._parts.planes is None:
            raise BadInput("no data plane can be asked")  # `silent` says so before anyone gets here
        return self._parts.planes

    def _silent(self, variant: Variant) -> str:
        if self._parts.planes is None:
            return "no data plane can be asked"
        if not variant.repeatable:
            return f"{variant.name} is a service elsewhere: asking it may cost or change something there"
        return ""

    # rows

    def _sample(self) -> tuple[tuple[Row, ...], tuple[str, ...]]:
        rows: list[Row] = []
        misfits: list[str] = []
        for origin, value, count in self._captured():
            if len(rows) >= self.wanted.rows:
                break
            try:
                inputs = self._codec.decode(msgspec.Raw(msgspec.json.encode(value)))
            except BadInput as error:
                misfits.append(f"a call that was answered ({origin}) would be refused: {error.sentence()}")
                continue
            rows += self._split(inputs, origin, first=len(rows) + 1, most=min(count, EACH))
        if len(rows) < FEW:
            rows += self._own_rows(first=len(rows) + 1)
        return tuple(rows[: self.wanted.rows]), tuple(misfits)

    def _captured(self) -> Iterator[tuple[str, Any, int]]:
        """Inputs that the endpoint has answered lately."""
        calls = self._parts.query.calls(
            endpoint=self._endpoint.name, status=CallStatus.OK, limit=max(1, 2 * self.wanted.rows)
        )
        for call in calls:
            if call.from_user and call.input is not None:
                yield call.trace_id, call.input, call.rows

    def _own_rows(self, *, first: int) -> list[Row]:
        package = self._new.package
        if not package.warmup or self._new.adapter is not None:  # what callers send becomes these, not the other way
            return []
        inputs = read_rows(self._parts.artifacts.path(package.id) / package.warmup, self._codec)
        return self._split(inputs, f"of {package.warmup} in the package", first=first, most=FEW)

    def _split(self, inputs: Inputs, origin: str, *, first: int, most: int) -> list[Row]:
        return [
            Row(number=first + index, origin=origin, arrays=_one(inputs.arrays, index))
            for index in range(min(inputs.rows, most))
        ]

    # known answers

    def _place(self, name: str) -> Path:
        """Links are followed first: none leads out."""
        folder = self._parts.settings.files_folder.resolve()
        path = (folder / name).resolve()
        if not path.is_relative_to(folder) or not path.is_file():
            raise BadInput(
                f"there is no file {name!r} in the folder for files, {str(folder)!r}",
                field="gates.answers",
                hint="the setting files names another folder",
            )
        return path

    def _known(self, line: int, record: dict[str, Any]) -> Row:
        expected = next((record[name] for name in _EXPECTED if record.get(name) is not None), None)
        if expected is None or record.get("inputs") is None:
            raise BadInput(
                f"row {line} has {', '.join(record)}; it needs inputs and one of {', '.join(_EXPECTED)}",
                field="gates.answers",
            )
        try:
            inputs = self._codec.decode(msgspec.Raw(_json(record["inputs"])))
        except BadInput as error:
            raise BadInput(f"row {line}: {error.message}", field=error.field) from error
        if inputs.rows != 1:
            raise BadInput(f"row {line} has {inputs.rows} rows in inputs; allowed: one", field="gates.answers")
        return replace(self._split(inputs, self.wanted.answers, first=line, most=1)[0], expected=_value(expected))


def _variant(endpoint: Endpoint, name: str) -> Variant:
    found = endpoint.variant(name)
    if found is None:
        raise HeadraceError(f"endpoint {endpoint.name!r} has no variant {name!r}")
    return found


def _one(arrays: Arrays, index: int) -> Arrays:
    return {name: _copied(array[index : index + 1]) for name, array in arrays.items()}


def _copied(array: Array) -> Array:
    """Not a view: it would hold the whole batch."""
    return array.copy()


def _records(path: Path) -> Iterable[dict[str, Any]]:
    kinds = {f".{kind.value}": kind for kind in FileFormat}
    if path.suffix not in kinds:
        raise BadInput(f"{path.name!r} is none of {', '.join(kinds)}", field="gates.answers")
    found: list[dict[str, Any]] = []
    for block in open_rows(path, kinds[path.suffix]).blocks(skip=0, size=KNOWN):
        if block.bad:
            number, why = min(block.bad.items())
            raise BadInput(f"row {block.first + number + 1}: {why}", field="gates.answers")
        found += block.table.to_pylist()
        if len(found) > KNOWN:
            raise BadInput(f"it has more than {KNOWN:,} rows", field="gates.answers", hint="a gate is no evaluation")
    return found


def _json(value: Any) -> bytes:
    """Text of a CSV is JSON already."""
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def _value(expected: Any) -> Any:
    """Text that is JSON is that value: the cells of a CSV are text."""
    if not isinstance(expected, str):
        return expected
    try:
        return msgspec.json.decode(expected)
    except msgspec.DecodeError:
        return expected
