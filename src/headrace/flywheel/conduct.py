"""One turn from its row in the database to its end, in a process of its own. Called by app/turn.py.

Decides how a step is run: not at all when DBOS has it; from what is kept when the same work was done before; else now,
with its progress in the turn's row. The order of the steps, and what each gets, is turn.py's.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import msgspec

from headrace.base.clock import Clock
from headrace.flywheel.durable import Durable
from headrace.flywheel.made import Kept, Made, Step
from headrace.flywheel.shop import Shop
from headrace.flywheel.turn import Refused, take_turn
from headrace.store import audit, turns
from headrace.store.db import Database
from headrace.types.errors import HeadraceError
from headrace.types.turn import Gain, Judged, Right, StepName, StepState, Turn, TurnState

SAY_SECONDS = 0.5  # between two writes of how far a step is
_FAILED = "failed"


def conduct(shop: Shop, durable: Durable, kept: Kept) -> None:
    """Returns when the turn has ended, or was cancelled meanwhile; how is in its row."""
    row = Row(shop.database, shop.turn.id, shop.clock)

    def run(step: Step) -> Made:
        return _run(step, durable=durable, kept=kept, row=row)

    def whole() -> str:
        try:
            take_turn(shop, run)
        except Refused as refused:
            row.end(TurnState.REFUSED, refused.why)
        except HeadraceError as error:
            row.end(TurnState.FAILED, error.sentence())
        else:
            row.end(TurnState.DONE, "")
        return "ended"

    durable.run(whole)
    kept.sweep()


def _run(step: Step, *, durable: Durable, kept: Kept, row: Row) -> Made:
    def work() -> str:
        row.begin(step)

        def say(share: float, words: str) -> None:
            row.tell(step.name, share, words)

        try:
            made = kept.make(step, say) if step.kept else step.build(kept.scratch(step), say)
        except HeadraceError as error:
            if error.retryable:
                raise
            return msgspec.json.encode({_FAILED: error.sentence()}).decode()
        return msgspec.json.encode(made).decode()

    told: dict[str, Any] = msgspec.json.decode(durable.step(step.name, work))
    if _FAILED in told:
        row.failed(step.name, told[_FAILED])
        raise StepFailed(told[_FAILED])
    made = msgspec.convert(told, Made)
    row.made(step, made)
    if made.refused:
        raise Refused(made.refused)
    return made


class StepFailed(HeadraceError):
    """A step that ended for good; the message is the whole story."""


class Row:
    """Of the turn; a turn that was cancelled is not changed any more."""

    def __init__(self, database: Database, turn_id: str, clock: Clock) -> None:
        self._database, self._id, self._clock = database, turn_id, clock
        self._told = 0.0

    def begin(self, step: Step) -> None:
        now = self._clock.now()

        def begun(turn: Turn) -> Turn:
            there = turn.step(step.name)
            return _with(
                turn,
                step.name,
                state=StepState.RUNNING,
                begun=there.begun or now,
                tries=there.tries + 1,
                key=step.key,
                progress=0.0,
                says="",
            )

        self._change(begun)

    def tell(self, name: StepName, share: float, words: str) -> None:
        if (now := time.monotonic()) - self._told < SAY_SECONDS:
            return
        self._told = now
        self._change(lambda turn: _with(turn, name, progress=share, says=words))

    def made(self, step: Step, made: Made) -> None:
        state = StepState.REFUSED if made.refused else StepState.CACHED if made.cached else StepState.DONE
        now = self._clock.now()

        def done(turn: Turn) -> Turn:
            there = turn.step(step.name)
            changed = _with(
                turn,
                step.name,
                state=state,
                progress=1.0,
                begun=there.begun or now,
                ended=there.ended or now,
                says=made.refused or made.says,
                counts=made.counts,
            )
            return replace(changed, **_of_turn(made.facts))

        self._change(done)

    def failed(self, name: StepName, why: str) -> None:
        now = self._clock.now()
        self._change(lambda turn: _with(turn, name, state=StepState.FAILED, ended=now, says=why))

    def end(self, state: TurnState, why: str) -> None:
        now = self._clock.now()

        def ended(turn: Turn) -> Turn:
            steps = tuple(
                replace(step, state=StepState.SKIPPED) if step.state is StepState.WAITING else step
                for step in turn.steps
            )
            return replace(turn, state=state, ended=now, error=why, steps=steps)

        self._change(ended, note=True)

    def _change(self, how: Any, *, note: bool = False) -> None:
        with self._database.write() as conn:
            before = turns.get(conn, self._id)
            if before.state.ended:
                return
            changed = turns.change(conn, self._id, how)
            if note:
                detail = f"{changed.id}: {changed.state}" + (f", {changed.error}" if changed.error else "")
                audit.append(
                    conn,
                    actor=changed.actor or "flywheel",
                    action=f"turn.{changed.state}",
                    subject=changed.endpoint,
                    detail=detail,
                    now=self._clock.now(),
                )


_KINDS: dict[str, Any] = {
    "gains": tuple[Gain, ...],
    "gates": tuple[Judged, ...],
    "right": Right | None,
    "baseline": str,
    "dataset": str,
    "version": str,
    "release": str,
    "seconds": float,
    "cost": float,
}


def _of_turn(facts: dict[str, Any]) -> dict[str, Any]:
    """What a step's facts, which are JSON, say of the turn as a whole."""
    return {name: msgspec.convert(facts[name], kind) for name, kind in _KINDS.items() if name in facts}


def _with(turn: Turn, name: StepName, **changes: Any) -> Turn:
    steps = tuple(replace(step, **changes) if step.name is name else step for step in turn.steps)
    return replace(turn, steps=steps)
