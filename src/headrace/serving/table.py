"""What a plan looks like once it is realised: endpoints with their loaded variants. One table serves at a time.

Called by predict.py (look up), fleet.py (builds a new one and swaps the reference), and the edge (what is there).
Decides how a name finds its endpoint. A table never changes once it is built: a call sees one plan from start to end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from headrace.serving.adapt import Adapted
from headrace.serving.answer import Check
from headrace.serving.batch import Batcher
from headrace.serving.cache import Cache
from headrace.serving.codec import Codec
from headrace.serving.lifecycle import State
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.serving.statistics import Statistics
from headrace.serving.warm import ELSEWHERE
from headrace.traffic.admit import Gate
from headrace.traffic.keys import Callers
from headrace.traffic.record import Open
from headrace.traffic.route import Header, as_applied
from headrace.types.endpoint import Capture, Endpoint, Variant
from headrace.types.errors import NotFound, TooLarge, Unavailable
from headrace.types.gateway import Scope
from headrace.types.model import Package, Signature
from headrace.types.traffic import TrafficPolicy


class Parts(NamedTuple):
    """What a call needs of a loaded package."""

    package_id: str
    batcher: Batcher
    codec: Codec
    check: Check  # of what the model itself gives
    elsewhere: bool = False  # a service, which is told what travels with a call
    adapter: Adapted | None = None  # then the codec is the adapter's


@dataclass(slots=True, kw_only=True, eq=False)
class Loaded:
    """A package in memory, shared by all endpoints that name it. `refs` counts calls under way on it."""

    package: Package
    state: State = State.VERIFYING
    refs: int = 0
    since: float = 0.0  # steady clock, of the last move
    reason: str = ""
    memory: int = 0  # bytes that this process and its model hosts grew by while it was loaded and warmed
    statistics: Statistics = field(default_factory=Statistics)
    sample: Inputs | None = None  # a row that it answered when it was warmed
    _parts: Parts | None = None

    def fill(self, batcher: Batcher, codec: Codec, check: Check) -> None:
        self._parts = Parts(self.package.id, batcher, codec, check, self.package.runtime in ELSEWHERE)

    def empty(self) -> Batcher | None:
        """Let go of the model; who called it closes it."""
        parts, self._parts = self._parts, None
        return parts.batcher if parts else None

    @property
    def queued(self) -> int:
        """Calls that wait for it."""
        return self._parts.batcher.queued if self._parts else 0

    @property
    def parts(self) -> Parts:
        if self._parts is None:
            raise Unavailable(f"{self.package.model}/{self.package.version} is {self.state.value}", retry_after=1.0)
        return self._parts


class Offers(Protocol):
    """shadow.Shadowing."""

    def offer(self, call: Open, inputs: Inputs, outputs: Outputs, *, source: Source, header: Header) -> None: ...


class Source(Protocol):
    """The dialect of a call: it can be read again, for a model that wants its inputs in another form."""

    def read(self, codec: Codec) -> Inputs: ...


class Sentinel(Protocol):
    """serving.failover.Sentinel: is told of the failures of one version."""

    @property
    def variant(self) -> str: ...

    @property
    def out(self) -> bool:
        """The fallback answers for it."""
        ...

    def failed(self, rows: int, read: Callable[[Codec], Inputs]) -> None:
        """`read`: the same request, once more."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One endpoint: its policy as it is applied, its gate, and the variants that are loaded."""

    endpoint: Endpoint
    policy: TrafficPolicy
    gate: Gate
    loaded: dict[str, Loaded]
    captured: bool  # inputs and outputs go into the journal
    cache: Cache | None = None
    shadow: Offers | None = None
    sentinel: Sentinel | None = None  # watches the live version, where there is one to fall back to
    adapted: dict[str, Parts] | None = None  # instead of what is loaded, for variants with an adapter
    coloured: bool = False  # there is something to choose, so the decision is told

    @property
    def live(self) -> bool:
        return self.policy.baseline in self.loaded

    def signature(self, name: str) -> Signature:
        """Of a variant, as callers see it. Raises like `variant`."""
        package = self.variant(name).package
        return self.adapted[name].codec.signature if self.adapted and name in self.adapted else package.signature

    def bounded(self, rows: int) -> int:
        if rows > self.endpoint.limits.max_rows:
            raise TooLarge(
                f"inputs has {rows} rows; endpoint {self.endpoint.name!r} takes at most "
                f"{self.endpoint.limits.max_rows} in one call",
                field="inputs",
                hint="send several smaller calls",
            )
        return rows

    def variant(self, name: str) -> Loaded:
        loaded = self.loaded.get(name)
        if loaded is not None:
            return loaded
        if self.endpoint.parked:
            raise Unavailable(
                f"endpoint {self.endpoint.name!r} is unloaded",
                field="model",
                hint=f"POST /v2/repository/models/{self.endpoint.name}/load",
            )
        there = ", ".join(sorted(self.loaded)) or "none"
        if self.endpoint.variant(name) is not None or not self.loaded:
            raise Unavailable(
                f"endpoint {self.endpoint.name!r} has no live version {name!r}; live: {there}",
                field="model",
                hint="GET /health says why",
                retry_after=1.0,
            )
        raise NotFound(
            f"endpoint {self.endpoint.name!r} has no variant {name!r}; there are: {there}", field="x-headrace-variant"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    revision: int = 0
    realised: bool = False  # false: no plan yet, so nothing can be said of any name
    lanes: dict[str, Lane] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)  # registered model → the one endpoint that serves it
    callers: Callers = field(default_factory=Callers)

    def policy(self, name: str) -> TrafficPolicy | None:
        """Of an endpoint, by its own name."""
        lane = self.lanes.get(name)
        return None if lane is None else lane.policy

    def admitted(self, header: Header, name: str) -> Lane:
        """For one who may ask it. Raises Unauthenticated, Forbidden, and like `lane`."""
        caller = self.callers.of(header)
        lane = self.lane(name)
        if caller.bound:
            caller.permit(Scope.PREDICT, lane.endpoint.name)
        return lane

    def lane(self, name: str) -> Lane:
        """By endpoint name, else by the registered model's name if exactly one endpoint serves it."""
        lane = self.lanes.get(name) or self.lanes.get(self.models.get(name, ""))
        if lane is not None:
            return lane
        if not self.realised:
            raise Unavailable(
                "there is no plan yet: nothing is deployed, or it is still loading",
                field="model",
                hint="headrace deploy models:/NAME/1 --endpoint NAME; GET /health shows when it is ready",
                retry_after=1.0,
            )
        there = ", ".join(sorted(self.lanes)) or "none"
        raise NotFound(f"there is no model {name!r}; there are: {there}", field="model")


