"""A migration between two SQLite files, and what an application and an operator do with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.migration.moved import Moved


@pytest.fixture
def moved(tmp_path: Path) -> Iterator[Moved]:
    made = Moved(tmp_path)
    yield made
    made.close()
