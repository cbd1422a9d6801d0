"""Looking for a newer plan without asking the database, and never missing one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from store_samples import endpoint

from headrace.store import plans, plansource
from headrace.store.db import Database
from headrace.store.plansource import PlanSource
from headrace.store.tables import metadata


def publish(database: Database) -> int:
    with database.write() as conn:
        return plans.publish(conn, [endpoint("a")], reason="", now=1.0).revision


class Counting(PlanSource):
    """How often the database was asked."""

    asked = 0

    def revision(self) -> int:
        before = self._seen
        found = super().revision()
        self.asked += self._seen is not before
        return found


def test_each_new_plan_is_seen_at_once(database: Database) -> None:
    source = PlanSource(database)
    assert source.revision() == 0
    for number in range(1, 40):  # as quick as can be: many within one tick of the file's clock
        assert publish(database) == number
        assert source.revision() == number
        assert source.revision() == number
    latest = source.latest()
    assert latest is not None
    assert latest.revision == 39


@pytest.fixture
def file(tmp_path: Path) -> Database:
    made = Database(f"sqlite:///{tmp_path}/plans.db")
    with made.write() as conn:
        metadata.create_all(conn)
    return made


def test_a_file_that_did_not_change_is_not_asked(file: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plansource, "LOOK_SECONDS", 1e9)
    source = Counting(file)
    publish(file)
    for path in source._paths:
        os.utime(path, (1e9, 1e9))  # long ago
    assert [source.revision() for _ in range(5)] == [1] * 5
    assert source.asked == 1
    publish(file)
    assert [source.revision(), source.revision()] == [2, 2]
    assert source.asked >= 2


def test_it_is_asked_now_and_then_whatever_the_file_says(file: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plansource, "LOOK_SECONDS", 0.0)
    source = Counting(file)
    publish(file)
    assert [source.revision() for _ in range(3)] == [1] * 3
    assert source.asked == 3
