"""What a loaded version did: counts and times, with the words and the meaning of Triton's statistics extension.

Written by predict.py and batch.py on the event loop, read by the protocols that report it. Decides what counts as what:
an *inference* is one row answered, an *execution* one run of the model on a batch. Ignores who asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_SIZES = 256  # different batch sizes that are told apart; callers choose theirs, so there is a bound


@dataclass(slots=True)
class Tally:
    count: int = 0
    ns: int = 0

    def add(self, seconds: float, count: int = 1) -> None:
        self.count += count
        self.ns += int(seconds * 1e9)


@dataclass(slots=True)
class BatchTally:
    """Of all executions with one batch size. Stacking and splitting count as the execution's."""

    compute_infer: Tally = field(default_factory=Tally)


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

    def waited(self, calls: int, seconds: float) -> None:
        """These left the queue, after `seconds` in sum."""
        self.queue.add(seconds, calls)

    def executed(self, rows: int, *, calls: int, seconds: float) -> None:
        """The model ran once on this batch. Each call in it was computed for as long as the batch was."""
        self.execution_count += 1
        self.compute_infer.add(seconds * calls, calls)
        tally = self.batches.get(rows)
        if tally is None:
            if len(self.batches) >= _SIZES:
                return
            tally = self.batches[rows] = BatchTally()
        tally.compute_infer.add(seconds)

    def answered(self, rows: int, *, now: float, decode: float, encode: float, total: float) -> None:
        """One call got its answer; times in seconds."""
        self.last_inference = now
        self.inference_count += rows
        self.success.add(total)
        self.compute_input.add(decode)
        self.compute_output.add(encode)
