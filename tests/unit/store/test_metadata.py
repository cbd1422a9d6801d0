"""Plans, releases, feedback and the rest, on both databases."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from headrace.store import (
    audit,
    cursors,
    endpoints,
    feedbacks,
    outbox,
    packages,
    plans,
    releases,
    versions,
)
from headrace.store.db import Database
from headrace.store.migrate import migrate
from headrace.store.planfile import PlanFile
from headrace.store.tables import metadata
from headrace.types.call import Feedback
from headrace.types.endpoint import Endpoint, Plan, Variant
from headrace.types.errors import Conflict, Unavailable
from headrace.types.journal import Position
from headrace.types.model import Datatype, ModelVersion, Package, RuntimeKind, Signature, TensorSpec
from headrace.types.release import (
    Interval,
    Judgement,
    MetricKind,
    MetricSpec,
    Phase,
    Release,
    ReleasePlan,
    Step,
    Strategy,
    Tally,
    Verdict,
)
from headrace.types.traffic import TrafficPolicy

SIGNATURE = Signature(
    inputs=(TensorSpec(name="input", datatype=Datatype.FP64, shape=(-1, 64)),),
    outputs=(TensorSpec(name="label", datatype=Datatype.INT64, shape=(-1,)),),
)


def version(number: int, name: str = "digits") -> ModelVersion:
    return ModelVersion(name=name, version=number, uri=f"models:/{name}/{number}", metrics={"accuracy": 0.9})


def package(number: int) -> Package:
    return Package(
        id=f"{number:064x}",
        model="digits",
        version=number,
        source_sha256="s",
        runtime=RuntimeKind.ONNX,
        signature=SIGNATURE,
        files=(),
        created=float(number),
    )


def endpoint(name: str = "digits", share: int = 0) -> Endpoint:
    return Endpoint(
        name=name,
        model="digits",
        variants=(Variant(name="v1", model=version(1), package=package(1)),),
        policy=TrafficPolicy(baseline="v1", candidate="v2", share=share, salt="s"),
        selectors={"1": "v1"},
    )


def release(name: str, *, phase: Phase = Phase.PROGRESSING, endpoint: str = "digits") -> Release:
    steps = (Step(share=100),)
    metrics = (MetricSpec(name="errors", kind=MetricKind.ERRORS),)
    return Release(
        id=name,
        endpoint=endpoint,
        baseline="v1",
        candidate="v2",
        candidate_uri="models:/digits/2",
        plan=ReleasePlan(strategy=Strategy.CANARY, steps=steps, metrics=metrics),
        phase=phase,
        created=1.0,
        actor="ann",
    )


def feedback(number: int, value: object = True, time: float = 1.0) -> Feedback:
    return Feedback(id=f"f{number}", trace_id=f"tr-{number}", name="user_rating", value=value, rater="r", time=time)


# --- the database itself


def test_migrations_make_the_tables(database: Database) -> None:
    migrate(database)  # a second time changes nothing
    with database.read() as conn:
        assert compare_metadata(MigrationContext.configure(conn), metadata) == []


def test_processes_may_migrate_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    others = [context.Process(target=_migrate, args=(url,)) for _ in range(3)]
    for process in others:
        process.start()
    for process in others:
        process.join(60)
    assert [p.exitcode for p in others] == [0, 0, 0]


def _migrate(url: str) -> None:
    database = Database(url)
    migrate(database)
    database.close()


def test_a_failed_transaction_leaves_no_trace(database: Database) -> None:
    with suppress(KeyError), database.write() as conn:
        plans.publish(conn, [endpoint()], reason="r", now=1.0)
        raise KeyError
    with database.read() as conn:
        assert plans.latest(conn) is None
        assert endpoints.all(conn) == ()


def test_a_killed_process_leaves_no_trace(database: Database, url: str) -> None:
    code = (
        "import sys\nfrom headrace.store.db import Database\nfrom headrace.store import audit\n"
        "with Database(sys.argv[1]).write() as conn:\n"
        "    for n in range(100):\n"
        "        audit.append(conn, actor='a', action='b', subject='c', detail=str(n), now=1.0)\n"
        "    print('written', flush=True)\n    sys.stdin.read()\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "written\n"
    os.kill(child.pid, signal.SIGKILL)
    child.communicate()
    with database.write() as conn:
        assert audit.entries(conn) == ()


def test_an_unreachable_database_says_so(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/no/such/folder/x.db")
    with pytest.raises(Unavailable, match="does not answer"), database.read():
        pass
    database.close()


def test_a_password_is_not_shown() -> None:
    database = Database("postgresql://ann:hunter2@127.0.0.1:1/x")
    with pytest.raises(Unavailable) as caught, database.read():
        pass
    assert "hunter2" not in str(caught.value)
    database.close()


# --- plans


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


def test_many_publishers_leave_no_gap(database: Database) -> None:
    failures: list[BaseException] = []

    def publisher() -> None:
        try:
            for _ in range(5):
                with database.write() as conn:
                    plans.publish(conn, [endpoint()], reason="r", now=1.0)
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=publisher) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with database.read() as conn:
        assert plans.revision(conn) == 30
        assert len(plans.history(conn, limit=100)) == 30


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
    file.path.write_bytes(raw[:-10])
    assert file.load() is None
    file.path.write_bytes(b"")
    assert file.load() is None


# --- releases


def test_one_release_an_endpoint(database: Database) -> None:
    with database.write() as conn:
        releases.put(conn, release("rel_1"))
        releases.put(conn, replace(release("rel_1"), step=2))
        releases.put(conn, release("rel_x", endpoint="other"))
    with pytest.raises(Conflict, match="rel_1") as caught, database.write() as conn:
        releases.put(conn, release("rel_2"))
    assert "headrace release abort digits" in caught.value.sentence()
    with database.write() as conn:
        releases.put(conn, release("rel_1", phase=Phase.ABORTED))
        releases.put(conn, replace(release("rel_2"), created=2.0))
    with database.read() as conn:
        assert [r.id for r in releases.active(conn)] == ["rel_x", "rel_2"]
        assert [r.id for r in releases.recent(conn, endpoint="digits")] == ["rel_2", "rel_1"]
        assert len(releases.recent(conn)) == 3
        running = releases.active_for(conn, "digits")
        assert running is not None
        assert running.id == "rel_2"
        assert releases.get(conn, "rel_1") == release("rel_1", phase=Phase.ABORTED)
        assert releases.get(conn, "rel_9") is None


def test_the_index_guards_against_another_control_plane(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with database.write() as conn:
        releases.put(conn, release("rel_1"))
    monkeypatch.setattr(releases, "active_for", lambda conn, endpoint: None)
    with pytest.raises(Conflict, match="digits"), database.write() as conn:
        releases.put(conn, release("rel_2"))


def test_intervals_and_counted_units_come_back(database: Database) -> None:
    tally = {"errors": Tally(baseline_units=9, candidate_units=1, candidate_events=1)}
    judgement = Judgement(verdict=Verdict.HOLD, reason="few", time=2.0)
    seen = [
        Interval(start=float(n), end=n + 1.0, step=0, candidate_units=n, failures_in_row=0, release=tally, step_wise={})
        for n in range(3)
    ]
    with database.write() as conn:
        releases.put(conn, release("rel_1"))
        for interval in seen:
            releases.add_interval(conn, "rel_1", interval=interval, evalues={"errors": 0.25}, judgement=judgement)
        releases.count(conn, "rel_1", scope="release", metric="errors", units=["a", "b"])
        releases.count(conn, "rel_1", scope="release", metric="errors", units=[])
        releases.count(conn, "rel_1", scope="step-0", metric="errors", units={"a"})
    with database.write() as conn:
        stored = releases.intervals(conn, "rel_1")
        assert [s.interval for s in stored] == seen
        assert stored[0].evalues == {"errors": 0.25}
        assert stored[0].judgement == judgement
        assert releases.counted(conn, "rel_1") == {"release/errors": {"a", "b"}, "step-0/errors": {"a"}}
        releases.forget_counted(conn, "rel_1")
        assert releases.counted(conn, "rel_1") == {}


# --- feedback


def test_feedback_keeps_the_newest_word(database: Database) -> None:
    with database.write() as conn:
        assert feedbacks.put(conn, [feedback(1), feedback(1), feedback(2)]) == 2
        assert feedbacks.put(conn, [feedback(1, time=2.0)]) == 0, "the same word again"
        assert feedbacks.put(conn, [feedback(1, False, time=0.5)]) == 0, "an older word"
        assert feedbacks.put(conn, [feedback(1, False, time=3.0)]) == 1
        assert feedbacks.put(conn, []) == 0
        found = feedbacks.for_traces(conn, ["tr-1", "tr-2", "tr-9"])
    assert {t: [f.value for f in items] for t, items in found.items()} == {"tr-1": [False], "tr-2": [True]}


def test_feedback_is_sent_once_and_again_when_changed(database: Database) -> None:
    with database.write() as conn:
        feedbacks.put(conn, [feedback(1), feedback(2, time=2.0)])
        waiting = feedbacks.unsent(conn)
        assert [f.id for f in waiting] == ["f1", "f2"]
        feedbacks.put(conn, [feedback(2, False, time=5.0)])
        feedbacks.mark_sent(conn, waiting, 9.0)
        assert [f.id for f in feedbacks.unsent(conn)] == ["f2"], "changed after it was read"
        feedbacks.mark_sent(conn, feedbacks.unsent(conn), 9.0)
        assert feedbacks.unsent(conn) == ()
        feedbacks.put(conn, [feedback(1, False, time=6.0)])
        assert [f.id for f in feedbacks.unsent(conn)] == ["f1"]


def test_feedback_by_time_and_in_bulk(database: Database) -> None:
    many = [feedback(n, time=float(n)) for n in range(1200)]
    with database.write() as conn:
        assert feedbacks.put(conn, many) == 1200
        assert feedbacks.put(conn, many) == 0
        assert [f.id for f in feedbacks.between(conn, 3.0, 6.0)] == ["f3", "f4", "f5"]
        assert [f.id for f in feedbacks.recent(conn, limit=2)] == ["f1199", "f1198"]
        assert len(feedbacks.for_traces(conn, [f.trace_id for f in many])) == 1200


# --- the small ones


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
