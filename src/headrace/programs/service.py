"""Compilations for people: begun, watched, cancelled; what came of them is registered with where it comes from.

Called by the admin API and the console, in threads. Decides what becomes of a result, and what MLflow is told of it.
The work itself is compile.py's. What runs is known to this process; what is done is a version in the registry.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from headrace.base.clock import Clock
from headrace.programs.compile import Request, compile_now, estimate
from headrace.programs.definition import signature_of
from headrace.programs.orders import CompileOrder, Compiling, read_order
from headrace.programs.package import Packed, read_package, write_package
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


class Programs:
    def __init__(self, *, registry: Registry, aliases: Aliases, work: Path, clock: Clock) -> None:
        self.aliases = aliases
        self._registry = registry
        self._work = work
        self._clock = clock
        self._lock = threading.Lock()
        self._all: dict[str, _Running] = {}

    def start(self, order: CompileOrder, *, actor: str = "") -> Compiling:
        """Answers when it is clear that it can work. Raises BadInput, Conflict while two others run."""
        request = self._request(order)
        planned = estimate(request)
        self.aliases.route(request.packed.program.lm)
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
            found = next(iter(sorted((artifact / "data").glob("*/program.json"))), None)
            if found is None:
                raise NotFound(f"{version.uri} is no program", field="model")
            return read_package(found.parent)

    def _request(self, order: CompileOrder) -> Request:
        request = read_order(order)
        if not order.against:
            return request
        state = self.packed(order.against).state
        return replace(request, packed=replace(request.packed, state=state))

    def _run(self, running: _Running, request: Request, order: CompileOrder, actor: str) -> None:
        def tell(text: str) -> None:
            running.state = replace(running.state, told=text)

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


def facts(request: Request, compiled: Compiled) -> dict[str, Any]:
    """For people who open the package: by what it was compiled, and what that brought."""
    return {
        "optimizer": compiled.optimizer.value,
        "metric": request.how.metric,
        "seed": request.how.seed,
        "before": compiled.before,
        "after": compiled.after,
        "gain": compiled.gain,
        "usage": compiled.usage,
        "time": round(time.time(), 3),
    }


def registration(
    packed: Packed, folder: Path, request: Request, *, order: CompileOrder, compiled: Compiled, actor: str
) -> Registration:
    """What MLflow's UI shows of it."""
    program, how, usage = packed.program, request.how, compiled.usage
    params: dict[str, Any] = {
        "optimizer": how.optimizer.value,
        "metric": how.metric,
        "seed": how.seed,
        "lm": program.lm,
        "kind": program.kind.value if program.code is None else "code",
        "rows": len(request.rows),
        "rows_test": compiled.after.rows,
        "budget_calls": how.budget.calls,
        "budget_money": how.budget.money,
        **{f"settings.{name}": value for name, value in how.settings.items()},
    }
    metrics = {
        f"{name}{part}": value
        for name, score in (("before", compiled.before), ("after", compiled.after), ("gain", compiled.gain))
        for part, value in (("", score.mean), ("_low", score.low), ("_high", score.high))
    }
    metrics |= {
        "lm_calls": float(usage.calls),
        "lm_prompt_tokens": float(usage.prompt_tokens),
        "lm_completion_tokens": float(usage.completion_tokens),
        "lm_money": usage.money,
        "seconds": compiled.seconds,
        "demos": float(compiled.demos),
    }
    tags = {"headrace.kind": "program", "headrace.optimizer": how.optimizer.value}
    tags |= {"headrace.parent": order.against} if order.against else {}
    tags |= {"headrace.actor": actor} if actor else {}
    name, _, digest = order.dataset.partition("@")
    return Registration(
        name=program.name,
        folder=folder,
        signature=signature_of(program),
        params=params,
        metrics=metrics,
        tags=tags,
        dataset=(name, digest or "unknown") if name else ("", ""),
        description=f"{how.optimizer.value}: {compiled.before.mean:.3f} → {compiled.after.mean:.3f} ({how.metric})",
    )
