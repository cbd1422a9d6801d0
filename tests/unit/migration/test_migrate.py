"""The steps of a migration on two SQLite files: what each does, when it may be, and what a kill leaves behind."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest

from headrace.migration import phases, roles
from headrace.migration.record import Record
from headrace.types.errors import BadInput, Conflict, Unavailable, UpstreamError
from headrace.types.migration import Difference, Phase, Role, Row, Standing
from tests.unit.migration.moved import SOURCE, TARGET, Moved, contents, quiet, value_of


def fill(moved: Moved, count: int = 10) -> None:
    for i in range(count):
        moved.put_past(SOURCE, f"k{i}", i)


def test_from_one_store_to_the_other(moved: Moved) -> None:
    fill(moved)
    client = moved.client()
    client.put("k0", value=100)
    migration = moved.operator()
    assert migration.status().phase is Phase.NEW
    migration.start()
    client.put("k1", value=101)
    client.delete("k2")
    assert migration.copy(quiet) == 9
    client.put("new", value=7)
    found = migration.check(quiet)
    assert (found.equal, found.rows, len(found.fingerprint)) == (True, 10, 32)
    wanted = {f"k{i}": i for i in range(3, 10)} | {"k0": 100, "k1": 101, "new": 7}
    assert contents(moved.stores[SOURCE]) == contents(moved.stores[TARGET]) == wanted
    switched = migration.switch(quiet)
    assert switched.check.equal
    client.put("k3", value=303)
    assert value_of(moved.stores[TARGET].get(["k3"]).rows[0].values) == 303
    assert value_of(client.get("k3")) == 303
    migration.back()
    assert value_of(moved.stores[SOURCE].get(["k3"]).rows[0].values) == 303
    assert client.get_many(["k3", "nothing"]) == {"k3": {"value": 303}}
    migration.check(quiet)
    migration.switch(quiet)
    migration.finish()
    client.put("k3", value=404)
    assert value_of(moved.stores[TARGET].get(["k3"]).rows[0].values) == 404
    assert value_of(moved.stores[SOURCE].get(["k3"]).rows[0].values) == 303
    status = migration.status()
    assert (status.phase, status.lag.rows) == (Phase.FINISHED, 0)
    steps = ["start", "copy", "check", "switch", "back", "check", "switch", "finish"]
    assert [step.action for step in status.steps] == steps
    assert {step.actor for step in status.steps} == {"ada"}


def test_columns_that_are_not_moved_are_left_alone(moved: Moved) -> None:
    moved.put_past(SOURCE, "k", 1)
    with sqlite3.connect(moved.paths[SOURCE]) as conn:
        conn.execute("UPDATE rows SET ours = 'mine'")
    moved.client().put("k", value=2)
    assert conn.execute("SELECT id, value, ours FROM rows").fetchall() == [("k", 2, "mine")]
    conn.close()


@pytest.mark.parametrize("phase", [Phase.DUAL, Phase.COPIED, Phase.CHECKED, Phase.SWITCHED, Phase.FINISHED])
def test_a_step_out_of_turn_is_refused(moved: Moved, phase: Phase) -> None:
    migration = moved.until(phase)
    steps: dict[str, Any] = {
        "start": migration.start,
        "copy": lambda: migration.copy(quiet),
        "check": lambda: migration.check(quiet),
        "switch": lambda: migration.switch(quiet),
        "back": migration.back,
        "finish": migration.finish,
        "abort": migration.abort,
    }
    for name, (allowed, _) in phases.STEPS.items():
        if phase not in allowed:
            with pytest.raises(Conflict, match=f"is {phase.value}; {name} is for"):
                steps[name]()
    assert migration.status().phase is phase


def test_after_an_abort_it_can_begin_anew(moved: Moved) -> None:
    fill(moved)
    migration = moved.until(Phase.COPIED)
    client = moved.client()
    migration.abort()
    client.put("k1", value=11)
    client.delete("k2")
    assert moved.stores[TARGET].get(["k1"]).rows[0].values == {"value": 1}
    migration.start()
    migration.copy(quiet)
    assert not migration.check(quiet).equal  # k2 was there before and is not in the source any more
    assert migration.check(quiet, repair=True).equal
    assert contents(moved.stores[TARGET]) == contents(moved.stores[SOURCE])


def test_a_copy_goes_on_where_it_was_killed(moved: Moved, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(moved)
    migration = moved.until(Phase.DUAL)
    follow, calls = moved.stores[TARGET].follow, []

    def dies(rows: Any) -> int:
        calls.append(rows)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return follow(rows)

    monkeypatch.setattr(moved.stores[TARGET], "follow", dies)
    with pytest.raises(KeyboardInterrupt):
        migration.copy(quiet)
    assert len(contents(moved.stores[TARGET])) == 6
    assert migration.copy(quiet) == 10
    assert [row.key for row in calls[3]] == [row.key for row in calls[2]]
    assert len(calls) == 5
    assert migration.check(quiet).equal


def test_a_target_that_cannot_hold_the_values_is_named(moved: Moved) -> None:
    with sqlite3.connect(moved.paths[TARGET]) as conn:
        conn.execute("CREATE TABLE rows (id TEXT PRIMARY KEY NOT NULL, value INTEGER)")
        conn.execute("CREATE TRIGGER less AFTER INSERT ON rows BEGIN UPDATE rows SET value = 1 WHERE id = NEW.id; END")
    conn.close()
    fill(moved)
    migration = moved.until(Phase.DUAL)
    with pytest.raises(UpstreamError, match="gives back row 'k0' differently: value is 1, it was 0"):
        migration.copy(quiet)
    assert migration.status().phase is Phase.DUAL


def test_differences_are_found_told_apart_and_repaired(moved: Moved) -> None:
    fill(moved, 30)
    migration = moved.until(Phase.COPIED)
    moved.put_past(TARGET, "k1", None)
    moved.put_past(TARGET, "k2", 222)
    moved.put_past(TARGET, "extra", 1)
    moved.stores[TARGET].follow([Row(key="k3", version=9, values={"value": 333})])
    found = migration.check(quiet)
    wanted = {
        "k1": Difference.MISSING,
        "k2": Difference.CHANGED,
        "extra": Difference.EXTRA,
        "k3": Difference.AHEAD,
    }
    assert {d.key: d.what for d in found.differing} == wanted
    assert (found.equal, found.differences, found.rows) == (False, 4, 30)
    assert migration.status().phase is Phase.COPIED
    with pytest.raises(Conflict):
        migration.switch(quiet)
    found = migration.check(quiet, repair=True)
    assert (found.differences, found.repaired, found.equal) == (1, 3, False)
    assert [d.key for d in migration.check(quiet).differing] == ["k3"]


def test_a_sample_compares_some_rows(moved: Moved) -> None:
    fill(moved, 60)
    migration = moved.until(Phase.COPIED)
    found = migration.check(quiet, sample=0.3)
    assert (found.equal, found.rows) == (True, 60)
    assert 0 < found.compared < 60
    for i in range(60):
        moved.put_past(TARGET, f"k{i}", 1000)
    assert not migration.check(quiet, sample=0.3).equal


def test_rows_on_their_way_are_no_difference(moved: Moved) -> None:
    fill(moved)
    migration = moved.until(Phase.COPIED)
    client = moved.client()
    for i in range(10):
        client.put(f"k{i}", value=-i)
    client.delete("k9")
    assert migration.status().lag.rows == 10
    assert migration.check(quiet).equal
    assert client.lag().rows == 0


def test_a_switch_refuses_stores_that_came_apart(moved: Moved) -> None:
    fill(moved)
    migration = moved.until(Phase.CHECKED)
    moved.put_past(TARGET, "k1", 999)
    with pytest.raises(Conflict, match=r"reads stay: .* 1 differ"):
        migration.switch(quiet)
    assert migration.status().phase is Phase.COPIED
    assert roles.truth_of(moved.stores) == SOURCE


def test_a_switch_goes_back_when_the_target_gives_something_else(moved: Moved, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(moved)
    migration = moved.until(Phase.CHECKED)
    hand_over = roles.hand_over

    def spoilt(stores: Any, *, old: int) -> None:
        hand_over(stores, old=old)
        if old == SOURCE:
            moved.put_past(TARGET, "k1", 999)

    monkeypatch.setattr("headrace.migration.migrate.hand_over", spoilt)
    with pytest.raises(Conflict, match=r"reads went back to .*1 differ"):
        migration.switch(quiet)
    assert roles.truth_of(moved.stores) == SOURCE
    assert migration.status().phase is Phase.COPIED


def test_a_switch_takes_itself_back_when_the_target_cannot_follow(
    moved: Moved, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(moved)
    migration = moved.until(Phase.CHECKED)
    client = moved.client()
    carry_all = roles.carry_all

    def away(truth: Any, follower: Any) -> int:
        client_write(moved)
        raise UpstreamError("the target is away")

    monkeypatch.setattr(roles, "carry_all", away)
    with pytest.raises(UpstreamError, match="nothing was switched: the target is away"):
        migration.switch(quiet)
    monkeypatch.setattr(roles, "carry_all", carry_all)
    assert roles.truth_of(moved.stores) == SOURCE
    client.put("k1", value=5)
    assert migration.switch(quiet).check.equal


def client_write(moved: Moved) -> None:
    """While one has yielded, neither takes a write."""
    assert [store.write("k1", {"value": 0}) for store in moved.stores] == [None, None]


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_a_switch_killed_at_any_step_is_ended_by_an_application(moved: Moved, steps: int) -> None:
    fill(moved)
    migration = moved.until(Phase.CHECKED)
    client = moved.client()
    client.put("k1", value=11)
    source, target = moved.stores
    old, other = source.standing(), target.standing()
    yielded = Standing(role=Role.YIELDED, epoch=old.epoch + 1, dual=True)
    assert source.stand(yielded, old)
    if steps > 1:
        roles.carry_all(source, target)
    if steps > 2:
        assert target.stand(Standing(role=Role.TRUTH, epoch=yielded.epoch, dual=True), other)
    assert value_of(client.get("k1")) == 11
    client.put("k1", value=12)
    assert target.get(["k1"]).standing.role is Role.TRUTH
    assert value_of(target.get(["k1"]).rows[0].values) == 12
    assert migration.status().phase is Phase.SWITCHED
    with pytest.raises(Conflict, match="is switched; switch is for one that is checked"):
        migration.switch(quiet)
    migration.back()
    assert value_of(source.get(["k1"]).rows[0].values) == 12
    assert roles.truth_of(moved.stores) == SOURCE


def test_a_switch_taken_back_cannot_be_ended_by_a_late_one(moved: Moved) -> None:
    fill(moved)
    moved.until(Phase.CHECKED)
    source, target = moved.stores
    old, other = source.standing(), target.standing()
    assert source.stand(Standing(role=Role.YIELDED, epoch=old.epoch + 1, dual=True), old)
    assert roles.take_back(moved.stores, old=SOURCE)
    late = Standing(role=Role.TRUTH, epoch=old.epoch + 1, dual=True)
    assert not target.stand(late, other)
    assert roles.truth_of(moved.stores) == SOURCE
    assert not roles.take_back(moved.stores, old=SOURCE)


def test_a_row_deleted_long_before_comes_back_through_the_target(moved: Moved) -> None:
    """The source alone knows what version was deleted; a later write in the target must be newer all the same."""
    client = moved.client()
    for value in range(5):
        client.put("k", value=value)
    client.delete("k")
    migration = moved.until(Phase.SWITCHED)
    client.put("k", value=7)
    migration.back()
    assert value_of(client.get("k")) == 7
    assert value_of(moved.stores[SOURCE].get(["k"]).rows[0].values) == 7


def test_one_operator_at_a_time(moved: Moved) -> None:
    migration = moved.until(Phase.DUAL)
    other = Record(moved.folder, "rows")
    with other, pytest.raises(Conflict, match="somebody else works on migration 'rows'"):
        migration.copy(quiet)
    other.close()
    migration.copy(quiet)


def test_a_client_opened_before_the_beginning_takes_part(moved: Moved) -> None:
    client = moved.client(carry=True)
    client.put("k", value=1)
    migration = moved.until(Phase.COPIED)
    client.put("k", value=2)
    assert migration.check(quiet).equal
    assert value_of(moved.stores[TARGET].get(["k"]).rows[0].values) == 2


def test_a_client_needs_the_source_only_while_it_is_the_truth(moved: Moved) -> None:
    moved.until(Phase.SWITCHED)
    moved.paths[SOURCE].rename(moved.folder / "away.db")
    moved.paths[SOURCE].mkdir()  # nothing can be opened there
    for suffix in ("-wal", "-shm"):
        moved.paths[SOURCE].with_name(moved.paths[SOURCE].name + suffix).unlink(missing_ok=True)
    client = moved.client(carry=True)
    client.put("k", value=1)
    assert value_of(client.get("k")) == 1
    assert client.lag().rows == 1


def test_a_client_without_any_store(moved: Moved) -> None:
    moved.paths[SOURCE].unlink()
    moved.paths[SOURCE].mkdir()
    with pytest.raises((UpstreamError, Unavailable)):
        moved.client()


def test_a_client_waits_no_longer_than_its_patience(moved: Moved) -> None:
    client = moved.client()
    moved.until(Phase.DUAL)
    for store in moved.stores:
        old = store.standing()
        assert store.stand(Standing(role=Role.FOLLOWER, epoch=9), old)
    with pytest.raises(Unavailable, match="takes writes"):
        client.put("k", value=1)


def test_what_an_application_gives_is_checked(moved: Moved) -> None:
    client = moved.client()
    with pytest.raises(BadInput, match="field 'price' is not moved; the fields are value"):
        client.put("k", price=1)
    with pytest.raises(BadInput, match="value is 'x'; it is of kind int"):
        client.put("k", value="x")
    for key in (7, "", "a\x00"):
        with pytest.raises(BadInput, match="key is"):
            client.get(key)
        with pytest.raises(BadInput, match="key is"):
            client.delete(key)
    client.put("k")
    assert client.get("k") == {"value": None}


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("truth", [SOURCE, TARGET, None])
@pytest.mark.parametrize("dual", [True, False])
def test_the_stores_are_believed_before_the_record(phase: Phase, truth: int | None, dual: bool) -> None:
    found = phases.found(phase, truth=truth, dual=dual)
    if truth is None:
        assert found is phase
    elif truth == TARGET:
        assert found is (Phase.SWITCHED if dual else Phase.FINISHED)
    elif dual:
        assert found in (Phase.DUAL, Phase.COPIED, Phase.CHECKED)
    else:
        assert found in (Phase.NEW, Phase.ABORTED)
