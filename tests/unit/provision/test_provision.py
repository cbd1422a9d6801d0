"""What may be written, what a change changes, who may come in afterwards, and what going back does not bring back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.base.clock import ManualClock
from headrace.base.secret import Secret
from headrace.provision.service import Provision
from headrace.provision.text import sections_of, text_of
from headrace.store import audit, gateway, plans
from headrace.store.db import Database
from headrace.store.secrets import Vault
from headrace.traffic.keys import Callers
from headrace.types.errors import BadInput, Conflict, NotFound, Unauthenticated
from headrace.types.gateway import Counted, Level, Price, Provider, Scope, Window
from tests.control_samples import open_database

PEPPER = b"p" * 32
CANARY = "sk-canary-5e11"
DOCUMENT = yaml.safe_load(
    """
providers:
  - {name: openai, kind: openai, url: "https://api.openai.com/v1", secret: openai}
  - {name: local, kind: openai, url: "http://127.0.0.1:8080/v1", private: true}
keys:
  - {name: app, team: search, scopes: [chat], models: ["gpt-*"], expires: 2027-01-31}
people:
  - {user: ann@example.com, team: sales}
limits:
  - {level: team, who: search, counted: cost, amount: 50, window: month}
  - {level: key, counted: concurrency, amount: 10}
prices:
  - {provider: local, model: small, input: 0.1, since: 2026-11-01}
