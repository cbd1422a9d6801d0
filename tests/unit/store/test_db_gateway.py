"""The gateway's configuration in the database, and the way into a plan."""

from __future__ import annotations

from headrace.store import gateway, plans
from headrace.store.db import Database
from headrace.types.gateway import Gateway, Provider, ProviderKind


def _with(name: str) -> Gateway:
    return Gateway(providers=(Provider(name=name, kind=ProviderKind.OPENAI, url="http://127.0.0.1:1/v1"),))


def test_the_newest_configuration_goes_into_the_next_plan(database: Database) -> None:
    with database.write() as conn:
        assert gateway.current(conn) == Gateway()
        assert gateway.put(conn, _with("one"), actor="ada", reason="first", now=1.0) == 1
        assert gateway.put(conn, _with("two"), actor="bob", reason="second", now=2.0) == 2
        made = plans.publish(conn, (), reason="a test", now=3.0)
    assert made.gateway == _with("two")
    with database.read() as conn:
        assert plans.latest(conn) == made


def test_every_version_stays(database: Database) -> None:
    with database.write() as conn:
        gateway.put(conn, _with("one"), actor="ada", reason="first", now=1.0)
        gateway.put(conn, _with("two"), actor="bob", reason="second", now=2.0)
        told = gateway.history(conn)
        first = gateway.version(conn, 1)
        assert gateway.version(conn, 9) is None
    assert [(v.number, v.actor, v.reason) for v in told] == [(2, "bob", "second"), (1, "ada", "first")]
    assert first is not None
    assert first.body == _with("one")
