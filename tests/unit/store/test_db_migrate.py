"""Migrations: they make the tables that the code expects, as a whole, once, also when several processes try."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
from alembic import op
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from store_samples import endpoint

from headrace.store import plans
from headrace.store.db import Database
from headrace.store.indexes import metadata
from headrace.store.migrate import migrate
from headrace.store.tables import REVISION_TABLE
from headrace.types.errors import Unavailable


def test_they_make_the_tables(database: Database) -> None:
    migrate(database)  # a second time changes nothing
    with database.read() as conn:
        context = MigrationContext.configure(conn, opts={"version_table": REVISION_TABLE})
        assert compare_metadata(context, metadata) == []
        assert set(inspect(conn).get_table_names()) == {*metadata.tables, REVISION_TABLE}


def test_processes_may_migrate_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    others = [context.Process(target=_migrate_and_publish, args=(url, barrier)) for _ in range(3)]
    for process in others:
        process.start()
    for process in others:
        process.join(60)
    assert [p.exitcode for p in others] == [0, 0, 0]
    database = Database(url)
    with database.read() as conn:
        assert plans.revision(conn) == 3
    database.close()


def _migrate_and_publish(url: str, barrier: object) -> None:
    database = Database(url)
    barrier.wait(30)  # type: ignore[attr-defined]
    migrate(database)
    with database.write() as conn:
        plans.publish(conn, [endpoint()], reason="r", now=1.0)
    database.close()


def test_one_that_fails_in_the_middle_leaves_no_table(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("in the middle")

    database = Database(url)
    with monkeypatch.context() as patch:
        patch.setattr(op, "create_index", fail)  # the first table is made by then
        with pytest.raises(KeyError, match="in the middle"):
            migrate(database)
    with database.read() as conn:
        assert inspect(conn).get_table_names() == []
    migrate(database)
    with database.read() as conn:
        assert plans.revision(conn) == 0
    database.close()


def test_a_database_of_a_newer_version_is_left_alone(database: Database) -> None:
    with database.write() as conn:
        conn.execute(text(f"UPDATE {REVISION_TABLE} SET version_num = '9999'"))
    with pytest.raises(Unavailable, match="9999") as caught:
        migrate(database)
    assert "newer Headrace" in caught.value.sentence()


def test_another_alembic_application_may_share_the_database(url: str) -> None:
    database = Database(url)
    with database.write() as conn:
        conn.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)"))
        conn.execute(text("INSERT INTO alembic_version VALUES ('5d2d30f0abce')"))
    migrate(database)
    with database.read() as conn:
        assert conn.scalar(text("SELECT version_num FROM alembic_version")) == "5d2d30f0abce"
    database.close()


def test_tables_of_another_application_are_not_taken(url: str) -> None:
    database = Database(url)
    with database.write() as conn:
        conn.execute(text("CREATE TABLE release (song TEXT)"))
    with pytest.raises(Unavailable, match="already exists") as caught:
        migrate(database)
    assert "name another database" in caught.value.sentence()
    database.close()


def test_the_folder_of_a_file_is_made(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/100% new/deep/headrace.db")
    migrate(database)
    with database.read() as conn:
        assert plans.revision(conn) == 0
    database.close()


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    database = Database(f"sqlite:///{tmp_path}/file/headrace.db")
    with pytest.raises(Unavailable, match="cannot be written"):
        migrate(database)
    database.close()