"""
)


class Rig:
    def __init__(self, database: Database, folder: Path) -> None:
        self.database, self.clock = database, ManualClock()
        self.vault = Vault(folder / "keys", Secret(""))
        self.priced: list[tuple[Provider, ...]] = []
        self.provision = Provision(
            database=database, vault=self.vault, pepper=PEPPER, catalogue=self.catalogue, clock=self.clock
        )

    def catalogue(self, providers: Any) -> tuple[Price, ...]:
        self.priced.append(tuple(providers))
        return (Price(provider="openai", model="gpt-5", input=1.0, source="a list"),)

    def apply(self, document: Any = None, **more: Any) -> Any:
        return self.provision.apply(DOCUMENT if document is None else document, actor="ann", **more)

    def callers(self) -> Callers:
        with self.database.read() as conn:
            plan = plans.latest(conn)
        assert plan is not None
        return Callers((), plan.gateway.keys, plan.gateway.people, pepper=PEPPER, now=self.clock.now)

    def comes_in(self, secret: Secret) -> bool:
        try:
            self.callers().of({"authorization": f"Bearer {secret.reveal()}"}.get)
        except Unauthenticated:
            return False
        return True


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with open_database(tmp_path) as database:
        made = Rig(database, tmp_path)
        made.provision.set_secret("openai", Secret(CANARY), actor="ann")
        yield made


def test_what_is_applied_is_in_the_newest_plan(rig: Rig) -> None:
    done = rig.apply(reason="the first")
    with rig.database.read() as conn:
        plan = plans.latest(conn)
        entries = audit.entries(conn)
    assert plan is not None
    assert (plan.revision, done.version) == (done.revision, 2)
    made = plan.gateway
    assert [provider.name for provider in made.providers] == ["openai", "local"]
    assert (made.limits[0].level, made.limits[0].counted, made.limits[0].window) == (
        *(Level.TEAM, Counted.COST, Window.MONTH),
    )
    assert made.keys[0].scopes == (Scope.CHAT,)
    assert made.keys[0].expires == 1_801_353_600.0
    assert [price.model for price in made.prices] == ["small", "gpt-5"]
    assert rig.vault.reveal("openai", made.secrets).reveal() == CANARY
    assert rig.comes_in(done.keys[0].secret)
    assert entries[0].action == "gateway.apply"
    assert "the first: add provider openai; add provider local; add key app" in entries[0].detail
    with rig.database.read() as conn:
        everything = json.dumps([str(row) for row in conn.exec_driver_sql("select * from gateway, plan, audit")])
    assert CANARY not in everything
    assert done.keys[0].secret.reveal() not in everything


def test_what_is_read_back_can_be_applied_and_changes_nothing(rig: Rig) -> None:
    rig.apply()
    assert rig.provision.compare(rig.provision.document()) == ()
    again = rig.apply(yaml.safe_load(yaml.safe_dump(rig.provision.document())))
    assert (again.revision, again.lines, again.version) == (0, (), 2)
    assert len(rig.priced) == 1  # lists are read when providers change, not for a secret or a limit


@pytest.mark.parametrize(
    ("document", "field", "told"),
    [
        ([], "gateway", "not as list"),
        ({"provider": []}, "provider", "there are: providers, keys, people, limits, prices"),
        ({"providers": {}}, "providers", "is a list"),
        ({"providers": [{"name": "x", "kind": "opanai"}]}, "providers[0].kind", "allowed: openai, azure"),
        ({"providers": [{"name": "x", "kind": "openai"}]}, "providers[0].url", "not http"),
        ({"providers": [{"kind": "openai"}]}, "providers[0].name", "required field"),
        ({"providers": [{"name": "x", "kind": "openai", "url": "http://u:p@h"}]}, "providers[0].url", "without user"),
        ({"providers": [{"name": "x", "kind": "own", "apikey": "1"}]}, "providers[0].apikey", "unknown field 'apikey'"),
        ({"providers": [{"name": "x", "kind": "own"}, {"name": "x", "kind": "own"}]}, "providers", "two of providers"),
        (
            {"providers": [{"name": "x", "kind": "openai", "url": "https://h/v1", "headers": {"X-Api-Key": CANARY}}]},
            *("providers[0].headers", "header 'X-Api-Key'"),
        ),
        (
            {"providers": [{"name": "x", "kind": "openai", "url": "https://h/v1", "secret": CANARY}]},
            *("providers[0].secret", "there are: openai"),
        ),
        ({"providers": [{"name": "x", "kind": "own"}]}, "providers[0].name", "is this platform itself"),
        (
            {"providers": [{"name": "headrace", "kind": "openai", "url": "https://h/v1"}]},
            *("providers[0].name", "is this platform itself"),
        ),
        ({"limits": [{"level": "team", "counted": "cost", "amount": 1}]}, "limits[0].window", "minute, day, month"),
        (
            {"limits": [{"level": "key", "counted": "concurrency", "amount": 1, "window": "day"}]},
            *("limits[0].window", "no window"),
        ),
        ({"limits": [{"level": "team", "counted": "cost", "amount": -1, "window": "day"}]}, "limits[0].amount", "-1"),
        (
            {"limits": [{"level": "all", "counted": "cost", "amount": "x", "window": "day"}]},
            "limits[0].amount",
            "float",
        ),
        ({"keys": [{"team": "a"}]}, "keys[0].name", "needs a name"),
        ({"keys": [{"name": "a", "hash": "00"}]}, "keys[0].hash", "unknown field 'hash'"),
        ({"keys": [{"name": "a", "expires": "soon"}]}, "keys[0].expires", "such as 2027-01-31"),
        ({"keys": [{"name": "a", "scopes": ["chat", "all"]}]}, "keys[0].scopes[1]", "Invalid enum value"),
        (
            {"keys": [{"name": "a", "trusted": True, "user_secret": "jwt"}]},
            "keys[0].user_secret",
            "no secret of the name",
        ),
        ({"prices": [{"provider": "nix", "model": "m"}]}, "prices[0].provider", "no provider 'nix'"),
        ({"prices": [{"provider": "x", "model": "m", "source": "s"}]}, "prices[0].source", "unknown field"),
    ],
)
def test_what_cannot_be_used_is_named(rig: Rig, document: Any, field: str, told: str) -> None:
    with pytest.raises(BadInput) as caught:
        rig.apply(document)
    assert caught.value.field == field
    assert told in caught.value.message
    assert CANARY not in caught.value.sentence()
    assert rig.provision.version() == 1


def test_a_section_that_is_missing_stays_and_keys_are_never_lost(rig: Rig) -> None:
    first = rig.apply().keys[0]
    lines = rig.provision.compare({"limits": [], "keys": [{"name": "other"}]})
    assert [line.words() for line in lines] == [
        "add key other",
        "remove limit team search cost month",
        "remove limit key concurrency",
    ]
    rig.apply({"keys": [{"name": "app", "team": "sales"}]})
    assert rig.comes_in(first.secret)
    (key,) = rig.provision.current().keys
    assert (key.team, key.scopes, len(rig.provision.current().limits)) == (
        "sales",
        first.key.__class__(id="", hash="").scopes,
        2,
    )


def test_a_diff_says_what_it_was_and_what_it_is(rig: Rig) -> None:
    rig.apply()
    changed = rig.provision.document()
    changed["limits"][0]["amount"] = 60
    changed["providers"][1]["url"] = "http://127.0.0.1:9/v1"
    assert [line.words() for line in rig.provision.compare(changed)] == [
        "change provider local: url 'http://127.0.0.1:8080/v1' → 'http://127.0.0.1:9/v1'",
        "change limit team search cost month: amount 50 → 60",
    ]


def test_a_change_of_an_old_version_is_a_conflict(rig: Rig) -> None:
    rig.apply()
    with pytest.raises(Conflict, match="at version 2, not 1"):
        rig.apply({"limits": []}, expected=1)


def test_going_back_brings_no_key_and_no_secret_back(rig: Rig) -> None:
    made = rig.apply().keys[0]
    rig.apply({"limits": [], "providers": [DOCUMENT["providers"][1]]})
    rig.provision.revoke_key("app", actor="ann")
    back = rig.provision.roll_back(2, actor="ann")
    now = rig.provision.current()
    assert len(now.limits) == len(now.providers) == 2
    assert not rig.comes_in(made.secret)
    assert back.version == 5
    rig.apply({"providers": [DOCUMENT["providers"][1]]})
    rig.provision.remove_secret("openai", actor="ann")
    with pytest.raises(BadInput, match="no secret of the name"):
        rig.provision.roll_back(2, actor="ann")
    with pytest.raises(NotFound):
        rig.provision.roll_back(77, actor="ann")


def test_the_life_of_a_key(rig: Rig) -> None:
    made = rig.provision.create_key({"name": "app", "team": "search"}, actor="ann")
    with pytest.raises(Conflict):
        rig.provision.create_key({"name": "app"}, actor="ann")
    turned = rig.provision.rotate_key("app", actor="ann", grace_seconds=60)
    assert rig.comes_in(made.secret)
    assert rig.comes_in(turned.secret)
    rig.clock.move(60)
    assert not rig.comes_in(made.secret)
    assert rig.provision.change_key(made.key.id, {"team": "sales"}, actor="ann").team == "sales"
    rig.provision.revoke_key("app", actor="ann")
    assert not rig.comes_in(turned.secret)
    with pytest.raises(NotFound, match="no key 'app'"):
        rig.provision.rotate_key("app", actor="ann")
    again = rig.provision.create_key({"name": "app"}, actor="ann")
    assert rig.comes_in(again.secret)


def test_a_secret_that_is_needed_stays_and_all_are_sealed_anew(rig: Rig) -> None:
    rig.apply()
    with pytest.raises(BadInput):
        rig.provision.remove_secret("openai", actor="ann")
    before = rig.provision.current().secrets["openai"]
    done = rig.provision.rotate_secrets(actor="ann")
    after = rig.provision.current().secrets["openai"]
    assert before != after
    assert rig.vault.reveal("openai", {"openai": after}).reveal() == CANARY
    assert [line.words() for line in done.lines] == ["change secret openai: new value"]
    with rig.database.read() as conn:
        assert len(gateway.history(conn)) == 3


def test_a_version_says_what_it_changed_and_what_going_back_would(rig: Rig) -> None:
    assert rig.provision.said_prices() == ()
    rig.apply()
    rig.apply({"limits": [], "prices": [{"provider": "local", "model": "small", "input": 0.2, "since": "2026-11-01"}]})
    change = rig.provision.change(3)
    assert [(line.deed, line.section) for line in change.lines] == [
        ("remove", "limit"), ("remove", "limit"), ("change", "price"),
    ]  # fmt: skip
    assert change.back == ()
    assert [line.deed for line in rig.provision.change(2).back] == ["add", "add", "change"]
    with pytest.raises(NotFound):
        rig.provision.change(9)
    said = [(version.number, line.deed, line.name) for version, line in rig.provision.said_prices()]
    assert said == [(3, "change", "local small 2026-11-01"), (2, "add", "local small 2026-11-01")]
    assert len(rig.provision.said_prices(limit=1)) == 1, "what came before the oldest that is looked at is not guessed"


def test_the_text_of_what_is_in_force_changes_nothing(rig: Rig) -> None:
    rig.apply()
    text = text_of(rig.provision.document())
    assert "since: '2026-11-01'" in text
    assert "expires: '2027-01-31'" in text
    assert "amount: 50\n" in text
    assert rig.provision.compare(sections_of(text, "text")) == ()


@pytest.mark.parametrize(
    ("text", "words", "field"),
    [("a: [1", "cannot be read", "line 1"), ("- 1", "holds no sections", "gateway"), ("x\ny: :\n", "cannot", "line 2")],
)
def test_text_that_is_no_gateway(text: str, words: str, field: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        sections_of(text, "text")
    assert caught.value.field == field
    assert sections_of("# nothing yet", "text") == {}
