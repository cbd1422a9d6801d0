"""Stores for tests of migrations: where each is, what rows look like, and real servers behind them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pg8000.native
import pytest

from bench.running import free_port, wait_for
from headrace.types.migration import Field, Kind, Layout
from tests.brokers import RedisServer

LAYOUT = Layout(
    key=Field(name="id", kind=Kind.TEXT),
    fields=tuple(
        Field(name=name, kind=kind)
        for name, kind in (
            ("text", Kind.TEXT),
            ("whole", Kind.INT),
            ("real", Kind.FLOAT),
            ("flag", Kind.BOOL),
            ("blob", Kind.BYTES),
            ("more", Kind.JSON),
            ("seen", Kind.TIME),
        )
    ),
)
_no_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
PARAMETERS = [
    "sqlite",
    pytest.param("postgres", marks=pytest.mark.postgres),
    pytest.param("redis", marks=_no_redis),
]


def values(number: int) -> dict[str, Any]:
    return {
        "text": f"text {number}",
        "whole": number,
        "real": number + 0.25,
        "flag": bool(number % 2),
        "blob": str(number).encode(),
        "more": {"n": number},
        "seen": datetime.fromtimestamp(1_700_000_000 + number, UTC),
    }


@contextmanager
def place(request: pytest.FixtureRequest, kind: str, folder: Path) -> Iterator[str]:
    """URL of an empty store, which ends with `table=features` or the like."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/{kind}{free_port()}.db?synchronous=off&table=features"
    elif kind == "postgres":
        yield from _postgres(request.getfixturevalue("postgres"))
    else:
        folder = folder / f"redis{free_port()}"
        folder.mkdir()
        server = RedisServer(folder)
        yield server.url("0?prefix=features")
        server.kill()


def _postgres(server: str) -> Iterator[str]:
    found = server.replace("postgresql://", "").partition("@")
    host, _, port = found[2].partition("/")[0].partition(":")
    conn = pg8000.native.Connection(found[0], host=host, port=int(port), database="postgres")
    conn.run("DROP SCHEMA IF EXISTS moving CASCADE")
    conn.run("CREATE SCHEMA moving")
    yield f"{server}?table=moving.features"
    conn.close()


__all__ = ["LAYOUT", "PARAMETERS", "place", "values", "wait_for"]
