"""A turn as a durable workflow of DBOS: what a step returned is on disk before the next one begins.

Called by conduct.py, in the process of one turn; the only file that knows DBOS. Killed and started again, the process
runs the same code, and steps that have returned are not run but read. Each turn is an executor and a version of its own
to DBOS, so that of two turns at a time neither takes up the other's. State: a SQLite file of the turn, or the
platform's PostgreSQL. Results are text: nothing is pickled.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer, SetWorkflowID, error

from headrace.types.errors import HeadraceError, ModelFailed

TRIES: Final = 5
FIRST_WAIT: Final = 1.0  # seconds; doubles
LOOK_SECONDS: Final = 0.2

Work = Callable[[], str]


class Durable:
    def __init__(self, *, turn_id: str, url: str) -> None:
        self._id = turn_id
        self._last: dict[str, str] = {}
        config: DBOSConfig = {
            "name": "headrace-turn",
            "system_database_url": url,
            "executor_id": turn_id,
            "application_version": turn_id,
            "serializer": DBOSPortableJSONSerializer(),
            "log_level": "ERROR",
            "use_listen_notify": False,
        }
        DBOS(config=config)

    def run(self, whole: Work) -> str:
        """Begins it, or goes on where it was, or answers what came out. Called once in a process."""

        @DBOS.workflow(name="turn")
        def turn(_: str) -> str:
            return whole()

        DBOS.launch()
        try:
            if DBOS.get_workflow_status(self._id) is None:
                with SetWorkflowID(self._id):
                    DBOS.start_workflow(turn, self._id)
            return str(DBOS.retrieve_workflow(self._id).get_result(polling_interval_sec=LOOK_SECONDS))
        finally:
            DBOS.destroy()

    def step(self, name: str, work: Work) -> str:
        """What it returned, now or before we were killed. A part that does not answer is asked again, with back-off;
        raises ModelFailed when it never does."""

        def tried() -> str:
            try:
                return work()
            except HeadraceError as failed:
                self._last[name] = failed.sentence()
                raise

        try:
            return DBOS.run_step(
                {
                    "name": name,
                    "retries_allowed": True,
                    "max_attempts": TRIES,
                    "interval_seconds": FIRST_WAIT,
                    "backoff_rate": 2.0,
                    "should_retry": _worth_it,
                },
                tried,
            )
        except error.DBOSMaxStepRetriesExceeded as spent:
            raise ModelFailed(f"{name}: tried {TRIES} times: {self._last.get(name, str(spent))}") from spent


def _worth_it(failed: BaseException) -> bool:
    return isinstance(failed, HeadraceError) and failed.retryable
