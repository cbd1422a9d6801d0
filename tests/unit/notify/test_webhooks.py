"""Webhooks on a real database, to a real receiver: all is signed, nothing is lost, whoever is away or killed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from headrace.base.clock import ManualClock
from headrace.client.signature import verify
from headrace.notify import deliver
from headrace.notify.deliver import Deliveries, settled
from headrace.notify.hooks import Hooks, read_file
from headrace.notify.retry import ATTEMPTS, LONGEST_SECONDS, wait_after
from headrace.notify.sender import Outcome, Sender
from headrace.store import audit, webhooks
from headrace.store.db import Database
from headrace.types.errors import BadInput, Conflict, NotFound, Unauthenticated
from headrace.types.history import About
from headrace.types.webhook import Delivery, DeliveryState, Webhook
from tests.control_samples import START, open_database
from tests.unit.notify.receiver import Receiver, receiving


@dataclass
class World:
    database: Database
    clock: ManualClock
    hooks: Hooks
    sender: Sender

    def turn(self) -> None:
        """As after a restart: nothing is kept in memory."""
        made = Deliveries(database=self.database, sender=self.sender, clock=self.clock)
        while made.turn():
            pass

    def do(self, *actions: str, endpoint: str = "digits") -> None:
        with self.database.write() as conn:
            for action in actions:
                about = About(endpoint=endpoint)
                now = self.clock.now()
                audit.append(conn, actor="ann", action=action, subject="release:r", detail="d", now=now, about=about)

    def hook(self, name: str = "chat") -> Webhook:
        with self.database.read() as conn:
            found = webhooks.get(conn, name)
        assert found is not None
        return found

    def log(self, name: str = "chat") -> list[Delivery]:
        """Oldest first."""
        with self.database.read() as conn:
            return list(reversed(webhooks.deliveries(conn, self.hook(name).id)))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = ManualClock(START)
    with open_database(tmp_path) as database:
        sender = Sender(b"k" * 32, clock, "test")
        yield World(database, clock, Hooks(database=database, sender=sender, clock=clock), sender)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def add(world: World, receiver: Receiver, name: str = "chat", **more: Any) -> str:
    return world.hooks.create({"name": name, "url": receiver.url, **more}, actor="ann").secret


def test_what_happens_is_told_signed_and_once(world: World, receiver: Receiver) -> None:
    world.do("release.start")
    secret = add(world, receiver)
    world.do("release.started", "release.promoted")
    world.turn()
    world.turn()
    assert receiver.events() == ["release.started", "release.promoted"], "only what happened since it was made"
    for headers, body in receiver.got:
        assert verify(secret, headers, body, now=START)["timestamp"] == "2023-11-14T22:13:20.000Z"
        with pytest.raises(Unauthenticated):
            verify(secret, headers, body + b" ", now=START)
    first, second = receiver.data()
    assert first["about"]["endpoint"] == "digits"
    assert second["id"] == first["id"] + 1
    assert receiver.paths == ["/hook?key=1"] * 2
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 2
    assert [(d.state, d.attempts, d.status) for d in world.log()] == [(DeliveryState.DELIVERED, 1, 204)] * 2


def test_each_is_told_what_it_asked_for(world: World, receiver: Receiver) -> None:
    add(world, receiver, "one", events=["release.promoted", "stage.*"])
    add(world, receiver, "two", events=["*"], endpoints=["churn"])
    add(world, receiver, "off", active=False)
    world.do("release.promoted", "release.step", "stage.move")
    world.do("endpoint.deploy", endpoint="churn")
    world.turn()
    told = [(data["action"], data["about"]["endpoint"]) for data in receiver.data()]
    assert sorted(told) == [("endpoint.deploy", "churn"), ("release.promoted", "digits"), ("stage.move", "digits")]


def test_one_that_is_away_gets_it_when_it_is_back(world: World, receiver: Receiver) -> None:
    secret = add(world, receiver)
    receiver.answers = [(500, {}), (503, {"retry-after": "60"}), (204, {})]
    world.do("release.promoted")
    world.turn()
    (first,) = world.log()
    assert (first.state, first.attempts, first.status, first.error) == (
        DeliveryState.DUE, 1, 500, "it answered 500: sorry",
    )  # fmt: skip
    world.turn()
    assert len(receiver.got) == 1, "not before its time"
    world.clock.move(first.next_time - START)
    world.turn()
    (second,) = world.log()
    assert second.next_time - world.clock.now() == 60
    world.clock.move(60)
    world.turn()
    assert [d.state for d in world.log()] == [DeliveryState.DELIVERED]
    ids = {headers["webhook-id"] for headers, _ in receiver.got}
    stamps = {headers["webhook-timestamp"] for headers, _ in receiver.got}
    assert (len(ids), len(stamps)) == (1, 3), "one message, sent anew"
    assert verify(secret, *receiver.got[-1], now=world.clock.now())


def test_it_is_given_up_and_can_be_sent_again(world: World, receiver: Receiver) -> None:
    add(world, receiver)
    receiver.answers = [(500, {})]
    world.do("release.promoted")
    for _ in range(ATTEMPTS + 2):
        world.turn()
        world.clock.move(2 * LONGEST_SECONDS)
    (given_up,) = world.log()
    assert (given_up.state, given_up.attempts, len(receiver.got)) == (DeliveryState.FAILED, ATTEMPTS, ATTEMPTS)
    receiver.answers = [(204, {})]
    world.hooks.retry("chat", given_up.id)
    world.turn()
    assert [d.state for d in world.log()] == [DeliveryState.DELIVERED]


def test_one_that_is_gone_is_switched_off(world: World, receiver: Receiver) -> None:
    add(world, receiver)
    receiver.answers = [(410, {})]
    world.do("release.promoted")
    world.turn()
    assert (world.hook().active, world.hook().why_off) == (False, "it answered 410: gone")
    world.do("release.start")
    world.turn()
    assert len(receiver.got) == 1
    receiver.answers = [(204, {})]
    world.hooks.change("chat", {"active": True}, actor="bob")
    world.do("release.step")
    world.turn()
    assert receiver.events()[1:] == ["release.step"], "from then on"


def test_one_that_is_away_delays_no_other(world: World, receiver: Receiver) -> None:
    add(world, receiver, "good")
    world.hooks.create({"name": "dead", "url": "http://127.0.0.1:9/"}, actor="ann")
    world.do("release.promoted", "release.start")
    world.turn()
    assert len(receiver.got) == 2
    (first, second) = world.log("dead")
    assert (first.attempts, first.status, second.attempts) == (1, 0, 0), "it is not asked again in the same turn"
    assert "cannot be reached" in first.error


@pytest.mark.parametrize("name", ["add_delivery", "put", "put_delivery"])
@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_killed_at_any_write_nothing_is_lost(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, name: str, late: bool
) -> None:
    class Killed(BaseException):
        pass

    add(world, receiver)
    world.do("release.start", "release.promoted")
    original = getattr(webhooks, name)

    def dying(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(webhooks, name, original)
        if late:
            original(*args, **kwargs)
        raise Killed

    monkeypatch.setattr(webhooks, name, dying)
    with pytest.raises(Killed):
        world.turn()
    world.turn()
    ids = {
        headers["webhook-id"]: data["action"] for (headers, _), data in zip(receiver.got, receiver.data(), strict=True)
    }
    assert sorted(ids.values()) == ["release.promoted", "release.start"], (
        "each is one message, however often it was sent"
    )


def test_many_are_worked_off(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "BATCH", 3)
    monkeypatch.setattr(deliver, "EACH", 4)
    monkeypatch.setattr(deliver, "LOG", 5)
    add(world, receiver)
    world.do(*["release.step"] * 10)
    for _ in range(4):
        world.turn()
    assert len({data["id"] for data in receiver.data()}) == 10
    assert len(world.log()) == 5


# --- people


def test_a_secret_is_shown_once_and_can_be_changed(world: World, receiver: Receiver) -> None:
    first = add(world, receiver)
    second = world.hooks.rotate("chat", actor="ann").secret
    assert first != second
    world.do("release.start")
    world.turn()
    for secret in (first, second):
        assert verify(secret, *receiver.got[-1], now=world.clock.now())
    world.clock.move(86_400)
    world.do("release.start")
    world.turn()
    assert verify(second, *receiver.got[-1], now=world.clock.now())
    with pytest.raises(Unauthenticated):
        verify(first, *receiver.got[-1], now=world.clock.now())
    with world.database.read() as conn:
        assert first not in repr(webhooks.all(conn))
        assert receiver.url not in repr(audit.entries(conn)), "addresses of chat services are secrets"


def test_a_secret_of_your_own(world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    assert add(world, receiver, secret_env="WEBHOOK_CHAT") == ""
    assert "no WEBHOOK_CHAT" in world.hooks.test("chat", actor="ann").error
    monkeypatch.setenv("WEBHOOK_CHAT", "open sesame")
    assert world.hooks.test("chat", actor="ann").state is DeliveryState.DELIVERED
    assert verify("open sesame", *receiver.got[-1], now=START)["data"] == {"webhook": "chat", "actor": "ann"}
    with pytest.raises(Conflict, match="change it there"):
        world.hooks.rotate("chat", actor="ann")
    with pytest.raises(BadInput, match="names that begin with WEBHOOK_"):
        add(world, receiver, "thief", secret_env="HEADRACE_ADMIN_TOKEN")


def test_a_test_is_sent_once_and_logged(world: World, receiver: Receiver) -> None:
    add(world, receiver)
    receiver.answers = [(500, {}), (204, {})]
    assert world.hooks.test("chat", actor="ann").state is DeliveryState.FAILED
    world.clock.move(1e6)
    world.turn()
    assert len(receiver.got) == 1
    with pytest.raises(NotFound, match="no delivery"):
        world.hooks.retry("chat", world.log()[0].id)


def test_a_file_says_how_it_is(world: World, receiver: Receiver, tmp_path: Path) -> None:
    add(world, receiver, "old")
    file = tmp_path / "webhooks.yaml"
    wanted = [{"name": "chat", "url": receiver.url}, {"name": "ci", "url": receiver.url, "events": ["stage.*"]}]
    file.write_text(yaml.safe_dump({"webhooks": wanted}))
    done = world.hooks.apply(read_file(file), actor="ann", prune=True)
    assert [len(done[deed]) for deed in ("created", "changed", "removed")] == [2, 0, 1]
    world.hooks.apply_file(file)
    wanted[1]["events"] = ["*"]
    file.write_text(yaml.safe_dump(wanted))
    done = world.hooks.apply(read_file(file), actor="ann", prune=True)
    assert [len(done[deed]) for deed in ("created", "changed", "removed")] == [0, 1, 0]
    assert world.hook("ci").events == ("*",)
    with world.database.read() as conn:
        said = [(e.action, e.subject) for e in audit.entries(conn)]
    assert said[0] == ("webhook.change", "webhook:ci")
    world.hooks.remove("ci", actor="ann")
    with pytest.raises(NotFound, match="there are: chat"):
        world.hooks.remove("ci", actor="ann")


@pytest.mark.parametrize(
    ("given_", "complaint"),
    [
        ({"name": "a b"}, "name is 'a b'"),
        ({"url": "ftp://host/"}, "url is"),
        ({"url": "http://user:pw@host/"}, "url is"),
        ({"events": []}, "events is empty"),
        ({"events": ["release"]}, "is no event"),
        ({"events": ["release.*.*"]}, "is no event"),
        ({"odd": 1}, "odd"),
        ({"name": 3}, "Expected `str`".replace("`", "'")),
    ],
)
def test_what_cannot_be_a_receiver(world: World, given_: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadInput) as caught:
        world.hooks.create({"name": "chat", "url": "http://127.0.0.1/"} | given_, actor="ann")
    assert complaint in caught.value.message


def test_names_are_taken_once_and_stay(world: World, receiver: Receiver, tmp_path: Path) -> None:
    add(world, receiver)
    with pytest.raises(Conflict, match="already"):
        add(world, receiver)
    with pytest.raises(BadInput, match="stays"):
        world.hooks.change("chat", {"name": "talk"}, actor="ann")
    with pytest.raises(BadInput, match="two webhooks of one name"):
        world.hooks.apply([{"name": "a", "url": receiver.url}] * 2, actor="ann")
    for text in ("{", "a: 1", "webhooks: 3"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(BadInput):
            read_file(tmp_path / "x.yaml")


def test_what_is_not_called(world: World) -> None:
    """Link-local addresses are where clouds keep the keys of machines."""
    world.hooks.create({"name": "cloud", "url": "http://169.254.169.254/latest"}, actor="ann")
    tried = world.hooks.test("cloud", actor="ann")
    assert tried.state is DeliveryState.FAILED
    assert tried.status == 0


def test_a_redirect_is_not_followed(world: World, receiver: Receiver) -> None:
    add(world, receiver)
    receiver.answers = [(302, {"location": receiver.url})]
    assert world.hooks.test("chat", actor="ann").status == 302
    assert len(receiver.got) == 1


# --- pure


@given(attempts=st.integers(1, ATTEMPTS), random=st.floats(0, 1, exclude_max=True))
def test_waits_grow_are_spread_and_bounded(attempts: int, random: float) -> None:
    wait = wait_after(attempts, random=random)
    assert 3.75 <= wait <= LONGEST_SECONDS * 1.25
    assert wait <= wait_after(attempts + 1, random=random) or wait >= LONGEST_SECONDS * 0.75
    assert wait_after(attempts, random=random, retry_after="1000000000") <= LONGEST_SECONDS * 1.25
    assert wait_after(attempts, random=random, retry_after="tomorrow") == wait


@given(
    outcomes=st.lists(st.sampled_from([0, 200, 204, 302, 400, 410, 500, 503]), max_size=ATTEMPTS + 3),
    random=st.floats(0, 1, exclude_max=True),
)
def test_a_message_ends_one_way_or_the_other(outcomes: list[int], random: float) -> None:
    one = Delivery(id=1, hook="h", entry=1, event="e", state=DeliveryState.DUE, created=0.0)
    for status in outcomes:
        if one.state is not DeliveryState.DUE:
            break
        one = settled(one, Outcome(status=status, error="", seconds=0.1), now=10.0, random=random)
        assert one.state is DeliveryState.DUE or one.attempts <= ATTEMPTS
        assert one.state is not DeliveryState.DUE or one.next_time > 10.0
    assert (one.state is DeliveryState.DELIVERED) == (one.status in (200, 204))
    assert one.attempts <= ATTEMPTS
