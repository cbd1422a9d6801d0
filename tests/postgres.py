"""A real PostgreSQL for tests, on a free port with a folder of its own; started once in a session that asks for it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.running import free_port

INSTALL = "on Debian: apt-get install postgresql, then run: pytest -m postgres"


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
