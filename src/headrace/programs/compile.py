"""One compilation: rows and a program in, a program that does better out, within a budget. Read this first.

Called by the command line, the admin API and the flywheel's turns, on an event loop (`compile_program`) or in a thread
(`compile_now`). Decides what may be asked in all, and keeps the last evaluation's part of it back. The work is done by
a confined child (child/compile.py) without keys and without a network; its questions are answered by serving/desk.py,
here, where the budget is kept: no code of the program can go over it.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import msgspec

from headrace.compute.frames import Message
from headrace.compute.host import Hear, HostLimits, HostProcess
from headrace.programs.definition import check_row
from headrace.programs.intervals import gain_of, score_of
from headrace.programs.metrics import METRICS, check_metric
from headrace.programs.optimizers.base import Optimizer
from headrace.programs.optimizers.registry import optimizers
from headrace.programs.order import Order, Outcome, Row
from headrace.programs.package import Packed, write_package
from headrace.programs.split import Split, split
from headrace.programs.until import until
from headrace.serving.desk import Desk
from headrace.serving.lm import Aliases
from headrace.serving.paid import Paid
from headrace.serving.runtimes.program import CHILD_ENVIRONMENT
from headrace.types.errors import BadInput, ModelFailed, ModelRefused, UpstreamError
from headrace.types.program import Case, Compilation, Compiled, ModuleKind, Program, Usage

PROGRAM = "headrace.programs.child.compile"
LONGEST = 7 * 86_400.0  # seconds, when none were said
ONE_CALL_MORE = 2.0  # seconds that the child has to end by itself when its time is over
SHOWN = 300  # rows of the test with their answers
FEEDBACK = "feedback"  # a column that optimizers may read: what a user said of such an answer
LIMITS = HostLimits(several=True, nice=10, memory_mb=8192)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """How far it is. `share` of the calls that it takes when nothing is stopped."""

    words: str
    usage: Usage = Usage()
    share: float = 0.0


Progress = Callable[[Told], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """`packed.state`: what it was compiled to before, which the new one has to beat. `test`: rows kept apart, such as
    a golden set; empty: some of `rows` are. `group`: a column whose rows stay together. Without `measured` whoever asks
    measures what was found, as a turn does: nothing is kept apart, and nothing of the budget kept back."""

    packed: Packed
    how: Compilation
    rows: tuple[Row, ...]
    test: tuple[Row, ...] = ()
    group: str = ""
    measured: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Before anything is asked. `calls` is what it takes when nothing is stopped."""

    calls: int
    evaluation: int  # of these, to measure before and after
    split: Split


def estimate(request: Request) -> Estimate:
    """What it will take, and which rows do what. Raises BadInput for rows, settings or a budget that cannot work."""
    program, how = request.packed.program, request.how
    optimizer = optimizers()[how.optimizer]
    settings = optimizer.with_defaults(how.settings)
    check_metric(how.metric)
    _check_target(program, how)
    rows = [_row(request, row, f"rows[{number}]") for number, row in enumerate(request.rows)]
    test = [_row(request, row, f"test[{number}]") for number, row in enumerate(request.test)]
    names = [item.name for item in program.inputs]
    parts = split(rows, inputs=names, seed=how.seed, group=request.group, test=test, measured=request.measured)
    if len(parts.train) < optimizer.least:
        raise BadInput(
            f"{optimizer.name.value} has {len(parts.train)} rows to train on; it needs {optimizer.needs}", field="data"
        )
    per_row = _per_row(program)
    evaluation = 2 * len(parts.test) * per_row
    calls = evaluation + optimizer.calls(len(parts.train), len(parts.valid), per_row, settings)
    if how.budget.calls and how.budget.calls < evaluation + _first_calls(optimizer):
        raise BadInput(
            f"a budget of {how.budget.calls} calls does not cover {len(parts.test)} test rows before and after, "
            f"which take {evaluation}",
            field="budget.calls",
            hint="give a larger budget, or fewer test rows",
        )
    return Estimate(calls=calls, evaluation=evaluation, split=parts)


def check_aliases(request: Request, aliases: Aliases) -> None:
    """Raises UpstreamError for a language model that leads nowhere, at the field that names it."""
    aliases.route(request.packed.program.lm)
    if thinks := request.how.reflection_lm:
        try:
            aliases.route(thinks)
        except UpstreamError as error:
            raise UpstreamError(error.message, field="reflection_lm", hint=error.hint) from error


async def compile_program(
    request: Request,
    *,
    aliases: Aliases,
    work: Path,
    progress: Progress,
    python: str = sys.executable,
    paid: Path | None = None,
) -> Compiled:
    """`paid`: a file that keeps what the language model has answered, so that the same compilation begun again does
    not ask it twice. Raises BadInput, UpstreamError (no such language model), ModelRefused (the program does not run),
    ModelFailed (it took too long). Cancelling it ends the child at once."""
    planned, how = estimate(request), request.how
    program = request.packed.program
    check_aliases(request, aliases)
    began, seconds = time.monotonic(), how.budget.seconds or LONGEST
    allowed = [program.lm, *([how.reflection_lm] if how.reflection_lm else [])]
    desk = Desk(aliases, allowed, how.budget, paid=Paid(paid) if paid else None)
    await asyncio.to_thread(work.mkdir, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="compile-", dir=work) as scratch:
        folder = Path(scratch) / "program"
        write_package(request.packed, folder)
        progress(Told(words=f"{planned.calls} calls at most, {planned.evaluation} of them to measure before and after"))
        host = HostProcess(
            program.name,
            [python, "-m", PROGRAM],
            log_path=Path(scratch) / "compile.log",
            env=CHILD_ENVIRONMENT,
            limits=replace(LIMITS, call_seconds=seconds + ONE_CALL_MORE),
        )
        desk.attend(host)
        try:
            await host.start()
            hear = _hearing(desk, planned.calls, progress)
            outcome = await _run(host, desk, _order(request, planned, folder), hear, seconds)
        finally:
            await host.close()
            await desk.close()
    return _compiled(request, planned.split.test, outcome, desk, time.monotonic() - began)


