"""Compilations for people: begun, watched, cancelled; what came of them is registered with where it comes from.

Called by the admin API and the console, in threads. Decides what becomes of a result, and what MLflow is told of it.
The work itself is compile.py's. What runs is known to this process; what is done is a version in the registry.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from headrace.base.clock import Clock
from headrace.programs.compile import Request, Told, check_aliases, compile_now, estimate
from headrace.programs.definition import signature_of
from headrace.programs.drafts import Drafts
from headrace.programs.figures import chosen, facts, spent, tokens_of_call
from headrace.programs.orders import CompileOrder, Compiling, read_order
from headrace.programs.package import Packed, package_in, read_package, write_package
from headrace.programs.prepare import FOLDER
from headrace.programs.trial import try_program
from headrace.serving.lm import Aliases
from headrace.store.programs import Registration, register_program
from headrace.store.registry import Registry
from headrace.types.errors import Conflict, HeadraceError, NotFound
from headrace.types.program import Compiled, Phase, Register

KEPT = 50  # compilations that are remembered
AT_ONCE = 2
FAILED = "the compilation failed"

log = logging.getLogger("headrace.programs")


@dataclass(slots=True)
class _Running:
    state: Compiling
    cancelled: threading.Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a compilation will take, about, told before it begins. `money`: None where the alias has no price."""

    calls: int
    evaluation: int  # of these, to measure before and after
    train: int
    valid: int
    test: int
    tokens: int
    money: float | None


