"""Calls from threads of this process. Made by base.engine; `concurrency` calls are under way at once."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from threading import Event

from headrace.batch.engines.base import OnWait
from headrace.batch.score import Worker
from headrace.client.score import Stopped
from headrace.store.rowfile import Rows
from headrace.store.scored import Part

AHEAD = 2  # blocks in hand for each call under way, so that one slow call does not hold up the others


class LocalEngine:
    def __init__(self, concurrency: int) -> None:
        self._concurrency = concurrency

    def run(self, blocks: Iterator[Rows], worker: Worker, *, stop: Event, on_wait: OnWait) -> Iterator[Part]:
        score = worker.open(stop.wait, on_wait)
        pool = ThreadPoolExecutor(max_workers=self._concurrency, thread_name_prefix="score")
        waiting: deque[Future[Part]] = deque()
        try:
            waiting.extend(pool.submit(score, rows) for rows in islice(blocks, self._concurrency * AHEAD))
            while waiting:
                try:
                    part = waiting.popleft().result()
                except Stopped:  # what comes after it has no place in the output without it
                    return
                yield part
                if not stop.is_set():
                    waiting.extend(pool.submit(score, rows) for rows in islice(blocks, 1))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            score.close()


def make(concurrency: int) -> LocalEngine:
    return LocalEngine(concurrency)
