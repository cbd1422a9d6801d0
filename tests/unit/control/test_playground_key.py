"""The console's own key: made as it is first needed, once, and not on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.base.secret import Secret
from headrace.control.playground import NAME, OwnKey, Playground
from headrace.traffic.keys import MadeKey, make_key
from headrace.types.errors import BadInput
from headrace.types.gateway import Gateway, VirtualKey


@dataclass
class Kept:
    """Keys as the database has them. `during`: what happens while one is made."""

    keys: list[VirtualKey]
    during: Callable[[], object] = lambda: None
    made: list[MadeKey] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)

    def current(self) -> Gateway:
        return Gateway(keys=tuple(self.keys))

    def create_key(self, given: Any, *, actor: str) -> MadeKey:
        self.during()
        made = make_key(b"", VirtualKey(id="", hash="", name=given["name"]), now=0.0)
        self.made.append(made)
        return made

    def revoke_key(self, wanted: str, *, actor: str) -> None:
        self.revoked.append(wanted)


def key(name: str) -> VirtualKey:
    return make_key(b"", VirtualKey(id="", hash="", name=name), now=0.0).key


def desk(kept: Kept, file: Path, *, access: str = "", known: Callable[[], object] = lambda: None) -> Playground:
    """Of a data plane that knows the keys that were made."""

    def answer(request: httpx.Request) -> httpx.Response:
        good = {f"Bearer {made.secret.reveal()}" for made in kept.made} | {"Bearer access"}
        if request.headers.get("authorization") not in good:
            return httpx.Response(401, json={"error": {"message": "the API key is not known"}})
        return httpx.Response(200, json={"data": [{"id": "assistant"}]})

    own = OwnKey(Secret(access), file, kept, known=known)
    return Playground("http://data", key=own, user_header="x-user-id", transport=httpx.MockTransport(answer))


async def test_a_key_is_made_once_and_waited_for_beside_the_loop(tmp_path: Path) -> None:
    begun, turns, told = threading.Event(), threading.Event(), list[int]()

    def during() -> None:
        begun.set()
        assert turns.wait(10), "the event loop stood still"

    kept = Kept([key("team")], during)
    playground = desk(kept, tmp_path / "key", known=lambda: told.append(threading.get_ident()))
    both = asyncio.gather(playground.models(), playground.models())
    while not begun.is_set():
        await asyncio.sleep(0)
    turns.set()
    assert await both == [("assistant",)] * 2
    assert len(kept.made) == len(told) == 1
    assert told[0] != threading.get_ident()
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    await playground.close()


async def test_a_key_whose_file_is_lost_is_replaced(tmp_path: Path) -> None:
    kept = Kept([key("team"), key(NAME)])
    playground = desk(kept, tmp_path / "key")
    assert await playground.models() == ("assistant",)
    assert kept.revoked == [NAME]
    await playground.close()


@pytest.mark.parametrize("access", ["", "access"])
async def test_none_is_made_where_none_is_needed(tmp_path: Path, access: str) -> None:
    kept = Kept([] if not access else [key("team")])
    playground = desk(kept, tmp_path / "key", access=access)
    if access:
        assert await playground.models() == ("assistant",)
    else:
        with pytest.raises(BadInput, match="the API key is not known"):
            await playground.models()
    assert not kept.made
    await playground.close()