class Programs:
    def __init__(
        self, *, registry: Registry, aliases: Aliases, work: Path, clock: Clock, drafts: Path | None = None
    ) -> None:
        """`drafts`: where programs are written."""
        self.aliases = aliases
        self.drafts = Drafts(drafts or work / "drafts")
        self._registry = registry
        self._work = work
        self._clock = clock
        self._lock = threading.Lock()
        self._all: dict[str, _Running] = {}

    def start(self, order: CompileOrder, *, actor: str = "") -> Compiling:
        """Answers when it is clear that it can work. Raises BadInput, Conflict while two others run."""
        request = self._request(order)
        planned = estimate(request)
        check_aliases(request, self.aliases)
        state = Compiling(
            id=f"c-{token_hex(6)}",
            model=request.packed.program.name,
            began=self._clock.now(),
            how=request.how,
            rows=len(request.rows),
            calls=planned.calls,
        )
        with self._lock:
            if sum(not one.state.phase.ended for one in self._all.values()) >= AT_ONCE:
                raise Conflict(f"{AT_ONCE} compilations run already", field="compile", hint="wait, or cancel one")
            running = self._all[state.id] = _Running(state, threading.Event())
            for old in list(self._all)[:-KEPT]:
                if self._all[old].state.phase.ended:
                    del self._all[old]
        threading.Thread(target=self._run, args=(running, request, order, actor), name=state.id, daemon=True).start()
        return state

    def plan(self, order: CompileOrder) -> Planned:
        """Nothing is asked. Raises BadInput for what could not work, UpstreamError for an alias that leads nowhere."""
        request = read_order(order)
        found = estimate(request)
        check_aliases(request, self.aliases)
        route = self.aliases.route(request.packed.program.lm)
        read, written = tokens_of_call(request)
        one = route.priced(read, written)
        priced = bool(route.input_price or route.output_price)
        return Planned(
            calls=found.calls,
            evaluation=found.evaluation,
            train=len(found.split.train),
            valid=len(found.split.valid),
            test=len(found.split.test),
            tokens=found.calls * (read + written),
            money=found.calls * one.money if priced else None,
        )

    def get(self, compile_id: str) -> Compiling:
        return self._known(compile_id).state

    def recent(self) -> tuple[Compiling, ...]:
        """Newest first."""
        return tuple(one.state for one in reversed(self._all.values()))

    def cancel(self, compile_id: str) -> Compiling:
        """Nothing is registered. It ends within a second."""
        running = self._known(compile_id)
        running.cancelled.set()
        return running.state

    def ask(self, packed: Packed, row: Mapping[str, Any]) -> dict[str, Any]:
        """One row, through the program as it is: its outputs, what it cost, how long it took."""
        return asyncio.run(try_program(packed, row, aliases=self.aliases, work=self._work))

    def stop(self) -> None:
        for running in self._all.values():
            running.cancelled.set()

    def packed(self, uri: str) -> Packed:
        """Of a registered version. Raises NotFound, UpstreamError, ModelRefused."""
        version = self._registry.resolve(uri)
        self._work.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="program-", dir=self._work) as scratch:
            artifact = self._registry.download(version, Path(scratch))
            found = package_in(artifact)
            if found is None:
                raise NotFound(f"{version.uri} is no program", field="model")
            return read_package(found)

    def _request(self, order: CompileOrder) -> Request:
        request = read_order(order)
        if not order.against:
            return request
        state = self.packed(order.against).state
        return replace(request, packed=replace(request.packed, state=state))

    def _run(self, running: _Running, request: Request, order: CompileOrder, actor: str) -> None:
        def tell(told: Told) -> None:
            running.state = replace(running.state, told=told.words, share=told.share, usage=told.usage)

        ended: dict[str, Any]
        try:
            compiled = compile_now(
                request, aliases=self.aliases, work=self._work, progress=tell, cancelled=running.cancelled
            )
            version, note = self._registered(request, order, compiled, actor)
            ended = {"phase": Phase.DONE, "compiled": compiled, "version": version, "note": note}
        except HeadraceError as error:
            phase = Phase.CANCELLED if running.cancelled.is_set() else Phase.FAILED
            ended = {"phase": phase, "error": error.sentence()}
        except Exception as error:  # a bug of ours must not leave it running for ever
            log.exception(FAILED)
            ended = {"phase": Phase.FAILED, "error": f"{FAILED}: {type(error).__name__}"}
        running.state = replace(running.state, ended=self._clock.now(), **ended)

    def _registered(self, request: Request, order: CompileOrder, compiled: Compiled, actor: str) -> tuple[int, str]:
        """The new version, or 0 and why not."""
        if order.register == Register.NEVER:
            return 0, "it was not to be registered"
        if order.register == Register.BETTER and compiled.after.mean < compiled.before.mean:
            return 0, "it scores lower than before, so it was not registered"
        packed = replace(request.packed, state=compiled.state, compiled=facts(request, compiled))
        with tempfile.TemporaryDirectory(prefix="program-", dir=self._work) as scratch:
            folder = Path(scratch) / FOLDER
            write_package(packed, folder)
            return register_program(
                self._registry.uri, registration(packed, folder, request, order=order, compiled=compiled, actor=actor)
            ), ""

    def _known(self, compile_id: str) -> _Running:
        found = self._all.get(compile_id)
        if found is None:
            raise NotFound(f"there is no compilation {compile_id!r}", field="id", hint="headrace compile --list")
        return found


def registration(
    packed: Packed, folder: Path, request: Request, *, order: CompileOrder, compiled: Compiled, actor: str
) -> Registration:
    """What MLflow's UI shows of it."""
    program, how = packed.program, request.how
    metrics = {
        f"{name}{part}": value
        for name, score in (("before", compiled.before), ("after", compiled.after), ("gain", compiled.gain))
        for part, value in (("", score.mean), ("_low", score.low), ("_high", score.high))
    }
    metrics |= spent(compiled)
    tags = {"headrace.kind": "program", "headrace.optimizer": how.optimizer.value}
    tags |= {"headrace.parent": order.against} if order.against else {}
    tags |= {"headrace.actor": actor} if actor else {}
    name, _, digest = order.dataset.partition("@")
    return Registration(
        name=program.name,
        folder=folder,
        signature=signature_of(program),
        params=chosen(request) | {"rows_test": compiled.after.rows},
        metrics=metrics,
        tags=tags,
        dataset=(name, digest or "unknown") if name else ("", ""),
        description=f"{how.optimizer.value}: {compiled.before.mean:.3f} → {compiled.after.mean:.3f} ({how.metric})",
    )
