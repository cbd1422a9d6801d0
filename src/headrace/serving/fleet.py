"""Turns plans into tables: load beside, verify, warm, flip one reference, drain, retain, unload.

Called by watch.py with each new plan, on the event loop. Decides when a version may take over and when an old one goes.
Two rules: traffic never waits for a load, and a plan that cannot be realised as a whole changes nothing.
All state here is touched on the event loop only; what takes time (hashing, loading, warming) happens in threads or
other processes.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from headrace.base.clock import Clock
from headrace.base.log import fields
from headrace.serving.answer import Check
from headrace.serving.batch import Batcher
from headrace.serving.cache import Cache
from headrace.serving.codec import Codec
from headrace.serving.lifecycle import MOVES, State
from headrace.serving.predict import Predictor
from headrace.serving.reserve import Reservations, available_memory, resident_memory
from headrace.serving.runtimes.base import Model, Runtime
from headrace.serving.shadow import Shadows
from headrace.serving.table import Lane, Loaded, Table, adapt, build_lane, by_model
from headrace.serving.turn import Turn
from headrace.serving.warm import answers, warm
from headrace.traffic.admit import OPEN, Door, Gate
from headrace.traffic.keys import Callers, callers_of
from headrace.types.endpoint import Endpoint, Plan, Task, Variant
from headrace.types.errors import HeadraceError, ModelRefused
from headrace.types.model import Package, RuntimeKind

LOADS_AT_ONCE = 4

log = logging.getLogger("headrace.serving")


class Verifier(Protocol):
    """store.artifacts.Artifacts."""

    def verify(self, package: Package) -> Path: ...


class Neighbour(Protocol):
    """Another path with endpoints of its own in the same plan: gateway.board.Boards."""

    async def prepare(self, plan: Plan) -> Mapping[tuple[str, str], str]:
        """What of the plan it cannot realise, by endpoint and variant, and why; nothing has changed yet. What it can is
        in force once it is told as a follower."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a plan is not in force: the variant that could not be brought up, and the reason in words."""

    revision: int
    endpoint: str
    variant: str
    reason: str

    def sentence(self) -> str:
        return f"plan {self.revision}: endpoint {self.endpoint!r}, variant {self.variant!r}: {self.reason}"


