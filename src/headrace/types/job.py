"""Work that outlives a call: a file to score."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FileFormat(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


class EngineName(StrEnum):
    """Where the calls of a job are made from."""

    LOCAL = "local"  # threads of this process
    RAY = "ray"  # Ray Data, on the cluster that RAY_ADDRESS names or on this machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """Which file is answered by which endpoint. Two with the same noun and the same input give the same output."""

    endpoint: str
    input: str
    output: str
    input_format: FileFormat
    output_format: FileFormat
    features: tuple[str, ...] = ()  # columns, or patterns such as pixel_*; empty: as the signature names them
    keep: tuple[str, ...] = ()  # columns carried through, or patterns; empty: all that are no features; "none": none
    rows_per_call: int = 256
    version: str | None = None
    stage: str | None = None
    user: str = ""
    colour: str = ""  # what was decided elsewhere: endpoint=variant, comma, …; endpoints follow it


class JobState(StrEnum):
    QUEUED = "queued"  # waits for its turn
    RUNNING = "running"
    DONE = "done"  # the output is there, whole
    FAILED = "failed"  # `error` says why; what was done is kept, and the same job goes on from there
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    id: str
    scoring: Scoring
    created: float
    actor: str = ""
    engine: EngineName = EngineName.LOCAL
    concurrency: int = 4
    max_failed: int = 10_000
    restart: bool = False  # throw away what an earlier try left
    state: JobState = JobState.QUEUED
    started: float = 0.0
    ended: float = 0.0
    tries: int = 0  # processes that were started for it
    total: int | None = None  # rows of the input, where the file tells
    rows: int = 0  # done and on disk
    failed: int = 0  # of these, rows that have an error instead of an answer
    error: str = ""
