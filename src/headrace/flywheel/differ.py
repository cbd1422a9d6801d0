"""What became of each row between two versions. Called by datasets.py.

Decides that a row is the same row by its id (its call and place in it), and has changed when any of its fields has, or
its split. Files that both versions share are not read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.data.rows import same
from headrace.flywheel.lines import origin_of
from headrace.store.dataset_files import DatasetFiles
from headrace.types.dataset import DatasetDiff, DatasetVersion, RowChange, RowOrigin, Split

Rows = dict[str, tuple[Split, Mapping[str, Any]]]


def difference(files: DatasetFiles, before: DatasetVersion, after: DatasetVersion, *, limit: int) -> DatasetDiff:
    shared = {(file.split, file.sha256) for file in before.files} & {(file.split, file.sha256) for file in after.files}
    old, new = _rows(files, before, shared), _rows(files, after, shared)
    added = [_origin(new, row) for row in new if row not in old]
    removed = [_origin(old, row) for row in old if row not in new]
    changed = [change for row in old if row in new and (change := _change(old[row], new[row])) is not None]
    common = sum(file.rows for file in before.files if (file.split, file.sha256) in shared)
    return DatasetDiff(
        before=before.id,
        after=after.id,
        added=len(added),
        removed=len(removed),
        changed=len(changed),
        same=common + len(old) - len(removed) - len(changed),
        added_rows=tuple(added[:limit]),
        removed_rows=tuple(removed[:limit]),
        changed_rows=tuple(changed[:limit]),
    )


def _rows(files: DatasetFiles, version: DatasetVersion, shared: set[tuple[str, str]]) -> Rows:
    return {
        row["row"]: (Split(file.split), row)
        for file in version.files
        if (file.split, file.sha256) not in shared
        for row in files.read(file)
    }


def _origin(rows: Rows, row: str) -> RowOrigin:
    split, values = rows[row]
    return origin_of(values, split)


def _change(old: tuple[Split, Mapping[str, Any]], new: tuple[Split, Mapping[str, Any]]) -> RowChange | None:
    before, after = {"split": old[0].value, **old[1]}, {"split": new[0].value, **new[1]}
    names = [name for name in after if same(before.get(name)) != same(after[name])]
    if not names:
        return None
    return RowChange(
        row=after["row"],
        trace_id=after["trace_id"],
        before={name: before.get(name) for name in names},
        after={name: after[name] for name in names},
    )
