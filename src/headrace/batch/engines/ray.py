"""Calls from a Ray cluster, by Ray Data. Made by base.engine; needs the extra `ray`.

The driver reads the file and keeps the parts, as the local engine does, so that a job can be resumed in the same way;
windows of blocks go to Ray Data, whose actors score them. On a cluster the target's URL must lead to the data plane
from every node. Ray is imported here and nowhere else.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from itertools import islice
from threading import Event
from typing import Any

from headrace.batch.engines.base import OnWait
from headrace.batch.score import Worker
from headrace.store.rowfile import Rows
from headrace.store.scored import Part
from headrace.types.errors import Unavailable

AHEAD = 8  # blocks of a window for each actor


class _Actor:
    """Made once in each of Ray's processes."""

    def __init__(self, worker: Worker) -> None:
        self._score = worker.open(Event().wait)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        rows: Rows = pickle.loads(row["rows"])  # noqa: S301 - packed by the driver below
        return {"number": row["number"], "part": pickle.dumps(self._score(rows))}


class RayEngine:
    def __init__(self, ray: Any, concurrency: int) -> None:
        self._ray, self._concurrency = ray, concurrency

    def run(self, blocks: Iterator[Rows], worker: Worker, *, stop: Event, on_wait: OnWait) -> Iterator[Part]:
        started = not self._ray.is_initialized()
        if started:
            self._ray.init(log_to_driver=False, include_dashboard=False, configure_logging=False)
        try:
            while not stop.is_set() and (window := list(islice(blocks, self._concurrency * AHEAD))):
                yield from self._window(window, worker)
        finally:
            if started:
                self._ray.shutdown()

    def _window(self, window: list[Rows], worker: Worker) -> Iterator[Part]:
        items = [{"number": i, "rows": pickle.dumps(rows)} for i, rows in enumerate(window)]
        actors = min(self._concurrency, len(items))
        data = self._ray.data.from_items(items, override_num_blocks=len(items)).map(
            _Actor,
            fn_constructor_args=(worker,),
            num_cpus=0,  # they wait for the data plane; their number is what bounds them
            compute=self._ray.data.ActorPoolStrategy(size=actors),
        )
        try:
            parts = {row["number"]: row["part"] for row in data.iter_rows()}
        except (
            self._ray.exceptions.RayError
        ) as error:  # an actor's error comes as text, a traceback above its last line
            said = str(error).strip().splitlines() or [type(error).__name__]
            raise Unavailable(f"Ray Data ended: {said[-1]}", hint="the same command goes on from there") from error
        for number in range(len(window)):
            yield pickle.loads(parts[number])  # noqa: S301 - packed by an actor of ours


def make(concurrency: int) -> RayEngine:
    try:
        import ray  # noqa: PLC0415 - an optional package, imported in its plug-in's factory
        import ray.data  # noqa: PLC0415
    except ImportError as error:
        raise Unavailable("the engine ray needs Ray Data", hint="pip install 'headrace[ray]'") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    return RayEngine(ray, concurrency)
