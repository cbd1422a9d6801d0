"""Which counters the limits of a data plane are kept in, and that they never stand lower than the ledger.

Called by data.py. Decides: Redis when there is an address, shared memory among workers of one port, else
its own memory.
"""

from __future__ import annotations

import asyncio
import logging
from importlib.util import find_spec

from headrace.base.clock import Clock
from headrace.base.log import fields
from headrace.base.settings import Settings, SettingsError
from headrace.store import spend
from headrace.store.counters.base import Counters, Seed
from headrace.store.counters.local import LocalCounters
from headrace.store.counters.shared import SharedCounters
from headrace.store.db import Database
from headrace.traffic.limit import Limiter
from headrace.traffic.seed import seeds
from headrace.types.errors import HeadraceError
from headrace.types.gateway import Limit

SEED_SECONDS = 10.0
SCHEMES = ("redis://", "rediss://", "unix://")

log = logging.getLogger("headrace.data")


def build_counters(settings: Settings, plane: str, clock: Clock) -> Counters:
    """Raises SettingsError."""
    if settings.limits_url:
        return _remote(settings.limits_url, clock)
    if settings.api_workers > 1 and plane in settings.planes:
        own = settings.planes.index(plane)
        return SharedCounters(settings.counters, workers=settings.api_workers, own=own, clock=clock)
    return LocalCounters(clock)


def _remote(url: str, clock: Clock) -> Counters:
    if not url.startswith(SCHEMES):
        raise SettingsError(f"limits_url begins with {url[:8]!r}; allowed: {', '.join(SCHEMES)}")
    if find_spec("redis") is None:
        raise SettingsError("limits_url needs Redis' client: pip install 'headrace[limits]'")
    from headrace.store.counters.remote import RemoteCounters  # noqa: PLC0415 -- an extra, and 12 MB

    return RemoteCounters(url, clock=clock)


class Seeding:
    """Raises the limiter's counters to what the ledger knows: at the start, with a new plan, and from time to time, for
    what counters lost while Redis was away."""

    def __init__(self, limiter: Limiter, database: Database, clock: Clock) -> None:
        self._limiter, self._database, self._clock = limiter, database, clock

    async def run(self) -> None:
        while True:
            await asyncio.sleep(SEED_SECONDS)
            await self.turn()

    async def turn(self) -> None:
        limits = self._limiter.limits
        if not limits:
            return
        try:
            found = await asyncio.to_thread(self._read, limits)
            await self._limiter.counters.seed(found)
        except HeadraceError as error:  # counters stand as they stood, and it is tried again
            log.warning("counters could not be raised to the ledger", extra=fields(reason=error.sentence()))

    def _read(self, limits: tuple[Limit, ...]) -> list[Seed]:
        with self._database.read() as conn:
            return seeds(limits, lambda level, since: spend.used(conn, level, since=since), self._clock.now())
