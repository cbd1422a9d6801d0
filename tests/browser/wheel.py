"""The flywheel of the stage: one turn that has gained, one that was refused, and a button that begins one."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

from headrace.base.clock import Clock
from headrace.flywheel.intervals import compare
from headrace.flywheel.turns import Turns
from headrace.flywheel.usable import Usable
from headrace.flywheel.verdict import Measured, judge
from headrace.store import turns
from headrace.store.db import Connection, Database
from headrace.store.journal.query import JournalQuery
from headrace.types.program import Score
from headrace.types.turn import (
    Cause,
    Flywheel,
    Gain,
    Judged,
    Metric,
    Right,
    StepName,
    StepState,
    Training,
    Triggers,
    Turn,
    TurnState,
    TurnStep,
)

SPEC = "train: {function: 'train.py:train'}\ntriggers: {feedback: 200, cron: '30 2 * * *'}\n"
WHEEL = Flywheel(endpoint="digits", train=Training(function="train.py:train"), triggers=Triggers(feedback=200))
SAYS = {
    StepName.EXPORT: ("312 rows that people said 401 words of; models:/digits/1 is live", {"rows": 312.0}),
    StepName.CURATE: (
        "214 new rows teach beside 60; 71 fresh and 400 golden rows examine",
        {"teach": 214.0, "fresh": 71.0},
    ),
    StepName.VALIDATE: ("6 checks passed", {"checks": 6.0, "failed": 0.0}),
    StepName.TRAIN: ("trained in 8.4 s", {"seconds": 8.4}),
    StepName.EVALUATE: ("golden: 0.270 → 0.152 on 400 rows", {"golden_rows": 400.0}),
    StepName.GATE: ("5 gates passed", {"gates": 5.0}),
    StepName.REGISTER: ("registered as models:/digits/2", {}),
    StepName.RELEASE: ("release rel_digits of models:/digits/2 began", {}),
}


def wheels(folder: Path, database: Database, query: JournalQuery, clock: Clock) -> Turns:
    """Without processes: what is begun stays queued."""

    def idle(_: Turn) -> subprocess.Popen[bytes]:
        raise AssertionError("nothing is started on a stage")

    return Turns(
        database=database,
        clock=clock,
        folder=folder / "flywheel",
        specs=folder / "flywheels",
        usable=Usable(database, query),
        start=idle,
        last_words=lambda _: "",
    )


def furnish(conn: Connection, folder: Path, now: float) -> None:
    place = folder / "flywheels" / "digits"
    place.mkdir(parents=True)
    (place / "flywheel.yaml").write_text(SPEC)
    (place / "train.py").write_text("")
    turns.add(conn, _gained(now - 90_000))
    turns.add(conn, _refused(now - 4_000))


def _gained(at: float) -> Turn:
    errors = ([1.0] * 108 + [0.0] * 292, [0.0] * 55 + [1.0] * 53 + [1.0] * 8 + [0.0] * 284)
    fresh = ([1.0] * 20 + [0.0] * 51, [0.0] * 11 + [1.0] * 9 + [0.0] * 51)
    examined = (compare("golden", Metric.EXACT, *errors, 0.05), compare("fresh", Metric.EXACT, *fresh, 0.05))
    steps = tuple(
        TurnStep(
            name=name,
            state=StepState.DONE,
            begun=at + n,
            ended=at + n + 1,
            tries=1,
            progress=1,
            says=says,
            counts=counts,
        )
        for n, (name, (says, counts)) in enumerate(SAYS.items())
    )
    return Turn(
        id="turn_gained0000000000",
        endpoint="digits",
        flywheel=WHEEL,
        created=at,
        cause=Cause.FEEDBACK,
        state=TurnState.DONE,
        ended=at + 60,
        steps=steps,
        gains=examined,
        gates=_judged(*examined),
        baseline="models:/digits/1",
        version="models:/digits/2",
        release="rel_digits",
        dataset="ds_9f2c41d07be8",
        right=Right(
            plain=Score(mean=0.912, low=0.813, high=0.961, rows=60),
            powered=Score(mean=0.921, low=0.846, high=0.958, rows=60),
            calls=7_860,
            worth=96.0,
        ),
        seconds=8.4,
    )


def _refused(at: float) -> Turn:
    gained = _gained(at)
    worse = compare("golden", Metric.EXACT, [1.0] * 20 + [0.0] * 380, [1.0] * 64 + [0.0] * 336, 0.05)
    judged = _judged(worse, replace(worse, on="fresh"))[0]
    steps = tuple(
        replace(step, state=StepState.REFUSED, says=f"gate golden: {judged.says}")
        if step.name is StepName.GATE
        else replace(step, state=StepState.SKIPPED, says="", counts={})
        if step.name in (StepName.REGISTER, StepName.RELEASE)
        else step
        for step in gained.steps
    )
    return replace(
        gained,
        id="turn_refused000000000",
        cause=Cause.SCHEDULE,
        state=TurnState.REFUSED,
        steps=steps,
        gains=(worse,),
        gates=(judged,),
        baseline="models:/digits/2",
        version="",
        release="",
        error=f"gate golden: {judged.says}",
    )


def _judged(*gains: Gain) -> tuple[Judged, ...]:
    must = compare("must", Metric.EXACT, [], [], 0.05)
    return judge(WHEEL, Measured(gains=(*gains, must), baseline_ms=0.4, candidate_ms=0.5, seconds=8.4, cost=0.0))