class Fleet:
    def __init__(
        self,
        predictor: Predictor,
        *,
        artifacts: Verifier,
        runtimes: Mapping[RuntimeKind, Runtime],
        clock: Clock,
        retain_seconds: float,
        hashed: Callable[[str], str],
        door: Door = OPEN,
    ) -> None:
        """`hashed` turns a user id into a unit."""
        self.predictor = predictor
        self.guard: Callable[[Lane], Lane] = _as_it_is  # failover.py's, in a data plane
        self.followers: list[Callable[[Plan], None]] = []  # told of a plan as it comes into force
        self.neighbour: Neighbour | None = None
        self.refusal: Refusal | None = None
        self.turn = Turn()
        self.shadows = Shadows(predictor.recorder, self.turn, lambda: self.table.lanes.values())
        self.reservations = Reservations(available_memory)
        self._artifacts = artifacts
        self._runtimes = runtimes
        self._clock = clock
        self._retain_seconds = retain_seconds
        self._hashed = hashed
        self._door = door
        self._loaded: dict[str, Loaded] = {}  # by package id
        self._caches: dict[str, Cache] = {}
        self._gates: dict[str, Gate] = {}
        self._parked: frozenset[str] = frozenset()  # package ids of endpoints that were unloaded: not retained
        self._one_plan = asyncio.Lock()
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)
        self._flipped = asyncio.Event()
        predictor.table = Table(callers=Callers(door.keys))  # also before the first plan a key is asked for

    @property
    def table(self) -> Table:
        return self.predictor.table

    def loaded(self) -> tuple[Loaded, ...]:
        return tuple(self._loaded.values())

    async def apply(self, plan: Plan, *, partly: bool = False) -> Refusal | None:
        """Bring everything up, then flip. On a refusal nothing changes, unless `partly`: a plane that just started has
        no old plan to keep, and then serves what it can."""
        async with self._one_plan:
            told = {} if self.neighbour is None else await self.neighbour.prepare(plan)
            theirs = [
                Refusal(revision=plan.revision, endpoint=endpoint, variant=variant, reason=reason)
                for (endpoint, variant), reason in told.items()
            ]
            variants = [(e.name, v) for e in _own(plan) if not e.parked for v in e.variants]
            distinct = {v.package.id: v for _, v in variants}
            await asyncio.gather(*(self._bring(v) for v in distinct.values()))
            refusals = theirs + [
                Refusal(revision=plan.revision, endpoint=name, variant=v.name, reason=reason)
                for name, v in variants
                if (reason := self._why_not(v))
            ]
            if refusals:
                self.refusal = refusals[0]
            elif self.refusal is not None and plan.revision >= self.refusal.revision:
                self.refusal = None
            if not refusals or partly:
                self._flip(plan, whole=not refusals)
            self.tend()
            return refusals[0] if refusals else None

    async def until(self, revision: int, seconds: float) -> bool:
        """Wait until this revision (or a later one) is in force; False when it is refused or the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.table.revision < revision:
                    if self._refused(revision):
                        return False
                    self._flipped.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.25):  # a refusal does not flip
                            await self._flipped.wait()
        return self.table.revision >= revision and not self._refused(revision)

    def _refused(self, revision: int) -> bool:
        return self.refusal is not None and self.refusal.revision >= revision

    def tend(self) -> list[Loaded]:
        """Move on what nobody uses; returns what is to be unloaded now. Called after a flip and about once a second."""
        for loaded in self._loaded.values():
            if loaded.state is State.READY and not self._in_force(loaded):  # of a refused plan
                self._move(loaded, State.DRAINING)
            if loaded.state is State.DRAINING and loaded.refs == 0:
                self._move(loaded, State.RETAINED)
        now = self._clock.steady()
        return [
            loaded
            for loaded in self._loaded.values()
            if loaded.state is State.RETAINED
            and loaded.refs == 0
            and (loaded.package.id in self._parked or now - loaded.since >= self._retain_seconds)
        ]

    async def unload(self) -> None:
        """Close what has been retained long enough, and give its memory back to the machine."""
        async with self._one_plan:  # a plan that wants it again either takes it before or loads it anew
            due = self.tend()
            for loaded in due:
                await self._unload(loaded)
        if due:
            await asyncio.to_thread(_trim)

    async def close(self) -> None:
        for loaded in self._loaded.values():
            if (batcher := loaded.empty()) is not None:
                await batcher.close()
        for runtime in self._runtimes.values():
            await runtime.close()

    # bringing up

    async def _bring(self, variant: Variant) -> None:
        """The package of a variant, loaded and warm, or refused with its reason (and tried anew by the next plan). One
        that was retained has to answer a row first, or is loaded anew: nobody knows what became of its process."""
        package = variant.package
        async with self._loads:
            known = self._loaded.get(package.id)
            if known is not None and known.state is not State.REFUSED:
                if self._in_force(known) or await answers(known.parts.batcher.model, known.parts.check, known.sample):
                    return
                await self._unload(known)
            loaded = self._loaded[package.id] = Loaded(package=package, since=self._clock.steady())
            try:
                await self._load(loaded, variant)
            except (HeadraceError, OSError) as error:
                loaded.reason = error.sentence() if isinstance(error, HeadraceError) else str(error)
                self._move(loaded, State.REFUSED)
            except BaseException:
                del self._loaded[package.id]  # half-way: nobody may take it for loaded
                raise

    async def _load(self, loaded: Loaded, variant: Variant) -> None:
        package = loaded.package
        if (variant.model.name, variant.model.version) != (package.model, package.version):
            raise ModelRefused(
                f"variant {variant.name!r} is {variant.model.name}/{variant.model.version}, its package was made from "
                f"{package.model}/{package.version}"
            )
        runtime = self._runtimes.get(package.runtime)
        if runtime is None:
            there = ", ".join(sorted(self._runtimes))
            raise ModelRefused(f"no runtime {package.runtime.value!r} on this plane; there are: {there}")
        folder = await asyncio.to_thread(self._artifacts.verify, package)
        self._move(loaded, State.RESERVING)
        with self.reservations.reserve(package):
            self._move(loaded, State.LOADING)
            before = await asyncio.to_thread(resident_memory)
            model = await runtime.load(folder, package)
            self._move(loaded, State.WARMING)
            await _or_close(model, self._warm(loaded, model, folder))
            loaded.memory = max(0, await asyncio.to_thread(resident_memory) - before)
        self._move(loaded, State.READY)

    async def _warm(self, loaded: Loaded, model: Model, folder: Path) -> None:
        signature = loaded.package.signature
        codec, check = Codec(signature, model.form), Check(signature)
        warmed = await warm(model, codec, check, folder=folder, package=loaded.package)
        loaded.sample = warmed.sample
        name = f"{loaded.package.model}/{loaded.package.version}"
        batcher = Batcher(
            model, loaded.statistics, name=name, steady=self._clock.steady, turn=self.turn, together=warmed.together
        )
        loaded.fill(batcher, codec, check)

    async def _unload(self, loaded: Loaded) -> None:
        self._move(loaded, State.UNLOADED)
        del self._loaded[loaded.package.id]
        if (batcher := loaded.empty()) is not None:
            await batcher.close()

    # taking over

    def _flip(self, plan: Plan, *, whole: bool) -> None:
        """The one moment of change: a single assignment. A plan that is realised in part does not count as in force."""
        old = self.table
        endpoints = _own(plan)
        lanes = {e.name: self.guard(self._lane(e)) for e in endpoints}
        self.shadows.keep(lanes)
        for follow in self.followers:
            follow(plan)
        self.predictor.table = Table(
            revision=plan.revision if whole else 0,
            realised=True,
            lanes=lanes,
            models=by_model(endpoints),
            callers=callers_of(plan, self._door, self._clock.now),
        )
        self._parked = frozenset(v.package.id for e in endpoints if e.parked for v in e.variants)
        for loaded in self._loaded.values():
            if self._in_force(loaded):
                self._move(loaded, State.LIVE)
            elif loaded.state is State.LIVE:
                self._move(loaded, State.DRAINING)
        self._flipped.set()
        told = "plan in force" if whole else "plan in force in part"
        log.info(told, extra=fields(revision=plan.revision, before=old.revision, endpoints=len(lanes)))

    def _lane(self, endpoint: Endpoint) -> Lane:
        usable = self._usable(endpoint)
        for loaded in usable.values():
            loaded.parts.batcher.configure(endpoint.batching)
        lane = build_lane(endpoint, self._gate(endpoint), usable, self._hashed, self._cache(endpoint))
        return replace(lane, shadow=self.shadows.build(endpoint, usable))

    def _usable(self, endpoint: Endpoint) -> dict[str, Loaded]:
        if endpoint.parked:
            return {}
        return {v.name: self._loaded[v.package.id] for v in endpoint.variants if not self._why_not(v)}

    def _why_not(self, variant: Variant) -> str:
        """Why it cannot be used; empty when it can."""
        loaded = self._loaded[variant.package.id]
        if loaded.state is State.REFUSED:
            return loaded.reason or "refused"
        if variant.adapter is not None:
            try:
                adapt(variant, loaded)
            except ModelRefused as error:
                return error.sentence()
        return ""

    def _gate(self, endpoint: Endpoint) -> Gate:
        """Kept over plans: it counts calls that are under way."""
        gate = self._gates.get(endpoint.name) or self._gates.setdefault(endpoint.name, self._door.gate(endpoint.name))
        gate.limit = endpoint.limits.max_concurrency
        return gate

    def _cache(self, endpoint: Endpoint) -> Cache | None:
        """Kept over plans: its keys name the version."""
        if endpoint.cache.size_mb == 0:
            self._caches.pop(endpoint.name, None)
            return None
        cache = self._caches.setdefault(endpoint.name, Cache(endpoint.cache, self._clock.steady))
        cache.configure(endpoint.cache)
        return cache

    def _in_force(self, loaded: Loaded) -> bool:
        return any(loaded in lane.loaded.values() for lane in self.table.lanes.values())

    def _move(self, loaded: Loaded, state: State) -> None:
        if loaded.state is state:
            return
        if state not in MOVES[loaded.state]:
            raise RuntimeError(f"{loaded.package.id[:12]} cannot go from {loaded.state} to {state}")
        loaded.state = state
        loaded.since = self._clock.steady()
        log.info(
            "package " + state.value,
            extra=fields(model=loaded.package.model, version=loaded.package.version, reason=loaded.reason),
        )


def _own(plan: Plan) -> list[Endpoint]:
    """Those that are answered on the predict path."""
    return [endpoint for endpoint in plan.endpoints if endpoint.task is not Task.CHAT]


def _as_it_is(lane: Lane) -> Lane:
    return lane


async def _or_close(model: Model, work: Awaitable[None]) -> None:
    try:
        await work
    except BaseException:
        await model.close()
        raise


def _trim() -> None:
    """glibc keeps freed pages (measured: 184 → 93 MB after 40 swaps with this call); others have no such call."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
