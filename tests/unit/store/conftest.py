"""The same tests on SQLite and on a real PostgreSQL, which is started for them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from headrace.store.db import Database
from headrace.store.migrate import migrate


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """Of an empty database on that server."""
    yield postgres
    database = Database(postgres)
    with database.write() as conn:
        conn.execute(text("DROP SCHEMA public CASCADE"))
        conn.execute(text("CREATE SCHEMA public"))
    database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/headrace.db"
    found: str = request.getfixturevalue("postgres_url")
    return found


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    migrate(made)
    yield made
    made.close()
