"""Cursors, model versions, packages, the audit and the outbox, on both databases."""

from __future__ import annotations

from dataclasses import replace

from store_samples import package, version

from headrace.store import audit, cursors, outbox, packages, versions
from headrace.store.db import Database
from headrace.types.journal import Position


def test_cursors(database: Database) -> None:
    here = Position(offsets={"data": (3, 4096)})
    with database.write() as conn:
        assert cursors.get(conn, "mirror") is None
        cursors.put(conn, "mirror", Position())
        cursors.put(conn, "mirror", here)
        assert cursors.get(conn, "mirror") == here
        assert cursors.all(conn) == {"mirror": here}


def test_versions_and_packages(database: Database) -> None:
    with database.write() as conn:
        versions.put(conn, version(1))
        versions.put(conn, replace(version(1), sha256="abc"))
        versions.put(conn, version(2))
        versions.put(conn, version(1, "iris"))
        assert versions.names(conn) == ("digits", "iris")
        assert [(v.version, v.sha256) for v in versions.all(conn, "digits")] == [(1, "abc"), (2, "")]
        assert len(versions.all(conn)) == 3
        assert versions.get(conn, "digits", 2) == version(2)
        versions.remove(conn, "digits", 2)
        assert versions.get(conn, "digits", 2) is None
        packages.put(conn, package(1))
        packages.put(conn, package(1))
        packages.put(conn, replace(package(2), version=1))
        newest = packages.for_version(conn, "digits", 1)
        assert newest is not None
        assert newest.id == package(2).id
        assert packages.for_version(conn, "digits", 9) is None


def test_audit(database: Database) -> None:
    with database.write() as conn:
        audit.append(conn, actor="ann", action="release.start", subject="release:1", detail="d", now=1.0)
        audit.append(conn, actor="bob", action="release.abort", subject="release:2", detail="数据", now=2.0)
        assert [(e.actor, e.detail) for e in audit.entries(conn)] == [("bob", "数据"), ("ann", "d")]
        assert [e.action for e in audit.entries(conn, subject="release:1")] == ["release.start"]


def test_outbox(database: Database) -> None:
    with database.write() as conn:
        outbox.add(conn, kind="stage", body="{}", now=1.0)
        outbox.add(conn, kind="stage", body='{"n": 2}', now=2.0)
        first, second = outbox.pending(conn)
        outbox.failed(conn, first.id, "down")
        outbox.done(conn, second.id)
        (left,) = outbox.pending(conn)
        assert (left.attempts, left.error, left.body) == (1, "down", "{}")


def test_the_audit_takes_any_words(database: Database) -> None:
    with database.write() as conn:
        audit.append(conn, actor="a" * 5000, action="b", subject="c\x00", detail="\ud800", now=1.0)
        (entry,) = audit.entries(conn)
    assert (entry.actor, entry.subject, entry.detail) == ("a" * 5000, "c\ufffd", "?")