def compile_now(
    request: Request,
    *,
    aliases: Aliases,
    work: Path,
    progress: Progress,
    cancelled: threading.Event | None = None,
    python: str = sys.executable,
    paid: Path | None = None,
) -> Compiled:
    """The same in a thread. Raises Conflict when it was cancelled."""

    compiling = compile_program(request, aliases=aliases, work=work, progress=progress, python=python, paid=paid)
    return until(cancelled, compiling, what="the compilation", field="compile")


def _order(request: Request, planned: Estimate, folder: Path) -> Order:
    """Half of the evaluation is still to come when the optimizer works: its part of the budget is kept back."""
    how, budget = request.how, request.how.budget
    return Order(
        folder=str(folder),
        how=how,
        train=planned.split.train,
        valid=planned.split.valid,
        test=planned.split.test,
        calls=budget.calls - planned.evaluation if budget.calls else 0,
        money=budget.money * (0.8 if request.measured else 1.0),
    )


def _hearing(desk: Desk, calls: int, progress: Progress) -> Hear:
    def hear(message: Message) -> None:
        spent = desk.usage
        money = f", {spent.money:.4g} spent" if spent.money else ""
        share = min(1.0, spent.calls / calls) if calls else 0.0
        progress(Told(words=f"{message[0]['text']} ({spent.calls} calls{money})", usage=spent, share=share))

    return hear


async def _run(host: HostProcess, desk: Desk, order: Order, hear: Hear, seconds: float) -> Outcome:
    account = desk.open()
    header = {"op": "compile", "for": account.number}
    try:
        async with asyncio.timeout(seconds):
            _, blobs = await host.call(header, [msgspec.json.encode(order)], hear=hear)
    except TimeoutError:
        raise ModelFailed(
            f"the compilation took longer than its {seconds:g} s and was stopped after {desk.usage.calls} calls",
            field="budget.seconds",
        ) from None
    finally:
        desk.end(account)
    return msgspec.json.decode(blobs[0], type=Outcome)


def _compiled(request: Request, test: Sequence[Row], outcome: Outcome, desk: Desk, seconds: float) -> Compiled:
    if outcome.refused:
        raise ModelRefused(f"the program could not be compiled: {outcome.refused}", field="program")
    stopped = outcome.stopped or desk.stopped
    if not outcome.found:
        raise ModelRefused(
            f"{request.how.optimizer.value} found nothing before it was stopped: {stopped}; "
            f"{desk.usage.calls} calls were made",
            field="budget",
            hint="give a larger budget, or an optimizer that asks less",
        )
    return Compiled(
        state=outcome.state,
        before=score_of(outcome.before),
        after=score_of(outcome.after),
        gain=gain_of(outcome.before, outcome.after),
        usage=desk.usage,
        seconds=seconds,
        optimizer=request.how.optimizer,
        stopped=stopped,
        demos=outcome.demos,
        errors=outcome.errors,
        error=outcome.error,
        cases=_cases(request, test, outcome),
    )


def _cases(request: Request, test: Sequence[Row], outcome: Outcome) -> tuple[Case, ...]:
    program = request.packed.program
    target = request.how.target or program.outputs[0].name
    told = zip(
        test, outcome.answers_before, outcome.answers_after, outcome.before, outcome.after, strict=False
    )  # without a measurement there are none
    return tuple(
        Case(
            inputs={item.name: row[item.name] for item in program.inputs},
            expected=row[target],
            before=before,
            after=after,
            score_before=old,
            score_after=new,
        )
        for row, before, after, old, new in islice(told, SHOWN)
    )


def _row(request: Request, row: Row, where: str) -> Row:
    """The program's fields, and what may be read besides."""
    found = check_row(request.packed.program, row, where)
    for extra in (request.group, FEEDBACK):
        if extra and row.get(extra) not in (None, "") and extra not in found:
            found[extra] = row[extra]
    return found


def _check_target(program: Program, how: Compilation) -> None:
    names = [item.name for item in program.outputs]
    if how.target and how.target not in names:
        raise BadInput(f"target is {how.target!r}; allowed: {', '.join(names)}", field="target")
    if not 1 <= how.threads <= 64:
        raise BadInput(f"threads is {how.threads!r}; allowed: 1 to 64", field="threads")
    if how.metric not in METRICS and program.code is None:
        raise BadInput(
            f"metric is {how.metric!r}; allowed: {', '.join(METRICS)}, or a function of the program's code, "
            "which it has none of",
            field="metric",
        )


def _per_row(program: Program) -> int:
    """Of a program's own making nobody knows: it is taken to be two."""
    if program.kind is ModuleKind.REACT:
        return program.max_steps + 1
    return 1 if program.code is None else 2


def _first_calls(optimizer: Optimizer) -> int:
    """What it takes to find anything at all."""
    return 1 if optimizer.calls(10, 10, 1, optimizer.settings) else 0
