"""The LLM gateway as it is now: what is configured, how upstreams are, who answers, how full limits are, what it costs.

Called by the admin API and the console, which both show what is told here. Decides nothing of what holds: provision
changes it, data planes live by it, the ledger knows what it cost. A configuration is read once a version.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from headrace.base.clock import Clock
from headrace.control.fullness import Fullness, fullness
from headrace.control.planes import Planes
from headrace.gateway.board import FILE
from headrace.provision.money import Forecast, PriceRow, Unpriced, forecast, price_rows, unpriced
from headrace.provision.service import Provision
from headrace.serving.sums import merge_upstreams
from headrace.store import endpoints, spend
from headrace.store.artifacts import Artifacts
from headrace.store.counters.base import month_start, span
from headrace.store.db import Database
from headrace.types.endpoint import Endpoint, Task
from headrace.types.gateway import Chat, Gateway, SpendSum, Window

DAY = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A chat endpoint, and what each of its versions says. One whose package cannot be read is not among `chats`."""

    endpoint: Endpoint
    chats: dict[str, Chat]  # by variant


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What was spent between two times, by day and all that is asked for; and what it will be."""

    since: float
    until: float
    sums: tuple[SpendSum, ...]
    total: SpendSum | None
    forecast: Forecast | None
    unpriced: tuple[Unpriced, ...]


class GatewayLook:
    def __init__(
        self,
        *,
        database: Database,
        provision: Provision,
        planes: Planes,
        artifacts: Artifacts,
        hashed: Callable[[str], str],
        clock: Clock,
    ) -> None:
        """`hashed`: what stands for a user, in counters as in the journal."""
        self._database, self._provision, self._planes = database, provision, planes
        self._artifacts, self._hashed, self._clock = artifacts, hashed, clock
        self._known: tuple[int, Gateway] = (0, Gateway())
        self._chats: dict[str, Chat | None] = {}  # by package id

    def configuration(self) -> tuple[int, Gateway]:
        """The version, and what it says."""
        number = self._provision.version()
        if number != self._known[0]:
            self._known = (number, self._provision.current())
        return self._known

    def upstreams(self) -> list[dict[str, Any]]:
        """One row an upstream model that some version names: of all data planes together."""
        return merge_upstreams(plane.told for plane in self._planes.health() if plane.told is not None)

    def routes(self) -> tuple[Route, ...]:
        with self._database.read() as conn:
            found = [each for each in endpoints.all(conn) if each.task is Task.CHAT]
        return tuple(Route(endpoint=endpoint, chats=self._chats_of(endpoint)) for endpoint in found)

    def limits(self) -> tuple[Fullness, ...]:
        """In the order in which they are configured."""
        wanted = self.configuration()[1].limits
        if not wanted:
            return ()
        now = self._clock.now()
        with self._database.read() as conn:
            return fullness(
                wanted,
                self._planes.limits(),
                lambda level, since: spend.used(conn, level, since=since),
                hashed=self._hashed,
                now=now,
            )

    def bill(self, *, since: float, until: float, by: tuple[str, ...] = ()) -> Bill:
        """`by` as the ledger has it; days are always in it."""
        now, (_, gateway) = self._clock.now(), self.configuration()
        start = min(month_start(span(Window.MONTH, now).number), now - 14 * DAY)
        with self._database.read() as conn:
            found = spend.sums(conn, since=since, until=until, by=("day", *by))
            whole = spend.sums(conn, since=since, until=until)
            models = spend.sums(conn, since=since, until=until, by=("provider", "model"))
            days = spend.sums(conn, since=start, until=now + DAY, by=("day",))
        return Bill(
            since=since,
            until=until,
            sums=found,
            total=whole[0] if whole else None,
            forecast=forecast({int(each.group["day"]): each.cost for each in days}, now),
            unpriced=unpriced(models, gateway, now),
        )

    def prices(self) -> tuple[PriceRow, ...]:
        """All of them, and which hold now."""
        return price_rows(self.configuration()[1], self._clock.now())

    def _chats_of(self, endpoint: Endpoint) -> dict[str, Chat]:
        found = {variant.name: self._chat(variant.package.id) for variant in endpoint.variants}
        return {name: chat for name, chat in found.items() if chat is not None}

    def _chat(self, package_id: str) -> Chat | None:
        """A package never changes."""
        if package_id not in self._chats:
            try:
                body = (self._artifacts.path(package_id) / FILE).read_bytes()
                self._chats[package_id] = msgspec.json.decode(body, type=Chat)
            except (OSError, msgspec.MsgspecError):  # data planes refuse it, and say why
                return None
        return self._chats[package_id]
