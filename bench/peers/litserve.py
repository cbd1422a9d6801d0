"""LitServe with its defaults, and with its batching; the model is user code (apps/litserve_app.py)."""

from __future__ import annotations

from collections.abc import Callable

from bench.peers.base import HEAVY, Peer, Setup, Start, script
from bench.wire import Request, Sample, Wire, infer


def _starts(*more: str) -> Callable[[Setup], Start]:
    return lambda setup: Start(command=script(setup, "litserve_app.py", *more))


def _ask(sample: Sample, wire: Wire) -> Request | None:
    return infer(sample, wire, path="/predict") if wire is Wire.JSON else None


def _peer(name: str, *more: str, only: tuple[str, ...] = ()) -> Peer:
    return Peer(
        name=name,
        environment="litserve",
        requires=("litserve==0.2.19", "onnxruntime==1.31.1"),
        start=_starts(*more),
        ready=lambda model: "/health",
        ask=_ask,
        only=only,
    )


PEERS = (_peer("litserve"), _peer("litserve, batches of 32", "--batch", "32", only=HEAVY))
