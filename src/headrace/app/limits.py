"""Which counters the limits of a data plane are kept in.

Called by data.py. Decides: Redis when there is an address, shared memory among workers of one port, else
its own memory.
"""

from __future__ import annotations

from importlib.util import find_spec

from headrace.base.clock import Clock
from headrace.base.settings import Settings, SettingsError
from headrace.store.counters.base import Counters
from headrace.store.counters.local import LocalCounters
from headrace.store.counters.shared import SharedCounters

SCHEMES = ("redis://", "rediss://", "unix://")


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
