"""Every store of a migration behaves alike: one suite, SQLite, PostgreSQL and Redis in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pytest

from headrace.migration.check import pages
from headrace.migration.stores.base import EPOCH, Store, open_store
from headrace.types.errors import BadInput, Unavailable, UpstreamError
from headrace.types.migration import Field, Key, Kind, Layout, Role, Row, Standing, Written
from tests.stores import LAYOUT, PARAMETERS, place, values

NEVER: dict[str, Any] = dict.fromkeys(f.name for f in LAYOUT.fields)


@pytest.fixture(params=PARAMETERS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with place(request, request.param, tmp_path) as found:
        yield found


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    made = opened(url)
    yield made
    made.close()


def opened(url: str, layout: Layout = LAYOUT, role: Role = Role.TRUTH, name: str = "features") -> Store:
    made = open_store(url, field="source", name=name, layout=layout)
    made.prepare(Role.FOLLOWER)  # with the rows' table
    found = made.standing()
    if found.role is not role:
        assert made.stand(Standing(role=role, epoch=found.epoch, dual=False), found)
    return made


def row(store: Store, key: Key) -> Row:
    (found,) = store.get([key]).rows
    return found


def dual(store: Store) -> None:
    old = store.standing()
    assert store.stand(Standing(role=Role.TRUTH, epoch=old.epoch + 1, dual=True), old)


def test_every_kind_of_value_comes_back_as_it_went_in(store: Store) -> None:
    given = values(7) | {"blob": bytes(range(256)), "text": "quote \" ' \\ ü \n €", "more": {"a": [1, 2.5, None, "x"]}}
    assert store.write("k", given) is not None
    assert row(store, "k").values == given
    assert store.write("none", NEVER) is not None
    assert row(store, "none").values == NEVER
    for more in ("text", "", 1, 1.5, True, [], {}):
        store.write("k", given | {"more": more})
        found = row(store, "k").values
        assert found is not None
        assert found["more"] == more
        assert type(found["more"]) is type(more)


@pytest.mark.parametrize("number", [0.1, 1e-300, 1.7976931348623157e308, -0.0, 123456789.123456789])
def test_numbers_keep_every_bit(store: Store, number: float) -> None:
    store.write("k", NEVER | {"real": number, "whole": -(2**63)})
    found = row(store, "k").values
    assert found is not None
    assert found["real"].hex() == (number + 0.0).hex()
    assert found["whole"] == -(2**63)


def test_a_time_is_in_utc_to_the_microsecond(store: Store) -> None:
    moment = datetime(2026, 11, 21, 13, 14, 15, 678901, tzinfo=UTC)
    store.write("k", NEVER | {"seen": moment})
    found = row(store, "k").values
    assert found is not None
    assert found["seen"] == moment
    assert found["seen"].tzinfo is UTC


def test_versions_count_up_through_deletes(store: Store) -> None:
    for version, given in enumerate((values(1), None, values(2)), 1):
        assert store.write("k", given) == Written(version=version, dual=False)
    assert row(store, "k") == Row(key="k", version=3, values=values(2))
    store.write("k", None)
    assert row(store, "k") == Row(key="k", version=4)
    assert row(store, "never") == Row(key="never")


def test_only_the_truth_takes_a_write(store: Store) -> None:
    store.write("k", values(1))
    for role in (Role.YIELDED, Role.FOLLOWER, Role.RETIRED):
        old = store.standing()
        assert store.stand(Standing(role=role, epoch=old.epoch + 1, dual=True), old)
        assert store.write("k", values(2)) is None
        assert store.write("k", None) is None
        assert store.write("new", values(2)) is None
    assert row(store, "k") == Row(key="k", version=1, values=values(1))
    assert row(store, "new") == Row(key="new")
    assert store.pending(10) == ()


def test_a_role_changes_only_when_it_is_as_expected(store: Store) -> None:
    old = store.standing()
    new = Standing(role=Role.YIELDED, epoch=5, dual=True)
    assert store.stand(new, old)
    assert not store.stand(Standing(role=Role.TRUTH, epoch=6), old)
    assert not store.stand(Standing(role=Role.TRUTH, epoch=6), Standing(role=Role.YIELDED, epoch=4, dual=True))
    assert store.standing() == store.get(["k"]).standing == store.get([]).standing == new


def test_what_is_written_is_pending_until_that_version_is_settled(store: Store) -> None:
    store.write("before", values(1))
    assert store.pending(10) == ()
    assert store.lag().rows == 0
    dual(store)
    for key in ("a", "b", "c"):
        store.write(key, values(1))
    store.write("b", values(2))
    store.write("c", None)
    assert store.pending(10) == ("a", "b", "c")
    assert store.pending(2) == ("a", "b")
    assert (store.lag().rows, store.lag().seconds >= 0) == (3, True)
    a, b, c = store.get(["a", "b", "c"]).rows
    store.settle([a, replace(b, version=b.version - 1), c])
    assert store.pending(10) == ("b",)
    store.settle([b])
    assert store.pending(10) == ()
    assert store.lag().seconds == 0


def test_an_older_version_never_replaces_a_newer_one(store: Store) -> None:
    assert store.follow([Row(key="k", version=3, values=values(3)), Row(key="gone", version=2)]) == 2
    older = [Row(key="k", version=2, values=values(2)), Row(key="gone", version=1, values=values(1))]
    assert store.follow(older) == 0
    assert row(store, "k") == Row(key="k", version=3, values=values(3))
    assert row(store, "gone") == Row(key="gone", version=2)
    assert store.follow([Row(key="k", version=3, values=values(3)), Row(key="k2", version=0, values=values(0))]) == 2
    assert store.follow([Row(key="k2", version=0, values=values(9))]) == 1  # not written since: the truth is right
    assert store.follow([Row(key="k", version=4)]) == 1
    assert row(store, "k") == Row(key="k", version=4)
    assert store.follow([]) == 0
    assert store.pending(10) == ()


def test_a_store_goes_on_with_the_version_it_was_given(store: Store) -> None:
    store.follow([Row(key="k", version=41, values=values(1))])
    written = store.write("k", values(2))
    assert written is not None
    assert written.version == 42


def test_what_is_written_in_a_later_epoch_is_newer_than_all_before(store: Store) -> None:
    """Also for a row that this store has never heard of, whatever version it had elsewhere."""
    for epoch in (1, 2, 100_000):
        old = store.standing()
        assert store.stand(Standing(role=Role.TRUTH, epoch=epoch, dual=True), old)
        for key in ("k", f"new{epoch}"):
            written = store.write(key, values(1))
            assert written is not None
            assert written.version == epoch * EPOCH + 1 == row(store, key).version
        written = store.write("k", None)
        assert written is not None
        assert written.version == epoch * EPOCH + 2 == row(store, "k").version
    store.settle(store.get(["k"]).rows)
    assert "k" not in store.pending(10)
    assert store.follow([Row(key="k", version=100_000 * EPOCH + 1, values=values(3))]) == 0


def test_pages_hold_every_row_whatever_their_size(store: Store) -> None:
    keys = [f"key{i}*[?]\\{'ü' * (i % 3)}" for i in range(57)]
    store.follow([Row(key=key, version=0, values=values(i)) for i, key in enumerate(keys)])
    store.write(keys[0], values(99))
    store.write(keys[1], None)
    for limit in (1, 10, 57, 1000):
        found = {r.key: r for page in pages(store, limit) for r in page.rows}
        assert set(found) == {*keys} - {keys[1]}
        assert found[keys[0]] == Row(key=keys[0], version=1, values=values(99))
        assert found[keys[2]] == Row(key=keys[2], version=0, values=values(2))
    assert store.size() >= 56
    page = store.page(store.page("", 10).after, 10)
    assert page.rows


def test_forgetting_keeps_rows(store: Store) -> None:
    dual(store)
    store.write("k", values(1))
    store.forget()
    assert row(store, "k") == Row(key="k", version=0, values=values(1))
    assert store.pending(10) == ()


def test_preparing_twice_changes_nothing(store: Store) -> None:
    store.write("k", values(1))
    old = store.standing()
    store.prepare(Role.FOLLOWER)
    assert store.standing() == old
    assert row(store, "k").version == 1


def test_two_migrations_in_one_store_know_nothing_of_each_other(url: str, store: Store) -> None:
    other = opened(url, name="others", role=Role.FOLLOWER)
    store.write("k", values(1))
    assert other.standing().role is Role.FOLLOWER
    assert row(other, "k").version == 0
    other.close()


def test_a_migration_that_was_never_begun(url: str) -> None:
    made = open_store(url, field="source", name="unknown", layout=LAYOUT)
    with pytest.raises((Unavailable, UpstreamError)):
        made.standing()
    with pytest.raises((Unavailable, UpstreamError)):
        made.write("k", values(1))
    with pytest.raises((Unavailable, UpstreamError)):
        made.get(["k"])
    made.close()


def test_keys_may_be_numbers(url: str) -> None:
    layout = Layout(key=Field(name="user_id", kind=Kind.INT), fields=(Field(name="value", kind=Kind.TEXT),))
    made = opened(url + "2", layout, name="numbers")  # a table, a prefix of its own
    dual(made)
    for key in (9, 10, -(2**63), 2**63 - 1):
        made.write(key, {"value": str(key)})
    found = {r.key: r for page in pages(made, 2) for r in page.rows}
    assert {key: r.values for key, r in found.items()} == {k: {"value": str(k)} for k in found}
    assert set(found) == {9, 10, -(2**63), 2**63 - 1} == set(made.pending(10))
    made.follow([Row(key=9, version=2 * EPOCH)])
    assert row(made, 9) == Row(key=9, version=2 * EPOCH)
    made.close()


def test_writers_of_one_key_count_without_a_gap(store: Store) -> None:
    dual(store)
    start, found = Barrier(4), []

    def work(thread: int) -> None:
        start.wait()
        for i in range(25):
            written = store.write("hot", None if i % 5 == 4 else values(thread * 100 + i))
            assert written is not None
            found.append(written.version)

    threads = [Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == list(range(EPOCH + 1, EPOCH + 101))
    assert row(store, "hot").version == EPOCH + 100
    assert store.pending(10) == ("hot",)


def test_a_change_of_roles_and_writes_at_once_lose_nothing(store: Store) -> None:
    """What is taken before the change is pending after it; what comes later is refused."""
    dual(store)
    taken: list[str] = []

    def work(thread: int) -> None:
        for i in range(10_000):
            if store.write(f"{thread}-{i}", values(i)) is None:
                return
            taken.append(f"{thread}-{i}")

    threads = [Thread(target=work, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    while len(taken) < 30:
        pass
    old = store.standing()
    assert store.stand(Standing(role=Role.YIELDED, epoch=old.epoch + 1, dual=True), old)
    pending = set(store.pending(100_000))
    for thread in threads:
        thread.join()
    assert pending == set(taken) == set(store.pending(100_000))


def test_a_table_that_lacks_a_field_is_named(url: str, store: Store) -> None:
    if url.startswith("redis"):
        return  # a hash has whatever fields it has
    more = Layout(key=LAYOUT.key, fields=(*LAYOUT.fields, Field(name="nowhere", kind=Kind.TEXT)))
    made = open_store(url, field="source", name="more", layout=more)
    with pytest.raises(UpstreamError, match="nowhere"):
        made.prepare(Role.TRUTH)
    made.close()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mongodb://127.0.0.1/x", "scheme 'mongodb'; allowed: sqlite"),
        ("sqlite:///x.db", "names no table"),
        ("sqlite://host/x.db?table=t", "names no file"),
        ("sqlite:///x.db?table=t;drop", "is no name of a table"),
        ("sqlite:///x.db?table=t&synchronous=never", "synchronous is 'never'"),
        ("sqlite:///x.db?table=t&speed=1", "option 'speed'; allowed: table, synchronous"),
        ("postgresql://127.0.0.1/x?table=t", "names no user"),
        ("postgresql://me@127.0.0.1/?table=t", "names no database"),
        ("redis://127.0.0.1/0", "names no prefix"),
        ("redis://127.0.0.1/0?prefix=headrace:x", "is Headrace's own"),
        ("redis://127.0.0.1/0?prefix=x&form=list", "form is 'list'; allowed: hash, string"),
        ("redis://127.0.0.1/0?prefix=x&form=string", "holds one field; there are"),
    ],
)
def test_urls_that_lead_nowhere(url: str, words: str) -> None:
    with pytest.raises(BadInput, match=words.replace("?", r"\?")):
        open_store(url, field="target", name="features", layout=LAYOUT)


def test_no_name_shows_a_secret() -> None:
    for url in ("redis://me:secret@127.0.0.1:1/0?prefix=x", "postgresql://me:secret@127.0.0.1:1/d?table=t"):
        made = open_store(url, field="source", name="features", layout=LAYOUT)
        with pytest.raises(UpstreamError) as raised:
            made.standing()
        assert "secret" not in made.name + raised.value.sentence()
        assert "127.0.0.1:1" in made.name
