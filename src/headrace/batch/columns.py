"""Which columns of a file a model gets, which are carried through, and what the results are called. Pure.

Called by run.py with the columns of the first rows. Decides, for each input of the model:

    one value a row      the column of that name
    a vector a row       the column of that name, holding lists; else as many columns as it has values

`features` names the latter where the file has more columns than that, `keep` the others; both take patterns (pixel_*).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

from headrace.types.errors import BadInput
from headrace.types.model import TensorSpec

PREDICTION: Final = "prediction"
WORDS: Final = ("trace_id", "model_version", "error")
NOTHING: Final = "none"
_SHOWN = 8  # columns that an error names


class Form(StrEnum):
    COLUMN = "column"  # one column, one value a row
    STACK = "stack"  # several columns, side by side
    NESTED = "nested"  # one column of lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    spec: TensorSpec
    form: Form
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    sources: tuple[Source, ...]
    results: dict[str, TensorSpec]  # by column
    keep: tuple[str, ...]  # patterns; empty: what no source uses

    def kept(self, columns: Sequence[str]) -> tuple[str, ...]:
        """Of a block. Raises BadInput where a column has a result's name."""
        used = {name for source in self.sources for name in source.names}
        kept = matching(self.keep, columns) if self.keep else tuple(n for n in columns if n and n not in used)
        for name in kept:
            if name in self.results or name in WORDS:
                raise BadInput(
                    f"the file has a column {name!r}, which is what a result is called", field="keep", hint=_others
                )
        return kept


_others = "name the columns to carry through: --keep id, or --keep none"


def arrange(
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    columns: Sequence[str],
    *,
    features: Sequence[str] = (),
    keep: Sequence[str] = (),
) -> Arrangement:
    """Raises BadInput that names what is missing."""
    chosen = matching(features, columns)
    for pattern in (*features, *(p for p in keep if p != NOTHING)):
        if not matching((pattern,), columns):
            raise BadInput(f"no column is {pattern!r}; there are: {_listed(columns)}", field="columns")
    if chosen and len(inputs) > 1:
        raise BadInput(
            f"the model takes several inputs, each from the column of its name: {_listed([i.name for i in inputs])}",
            field="features",
        )
    rest = chosen or tuple(name for name in columns if name and name not in matching(keep, columns))
    sources = tuple(_source(spec, rest, columns, named=bool(chosen), alone=len(inputs) == 1) for spec in inputs)
    results = {PREDICTION if i == 0 else spec.name: spec for i, spec in enumerate(outputs)}
    return Arrangement(sources=sources, results=results, keep=tuple(keep))


def matching(patterns: Sequence[str], columns: Sequence[str]) -> tuple[str, ...]:
    """In the file's order."""
    return tuple(name for name in columns if any(fnmatchcase(name, p) for p in patterns if p != NOTHING))


def _source(spec: TensorSpec, rest: Sequence[str], columns: Sequence[str], *, named: bool, alone: bool) -> Source:
    if len(spec.shape) == 1:
        if spec.name in columns and not named:
            return Source(spec=spec, form=Form.COLUMN, names=(spec.name,))
        if named and len(rest) == 1:
            return Source(spec=spec, form=Form.COLUMN, names=(rest[0],))
        raise BadInput(f"the file has no column {spec.name!r}; it has: {_listed(columns)}", field=spec.name)
    if spec.name in columns and not named:
        return Source(spec=spec, form=Form.NESTED, names=(spec.name,))
    size = spec.shape[1]
    if len(spec.shape) == 2 and alone and rest and size in (-1, len(rest)) and (size != -1 or len(rest) > 1):
        return Source(spec=spec, form=Form.STACK, names=tuple(rest))
    if alone and len(rest) == 1:
        return Source(spec=spec, form=Form.NESTED, names=(rest[0],))
    takes = f"{size} values" if len(spec.shape) == 2 and size > 0 else "lists"
    raise BadInput(
        f"the model takes {takes} a row for {spec.name!r}; the file has {len(rest)} columns for it: {_listed(rest)}",
        field=spec.name,
        hint="name them, --features 'pixel_*', or the others, --keep id",
    )


def _listed(names: Sequence[str]) -> str:
    more = f", … ({len(names)})" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
