"""The local LLM in the gateway: once, at its address, and left alone afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.base.clock import ManualClock
from headrace.base.settings import Settings
from headrace.control.llm import LocalLlm
from headrace.store import endpoints, gateway, plans
from headrace.types.gateway import Provider, ProviderKind
from tests.control_samples import endpoint, open_database


class PlayedReleases:
    def __init__(self) -> None:
        self.deployed: list[tuple[str, Any]] = []

    def deploy(self, endpoint: str, source: Any, *, actor: str, reason: str) -> object:
        self.deployed.append((endpoint, source))
        return None


def test_provides_and_deploys_once_and_follows_its_address(tmp_path: Path) -> None:
    clock, settings = ManualClock(), Settings(home=tmp_path, llm_port=8003)
    with open_database(tmp_path) as database:
        theirs = Provider(name="openai", kind=ProviderKind.OPENAI, url="https://api.openai.com/v1")
        with database.write() as conn:
            given = replace(gateway.current(conn), providers=(theirs,))
            gateway.put(conn, given, actor="ann", reason="first", now=clock.now())
        releases = PlayedReleases()
        local = LocalLlm(settings, database=database, releases=releases, clock=clock)
        local.turn()
        local.turn()
        [(name, service)] = releases.deployed
        assert name == "smollm2"
        assert service.what.ways[0].provider == "local"
        with database.read() as conn:
            assert [p.name for p in gateway.current(conn).providers] == ["openai", "local"]
            assert gateway.number(conn) == 2
            assert plans.revision(conn) == 1
        moved = LocalLlm(replace(settings, llm_port=9003), database=database, releases=releases, clock=clock)
        moved.turn()
        with database.read() as conn:
            [provider] = [p for p in gateway.current(conn).providers if p.name == "local"]
            assert provider.url == "http://127.0.0.1:9003/v1"
            before = gateway.number(conn)
        LocalLlm(replace(settings, llm_port=9003), database=database, releases=releases, clock=clock).turn()
        with database.read() as conn:
            assert gateway.number(conn) == before, "nothing new is no version"


def test_leaves_an_endpoint_of_that_name_alone(tmp_path: Path) -> None:

    clock, settings = ManualClock(), Settings(home=tmp_path, llm_port=8003)
    with open_database(tmp_path) as database:
        with database.write() as conn:
            endpoints.replace_all(conn, [endpoint("smollm2", "smollm2", 1)])
        releases = PlayedReleases()
        LocalLlm(settings, database=database, releases=releases, clock=clock).turn()
        assert releases.deployed == []