def adapt(variant: Variant, loaded: Loaded) -> Parts:
    """What a call needs of a variant, with its adapter if it has one. Raises ModelRefused when that does not fit."""
    parts = loaded.parts
    if variant.adapter is None:
        return parts
    adapter = Adapted(variant.adapter, parts.codec, name=variant.name)
    return parts._replace(codec=adapter.codec, adapter=adapter)


def build_lane(
    endpoint: Endpoint, gate: Gate, loaded: dict[str, Loaded], hashed: Callable[[str], str], cache: Cache | None = None
) -> Lane:
    adapted = {v.name: adapt(v, loaded[v.name]) for v in endpoint.variants if v.adapter and v.name in loaded}
    return Lane(
        endpoint=endpoint,
        policy=as_applied(endpoint.policy, loaded, hashed),
        gate=gate,
        loaded=loaded,
        captured=endpoint.capture is Capture.FULL,
        cache=cache,
        adapted=adapted or None,
        coloured=endpoint.policy.candidate in loaded,
    )


def by_model(endpoints: Iterable[Endpoint]) -> dict[str, str]:
    found: dict[str, list[str]] = {}
    for endpoint in endpoints:
        found.setdefault(endpoint.model, []).append(endpoint.name)
    return {model: names[0] for model, names in found.items() if len(names) == 1}
