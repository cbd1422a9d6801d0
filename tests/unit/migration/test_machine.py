"""Whatever happens in whatever order: no write that was answered is lost, and no row is older than it was.

Applications with an old idea of where to write, second writes that were read long ago and arrive late, copies,
switches cut off after any step: hypothesis plays them against a plain dictionary.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import Phase as Stage
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from headrace.migration import roles
from headrace.migration.drain import BATCH, carry, carry_all
from headrace.migration.migrate import Migration
from headrace.types.errors import Conflict
from headrace.types.migration import Phase, Role, Row, Standing
from tests.unit.migration.moved import SOURCE, TARGET, Moved, contents, quiet, value_of

KEYS = st.sampled_from(["a", "b", "c", "d"])
MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no disk to wait for
CLIENTS = st.integers(0, 1)
STEPS = ("start", "copy", "check", "switch", "back", "abort")


class Machine(RuleBasedStateMachine):
    @initialize(there=st.dictionaries(KEYS, st.integers(0, 9)))
    def begin(self, there: dict[str, int]) -> None:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY)
        self.moved = Moved(Path(self.folder.name), chunk=2)
        self.truth: dict[Any, Any] = dict(there)
        for key, value in there.items():
            self.moved.put_past(SOURCE, key, value)
        self.clients = [self.moved.client(), self.moved.client()]
        self.migration: Migration = self.moved.operator()
        self.late: list[tuple[int, tuple[Row, ...]]] = []
        self.versions: dict[Any, int] = {}

    @rule(client=CLIENTS, key=KEYS, value=st.integers(10, 99))
    def put(self, client: int, key: str, value: int) -> None:
        self.clients[client].put(key, value=value)
        self.truth[key] = value

    @rule(client=CLIENTS, key=KEYS)
    def delete(self, client: int, key: str) -> None:
        self.clients[client].delete(key)
        self.truth.pop(key, None)

    @rule(client=CLIENTS, key=KEYS)
    def get(self, client: int, key: str) -> None:
        assert value_of(self.clients[client].get(key)) == self.truth.get(key)

    @rule()
    def carried(self) -> None:
        truth = roles.truth_of(self.moved.stores)
        assert truth is not None
        if self.moved.stores[truth].standing().dual:
            carry(self.moved.stores[truth], self.moved.stores[1 - truth])

    @rule()
    def read_to_be_carried_late(self) -> None:
        for number, store in enumerate(self.moved.stores):
            if self.prepared and store.standing().role is Role.TRUTH and store.standing().dual:
                self.late.append((number, store.get(store.pending(BATCH)).rows))

    @rule()
    def carried_late(self) -> None:
        for number, rows in self.late:
            follower, keys = self.moved.stores[1 - number], [row.key for row in rows]
            before = follower.get(keys).rows if keys else ()
            follower.follow(rows)
            after = follower.get(keys).rows if keys else ()
            assert all(a.version >= b.version for a, b in zip(after, before, strict=True))
            self.moved.stores[number].settle(rows)
        self.late.clear()

    @rule(step=st.sampled_from(STEPS))
    def operator(self, step: str) -> None:
        arguments = (quiet,) if step in ("copy", "check", "switch") else ()
        with suppress(Conflict):  # out of turn, or both stores differ
            getattr(self.migration, step)(*arguments)

    @rule()
    def operator_goes_on(self) -> None:
        onward: dict[Phase, Callable[[], object]] = {
            Phase.DUAL: lambda: self.migration.copy(quiet),
            Phase.COPIED: lambda: self.migration.check(quiet, repair=True),
            Phase.CHECKED: lambda: self.migration.switch(quiet),
            Phase.SWITCHED: self.migration.back,
        }
        with suppress(Conflict):  # a killed switch is ended first, and then it is switched already
            onward.get(self.migration.status().phase, self.migration.start)()

    @rule(step=st.integers(1, 3), client=CLIENTS, key=KEYS, value=st.none() | st.integers(100, 199))
    def a_switch_is_killed(self, step: int, client: int, key: str, value: int | None) -> None:
        """There or back, after its first, second or third step."""
        if not self.prepared or self.migration.status().phase not in (Phase.CHECKED, Phase.SWITCHED):
            return
        old = roles.truth_of(self.moved.stores)
        assert old is not None
        one, other = self.moved.stores[old], self.moved.stores[1 - old]
        if value is not None:  # still on its way when the switch begins
            self.put(client, key, value)
        before, waiting = one.standing(), other.standing()
        assert one.stand(Standing(role=Role.YIELDED, epoch=before.epoch + 1, dual=True), before)
        if step > 1:
            carry_all(one, other)
        if step > 2:
            assert other.stand(Standing(role=Role.TRUTH, epoch=before.epoch + 1, dual=True), waiting)

    @rule()
    def a_switch_is_killed_and_taken_back(self) -> None:
        if not self.prepared or self.migration.status().phase is not Phase.CHECKED:
            return
        before = self.moved.stores[SOURCE].standing()
        yielded = Standing(role=Role.YIELDED, epoch=before.epoch + 1, dual=True)
        assert self.moved.stores[SOURCE].stand(yielded, before)
        assert roles.take_back(self.moved.stores, old=SOURCE)

    @property
    def prepared(self) -> bool:
        return self.migration.status().phase is not Phase.NEW

    @invariant()
    def at_most_one_truth_and_it_is_right(self) -> None:
        sides = roles.look(self.moved.stores)
        told = [s.role for s in sides.standings if s is not None]
        assert told.count(Role.TRUTH) <= 1
        place = sides.truth if sides.truth is not None else sides.yielded
        assert place is not None
        if sides.truth is not None:
            assert contents(self.moved.stores[place]) == self.truth

    @invariant()
    def versions_never_go_back(self) -> None:
        sides = roles.look(self.moved.stores)
        if sides.truth is None:
            return
        for row in self.moved.stores[sides.truth].get(["a", "b", "c", "d"]).rows:
            assert row.values is None or row.version >= self.versions.get(row.key, 0)
            self.versions[row.key] = max(row.version, self.versions.get(row.key, 0))

    def teardown(self) -> None:
        """In the end both stores come together."""
        try:
            if self.migration.status().phase in (Phase.CHECKED, Phase.SWITCHED):
                self.carried_late()
                assert self.migration.check(quiet).equal
                assert contents(self.moved.stores[SOURCE]) == contents(self.moved.stores[TARGET]) == self.truth
        finally:
            self.moved.close()
            self.folder.cleanup()


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Stage.reuse, Stage.generate],  # to shrink a play takes minutes and makes it little shorter
)
