"""The process of one turn: `python -m headrace.app.turn TURN`. Started by the control plane (flywheel/turns.py).

The composition root: reads the settings and the turn, builds what its steps work with, and goes through them. Ended by
a signal it says nothing: whoever sent it knows whether the turn is cancelled or goes on later. Work that runs elsewhere
is ended only when it is cancelled; else it is found again.
"""

from __future__ import annotations

import os
import signal
import sys
from threading import Event, Thread

from headrace.base.clock import SystemClock
from headrace.base.log import setup_log
from headrace.base.settings import Settings, load_settings
from headrace.client.admin import Admin
from headrace.compute.executors.base import Stopped
from headrace.compute.executors.process import ProcessExecutor
from headrace.compute.executors.registry import executor_of
from headrace.compute.ports import url_of
from headrace.flywheel.conduct import conduct
from headrace.flywheel.datasets import Datasets
from headrace.flywheel.durable import Durable
from headrace.flywheel.made import Kept
from headrace.flywheel.shop import Shop
from headrace.flywheel.steps.train import task_of
from headrace.flywheel.turns import code_folder, turn_folder
from headrace.serving.lm import aliases_of
from headrace.store import turns
from headrace.store.db import Database
from headrace.store.enrol import Enroller
from headrace.store.journal.query import JournalQuery
from headrace.store.registry import Registry
from headrace.types.turn import TurnState

LOOK_SECONDS = 0.2
END_SECONDS = 3.0  # that a child gets to be killed in
ASK_SECONDS = 600.0  # that a release may take to prepare


def shop_of(settings: Settings, turn_id: str, database: Database, stop: Event) -> Shop:
    clock = SystemClock()
    query = JournalQuery(settings.journal)
    with database.read() as conn:
        turn = turns.get(conn, turn_id)
    training = turn.flywheel.train
    control = url_of(settings.host, settings.control_port)
    return Shop(
        turn=turn,
        code=code_folder(settings.flywheel, turn_id),
        database=database,
        query=query,
        datasets=Datasets(database=database, query=query, folder=settings.artifacts / "datasets", clock=clock),
        registry=Registry(settings.mlflow_uri),
        enroller=Enroller(settings.mlflow_uri),
        executor=executor_of(training.executor, training.options),
        asker=ProcessExecutor(),
        aliases=aliases_of(settings),
        control=Admin(control, token=settings.admin_token.reveal(), actor="flywheel", timeout=ASK_SECONDS),
        clock=clock,
        stop=stop,
        passed={name: os.environ[name] for name in training.env if name in os.environ},
    )


def main() -> int:
    settings, turn_id, stop = load_settings(), sys.argv[1], Event()
    setup_log("turn", settings.log_level)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(settings.database)
    shop = shop_of(settings, turn_id, database, stop)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            conduct(
                shop, Durable(turn_id=turn_id, url=_durable_url(settings, database, turn_id)), _kept(settings, turn_id)
            )
        except Stopped:
            return
        except BaseException as error:  # noqa: BLE001 - raised again by the main thread, which ends the process with it
            failures.append(error)

    worker = Thread(target=work, name="turn", daemon=True)
    worker.start()
    while worker.is_alive() and not stop.wait(LOOK_SECONDS):
        pass
    if stop.is_set():
        _end(shop, worker)
    if failures:
        raise failures[0]
    database.close()
    return 0


def _end(shop: Shop, worker: Thread) -> None:
    """At once, past DBOS, which would wait for the step."""
    worker.join(END_SECONDS)
    with shop.database.read() as conn:
        cancelled = turns.get(conn, shop.turn.id).state is TurnState.CANCELLED
    if cancelled:
        shop.executor.forget(task_of(shop, shop.code))
    os._exit(0)


def _kept(settings: Settings, turn_id: str) -> Kept:
    return Kept(settings.flywheel / "kept", turn=turn_id)


def _durable_url(settings: Settings, database: Database, turn_id: str) -> str:
    if database.is_sqlite:
        return f"sqlite:///{turn_folder(settings.flywheel, turn_id) / 'turn.db'}"
    return database.url.set(drivername="postgresql").render_as_string(hide_password=False)


if __name__ == "__main__":
    sys.exit(main())
