"""What applications call, and the plan that a data plane runs on."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from headrace.types.model import ModelVersion, Package
from headrace.types.traffic import TrafficPolicy


class Task(StrEnum):
    PREDICT = "predict"
    CHAT = "chat"
    PROGRAM = "program"


class Capture(StrEnum):
    """How much of a call the journal keeps."""

    FULL = "full"
    NONE = "none"  # the call is recorded, its input and output are not


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


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneReport:
    """What the data planes say of a plan: `live` once all run it; `refused` says why one cannot."""

    revision: int
    live: bool
    refused: str = ""
