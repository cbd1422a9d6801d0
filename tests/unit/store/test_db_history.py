"""The history is found by what it is about, cannot be changed, and shows it when it was."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from headrace.store import audit
from headrace.store.db import Connection, Database
from headrace.types.history import About, Holding, Wanted


def written(conn: Connection) -> None:
    """Five deeds of two people."""
    for number, (actor, action, subject, about) in enumerate(
        [
            ("ann", "endpoint.deploy", "endpoint:digits", About(after=(Holding(variant="v1", uri="u", share=10_000),))),
            ("ann", "release.start", "release:rel_1", About(endpoint="digits")),
            ("system:release", "release.step", "release:rel_1", About(endpoint="digits", reason="no sign of harm")),
            ("bob", "stage.move", "model:digits/2", About(was="None", now="Staging", reason="\ud800\x00")),
            ("bob", "endpoint.deploy", "endpoint:churn", About()),
        ],
        start=1,
    ):
        audit.append(
            conn, actor=actor, action=action, subject=subject, detail=f"d{number}", now=float(number), about=about
        )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Wanted(), "54321"),
        (Wanted(endpoint="digits"), "321"),
        (Wanted(model="digits"), "4"),
        (Wanted(release="rel_1"), "32"),
        (Wanted(actor="bob"), "54"),
        (Wanted(action="release.*"), "32"),
        (Wanted(action="release"), ""),
        (Wanted(action="endpoint.deploy", endpoint="churn"), "5"),
        (Wanted(action="%*"), ""),
        (Wanted(since=2.0, until=4.0), "32"),
        (Wanted(subject="endpoint:churn"), "5"),
    ],
    ids=str,
)
def test_it_is_found_by_what_it_is_about(database: Database, wanted: Wanted, found: str) -> None:
    with database.write() as conn:
        written(conn)
        entries = audit.search(conn, wanted)
        assert "".join(entry.detail[1:] for entry in entries) == found
        assert audit.search(conn, wanted, oldest_first=True) == entries[::-1]
        assert audit.search(conn, wanted, limit=1) == entries[:1]
        assert audit.actors(conn) == ("ann", "bob", "system:release")


def test_pages_meet_each_other(database: Database) -> None:
    with database.write() as conn:
        written(conn)
        newest = audit.search(conn, Wanted(), limit=2)
        older = audit.search(conn, Wanted(before=newest[-1].id))
        assert [e.detail for e in (*newest, *older)] == ["d5", "d4", "d3", "d2", "d1"]
        assert [e.detail for e in audit.search(conn, Wanted(after=older[0].id), oldest_first=True)] == ["d4", "d5"]
        assert audit.get(conn, newest[0].id) == newest[0]
        assert audit.get(conn, 10_000) is None
        assert audit.newest_id(conn) == newest[0].id


def test_what_it_is_about_comes_back_whole(database: Database) -> None:
    with database.write() as conn:
        written(conn)
        moved, first = (audit.search(conn, Wanted(action=a))[-1] for a in ("stage.move", "endpoint.deploy"))
    assert (moved.about.model, moved.about.was, moved.about.now) == ("digits", "None", "Staging")
    assert moved.about.reason == "?\ufffd"
    assert first.about == About(endpoint="digits", after=(Holding(variant="v1", uri="u", share=10_000),))


def test_the_database_refuses_to_change_it(database: Database) -> None:
    with database.write() as conn:
        written(conn)
    for deed in ("UPDATE audit SET actor = 'eve'", "DELETE FROM audit"):
        with pytest.raises(DBAPIError, match="never changed"), database.write() as conn:
            conn.execute(text(deed))
    with database.read() as conn:
        assert audit.check(conn).entries == 5


@pytest.mark.parametrize(
    ("deed", "broken"),
    [
        ("UPDATE audit SET actor = 'eve' WHERE detail = 'd2'", "d2"),
        ("UPDATE audit SET time = time + 1 WHERE detail = 'd5'", "d5"),
        ("UPDATE audit SET body = '{}' WHERE detail = 'd4'", "d4"),
        ("DELETE FROM audit WHERE detail = 'd3'", "d4"),
        ("DELETE FROM audit WHERE detail = 'd1'", "d2"),
    ],
)
def test_whoever_forces_it_is_seen(database: Database, deed: str, broken: str) -> None:
    with database.write() as conn:
        written(conn)
        assert (chain := audit.check(conn)).broken == 0
        assert (chain.entries, len(chain.head)) == (5, 64)
        _open(conn)
        conn.execute(text(deed))
        found = audit.get(conn, audit.check(conn).broken)
    assert found is not None
    assert found.detail == broken


def test_a_long_one_is_read_page_by_page(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "PAGE", 2)
    with database.write() as conn:
        assert audit.check(conn).head == ""
        written(conn)
        assert audit.check(conn).entries == 5


def _open(conn: Connection) -> None:
    """As somebody with the database's own rights could."""
    names = ("audit_no_update", "audit_no_delete") if conn.dialect.name == "sqlite" else ("audit_closed ON audit",)
    for name in names:
        conn.execute(text(f"DROP TRIGGER {name}"))
