"""What an application uses in place of its store while that is moved: get, put, delete.

    with Moving.open("features.yaml") as features:
        features.put(42, spend=3.5, plan="free")
        features.get(42)

Called by applications, before, during and after a migration; before it, this is their store and nothing more. Decides
where a call goes: to the store that is the truth, which says in the same step whether it still is. A write is answered
when the truth has it; a thread carries it to the other store. Safe for many threads and many processes at once.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Event, Thread
from types import TracebackType
from typing import Any

from headrace.base.clock import Clock, SystemClock
from headrace.base.log import fields
from headrace.migration.drain import BATCH, carry
from headrace.migration.roles import SOURCE, TARGET, Stores, look, truth_of
from headrace.migration.spec import read_spec
from headrace.migration.stores.base import Store, open_store
from headrace.migration.values import given_key, given_values
from headrace.types.errors import HeadraceError, Unavailable, UpstreamError
from headrace.types.migration import Key, Lag, Reading, Role, Spec, Values, Written

PATIENCE = 10.0  # seconds that a call waits for a switch to end
BITE = 16  # rows: while a few are carried, a call of the application waits for few of them
LOOK = 0.02  # seconds between looks for the end of a switch
LINGER = 0.05  # seconds: writes that come close together are carried together, which spares the store that answers
TICK = 2.0  # seconds between looks for what other processes have left behind
LONGEST_WAIT = 10.0  # between tries of a store that is away

log = logging.getLogger("headrace.migration")


class Moving:
    def __init__(self, spec: Spec, *, clock: Clock | None = None, carry: bool = True) -> None:
        """`carry=False`: this process leaves the second write to others, such as `headrace migrate carry`."""
        self._clock = clock or SystemClock()
        self._layout = spec.layout
        self._stores = open_stores(spec)
        self._truth = SOURCE
        self._carrier = Carrier(self._stores)
        self._thread = Thread(target=self._carrier.run, name=f"move {spec.name}", daemon=True)
        try:
            self._begin()
        except HeadraceError:
            self.close()
            raise
        if carry:
            self._thread.start()

    @classmethod
    def open(cls, path: str | Path, *, carry: bool = True) -> Moving:
        """`path`: the description that `headrace migrate` is given too."""
        return cls(read_spec(Path(path)), carry=carry)

    def get(self, key: Key) -> Mapping[str, Any] | None:
        """None when there is no such row."""
        return self._read([key]).rows[0].values

    def get_many(self, keys: Iterable[Key]) -> dict[Key, Mapping[str, Any]]:
        """In one way there and back; keys without a row are left out."""
        return {row.key: row.values for row in self._read(list(keys)).rows if row.values is not None}

    def put(self, key: Key, /, **values: Any) -> None:
        """The whole row: fields that are left out become empty."""
        self._write(key, given_values(self._layout, values))

    def delete(self, key: Key) -> None:
        self._write(key, None)

    def lag(self) -> Lag:
        """What the other store has not got yet, of all processes."""
        return self._stores[self._truth].lag()

    def close(self) -> None:
        """What is not carried yet stays noted in the store; the next process carries it."""
        self._carrier.stop.set()
        self._carrier.wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for store in self._stores:
            store.close()

    def __enter__(self) -> Moving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self) -> None:
        """The source learns of the migration, so that its versions count from the first write on."""
        sides = look(self._stores)
        if sides.standings[SOURCE] is None and (sides.truth is None):
            self._stores[SOURCE].prepare(Role.TRUTH)
        self._find()

    def _read(self, keys: list[Key]) -> Reading:
        for key in keys:
            given_key(self._layout, key)
        while True:
            reading = self._stores[self._truth].get(keys)
            if reading.standing.role is Role.TRUTH:
                return reading
            self._find()

    def _write(self, key: Key, values: Values | None) -> None:
        given_key(self._layout, key)
        while (written := self._try(key, values)) is None:
            self._find()
        if written.dual:
            self._carrier.wake.set()

    def _try(self, key: Key, values: Values | None) -> Written | None:
        return self._stores[self._truth].write(key, values)

    def _find(self) -> None:
        """Waits for the end of a switch, and ends it itself when it can."""
        until = self._clock.steady() + PATIENCE
        while (found := truth_of(self._stores)) is None:
            if self._clock.steady() > until:
                names = " and ".join(store.name for store in self._stores)
                raise Unavailable(f"neither of {names} takes writes", hint="see headrace migrate status")
            self._clock.sleep(LOOK)
        self._truth = found


class Carrier:
    """Carries what is pending, until it is stopped. A store that is away is tried again, more slowly each time."""

    def __init__(self, stores: Stores) -> None:
        self._stores = stores
        self.wake, self.stop = Event(), Event()
        self.carried = 0
        self.trouble = ""

    def run(self) -> None:
        wait = LINGER
        while not self.stop.is_set():
            try:
                self._carry()
                wait, self.trouble = LINGER, ""
                self.wake.wait(TICK)
                self.wake.clear()
            except (UpstreamError, Unavailable) as error:
                if not self.trouble:
                    log.warning("the second write waits", extra=fields(error=error.sentence()))
                self.trouble, wait = error.sentence(), min(LONGEST_WAIT, wait * 2)
            self.stop.wait(wait)

    def _carry(self) -> None:
        truth = truth_of(self._stores)
        if truth is None or not self._stores[truth].standing().dual:
            return
        limit = count = BITE
        while count == limit and not self.stop.is_set():
            count = carry(self._stores[truth], self._stores[1 - truth], limit=limit)
            self.carried += count
            if count == limit:  # it piles up
                limit = count = min(BATCH, 2 * limit)


def open_stores(spec: Spec) -> tuple[Store, Store]:
    source = open_store(spec.source, field="source", name=spec.name, layout=spec.layout)
    target = open_store(spec.target, field="target", name=spec.name, layout=spec.layout)
    return (source, target)


__all__ = ["SOURCE", "TARGET", "Carrier", "Moving", "open_stores"]
