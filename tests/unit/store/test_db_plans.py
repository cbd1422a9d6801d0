"""Plans and the endpoints in them, on both databases; the last known good plan on disk."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from store_samples import endpoint

from headrace.store import endpoints, plans
from headrace.store.db import Database
from headrace.store.planfile import PlanFile
from headrace.types.endpoint import Plan

PUBLISHERS, EACH = 4, 10


def test_a_plan_is_whole_and_stamps_what_changed(database: Database) -> None:
    with database.write() as conn:
        first = plans.publish(conn, [endpoint("a"), endpoint("b")], reason="first", now=1.0)
        second = plans.publish(conn, [first.endpoints[0], endpoint("b", share=100)], reason="second", now=2.0)
    assert [e.revision for e in second.endpoints] == [1, 2]
    with database.read() as conn:
        assert plans.revision(conn) == 2
        assert plans.latest(conn) == second
        assert endpoints.all(conn) == second.endpoints
        assert endpoints.get(conn, "a") == first.endpoints[0]
        assert endpoints.get(conn, "z") is None
        assert [line.reason for line in plans.history(conn)] == ["second", "first"]
    with database.write() as conn:
        assert plans.publish(conn, [], reason="none", now=3.0).endpoints == ()
        assert endpoints.all(conn) == ()


def test_many_publishers_leave_no_gap_and_lose_no_change(database: Database, url: str) -> None:
    """Each reads the endpoint, decides, and publishes: what it read must still be true when it writes."""
    with database.write() as conn:
        plans.publish(conn, [endpoint(share=0)], reason="first", now=1.0)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_publish, args=(url,)) for _ in range(PUBLISHERS - 2)]
    threads = [threading.Thread(target=_publish, args=(url, database)) for _ in range(2)]
    for one in (*processes, *threads):
        one.start()
    seen = _watch(database, lambda: any(one.is_alive() for one in (*processes, *threads)))
    for one in (*processes, *threads):
        one.join(60)
    assert [p.exitcode for p in processes] == [0] * len(processes)
    assert seen == sorted(seen), "a reader never sees an older plan again"
    with database.read() as conn:
        assert [line.revision for line in plans.history(conn, limit=100)] == list(range(1 + PUBLISHERS * EACH, 0, -1))
        last = endpoints.get(conn, "digits")
    assert last is not None
    assert last.policy.share == PUBLISHERS * EACH


def _publish(url: str, shared: Database | None = None) -> None:
    database = shared or Database(url)
    for _ in range(EACH):
        with database.write() as conn:
            (found,) = endpoints.all(conn)
            plans.publish(conn, [endpoint(share=found.policy.share + 1)], reason="r", now=1.0)
    if shared is None:
        database.close()


def _watch(database: Database, running: Callable[[], bool]) -> list[int]:
    seen = [0]
    while running():
        with database.read() as conn:
            seen.append(plans.revision(conn))
            plan = plans.latest(conn)
            assert plan is not None
            assert plan.revision == seen[-1]
            assert endpoints.all(conn) == plan.endpoints
    return seen


def test_an_endpoint_that_is_put_back_is_unchanged(database: Database) -> None:
    with database.write() as conn:
        (first,) = plans.publish(conn, [endpoint()], reason="r", now=1.0).endpoints
        (again,) = plans.publish(conn, [replace(first, revision=77)], reason="r", now=2.0).endpoints
    assert again == first


def test_a_reason_may_hold_anything(database: Database) -> None:
    with database.write() as conn:
        plan = plans.publish(conn, [], reason="数据 \x00 \ud800", now=1.0)
        assert plans.latest(conn) == plan
    assert plan.reason == "数据 \ufffd ?"


def test_old_plans_go(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "KEEP", 3)
    with database.write() as conn:
        for _ in range(6):
            plans.publish(conn, [], reason="r", now=1.0)
        assert [line.revision for line in plans.history(conn)] == [6, 5, 4]


def test_the_saved_plan_is_believed_only_whole(tmp_path: Path) -> None:
    file = PlanFile(tmp_path / "run" / "plan.json")
    assert file.load() is None
    plan = Plan(revision=7, created=1.0, endpoints=(endpoint(),), reason="r")
    file.save(plan)
    assert file.load() == plan
    raw = file.path.read_bytes()
    for length in (*range(0, len(raw), 97), len(raw) - 1):
        file.path.write_bytes(raw[:length])
        assert file.load() is None
    file.path.write_bytes(raw.replace(b'"revision":7', b'"revision":8'))
    assert file.load() is None


def test_a_plan_saved_by_another_version_is_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = PlanFile(tmp_path / "plan.json")
    body = b'{"epoch": 7}'
    file.path.write_bytes(sha256(body).hexdigest().encode() + b"\n" + body)
    assert file.load() is None
    assert "not of this version" in caplog.text


def test_a_plan_that_cannot_be_saved_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = PlanFile(tmp_path / "plan.json")
    plan = Plan(revision=1, created=1.0)
    file.save(plan)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.save(replace(plan, revision=2))
    assert file.load() == plan
    assert list(tmp_path.iterdir()) == [file.path]
