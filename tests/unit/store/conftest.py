"""The same tests on SQLite and on a real PostgreSQL, which is started for them."""

from __future__ import annotations

import os
import pwd
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

INSTALL = "on Debian: apt-get install postgresql, then run: pytest -m postgres tests/unit/store"


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    if initdb is None:
        pytest.skip(f"no PostgreSQL server here; {INSTALL}")
    return Path(initdb).resolve().parent


def _server_user() -> list[str]:
    """What to put before a command: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        pytest.skip(f"PostgreSQL does not run as root and there is no user postgres; {INSTALL}")
    if shutil.which("runuser") is None:
        pytest.skip("PostgreSQL does not run as root and there is no runuser; run the tests as another user")
    return ["runuser", "-u", "postgres", "--"]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a private server."""
    binaries, user = _binaries(), _server_user()
    folder = Path(tempfile.mkdtemp(prefix="headrace-postgres-"))  # pytest's own folders are closed to other users
    if user:
        shutil.chown(folder, "postgres")

    def do(binary: str, *arguments: object) -> None:
        command = [*user, str(binaries / binary), "-D", str(folder / "db"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60)
        log = folder / "log"
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{log.read_text() if log.exists() else ''}"

    port = free_port()
    flags = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync=off -k {folder}"
    try:
        do("initdb", "-U", "headrace", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale")
        do("pg_ctl", "-o", flags, "-l", folder / "log", "-w", "start")
        yield f"postgresql://headrace@127.0.0.1:{port}/postgres"
        do("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


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
