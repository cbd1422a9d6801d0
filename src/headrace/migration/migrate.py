"""A migration, step by step: start → copy → check → switch (→ back) → finish. Reads from top to bottom as one.

Called by `headrace migrate`. Each step asks phases.py whether it may be, works on the stores, and writes the record
last, so that a killed step is simply done again. Decides what is proven before reads are switched: that nothing is
pending, that all rows (or a sample, when asked) are the same, and afterwards that the new truth gives what the old one
has; where it does not, reads go back at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from headrace.base.clock import Clock
from headrace.migration import phases
from headrace.migration.check import Checking, shown
from headrace.migration.copy import Shown, copy_rows
from headrace.migration.drain import carry_all
from headrace.migration.record import Record
from headrace.migration.roles import SOURCE, TARGET, Sides, Stores, hand_over, look, set_roles, take_back, truth_of
from headrace.types.errors import Conflict, HeadraceError, UpstreamError
from headrace.types.migration import Check, Lag, Phase, Role, Spec, Step

T = TypeVar("T")
PROVED = 500  # rows looked at after a switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    name: str
    phase: Phase
    source: str
    target: str
    sides: Sides
    lag: Lag
    copied: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    waited_seconds: float  # for which no store took a write
    check: Check


class Migration:
    def __init__(self, spec: Spec, stores: Stores, *, folder: Path, clock: Clock, actor: str) -> None:
        """`folder`: of the records. The stores are the caller's to close."""
        self._spec, self._stores = spec, stores
        self._clock, self._actor = clock, actor
        self._record = Record(folder, spec.name)

    def close(self) -> None:
        self._record.close()

    def prepare(self) -> None:
        """Tables beside the rows' own, for applications that may make none themselves."""
        self._stores[SOURCE].prepare(Role.TRUTH)
        self._stores[TARGET].prepare(Role.FOLLOWER)

    def start(self) -> None:
        """From here on each write goes to both stores."""

        def begin() -> str:
            self.prepare()
            self._stores[TARGET].forget()
            self._record.forget_chunks()
            set_roles(self._stores, [(TARGET, Role.FOLLOWER, False), (SOURCE, Role.TRUTH, True)])
            return f"each write goes to {self._names()}"

        self._step("start", Phase.DUAL, begin)

    def copy(self, show: Shown) -> int:
        rows = 0

        def work() -> str:
            nonlocal rows
            chunk = self._spec.chunk
            rows = copy_rows(self._stores, self._spec.layout, self._record, limit=chunk, show=show)
            return f"{rows:,} rows copied and read back"

        self._step("copy", Phase.COPIED, work)
        return rows

    def check(self, show: Shown, *, sample: float = 1.0, repair: bool = False) -> Check:
        """Compares; what differs is given to the follower with `repair`."""
        with self._record:
            phase = self._phase()
            phases.allow("check", phase, self._spec.name)
            found = self._compare(show, sample=sample, repair=repair)
            after = phase if phase is Phase.SWITCHED else Phase.CHECKED if found.equal else Phase.COPIED
            self._note("check", after, _told(found))
        return found

    def switch(self, show: Shown, *, sample: float = 1.0) -> Switched:
        """Reads and first writes go to the target, after one more comparison."""
        found: Switched | None = None

        def work() -> str:
            nonlocal found
            check = self._compare(show, sample=sample, repair=False)
            if not check.equal:
                self._note("switch", Phase.COPIED, f"refused: {_told(check)}")
                raise Conflict(f"reads stay: {_told(check)}", hint="headrace migrate check --repair")
            waited = self._hand_over(SOURCE)
            self._prove()
            found = Switched(waited_seconds=waited, check=check)
            return f"reads and first writes go to {self._stores[TARGET].name}; writes waited {waited * 1000:.0f} ms"

        self._step("switch", Phase.SWITCHED, work)
        if found is None:
            raise RuntimeError("a switch that did not fail has a result")
        return found

    def back(self) -> float:
        """Reads and first writes go to the source again; for how many seconds no store took a write."""
        waited = 0.0

        def work() -> str:
            nonlocal waited
            waited = self._hand_over(TARGET)
            return (
                f"reads and first writes go to {self._stores[SOURCE].name} again; writes waited {waited * 1000:.0f} ms"
            )

        self._step("back", Phase.COPIED, work)
        return waited

    def finish(self) -> None:
        def work() -> str:
            carry_all(self._stores[TARGET], self._stores[SOURCE])
            set_roles(self._stores, [(TARGET, Role.TRUTH, False), (SOURCE, Role.RETIRED, False)])
            return f"{self._stores[TARGET].name} alone; {self._stores[SOURCE].name} is left as it is now"

        self._step("finish", Phase.FINISHED, work)

    def abort(self) -> None:
        def work() -> str:
            set_roles(self._stores, [(SOURCE, Role.TRUTH, False)])
            return f"{self._stores[SOURCE].name} alone; what was copied stays in {self._stores[TARGET].name}"

        self._step("abort", Phase.ABORTED, work)

    def status(self) -> Status:
        sides = look(self._stores)
        dual = sides.truth is not None and _is_dual(sides, sides.truth)
        return Status(
            name=self._spec.name,
            phase=phases.found(self._record.phase(), truth=sides.truth, dual=dual),
            source=self._stores[SOURCE].name,
            target=self._stores[TARGET].name,
            sides=sides,
            lag=self._stores[sides.truth].lag() if sides.truth is not None else Lag(),
            copied=self._record.copied(),
            steps=self._record.steps(),
        )

    def _step(self, name: str, after: Phase, work: Callable[[], str]) -> None:
        with self._record:
            phases.allow(name, self._phase(), self._spec.name)
            try:
                detail = work()
            except HeadraceError as error:
                self._note(name, self._phase(), f"failed: {error.sentence()}")
                raise
            self._note(name, after, detail)

    def _phase(self) -> Phase:
        """By the record and, where they disagree, by the stores. Ends a switch that was killed."""
        recorded = self._record.phase()
        if recorded is not Phase.NEW:
            truth_of(self._stores)
        sides = look(self._stores)
        if sides.truth is None:
            return recorded
        return phases.found(recorded, truth=sides.truth, dual=_is_dual(sides, sides.truth))

    def _compare(self, show: Shown, *, sample: float, repair: bool) -> Check:
        truth = truth_of(self._stores)
        if truth is None:
            raise Conflict("neither store is the truth at the moment", hint="try again")
        checking = self._checking(truth, show, repair=repair)
        carry_all(self._stores[truth], self._stores[1 - truth])
        now = self._clock.now()
        return checking.all_rows(now) if sample >= 1 else checking.sample(now, sample)

    def _checking(self, truth: int, show: Shown, *, repair: bool) -> Checking:
        return Checking(
            self._stores[truth],
            self._stores[1 - truth],
            self._spec.layout,
            limit=self._spec.chunk,
            repair=repair,
            show=show,
        )

    def _hand_over(self, old: int) -> float:
        carry_all(self._stores[old], self._stores[1 - old])  # so that there is little left while writes wait
        began = self._clock.steady()
        try:
            hand_over(self._stores, old=old)
        except UpstreamError as error:
            if take_back(self._stores, old=old):
                raise UpstreamError(f"nothing was switched: {error.message}") from error
            raise
        return self._clock.steady() - began

    def _prove(self) -> None:
        """That applications are given by the target what they were given by the source. Else back."""
        keys = [row.key for row in self._stores[SOURCE].page("", PROVED).rows]
        found = self._checking(TARGET, lambda _: None, repair=False).keys(self._clock.now(), keys)
        if not found.equal:
            self._hand_over(TARGET)
            self._note("switch", Phase.COPIED, f"taken back: {_told(found)}")
            raise Conflict(f"reads went back to {self._stores[SOURCE].name}: {_told(found)}")

    def _names(self) -> str:
        return f"{self._stores[SOURCE].name} and {self._stores[TARGET].name}"

    def _note(self, action: str, phase: Phase, detail: str) -> None:
        step = Step(time=self._clock.now(), actor=self._actor, action=action, phase=phase, detail=detail)
        self._record.note(step)


def _is_dual(sides: Sides, truth: int) -> bool:
    standing = sides.standings[truth]
    return standing is not None and standing.dual


def _told(check: Check) -> str:
    compared = f"{check.compared:,} of {check.rows:,} rows compared"
    mended = f", {check.repaired:,} repaired" if check.repaired else ""
    if check.equal:
        mark = f", fingerprint {check.fingerprint}" if check.fingerprint else ""
        return f"{compared}, none differs{mended}{mark}"
    some = "; ".join(shown(check.differing[:3]))
    return f"{compared}, {check.differences:,} differ{mended}: {some}"
