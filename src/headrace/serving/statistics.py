"""What a loaded version did: counts and times, with the words and the meaning of Triton's statistics extension.

Written by predict.py and batch.py on the event loop, read by the protocols that report it. Decides what counts as what:
an *inference* is one row answered, an *execution* one run of the model on a batch. Ignores who asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    count: int = 0
    ns: int = 0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.ns += int(seconds * 1e9)


@dataclass(slots=True)
class BatchTally:
    """Of all executions with one batch size."""

    compute_input: Tally = field(default_factory=Tally)
    compute_infer: Tally = field(default_factory=Tally)
    compute_output: Tally = field(default_factory=Tally)


@dataclass(slots=True)
class Statistics:
    """Since the version was loaded. Times are summed nanoseconds; `last_inference` is seconds since the epoch."""

    last_inference: float = 0.0
    inference_count: int = 0
    execution_count: int = 0
    success: Tally = field(default_factory=Tally)
    fail: Tally = field(default_factory=Tally)
    queue: Tally = field(default_factory=Tally)
    compute_input: Tally = field(default_factory=Tally)
    compute_infer: Tally = field(default_factory=Tally)
    compute_output: Tally = field(default_factory=Tally)
    cache_hit: Tally = field(default_factory=Tally)
    cache_miss: Tally = field(default_factory=Tally)
    batches: dict[int, BatchTally] = field(default_factory=dict)
