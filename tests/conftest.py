"""One whole platform for all tests that need real processes; a test that harms it starts its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from bench.running import Platform

# How fast examples come says how busy the machine is, and nothing of what is tested.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

pytest_plugins = ["tests.llm", "tests.openwebui", "tests.postgres"]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """`headrace up` on an empty folder, with `digits` (two versions, one deployed) and `custom` (a model host)."""
    with Platform(tmp_path_factory.mktemp("platform") / "home") as running:
        running.train("digits", "digits", "custom")
        running.run("deploy", "models:/digits/1", "--endpoint", "digits")
        running.run("deploy", "models:/custom/1", "--endpoint", "custom")
        yield running
