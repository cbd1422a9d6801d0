"""Callers while Redis or the database is away: what keys and limits say then, and what is asked of whom again."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from chat_plane import ASK, QUICK, chat_endpoint, over, publish_chats
from counters import RedisServer

from bench.postgres import NotHere, Server, postgres_server
from bench.running import wait_for
from bench.upstream import Upstream, running_upstream
from headrace.base.ids import load_key
from headrace.store.db import Database
from headrace.store.migrate import migrate
from headrace.traffic.keys import CALLERS_KEY, make_key
from headrace.types.call import Call, CallStatus
from headrace.types.gateway import (
    Counted,
    Gateway,
    Level,
    Limit,
    Provider,
    ProviderKind,
    VirtualKey,
    Window,
)
from tests.integration.test_data_plane import RunningPlane

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with running_upstream() as made:
        yield made


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.process.send_signal(signal.SIGCONT)
    server.kill()


@pytest.fixture(scope="module")
def postgres_of_its_own() -> Iterator[Server]:
    try:
        with postgres_server(fsync=False) as server:
            yield server
    except NotHere as error:
        pytest.skip(f"{error}, then run: pytest -m postgres")


def limit(endpoint: str, amount: int, *, opens: bool) -> Limit:
    return Limit(
        level=Level.ENDPOINT,
        who=endpoint,
        counted=Counted.REQUESTS,
        amount=amount,
        window=Window.MONTH,
        open=opens,
    )


def published(running: RunningPlane, upstream: Upstream, names: tuple[str, ...], **more: object) -> int:
    well = Provider(name="well", kind=ProviderKind.OPENAI, url=f"{upstream.url}/well/v1", private=True, **QUICK)
    endpoints = [chat_endpoint(running.artifacts, running.home, name, over("well")) for name in names]
    return publish_chats(running.database, endpoints, Gateway(providers=(well,), **more))  # type: ignore[arg-type]


def ask(running: RunningPlane, model: str, key: str = "") -> httpx.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return running.http.post("/v1/chat/completions", json={"model": model, **ASK}, headers=headers)


def blind(running: RunningPlane) -> int:
    """Calls whose limits nobody could ask."""
    told = {m["name"]: m["value"] for m in running.http.get("/metrics").json()["metrics"]}
    return int(told.get("headrace_limit_blind_total", 0))


def let_in(running: RunningPlane) -> int:
    """How many before the limit refuses. Who came while Redis did not answer in time, on a busy machine, is not one."""
    unseen, count = blind(running), 0
    while ask(running, "open").status_code == 200 and count < 20:
        count += 1
    return count - (blind(running) - unseen)


def test_redis(tmp_path: Path, upstream: Upstream, redis: RedisServer) -> None:
    """Down and hanging: open limits let in, closed ones do not, and what comes back is believed again."""
    running = RunningPlane(tmp_path / "home", limits_url=redis.url)
    try:
        limits = (limit("open", 5, opens=True), limit("closed", 1_000, opens=False))
        running.start().live(published(running, upstream, ("open", "closed"), limits=limits))
        before = upstream.came["well"]
        for number, back in enumerate((redis.start, lambda: redis.process.send_signal(signal.SIGCONT))):
            assert let_in(running) == 5
            wait_for(lambda: ask(running, "closed").status_code == 200, seconds=10, what="limits that are seen")

            if number:
                redis.process.send_signal(signal.SIGSTOP)
            else:
                redis.kill()
            assert [ask(running, "open").status_code for _ in range(5)] == [200] * 5
            refused = ask(running, "closed")
            assert (refused.status_code, "counters of the limits cannot be reached" in refused.text) == (503, True)
            assert int(refused.headers["retry-after"]) >= 1

            back()
            wait_for(lambda: ask(running, "closed").status_code == 200, seconds=10, what="limits that are seen")
            assert blind(running) >= 6 * (number + 1)
        wait_for(lambda: ask(running, "open").status_code == 429, seconds=10, what="a limit that has forgotten nothing")
        running.kill(signal.SIGTERM)
        calls = [record for record in running.records() if isinstance(record, Call)]
        answered = sum(call.status is CallStatus.OK for call in calls)
        assert answered == upstream.came["well"] - before, "each answer is billed once"
    finally:
        running.close()


@pytest.mark.postgres
def test_a_database_that_hangs(tmp_path: Path, upstream: Upstream, postgres_of_its_own: Server) -> None:
    """Keys and limits hold as they did; a data plane that starts meanwhile takes its last plan from its own disk."""
    running = RunningPlane(tmp_path / "home", database_url=postgres_of_its_own.url)
    running.database.close()
    running.database = Database(postgres_of_its_own.url)
    migrate(running.database)
    made = make_key(
        load_key(running.home / "keys" / CALLERS_KEY), VirtualKey(id="", hash="", models=("chat",)), now=time.time()
    )
    key = made.secret.reveal()
    server = psutil.Process(postgres_of_its_own.pid())
    try:
        limits = (limit("chat", 4, opens=False),)
        running.start().live(published(running, upstream, ("chat", "other"), limits=limits, keys=(made.key,)))
        assert ask(running, "chat", key).status_code == 200

        family = [server, *server.children(recursive=True)]
        for process in family:
            process.suspend()
        running.until(lambda health: bool(health["database"]["error"]))
        assert ask(running, "chat", key).status_code == 200
        assert [ask(running, "chat").status_code, ask(running, "other", key).status_code] == [401, 403]

        assert running.kill(signal.SIGTERM) == 0
        running.reconnect()
        running.start().live(1)
        found = running.http.get("/health").json()
        assert (found["status"], bool(found["database"]["error"])) == ("ready", True)
        states = [ask(running, "chat", key).status_code for _ in range(5)]
        assert states == [200] * 4 + [429], "what is counted in memory begins anew without a ledger"
        assert ask(running, "other", key).status_code == 403
    finally:
        for process in family:
            process.resume()
        running.close()
