"""Who said what to the registry through our door, until the registry is read and shows it.

Called by the service for requests to MLflow that have passed through /mlflow (say), and by sync (who). MLflow itself
does not tell who moved a stage or an alias. A move that nobody claimed was made behind our back: by "mlflow".
"""

from __future__ import annotations

import threading

from headrace.base.clock import Clock
from headrace.release.moves import Said
from headrace.release.record import DELETED, Moved, RegistryCall

OUTSIDE = "mlflow"
SECONDS = 60.0  # after which a claim that the registry has not shown is forgotten


class Claims:
    def __init__(self, clock: Clock) -> None:
        self._clock, self._guard = clock, threading.Lock()
        self._said: dict[RegistryCall, tuple[float, Said]] = {}

    def say(self, call: RegistryCall, said: Said) -> None:
        now = self._clock.steady()
        with self._guard:
            fresh = {call: claim for call, claim in self._said.items() if now - claim[0] < SECONDS}
            self._said = fresh | {call: (now, said)}

    def who(self, moved: Moved) -> Said:
        """A version that lost Production lost it to the one that was moved there."""
        with self._guard:
            claims = list(self._said.items())
        oldest = self._clock.steady() - SECONDS
        fits = [said for call, (time, said) in claims if time >= oldest and _explains(call, moved)]
        return fits[-1] if fits else Said(actor=OUTSIDE)


def _explains(call: RegistryCall, moved: Moved) -> bool:
    if call.model != moved.model:
        return False
    if call.gone:
        return call.version in (0, moved.version) and moved.now in (DELETED, "nothing")
    if call.name != moved.name:
        return False
    if call.name:
        return moved.now == (f"version {call.version}" if call.version else "nothing")
    return (moved.version == call.version and moved.now == call.stage) or moved.now == "Archived"
