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


class Server:
    """It can be stopped at once, as if it had crashed, and started again."""

    def __init__(self, folder: Path, *, fsync: bool) -> None:
        self._folder, self._binaries, self._user = folder, _binaries(), _server_user()
        if self._user:
            shutil.chown(folder, "postgres")
        port = free_port()
        self.url = f"postgresql://headrace@127.0.0.1:{port}/postgres"
        self._flags = f"-p {port} -c listen_addresses=127.0.0.1 -c fsync={'on' if fsync else 'off'} -k {folder}"
        self._do("initdb", "-U", "headrace", "--auth=trust", "--no-sync", "--encoding=UTF8", "--no-locale")

    def start(self) -> None:
        self._do("pg_ctl", "-o", self._flags, "-l", self._folder / "log", "-w", "start")

    def stop(self) -> None:
        self._do("pg_ctl", "-m", "immediate", "-w", "stop")

    def pid(self) -> int:
        """Of the process that all others are children of."""
        return int((self._folder / "db" / "postmaster.pid").read_text().split()[0])

    def _do(self, binary: str, *arguments: object) -> None:
        command = [*self._user, str(self._binaries / binary), "-D", str(self._folder / "db"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", timeout=60)
        log = self._folder / "log"
        assert done.returncode == 0, f"{done.stdout}{done.stderr}{log.read_text() if log.exists() else ''}"


@contextmanager
def postgres_server(*, fsync: bool) -> Iterator[Server]:
    """Started; to be left started. Raises NotHere."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-postgres-"))  # other users' folders may be closed to the server
    try:
        server = Server(folder, fsync=fsync)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)


@contextmanager
def running_postgres(*, fsync: bool) -> Iterator[str]:
    """Its URL. Raises NotHere."""
    with postgres_server(fsync=fsync) as server:
        yield server.url


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
