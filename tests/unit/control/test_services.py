"""Which journal segments must stay."""

from __future__ import annotations

from pathlib import Path

from headrace.control.services import keep_until
from headrace.store import cursors
from headrace.types.journal import Position
from tests.control_samples import open_database


def test_the_slowest_reader_decides(tmp_path: Path) -> None:
    with open_database(tmp_path) as database:
        assert keep_until(database).offsets.get("data", (0, 0)) == (0, 0)
        with database.write() as conn:
            cursors.put(conn, "collect", Position(offsets={"data": (9, 100)}))
        assert keep_until(database).offsets["data"] == (0, 0), "the mirror has read nothing yet"
        with database.write() as conn:
            cursors.put(conn, "mirror", Position(offsets={"data": (7, 5)}))
        assert keep_until(database).offsets["data"] == (0, 0), "nor the ledger"
        with database.write() as conn:
            cursors.put(conn, "ledger", Position(offsets={"data": (8, 1)}))
        assert keep_until(database).offsets == {"data": (7, 5)}
        with database.write() as conn:
            cursors.put(conn, "release:rel_1", Position(offsets={"data": (4, 0)}))
        assert keep_until(database).offsets == {"data": (4, 0)}
        with database.write() as conn:
            cursors.remove(conn, "release:rel_1")
        assert keep_until(database).offsets == {"data": (7, 5)}
