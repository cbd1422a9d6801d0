"""The program inside a model host: `python -m headrace.serving.host --folder PACKAGE --signature JSON --fd N`.

Started by compute/host.py for runtimes/pyfunc.py, one per package. Loads an MLflow pyfunc model, which may unpickle
and so run any code; that is why it lives here, without keys and without the data folder's address. Answers one call
after the other. Ignores traffic, versions and plans. Nothing of the data plane imports this module.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import msgspec

from headrace.compute import frames
from headrace.serving.wire import pack_arrays, unpack_arrays
from headrace.store.flavor import Table, answers_of, feed_pyfunc, load_pyfunc
from headrace.types.model import Datatype, Signature

FOLDER = "model"  # inside the package


def main() -> None:
    arguments = _arguments()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    connection = socket.socket(fileno=arguments.fd)
    signature = msgspec.json.decode(arguments.signature, type=Signature)
    try:
        model = load_pyfunc(arguments.folder / FOLDER)
    except Exception as error:  # noqa: BLE001 -- the model's own code ran; whatever it raised is the answer
        frames.send(connection, {"error": _told(error)})
        sys.exit(1)
    frames.send(connection, {"ready": True})
    serve(connection, model, signature)


def serve(connection: socket.socket, model: Any, signature: Signature) -> None:
    while True:
        try:
            header, blobs = frames.receive(connection)
        except (EOFError, ConnectionError):
            return
        try:
            arrays = unpack_arrays(header["tensors"], blobs)
            rows = len(next(iter(arrays.values())))
            answers = answers_of(model.predict(feed_pyfunc(model, arrays)), rows)
            tensors, packed = pack_arrays(by_signature(answers, signature))
        except Exception as error:  # noqa: BLE001 -- the model's own code ran; its error is the answer, the host goes on
            frames.send(connection, {"id": header["id"], "error": _told(error)})
        else:
            frames.send(connection, {"id": header["id"], "tensors": tensors}, packed)


def by_signature(answers: Table, signature: Signature) -> Table:
    """The signature's outputs: by name when they have these names, else in order."""
    names = [spec.name for spec in signature.outputs]
    if not set(names) <= set(answers):
        if len(answers) < len(names):
            raise ValueError(f"the model gave {', '.join(answers)}; its signature has {', '.join(names)}")
        answers = dict(zip(names, answers.values(), strict=False))
    text = {spec.name for spec in signature.outputs if spec.datatype is Datatype.BYTES}
    return {name: answers[name].astype(object) if name in text else answers[name] for name in names}


def _told(error: Exception) -> str:
    """One line, no stack: that is in the host's log."""
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:500]


def _end_with_parent() -> None:
    """Standard input ends when the process that started us is gone, also when it was killed."""
    while os.read(0, 1024):
        pass
    os._exit(0)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m headrace.serving.host")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--signature", required=True)
    parser.add_argument("--fd", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
