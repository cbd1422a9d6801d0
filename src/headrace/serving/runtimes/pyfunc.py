"""MLflow pyfunc, in a model host: any Python model, in processes of its own, with their own memory and no secrets.

Called by fleet.py and run.py through hosted.py; `open_package` by serving/host.py, inside the host. Decides how a call
looks to a pyfunc model. Loading one may unpickle and so run any code; that is why it happens there.
"""

from __future__ import annotations

from pathlib import Path

from headrace.serving.runtimes.base import Opened, register
from headrace.serving.runtimes.hosted import HostedRuntime
from headrace.serving.wire import Table
from headrace.types.model import RuntimeKind, Signature

FOLDER = "model"  # inside the package


def open_package(folder: Path, signature: Signature) -> Opened:
    """In the host. The data plane imports this module too, but never MLflow."""
    from headrace.store.flavor import answers_of, feed_pyfunc, load_pyfunc  # noqa: PLC0415 -- 1.7 s, and not ours

    del signature
    model = load_pyfunc(folder / FOLDER)

    def answer(table: Table, rows: int) -> Table:
        return answers_of(model.predict(feed_pyfunc(model, table)), rows)

    return answer


register(RuntimeKind.PYFUNC, HostedRuntime)
