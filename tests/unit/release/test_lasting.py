"""What the control plane makes of an ejection: fate (pure), and a real database and journal behind it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from headrace.base.clock import ManualClock
from headrace.base.settings import Settings
from headrace.release import change, failover
from headrace.release.failover import CONSUMER, REMEMBERED_SECONDS, Failovers, Fate, after, fate
from headrace.release.parts import Parts
from headrace.store import audit, cursors, ejections, endpoints, outbox, plans, releases
from headrace.store.artifacts import Artifacts
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.records import encode_call, encode_event
from headrace.store.journal.writer import Journal
from headrace.store.migrate import migrate
from headrace.types.call import PlaneEvent
from headrace.types.endpoint import Endpoint, PlaneReport
from headrace.types.failover import Ejection, Failover
from headrace.types.model import Stage
from tests.unit.release.made import START, call, endpoint, release, variant

LIVE = endpoint(variant(1), variant(2, stage=Stage.PRODUCTION), baseline="v2", fallback="v1")


def ejected(plane: str = "data", **changes: Any) -> Ejection:
    made = Ejection(
        endpoint="digits", plane=plane, variant="v2", fallback="v1", since=START, detail="the last 5 calls failed"
    )
    return replace(made, **changes)


def event(name: str = "variant.ejected", *, at: float = 0.0, plane: str = "data", variant: str = "v2") -> PlaneEvent:
    return PlaneEvent(
        time=START + at, plane=plane, name=name, endpoint="digits", variant=variant, detail="the last 5 calls failed"
    )


@pytest.mark.parametrize(
    ("live", "known", "more", "expected"),
    [
        (LIVE, [ejected()], {"now": START + 29}, Fate.WAIT),
        (LIVE, [ejected()], {"now": START + 30}, Fate.LASTING),
        (LIVE, [ejected()], {"now": START + 99, "releasing": True}, Fate.WAIT),
        (LIVE, [ejected()], {"now": START + 99, "planes": 2}, Fate.WAIT),
        (LIVE, [ejected(), ejected("data-2")], {"now": START + 99, "planes": 3}, Fate.LASTING),
        (LIVE, [ejected(times=2)], {"now": START + 1}, Fate.LASTING),
        (LIVE, [ejected(restored=START + 5)], {"now": START + 99}, Fate.WAIT),
        (LIVE, [ejected(restored=START + 5)], {"now": START + 6 + REMEMBERED_SECONDS}, Fate.FORGET),
        (LIVE, [ejected(variant="v3")], {"now": START + 99}, Fate.FORGET),
        (None, [ejected()], {"now": START + 99}, Fate.FORGET),
        (replace(LIVE, failover=Failover(enabled=False)), [ejected()], {"now": START + 99}, Fate.FORGET),
        (endpoint(variant(2), baseline="v2"), [ejected()], {"now": START + 99}, Fate.FORGET),
    ],
)
def test_fate(live: Endpoint | None, known: list[Ejection], more: dict[str, Any], expected: Fate) -> None:
    given: dict[str, Any] = {"planes": 1, "releasing": False} | more
    found, why = fate(live, known, **given)
    assert found is expected
    assert why


def test_what_is_known_after_an_event() -> None:
    first = after(None, event(), "v1")
    assert first == ejected()
    assert after(first, event(at=9), "v1") == first, "the plane was restarted: it is out since then all the same"
    back = after(first, event("variant.restored", at=10), "v1")
    assert back == ejected(restored=START + 10)
    again = after(back, event(at=20), "v1")
    assert again == ejected(since=START + 20, times=2)
    assert after(back, event(at=20 + REMEMBERED_SECONDS), "v1") == ejected(since=START + 20 + REMEMBERED_SECONDS)
    assert after(back, event(at=20, variant="v3"), "v2") == ejected(variant="v3", fallback="v2", since=START + 20)
    assert after(None, event("variant.restored"), "v1") is None
    assert after(first, event("variant.restored", variant="v3"), "v1") == first


def test_a_switch_keeps_what_was_live_as_the_fallback_and_a_failover_keeps_none() -> None:
    one = change.first("digits", variant(1))
    assert one.policy.fallback == ""
    two = change.switched(one, variant(2))
    assert (two.policy.baseline, two.policy.fallback) == ("v2", "v1")
    again = change.switched(two, variant(2))
    assert again.policy.fallback == "v1"
    back = change.failed_over(two)
    assert (back.policy.baseline, back.policy.fallback) == ("v1", "")
    assert [v.name for v in back.variants] == ["v1"]
    held = change.switched(change.first("digits", variant(1, aliases=("champion",))), variant(2))
    assert (held.policy.fallback, change.previous(held)) == ("v1", "v1"), "also one that an alias holds"
    canary = change.with_candidate(two, variant(1), salt="s")
    assert change.rolled_back(canary).policy.fallback == "", "it went with the candidate"


@dataclass
class World:
    parts: Parts
    journal: Journal
    clock: ManualClock
    failovers: Failovers

    def hear(self, *events: PlaneEvent) -> None:
        for one in events:
            assert self.journal.append(encode_event(one))

    def turn(self, seconds: float = 0.5) -> None:
        self.clock.move(seconds)
        self.failovers.turn()

    def live(self) -> str:
        with self.parts.database.read() as conn:
            found = endpoints.get(conn, "digits")
        assert found is not None
        return found.policy.baseline

    def noted(self) -> list[str]:
        with self.parts.database.read() as conn:
            return [e.action for e in reversed(audit.entries(conn)) if e.actor == failover.ACTOR]

    def known(self) -> tuple[Ejection, ...]:
        with self.parts.database.read() as conn:
            return ejections.all(conn)

    def again(self) -> None:
        """The control plane is restarted."""
        self.failovers = Failovers(self.parts)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = ManualClock(START)
    settings = Settings(home=tmp_path)
    database = Database(settings.database)
    migrate(database)
    query = JournalQuery(settings.journal)
    parts = Parts(
        settings=settings,
        clock=clock,
        database=database,
        registry=None,  # type: ignore[arg-type]  # nobody asks it here
        artifacts=Artifacts(settings.artifacts),
        query=query,
        await_plan=lambda revision, seconds: PlaneReport(revision=revision, live=True),
    )
    with database.write() as conn:
        plans.publish(conn, [LIVE], reason="test", now=START)
    journal = Journal(settings.journal, "data", segment_bytes=4 << 20, segment_seconds=1e9, clock=clock)
    made = World(parts, journal, clock, Failovers(parts))
    made.turn()
    yield made
    journal.close()
    query.close()
    database.close()


def test_a_version_that_does_not_come_back_is_replaced_for_good(world: World) -> None:
    world.hear(event())
    world.turn()
    assert world.live() == "v2", "the data plane has acted; this waits"
    assert world.noted() == ["endpoint.ejected"]
    world.turn(28)
    assert world.live() == "v2"
    world.turn(2)
    assert world.live() == "v1"
    assert world.noted() == ["endpoint.ejected", "endpoint.failover"]
    assert world.known() == ()
    with world.parts.database.read() as conn:
        (parcel,) = outbox.pending(conn)
        plan = plans.latest(conn)
    assert '"version":1' in parcel.body
    assert '"stage":"Production"' in parcel.body
    assert plan is not None
    assert "failover v2 → v1" in plan.reason


def test_one_that_comes_back_stays(world: World) -> None:
    world.hear(event(), event("variant.restored", at=8))
    world.turn()
    world.turn(100)
    assert world.live() == "v2"
    assert world.noted() == ["endpoint.ejected", "endpoint.restored"]
    world.turn(REMEMBERED_SECONDS)
    assert world.known() == ()


def test_one_that_breaks_again_is_replaced_at_once(world: World) -> None:
    world.hear(event(), event("variant.restored", at=8))
    world.turn()
    world.hear(event(at=12))
    world.turn()
    assert world.live() == "v1"


def test_a_restart_of_the_control_plane_forgets_nothing(world: World) -> None:
    world.hear(event())
    world.again()
    world.turn()
    world.again()
    world.turn(31)
    assert world.live() == "v1"
    assert world.noted() == ["endpoint.ejected", "endpoint.failover"]


def test_a_kill_before_the_commit_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.hear(event())
    with monkeypatch.context() as broken:
        broken.setattr(failover, "_note", lambda *_: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(OSError, match="killed"):
            world.turn()
    assert world.known() == ()
    world.turn()
    assert world.noted() == ["endpoint.ejected"]
    assert len(world.known()) == 1


def test_it_waits_for_a_release(world: World) -> None:
    with world.parts.database.write() as conn:
        releases.put(conn, release(baseline="v2", candidate="v3"))
    world.hear(event())
    world.turn(60)
    assert world.live() == "v2"


def test_its_cursor_moves_on_so_that_the_archive_can(world: World) -> None:
    for number in range(50):
        assert world.journal.append(encode_call(call(f"u{number}")))
    world.turn(11)
    with world.parts.database.read() as conn:
        before = cursors.get(conn, CONSUMER)
    assert world.journal.append(encode_call(call("one more")))
    world.turn(11)
    with world.parts.database.read() as conn:
        behind = cursors.get(conn, CONSUMER)
    assert before is not None
    assert behind is not None
    assert behind.offsets["data"] > before.offsets["data"]
