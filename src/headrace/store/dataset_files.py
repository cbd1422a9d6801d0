"""The rows of dataset versions on disk, by what is in them: the same rows are one file, in how many versions ever.

Called by flywheel/datasets.py. Decides how a file comes to be whole or not at all, and how rows are hashed.

    datasets/files/<sha256>.jsonl   rows as JSON lines, keys sorted; never changed
    datasets/<id>.json              the manifest of a version
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import msgspec

from headrace.base.files import file_sha256, sync_folder, write_atomic
from headrace.types.dataset import DataFile, DatasetVersion, Split
from headrace.types.errors import NotFound, Unavailable

HASH_SIZE: Final = 1 << 256
_sorted: Final = msgspec.json.Encoder(order="sorted")


class DatasetFiles:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = folder / "files"

    def add(self, rows: Iterable[Mapping[str, Any]], split: Split) -> DataFile:
        """Memory is that of one row."""
        return self._add((_sorted.encode(row) for row in rows), split)

    def join(self, files: Iterable[DataFile], split: Split) -> DataFile:
        """The rows of several files as one."""
        return self._add((line for file in files for line in self._lines(file)), split)

    def seal(self, version: DatasetVersion) -> None:
        """The manifest, after its files."""
        content = msgspec.json.format(msgspec.json.encode(version), indent=2)
        write_atomic(self._folder / f"{version.id}.json", content)

    def path(self, version: DatasetVersion, split: Split) -> Path:
        """Raises NotFound when the version has no such split."""
        file = version.file(split)
        if file is None:
            there = ", ".join(file.split for file in version.files) or "none"
            raise NotFound(
                f"{version.name}@{version.number} has no split {split.value!r}; there are: {there}", field="split"
            )
        return self._place(file)

    def rows(self, version: DatasetVersion, split: Split) -> Iterator[dict[str, Any]]:
        """Nothing for a split that the version has not."""
        file = version.file(split)
        for line in self._lines(file) if file is not None else ():
            yield msgspec.json.decode(line)

    def read(self, file: DataFile) -> Iterator[dict[str, Any]]:
        for line in self._lines(file):
            yield msgspec.json.decode(line)

    def mentions(self, file: DataFile, word: bytes) -> bool:
        return any(word in line for line in self._lines(file))

    def verify(self, version: DatasetVersion) -> None:
        """Every byte is the one that was kept. Raises Unavailable, naming the file."""
        for file in version.files:
            path = self._place(file)
            if not path.is_file() or (digest := file_sha256(path)) != file.sha256:
                what = f"has sha256 {digest[:12]}…" if path.is_file() else "is missing"
                raise Unavailable(
                    f"file {file.path!r} of {version.name}@{version.number} {what}; it should be {file.sha256[:12]}…",
                    hint="restore the data folder from a backup, or make the version again",
                )

    def _add(self, lines: Iterator[bytes], split: Split) -> DataFile:
        self._files.mkdir(parents=True, exist_ok=True)
        temporary = self._files / f".{secrets.token_hex(6)}"
        digest, total, count, size = sha256(), 0, 0, 0
        try:
            with temporary.open("wb") as out:
                for line in lines:
                    whole = line + b"\n"
                    out.write(whole)
                    digest.update(whole)
                    total = (total + row_hash(line)) % HASH_SIZE
                    count += 1
                    size += len(whole)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(self._files / f"{digest.hexdigest()}.jsonl")
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(self._files)
        return DataFile(
            path=f"{split.value}.jsonl",
            sha256=digest.hexdigest(),
            size=size,
            rows=count,
            split=split.value,
            row_hash=f"{total:064x}",
        )

    def _lines(self, file: DataFile) -> Iterator[bytes]:
        try:
            with self._place(file).open("rb") as lines:
                for line in lines:
                    yield line.rstrip(b"\n")
        except FileNotFoundError as error:
            raise Unavailable(
                f"the rows {file.path!r} ({file.sha256[:12]}…) are not in {self._files}",
                hint="restore the data folder from a backup, or make the version again",
            ) from error

    def _place(self, file: DataFile) -> Path:
        return self._files / f"{file.sha256}.jsonl"


def row_hash(line: bytes) -> int:
    """Of one row's sorted JSON. Hashes of rows are added up: order does not matter, and a doubled row does."""
    return int.from_bytes(sha256(line).digest())


def sum_hashes(hashes: Iterable[str]) -> str:
    """The row hash of files together."""
    return f"{sum(int(one, 16) for one in hashes) % HASH_SIZE:064x}"
