"""A real PostgreSQL for tests; started once in a session that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.postgres import NotHere, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a private server."""
    try:
        with running_postgres(fsync=False) as url:
            yield url
    except NotHere as error:
        pytest.skip(f"{error}, then run: pytest -m postgres")
