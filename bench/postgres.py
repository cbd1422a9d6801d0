"""A real PostgreSQL on a free port, in a folder of its own, for measurements and tests; ended when the block ends."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.running import free_port

INSTALL = "on Debian: apt-get install postgresql"


class NotHere(Exception):
    """It cannot be run on this machine; says why, and what helps."""


@contextmanager
def running_postgres(*, fsync: bool) -> Iterator[str]:
    """Its URL. Raises NotHere."""
    binaries, user = _binaries(), _server_user()
    folder = Path(tempfile.mkdtemp(prefix="headrace-postgres-"))  # other users' folders may be closed to the server
    if user:
        shutil.chown(folder, "postgres")

    def do(binary: str, *arguments: object) -> None:
        command = [*user, str(binaries / binary), "-D", str(folder / "db"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60)
        log = folder / "log"
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{log.read_text() if log.exists() else ''}"

    port = free_port()
    flags = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync={'on' if fsync else 'off'} -k {folder}"
    try:
        do("initdb", "-U", "headrace", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale")
        do("pg_ctl", "-o", flags, "-l", folder / "log", "-w", "start")
        yield f"postgresql://headrace@127.0.0.1:{port}/postgres"
        do("pg_ctl", "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3]))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    if initdb is None:
        raise NotHere(f"no PostgreSQL server here; {INSTALL}")
    return Path(initdb).resolve().parent


def _server_user() -> list[str]:
    """What to put before a command: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise NotHere(f"PostgreSQL does not run as root and there is no user postgres; {INSTALL}") from None
    if shutil.which("runuser") is None:
        raise NotHere("PostgreSQL does not run as root and there is no runuser; run this as another user")
    return ["runuser", "-u", "postgres", "--"]
