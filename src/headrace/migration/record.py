"""The record of a migration on the operator's side: its phase, the chunks that are copied, and who did what.

Called by migrate.py and copy.py. Decides that one operator works on a migration at a time, and that a step is written
down before it is reported. One SQLite file for each migration, in the data folder; no secret and no row is in it.
The stores alone say which of them is the truth: without this file nothing is lost but the place to go on from.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import TracebackType

import msgspec

from headrace.types.errors import Conflict, Unavailable
from headrace.types.migration import Chunk, Phase, Step

_TABLES = """
CREATE TABLE IF NOT EXISTS step (id INTEGER PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS chunk (number INTEGER PRIMARY KEY, body TEXT NOT NULL);
"""


class Record:
    """Held from `with` to its end; reading needs no hold."""

    def __init__(self, folder: Path, name: str) -> None:
        self._name = name
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / f"{name}.db"
        self._held: sqlite3.Connection | None = None
        self._conn = sqlite3.connect(self._path, timeout=5, isolation_level=None)
        try:
            self._conn.execute("PRAGMA synchronous=FULL")
            self._conn.executescript(_TABLES)
        except sqlite3.Error as error:
            self._conn.close()
            raise Unavailable(f"{str(self._path)!r} cannot be used: {error}") from error

    def __enter__(self) -> Record:
        held = sqlite3.connect(self._path.with_suffix(".lock"), timeout=0, isolation_level=None)
        try:
            held.execute("BEGIN EXCLUSIVE")  # ends with its process, however that ends
        except sqlite3.OperationalError as error:
            held.close()
            raise Conflict(
                f"somebody else works on migration {self._name!r}", hint="headrace migrate status shows how far it is"
            ) from error
        self._held = held
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None

    def close(self) -> None:
        self._conn.close()

    def phase(self) -> Phase:
        steps = self.steps(limit=1)
        return steps[-1].phase if steps else Phase.NEW

    def steps(self, *, limit: int = 1000) -> tuple[Step, ...]:
        """The last ones, the oldest first."""
        with closing(self._conn.execute("SELECT body FROM step ORDER BY id DESC LIMIT ?", (limit,))) as found:
            return tuple(msgspec.json.decode(body, type=Step) for (body,) in reversed(found.fetchall()))

    def note(self, step: Step) -> None:
        self._conn.execute("INSERT INTO step (body) VALUES (?)", (msgspec.json.encode(step).decode(),))

    def last_chunk(self) -> Chunk | None:
        with closing(self._conn.execute("SELECT body FROM chunk ORDER BY number DESC LIMIT 1")) as found:
            row = found.fetchone()
        return msgspec.json.decode(row[0], type=Chunk) if row else None

    def copied(self) -> int:
        """Rows in all chunks."""
        with closing(self._conn.execute("SELECT SUM(json_extract(body, '$.rows')) FROM chunk")) as found:
            return int(found.fetchone()[0] or 0)

    def add_chunk(self, chunk: Chunk) -> None:
        body = msgspec.json.encode(chunk).decode()
        self._conn.execute("INSERT INTO chunk (number, body) VALUES (?, ?)", (chunk.number, body))

    def forget_chunks(self) -> None:
        self._conn.execute("DELETE FROM chunk")
