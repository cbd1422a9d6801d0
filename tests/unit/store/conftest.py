"""The same tests on SQLite and on a real PostgreSQL, which is started for them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from bench.running import free_port
from headrace.store.db import Database
from headrace.store.migrate import migrate


def _binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).parent if initdb else None


def _as_server_user(*command: object) -> None:
    """PostgreSQL refuses to run as root."""
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    subprocess.run([*prefix, *map(str, command)], check=True, capture_output=True, cwd="/")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a private server."""
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL server here; on Debian: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="headrace-postgres-"))  # pytest's own folders are closed to other users
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    port = free_port()
    _as_server_user(binaries / "initdb", "-D", folder / "db", "-U", "headrace", "--auth=trust", "--no-sync")
    flags = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    _as_server_user(binaries / "pg_ctl", "-D", folder / "db", "-o", flags, "-l", folder / "log", "-w", "start")
    yield f"postgresql://headrace@127.0.0.1:{port}/postgres"
    _as_server_user(binaries / "pg_ctl", "-D", folder / "db", "-m", "immediate", "-w", "stop")
    shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Of an empty database."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/headrace.db"
        return
    yield request.getfixturevalue("postgres")
    database = Database(request.getfixturevalue("postgres"))
    with database.write() as conn:
        conn.execute(text("DROP SCHEMA public CASCADE"))
        conn.execute(text("CREATE SCHEMA public"))
    database.close()


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    made = Database(url)
    migrate(made)
    yield made
    made.close()
