"""Transactions, and what becomes of failures, on both databases."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from store_samples import endpoint

from headrace.base.settings import SettingsError
from headrace.store import audit, cursors, db, endpoints, plans
from headrace.store.db import Database
from headrace.store.migrate import migrate
from headrace.types.errors import Unavailable
from headrace.types.journal import Position


def say(database: Database, detail: str) -> None:
    with database.write() as conn:
        audit.append(conn, actor="a", action="b", subject="c", detail=detail, now=1.0)


# --- all or nothing


def test_a_failed_transaction_leaves_no_trace(database: Database) -> None:
    with suppress(KeyError), database.write() as conn:
        plans.publish(conn, [endpoint()], reason="r", now=1.0)
        raise KeyError
    with database.read() as conn:
        assert plans.latest(conn) is None
        assert endpoints.all(conn) == ()


def test_a_reader_sees_one_moment_and_waits_for_nobody(database: Database) -> None:
    say(database, "before")
    with database.read() as conn:
        assert len(audit.entries(conn)) == 1
        say(database, "meanwhile")
        with database.write() as writer, database.read() as other:
            audit.append(writer, actor="a", action="b", subject="c", detail="unfinished", now=1.0)
            assert len(audit.entries(other)) == 2
        assert len(audit.entries(conn)) == 1


def test_a_reader_cannot_write(database: Database) -> None:
    with pytest.raises(Unavailable, match=r"read-?only"), database.read() as conn:
        cursors.put(conn, "c", Position())
    with database.write() as conn:  # the same pooled connection can
        cursors.put(conn, "c", Position())


def test_a_process_killed_inside_a_transaction_leaves_no_trace(database: Database, url: str) -> None:
    child = _child(
        url,
        "with database.write() as conn:\n"
        "    for n in range(100):\n"
        "        audit.append(conn, actor='a', action='b', subject='c', detail=str(n), now=1.0)\n"
        "    print('written', flush=True)\n"
        "    sys.stdin.read()\n",
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    with database.write() as conn:
        assert audit.entries(conn) == ()


def test_what_a_killed_process_had_committed_is_there_and_whole(database: Database, url: str) -> None:
    acknowledged = 0
    for lines in (1, 7, 20):
        child = _child(
            url,
            "while True:\n"
            "    with database.write() as conn:\n"
            "        plan = plans.publish(conn, [endpoint(share=plans.revision(conn))], reason='r', now=1.0)\n"
            "        audit.append(conn, actor='a', action='b', subject='c', detail=str(plan.revision), now=1.0)\n"
            "    print(plan.revision, flush=True)\n",
        )
        assert child.stdout is not None
        for _ in range(lines):
            acknowledged = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        rest, _ = child.communicate()
        acknowledged = max([acknowledged, *map(int, rest.split("\n")[:-1])])
        with database.read() as conn:
            plan = plans.latest(conn)
            said = [int(e.detail) for e in audit.entries(conn, limit=10_000)]
            assert plan is not None
            assert endpoints.all(conn) == plan.endpoints
        assert plan.revision >= acknowledged
        assert said == list(range(plan.revision, 0, -1)), "each plan with its audit entry"


def _child(url: str, code: str) -> subprocess.Popen[str]:
    prelude = (
        "import sys\nsys.path.insert(0, sys.argv[2])\nfrom headrace.store.db import Database\n"
        "from headrace.store import audit, plans\nfrom store_samples import endpoint\n"
        "database = Database(sys.argv[1])\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", prelude + code, url, str(Path(__file__).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


# --- failures


def test_a_writer_that_waited_too_long_says_so(database: Database, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "WAIT_SECONDS", 0.2)
    other = Database(url)
    with database.write():
        with pytest.raises(Unavailable, match="lock") as caught, other.write():
            pass
        with other.read() as conn:
            assert plans.revision(conn) == 0
    assert "another process holds it" in caught.value.sentence()
    assert caught.value.retryable
    say(other, "now it is free")
    other.close()


def test_missing_tables_are_named_with_what_makes_them(url: str) -> None:
    database = Database(url)
    with pytest.raises(Unavailable, match="plan") as caught, database.read() as conn:
        plans.revision(conn)
    assert "headrace up" in caught.value.sentence()
    migrate(database)
    with database.read() as conn:
        assert plans.revision(conn) == 0
    database.close()


def test_a_wrong_statement_stays_a_defect(database: Database) -> None:
    with pytest.raises(DBAPIError), database.read() as conn:
        conn.execute(text("SELEKT 1"))


def test_too_many_connections_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "_POOL", {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1})
    database = Database(url)
    with database.read(), pytest.raises(Unavailable, match="no connection"), database.read():
        pass
    database.close()


def test_a_full_disk_keeps_nothing_of_the_change(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/headrace.db")
    migrate(database)
    say(database, "before")
    with database.write() as conn:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
        conn.exec_driver_sql(f"PRAGMA max_page_count={pages + 3}")
    with pytest.raises(Unavailable, match="full") as caught:
        _fill(database)
    assert "free room on its disk" in caught.value.sentence()
    with database.write() as conn:
        conn.exec_driver_sql("PRAGMA max_page_count=1000000")
    say(database, "after")
    with database.read() as conn:
        assert [e.detail for e in audit.entries(conn)] == ["after", "before"]
    database.close()


def _fill(database: Database) -> None:
    with database.write() as conn:
        for _ in range(100):
            audit.append(conn, actor="a", action="b", subject="c", detail="x" * 4096, now=1.0)


@pytest.mark.parametrize("content", [b"this is not a database, it is a letter" * 100, None])
def test_a_file_that_cannot_be_opened(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "headrace.db"
    path.mkdir() if content is None else path.write_bytes(content)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(Unavailable, match="cannot be used"), database.read():
        pass
    database.close()


def test_a_missing_folder(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/no/such/folder/x.db")
    with pytest.raises(Unavailable, match="unable to open") as caught, database.read():
        pass
    assert "folder" in caught.value.sentence()
    database.close()


@pytest.mark.postgres
@pytest.mark.parametrize("driver", ["pg8000", "psycopg"])
def test_what_postgresql_says_is_understood_from_every_driver(postgres_url: str, driver: str) -> None:
    pytest.importorskip(driver)
    database = Database(postgres_url.replace("postgresql:", f"postgresql+{driver}:"))
    migrate(database)
    for state, hint in (("53100", "free room"), ("40P01", "try again"), ("57P03", "database_url")):
        say_no = f"DO $$ BEGIN RAISE EXCEPTION 'oh no' USING ERRCODE = '{state}'; END $$"
        with pytest.raises(Unavailable, match="oh no") as caught, database.write() as conn:
            conn.exec_driver_sql(say_no)
        assert hint in caught.value.sentence()
    with pytest.raises(Unavailable):
        _lose_connection(postgres_url, database)
    with database.read() as conn:
        pid = conn.scalar(text("SELECT pg_backend_pid()"))
    _end_connection(postgres_url, pid)  # while it is idle: nobody notices
    with database.write() as conn:
        assert plans.publish(conn, [endpoint()], reason="r", now=1.0).revision == 1
    database.close()


def _lose_connection(url: str, database: Database) -> None:
    with database.write() as conn:
        _end_connection(url, conn.scalar(text("SELECT pg_backend_pid()")))
        conn.execute(text("SELECT 1"))


def _end_connection(url: str, pid: int | None) -> None:
    other = Database(url)
    with other.read() as conn:
        conn.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    other.close()


@pytest.mark.parametrize("driver", ["pg8000", "psycopg"])
def test_an_unreachable_server_says_so_without_the_password(driver: str) -> None:
    pytest.importorskip(driver)
    database = Database(f"postgresql+{driver}://ann:hunter2@127.0.0.1:1/x")
    with pytest.raises(Unavailable, match="cannot be used") as caught, database.read():
        pass
    assert "hunter2" not in caught.value.sentence()
    assert "ann:***@127.0.0.1" in caught.value.sentence()
    database.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://ann:hunter2@db/x", "scheme 'mysql'"),
        ("postgresql+asyncpg://ann:hunter2@db/x", "scheme 'postgresql\\+asyncpg'"),
        ("ann:hunter2@db/x", "not a URL"),
        ("postgresql://ann:hunter2@db:port/x", "scheme 'postgresql' and cannot be read"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
    ],
)
def test_a_url_that_is_not_for_us(url: str, says: str) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        Database(url)
    assert "hunter2" not in str(caught.value)


def test_a_missing_driver_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pg8000", None)
    with pytest.raises(SettingsError, match=r"pip install 'headrace\[postgres\]'"):
        Database("postgres://127.0.0.1/x")


# --- cost


def test_a_data_plane_pays_for_nothing_it_does_not_use(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom headrace.store import db, planfile, plans\n"
        f"database = db.Database('sqlite:///{tmp_path}/x.db')\n"
        "with database.read() as conn:\n    pass\n"
        "print(*sys.modules)\n"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    )
    for name in ("alembic", "mako", "sqlalchemy.orm", "sqlalchemy.dialects.postgresql", "duckdb", "mlflow", "pyarrow"):
        assert name not in loaded
