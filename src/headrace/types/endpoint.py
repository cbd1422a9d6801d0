"""What applications call, and the plan that a data plane runs on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headrace.types.adapter import Adapter
from headrace.types.approval import Approvals
from headrace.types.failover import Failover
from headrace.types.gate import Gates
from headrace.types.gateway import Gateway
from headrace.types.model import ModelVersion, Package, RuntimeKind, Signature
from headrace.types.traffic import TrafficPolicy


class Task(StrEnum):
    PREDICT = "predict"
    CHAT = "chat"
    PROGRAM = "program"


class Capture(StrEnum):
    """How much of a call the journal keeps."""

    FULL = "full"
    MASKED = "masked"  # of chats: without personal data; of predictions nothing, since tensors have no words
    NONE = "none"  # the call is recorded, its input and output are not


class TimeoutAction(StrEnum):
    """What becomes of a call that waited longer than its time in the queue."""

    REJECT = "REJECT"
    DELAY = "DELAY"  # it runs after all others


@dataclass(frozen=True, slots=True, kw_only=True)
class Batching:
    """How calls that wait for a model are run together, in Triton's words and with their meaning there.

    A model that is idle is given a call at once. While it is busy, calls queue; when it is free again, it takes as many
    as fit, whole calls only. So nothing is delayed at idle unless `max_queue_delay_microseconds` says so. Priority 1 is
    the highest; 0 in a request means the default level.
    """

    max_batch_size: int = 64  # rows; 0: each call runs alone
    preferred_batch_size: tuple[int, ...] = ()  # with a delay: sizes that are run without waiting for more
    max_queue_delay_microseconds: int = 0
    max_queue_size: int = 0  # calls; 0: only the endpoint's max_concurrency bounds it
    default_timeout_microseconds: int = 0  # in the queue; 0: none
    timeout_action: TimeoutAction = TimeoutAction.REJECT
    allow_timeout_override: bool = True  # a request may shorten its time in the queue
    priority_levels: int = 0  # 0: no priorities
    default_priority_level: int = 0
    instances: int = (
        0  # that run at the same time: threads in the data plane, or model hosts; 0: as the runtime sees fit
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Answers kept by version and content, per data plane. Off unless a size is given."""

    size_mb: int = 0
    ttl_seconds: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    timeout_ms: int = 30_000
    max_concurrency: int = 512  # calls inside the endpoint at once, per data plane; more are shed with 503
    max_rows: int = 100_000  # rows of one call


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to answer: a model version and the package that runs it. The name is stable, such as "v3"."""

    name: str
    model: ModelVersion
    package: Package
    effects: bool | None = None  # does an answer change something in the world? None: only services elsewhere may
    adapter: Adapter | None = None  # where the version's own signature is not the one that callers know

    @property
    def repeatable(self) -> bool:
        """It may be asked although nobody waits for the answer."""
        elsewhere = self.package.runtime in (RuntimeKind.REMOTE, RuntimeKind.LEGACY)
        return not (elsewhere if self.effects is None else self.effects)

    @property
    def signature(self) -> Signature:
        """As callers see it."""
        return self.package.signature if self.adapter is None else self.adapter.outer


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`selectors` maps what a caller may ask for ("3", "Staging", "@champion") to a variant that is loaded."""

    name: str
    model: str  # registered model that it serves
    variants: tuple[Variant, ...]
    policy: TrafficPolicy
    selectors: dict[str, str]
    task: Task = Task.PREDICT
    limits: Limits = Limits()
    capture: Capture = Capture.FULL
    batching: Batching = Batching()
    cache: Cache = Cache()
    effects: bool = False  # its answers change something in the world: no call is put to a shadow
    gates: Gates = Gates()
    failover: Failover = Failover()
    approvals: Approvals = Approvals()
    parked: bool = False  # unloaded by its owner: known, but answers 503 until it is loaded again
    revision: int = 0  # of the plan that last changed it

    def variant(self, name: str) -> Variant | None:
        return next((v for v in self.variants if v.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All that a data plane needs, immutable. A higher revision replaces a lower one as a whole."""

    revision: int
    created: float
    endpoints: tuple[Endpoint, ...] = ()
    keys: tuple[str, ...] = ()  # sha256 of accepted API keys, hex; empty means that no key is asked for
    reason: str = ""  # what changed, in words
    gateway: Gateway = Gateway()

    def endpoint(self, name: str) -> Endpoint | None:
        return next((e for e in self.endpoints if e.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneReport:
    """What the data planes say of a plan: `live` once all run it; `refused` says why one cannot."""

    revision: int
    live: bool
    refused: str = ""
