"""The admin API over ASGI, on a real database and journal, with releases that only remember what they were asked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from headrace.api.admin.build import build
from headrace.api.admin.mlflow import Passage
from headrace.base.clock import ManualClock
from headrace.base.secret import Secret
from headrace.base.settings import Settings
from headrace.flywheel.datasets import Datasets
from headrace.flywheel.export import Exporter
from headrace.flywheel.review import Reviews
from headrace.flywheel.stream import Streamer
from headrace.monitor.live import LiveStats
from headrace.release.parts import Cause
from headrace.release.record import RegistryCall
from headrace.store import plans, versions
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.journal.writer import Journal
from headrace.types.endpoint import Endpoint, PlaneReport
from headrace.types.errors import HeadraceError
from headrace.types.model import ModelVersion, Stage
from tests.control_samples import START, endpoint, open_database, open_journal, version

HERE = "http://127.0.0.1:8001"


@dataclass
class PlayedReleases:
    """`error` is raised by everything; `tells` is said before it."""

    asked: list[tuple[Any, ...]] = field(default_factory=list)
    tells: tuple[str, ...] = ("resolve", "convert")
    error: Exception | None = None
    syncs: int = 0
    refuses: HeadraceError | None = None
    claimed: list[tuple[RegistryCall, str]] = field(default_factory=list)
    on_sync: Callable[[], None] = lambda: None

    adapters: list[Any] = field(default_factory=list)  # as they came with deploys and releases

    def deploy(
        self, name: str, uri: str, *, adapter: Any, actor: str, reason: str, progress: Callable[[str], None]
    ) -> Endpoint:
        self.adapters.append(adapter)
        self._do("deploy", name, uri, actor, progress=progress)
        return endpoint(name)

    def start(
        self,
        name: str,
        uri: str,
        *,
        plan: Any,
        also: Any,
        adapters: Any,
        actor: str,
        release_id: str,
        progress: Callable[[str], None],
    ) -> Endpoint:
        self.adapters.append(adapters)
        self._do("start", name, uri, plan, actor, progress=progress)
        return endpoint(name)

    def dry_run(self, name: str, uri: str, *, plan: Any, also: Any) -> dict[str, str]:
        self.asked.append(("dry_run", name, uri, plan, also))
        return {"members": "x"}

    def configure(self, name: str, changes: Any, *, actor: str, progress: Callable[[str], None]) -> Endpoint:
        self._do("configure", name, changes, actor, progress=progress)
        return endpoint(name)

    def load(self, name: str, *, config: Any, actor: str) -> Endpoint:
        self._do("load", name, config, actor)
        return endpoint(name)

    def unload(self, name: str, *, actor: str) -> Endpoint:
        self._do("unload", name, actor)
        return endpoint(name)

    def move_stage(self, model: str, number: int, stage: Stage, *, actor: str, reason: str) -> ModelVersion:
        self._do("stage", model, number, stage, actor)
        return replace(version(number, model), stage=stage)

    def pause(self, release_id: str, *, actor: str, reason: str) -> Endpoint:
        self._do("pause", release_id, actor, reason)
        return endpoint()

    resume = promote = abort = pause

    def admit(self, call: RegistryCall, *, actor: str) -> Cause:
        if self.refuses:
            raise self.refuses
        return Cause(actor=actor)

    def claim(self, call: RegistryCall, cause: Cause) -> None:
        self.claimed.append((call, cause.actor))

    def sync(self) -> None:
        self.syncs += 1
        self.on_sync()

    def _do(self, *what: Any, progress: Callable[[str], None] = lambda _: None) -> None:
        self.asked.append(what)
        for text in self.tells:
            progress(text)
        if self.error:
            raise self.error


@dataclass
class Stand:
    services: Any
    database: Database
    journal: Journal
    clock: ManualClock
    releases: PlayedReleases
    home: Path
    passages: list[Passage] = field(default_factory=list)

    def app(self, *, mlflow: str = "http://127.0.0.1:1/mlflow", token: str = "") -> FastAPI:
        services = self.services
        services.settings = replace(services.settings, admin_token=Secret(token), mlflow_uri=mlflow)
        self.passages.append(Passage(mlflow, self.releases.sync, self.releases))
        return build(services, self.passages[-1])

    @asynccontextmanager
    async def client(self, url: str = HERE, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        transport = httpx.ASGITransport(app=self.app(**options), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=url) as client:
            yield client
        await self.passages[-1].close()


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    settings, clock, releases = Settings(home=tmp_path), ManualClock(START + 1000), PlayedReleases()
    with open_database(tmp_path) as database, open_journal(settings.journal) as journal:
        with database.write() as conn:
            plans.publish(conn, [endpoint()], reason="test", now=START)
            for number, stage in ((1, Stage.ARCHIVED), (2, Stage.PRODUCTION)):
                versions.put(conn, version(number, stage=stage))
        query = JournalQuery(settings.journal)
        services = SimpleNamespace(
            settings=settings,
            clock=clock,
            database=database,
            query=query,
            live=LiveStats(clock),
            releases=releases,
            reviews=Reviews(database=database, query=query, clock=clock),
            streamer=Streamer(database=database, query=query),
            programs=SimpleNamespace(),
            exporter=Exporter(database=database, query=query, clock=clock),
            datasets=Datasets(database=database, query=query, folder=tmp_path / "datasets", clock=clock),
            mlflow_link=lambda trace_id: f"/mlflow/#/{trace_id}",
            status=lambda: {"version": "test"},
            settle=lambda: 1,
            in_force=lambda: PlaneReport(revision=1, live=True),
        )
        yield Stand(services, database, journal, clock, releases, tmp_path)
        query.close()


@pytest.fixture
async def client(stand: Stand) -> AsyncIterator[httpx.AsyncClient]:
    async with stand.client() as made:
        yield made


def told(answer: httpx.Response) -> HeadraceError:
    """What the SDK makes of an error answer."""
    from headrace.client.answers import error_of

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status_code
    return error_of(answer)
