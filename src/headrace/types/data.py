"""Datasets and lineage."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DataFile:
    path: str
    sha256: str
    size: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetVersion:
    """A manifest. `id` is "ds_" and the sha256 of the manifest; `row_hash` does not depend on the order of rows."""

    id: str
    name: str
    created: float
    files: tuple[DataFile, ...]
    columns: dict[str, str]
    rows: int
    row_hash: str
    parents: tuple[str, ...] = ()
    query: str = ""  # the selection that made it
    corrected: int = 0  # rows whose output a person corrected


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Lineage: `target` came from `source`. Both are URNs such as headrace://default/model/digits@3."""

    source: str
    target: str
    kind: str
    time: float
