"""The other workers of this port: what they count, and whether they run a plan.

Built by app/data.py. Asked by the edges: HTTP's /health, /metrics and V2 statistics, gRPC's statistics, and by
forward.py after a change. Decides how long a sibling may take to answer. Ignores what is answered.
A worker that is down is not waited for: before it takes calls it looks for the newest plan (app/data.py).
"""

from __future__ import annotations

import asyncio
from asyncio import StreamReader
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

from headrace.serving import describe
from headrace.serving.sums import merge_statistics
from headrace.serving.table import Table
from headrace.traffic.board import Board

SECONDS = 1.0
_LOOK_SECONDS = 0.005
_LIMIT = 1 << 20  # of a line; an answer may be longer


class Siblings:
    """`addresses` of the unix sockets of the others, by plane; `places` of all on the board."""

    def __init__(
        self,
        addresses: Mapping[str, str] | None = None,
        *,
        places: Mapping[str, int] | None = None,
        board: Board | None = None,
    ) -> None:
        self._addresses = dict(addresses or {})
        self._places = dict(places or {})
        self._board = board

    def __bool__(self) -> bool:
        return bool(self._addresses)

    async def ask(self, target: str) -> dict[str, bytes | None]:
        """What each answers to GET `target`; None: nothing, or not in time."""
        bodies = await asyncio.gather(*(_ask(address, target) for address in self._addresses.values()))
        return dict(zip(self._addresses, bodies, strict=True))

    async def until(self, revision: int, seconds: float) -> str:
        """Returns once all that are up run this plan or a later one; else why not, in words."""
        deadline = asyncio.get_running_loop().time() + seconds
        while waiting := self._behind(revision):
            plane, refused = waiting[0]
            if refused:
                return f"{plane} refuses plan {revision}"
            if asyncio.get_running_loop().time() >= deadline:
                return f"{', '.join(plane for plane, _ in waiting)} did not get as far as plan {revision}"
            await asyncio.sleep(_LOOK_SECONDS)
        return ""

    async def statistics(self, table: Table, name: str = "", version: str = "") -> describe.Json:
        """V2's, in sum."""
        own = describe.statistics(table, name, version)
        if not self:
            return own
        of_model = f"/{quote(name, safe='')}" if name else ""
        of_version = f"/versions/{quote(version, safe='')}" if version else ""
        bodies = (await self.ask(f"/v2/models{of_model}{of_version}/stats")).values()
        return merge_statistics([own, *(msgspec.json.decode(body) for body in bodies if body is not None)])

    def _behind(self, revision: int) -> list[tuple[str, bool]]:
        """Those that are up and run an older plan, and whether they refuse it; refusals first."""
        if self._board is None:
            return []
        rows = {plane: self._board.row(place) for plane, place in self._places.items() if plane in self._addresses}
        behind = [(p, row.refused >= revision) for p, row in rows.items() if row.up and row.revision < revision]
        return sorted(behind, key=lambda found: not found[1])


async def _ask(address: str, target: str) -> bytes | None:
    request = f"GET {target} HTTP/1.1\r\nhost: worker\r\nconnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(SECONDS):
            reader, writer = await asyncio.open_unix_connection(address, limit=_LIMIT)
            try:
                writer.write(request.encode("ascii"))
                return await _read(reader)
            finally:
                writer.close()
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return None


async def _read(reader: StreamReader) -> bytes | None:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    size = next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)
    body = await reader.readexactly(size)
    return body if lines[0].split()[1] == b"200" else None
