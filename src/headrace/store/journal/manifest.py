"""Which Parquet files are the archive, and up to where each plane's segments are in it.

Written by the archive alone, whole and atomically; read by the query. A Parquet file that it does not list is garbage,
and a segment up to `archived` is in the files: that makes every row count once, whatever crashed when.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from headrace.base.files import write_atomic
from headrace.store.journal.segments import Kind
from headrace.types.errors import Unavailable


class ParquetFile(msgspec.Struct, frozen=True, kw_only=True):
    """Rows sorted by time. `first`, `last`: times; `low`, `high`: trace ids (empty for events)."""

    name: str  # relative to the journal folder
    rows: int
    size: int  # bytes of the JSON lines it was made of
    first: float
    last: float
    low: str = ""
    high: str = ""


class PlaneMark(msgspec.Struct, frozen=True, kw_only=True):
    archived: int = 0  # highest segment number that is in the files
    torn: int = 0  # lines that were no records


class Retired(msgspec.Struct, frozen=True, kw_only=True):
    """Merged away or too old; the file stays a while for queries that began before."""

    name: str
    since: float


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    generation: int = 0  # one more with each write
    planes: dict[str, PlaneMark] = {}
    calls: tuple[ParquetFile, ...] = ()
    feedback: tuple[ParquetFile, ...] = ()
    metrics: tuple[ParquetFile, ...] = ()
    events: tuple[ParquetFile, ...] = ()
    retired: tuple[Retired, ...] = ()

    def files(self, kind: Kind) -> tuple[ParquetFile, ...]:
        files: tuple[ParquetFile, ...] = getattr(self, kind)
        return files

    def mark(self, plane: str) -> PlaneMark:
        return self.planes.get(plane, PlaneMark())


def manifest_path(journal: Path) -> Path:
    return journal / "manifest.json"


def load_manifest(journal: Path) -> Manifest:
    path = manifest_path(journal)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except FileNotFoundError:
        return Manifest()
    except msgspec.DecodeError as error:
        raise Unavailable(f"{path} is damaged: {error}", hint="restore it from a backup of the data folder") from error


def save_manifest(journal: Path, manifest: Manifest) -> Manifest:
    """Returns what was written: one generation on."""
    following = msgspec.structs.replace(manifest, generation=manifest.generation + 1)
    write_atomic(manifest_path(journal), msgspec.json.encode(following))
    return following
