"""What the gateway's part of a plan looks like once it is realised: chat endpoints with their ways. One board serves.

Made by Boards for each plan, on the event loop: prepare() reads and checks everything, flip() changes one reference.
Decides what lives on from the plan before: a provider that did not change keeps its connections, an upstream model its
health, an endpoint its gate. A board never changes once it is built: a call sees one plan from start to end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from headrace.gateway.cache import Cache
from headrace.gateway.choose import Ready
from headrace.gateway.guards.base import Guard as Checker
from headrace.gateway.guards.judge import Judge, fits
from headrace.gateway.guards.registry import build
from headrace.gateway.health import Health
from headrace.gateway.native import Native, Speaker
from headrace.gateway.retry import Budget
from headrace.gateway.semantic import Shelves, check_cache
from headrace.gateway.station import Station, line_of
from headrace.traffic.admit import OPEN, Door, Gate
from headrace.traffic.keys import Callers, callers_of
from headrace.traffic.price import Prices, Tariff
from headrace.traffic.route import as_applied
from headrace.types.endpoint import Capture, Endpoint, Plan, Task, Variant
from headrace.types.errors import HeadraceError, ModelRefused, NotFound, Unavailable
from headrace.types.gateway import HOME, Chat, Gateway, Provider, Way
from headrace.types.model import Package
from headrace.types.traffic import TrafficPolicy

FILE = "chat.json"  # in a package
_UNBOUND = Gate("models that can be talked to", 1 << 30)  # those are bounded by their own gates, on the predict path


class Verifier(Protocol):
    """store.artifacts.Artifacts."""

    def verify(self, package: Package) -> Path: ...


class Embeds(Protocol):
    """serving.embedding.Embedder."""

    async def load(self) -> None: ...

    async def embed(self, text: str) -> NDArray[np.float32] | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """One version of a chat endpoint, ready to be asked."""

    name: str  # of the variant
    number: int
    package: str
    chat: Chat
    ways: tuple[Ready, ...]
    plain: bool = False  # requests go on as they came: no prompt and no parameters of its own
    before: tuple[Checker, ...] = ()
    after: tuple[Checker, ...] = ()
    judges_before: tuple[Judge, ...] = ()
    judges_after: tuple[Judge, ...] = ()
    guarded: bool = False  # by any of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One chat endpoint."""

    endpoint: Endpoint
    policy: TrafficPolicy
    gate: Gate
    versions: dict[str, Version]
    budget: Budget
    cache: Cache
    shelves: Shelves
    captured: bool
    masked: bool = False  # personal data is scrubbed out of what is captured
    native: Native | None = None  # it is no chat endpoint: a model of ours, which can be talked to

    @property
    def applied(self) -> TrafficPolicy:
        """A model of ours has one for all who ask it, however they do."""
        return self.policy if self.native is None else self.native.policy(self.endpoint.name) or self.policy

    def version(self, name: str) -> Version:
        found = self.versions.get(name)
        if found is not None:
            return found
        there = ", ".join(sorted(self.versions)) or "none"
        if self.endpoint.variant(name) is not None or not self.versions:
            raise Unavailable(
                f"endpoint {self.endpoint.name!r} has no live version {name!r}; live: {there}",
                field="model",
                retry_after=1.0,
            )
        raise NotFound(
            f"endpoint {self.endpoint.name!r} has no variant {name!r}; there are: {there}", field="x-headrace-variant"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    revision: int = 0
    lanes: dict[str, Lane] = field(default_factory=dict)
    stations: dict[str, Station] = field(default_factory=dict)
    callers: Callers = field(default_factory=Callers)

    def lane(self, model: str) -> Lane:
        lane = self.lanes.get(model)
        if lane is None:
            there = ", ".join(sorted(self.lanes)) or "none"
            raise NotFound(f"there is no chat model {model!r}; there are: {there}", field="model")
        return lane

    def ways(self) -> dict[tuple[str, str], Ready]:
        """Every upstream model that some version names, once."""
        return {
            (ready.way.provider, ready.way.model): ready
            for lane in self.lanes.values()
            for version in lane.versions.values()
            for ready in version.ways
        }

    def station(self, name: str) -> Station:
        station = self.stations.get(name)
        if station is None:
            there = ", ".join(sorted(self.stations)) or "none"
            raise NotFound(f"there is no provider {name!r}; there are: {there}", field="provider")
        return station


class Boards:
    """`now` is the board in force."""

    def __init__(
        self,
        *,
        artifacts: Verifier,
        hashed: Callable[[str], str],
        steady: Callable[[], float],
        door: Door = OPEN,
        speaker: Speaker | None = None,
        embeds: Embeds | None = None,
    ) -> None:
        self.embeds = embeds
        self.now = Board(callers=Callers(door.keys))
        self._native = None if speaker is None else Native(speaker)
        self._artifacts = artifacts
        self._hashed = hashed
        self._door = door
        self._chats: dict[str, Chat] = {}  # by package id
        self._health: dict[tuple[str, str], Health] = {}  # by provider and upstream model
        self._gates: dict[str, Gate] = {}
        self._budgets: dict[str, Budget] = {}
        self._caches: dict[str, Cache] = {}
        self._shelves: dict[str, Shelves] = {}
        self._steady = steady
        self._secrets: dict[str, str] = {}  # by provider, of the stations in force
        self._prepared: Board | None = None
        self._fresh: dict[str, str] = {}

    async def prepare(self, plan: Plan) -> dict[tuple[str, str], str]:
        """Everything read and checked, nothing changed. What cannot be realised, by endpoint and variant, and why."""
        refused: dict[tuple[str, str], str] = {}
        stations = self._stations(plan.gateway, refused)
        prices = Prices(plan.gateway.prices)
        lanes = self._native_lanes(plan, prices)
        chats = {endpoint.name: endpoint for endpoint in plan.endpoints if endpoint.task is Task.CHAT}
        for endpoint in chats.values():
            versions: dict[str, Version] = {}
            for variant in () if endpoint.parked else endpoint.variants:
                try:
                    made = await self._version(variant, stations, prices)
                    judges = {judge.model for judge in (*made.judges_before, *made.judges_after)}
                    judges |= {made.chat.cache.judge} - {""}
                    fits(judges, endpoint=endpoint.name, chats=chats)
                    versions[variant.name] = made
                except (HeadraceError, OSError) as error:
                    told = error.sentence() if isinstance(error, HeadraceError) else str(error)
                    refused[endpoint.name, variant.name] = told
            lanes[endpoint.name] = self._lane(endpoint, versions, self._gate(endpoint))
        callers = callers_of(plan, self._door)
        self._prepared = Board(revision=plan.revision, lanes=lanes, stations=stations, callers=callers)
        return refused

    def _native_lanes(self, plan: Plan, prices: Prices) -> dict[str, Lane]:
        """Of every endpoint whose live version can be talked to."""
        lanes: dict[str, Lane] = {}
        for endpoint in plan.endpoints:
            if self._native is None or endpoint.task is Task.CHAT or endpoint.parked:
                continue
            fitting = [variant for variant in endpoint.variants if not self._native.why_not(variant)]
            if endpoint.policy.baseline not in {variant.name for variant in fitting}:
                continue
            versions = {
                variant.name: self._native_version(self._native, endpoint, variant, prices) for variant in fitting
            }
            lanes[endpoint.name] = self._lane(endpoint, versions, _UNBOUND, self._native)
        return lanes

    def _native_version(self, native: Native, endpoint: Endpoint, variant: Variant, prices: Prices) -> Version:
        chat, package = native.chat(endpoint.name, variant.name), variant.package
        (way,) = chat.ways
        return Version(
            name=variant.name,
            number=package.version,
            package=package.id,
            chat=chat,
            ways=(self._ready(way, native, prices.tariff(way.provider, endpoint.name)),),
            plain=True,
        )

    def flip(self, _: Plan) -> None:
        """What was prepared of this plan is in force. Streams of providers that are gone run to their end."""
        made, self._prepared = self._prepared, None
        if made is None:
            return
        old, self.now = self.now, made
        self._secrets = self._fresh
        kept = {id(station) for station in made.stations.values()}
        for station in old.stations.values():
            if id(station) not in kept:
                station.retire()
        for name in self._gates.keys() - made.lanes.keys():
            del self._gates[name]
            self._budgets.pop(name, None)
            self._caches.pop(name, None)
            self._shelves.pop(name, None)

    async def close(self) -> None:
        for station in self.now.stations.values():
            await station.close()

    def _stations(self, gateway: Gateway, refused: dict[tuple[str, str], str]) -> dict[str, Station]:
        """One that cannot be had refuses the versions that need it, by not being there; its own reason is told too."""
        made: dict[str, Station] = {}
        self._fresh = {}
        for provider in gateway.providers:
            try:
                secret = self._secret(provider, gateway.secrets)
            except HeadraceError as error:
                refused["", provider.name] = error.sentence()
                continue
            self._fresh[provider.name] = secret
            old = self.now.stations.get(provider.name)
            same = old is not None and old.provider == provider and self._secrets.get(provider.name) == secret
            made[provider.name] = old if same and old is not None else Station(provider, secret)
        return made

    def _secret(self, provider: Provider, sealed: Mapping[str, str]) -> str:
        if not provider.secret:
            return ""
        if self._door.reveal is None:
            raise ModelRefused("secrets cannot be opened in this data plane", field="secret")
        try:
            return self._door.reveal(provider.secret, sealed).reveal()
        except HeadraceError as error:
            raise ModelRefused(
                f"provider {provider.name!r}: {error.message}", field="secret", hint=error.hint
            ) from error

    async def _version(self, variant: Variant, stations: Mapping[str, Station], prices: Prices) -> Version:
        chat = self._chats.get(variant.package.id)
        if chat is None:
            chat = self._chats[variant.package.id] = await asyncio.to_thread(self._read, variant.package)
        await self._remember(chat)
        ways = []
        for way in chat.ways:
            station = self._native if way.provider == HOME else stations.get(way.provider)
            if station is None:
                raise ModelRefused(
                    f"there is no provider {way.provider!r}; there are: {', '.join(sorted(stations)) or 'none'}",
                    field="ways",
                )
            ways.append(self._ready(way, station, prices.tariff(way.provider, way.model)))
        built = [(guard, build(guard)) for guard in chat.guards]
        checkers = [(guard, made) for guard, made in built if not isinstance(made, Judge)]
        judges = [(guard, made) for guard, made in built if isinstance(made, Judge)]
        return Version(
            name=variant.name,
            number=variant.package.version,
            package=variant.package.id,
            chat=chat,
            ways=tuple(ways),
            plain=not (chat.prompt or chat.parameters or chat.forced),
            before=tuple(checker for guard, checker in checkers if guard.before),
            after=tuple(checker for guard, checker in checkers if guard.after),
            judges_before=tuple(judge for guard, judge in judges if guard.before),
            judges_after=tuple(judge for guard, judge in judges if guard.after),
            guarded=bool(built),
        )

    def _ready(self, way: Way, station: Station | Native, tariff: Tariff) -> Ready:
        return Ready(
            way=way,
            station=station,
            health=self._health.setdefault((way.provider, way.model), Health()),
            price=tariff.at(time.time()),
            tariff=tariff,
            line=line_of(b"x-headrace-upstream", f"{way.provider}/{way.model}"),
        )

    async def _remember(self, chat: Chat) -> None:
        """Raises BadInput, and ModelRefused when there is nobody who knows what texts mean."""
        check_cache(chat.cache, chat.guards)
        if chat.cache.semantic:
            if self.embeds is None:
                raise ModelRefused("this data plane has no model for a semantic cache", field="cache.semantic")
            await self.embeds.load()

    def _read(self, package: Package) -> Chat:
        folder = self._artifacts.verify(package)
        try:
            return msgspec.json.decode((folder / FILE).read_bytes(), type=Chat)
        except (FileNotFoundError, msgspec.MsgspecError) as error:
            raise ModelRefused(f"package {package.id[:12]}: {FILE} cannot be read: {error}", field="package") from error

    def _gate(self, endpoint: Endpoint) -> Gate:
        """Kept over plans: it counts calls that are under way."""
        gate = self._gates.get(endpoint.name) or self._gates.setdefault(endpoint.name, self._door.gate(endpoint.name))
        gate.limit = endpoint.limits.max_concurrency
        return gate

    def _lane(self, endpoint: Endpoint, versions: dict[str, Version], gate: Gate, native: Native | None = None) -> Lane:
        return Lane(
            endpoint=endpoint,
            policy=as_applied(endpoint.policy, versions, self._hashed),
            gate=gate,
            versions=versions,
            budget=self._budgets.setdefault(endpoint.name, Budget()),
            cache=self._caches.setdefault(endpoint.name, Cache(self._steady)),
            shelves=self._shelves.setdefault(endpoint.name, Shelves()),
            captured=endpoint.capture is not Capture.NONE,
            masked=endpoint.capture is Capture.MASKED,
            native=native,
        )
