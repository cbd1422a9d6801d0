"""What goes to the conversion child and what comes back. Pure; both sides import it, so it imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.types.model import Parity, RuntimeKind, Signature


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """`rows`: captured rows as JSON values. `given_up`: why ONNX is not to be tried. `runtime`: what the model
    asks for."""

    artifact: str
    out: str
    rows: tuple[Any, ...] = ()
    tolerance: float
    given_up: str = ""
    runtime: RuntimeKind | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Either a package's contents below `out`, or why there is none (`refused`, with a hint)."""

    runtime: RuntimeKind = RuntimeKind.PYFUNC
    signature: Signature | None = None
    parity: Parity | None = None
    warmup: str = ""
    refused: str = ""
    field: str = ""
    hint: str = ""
