"""The program inside a model host: `python -m headrace.serving.host --runtime KIND --folder PACKAGE --signature JSON`.

Started by compute/host.py for runtimes/hosted.py, one or more per package. Opens the package with its runtime's
`open_package`, which may run any code; that is why it lives here, without keys, without the data folder's address and
without a network. Answers one call after the other. Ignores traffic, versions and plans. Nothing of the data plane
imports this module.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
from importlib import import_module
from pathlib import Path

import msgspec

from headrace.compute.frames import BadFrame, Connection, Header, Message
from headrace.compute.shared import Area
from headrace.serving.runtimes.base import Opened
from headrace.serving.wire import Table, pack_arrays, unpack_arrays
from headrace.types.model import Datatype, RuntimeKind, Signature


def main() -> None:
    arguments = _arguments()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    incoming, outgoing = (Area(int(fd)) for fd in arguments.areas.split(",")) if arguments.areas else (None, None)
    connection = Connection(arguments.fd, incoming=incoming, outgoing=outgoing)
    signature = msgspec.json.decode(arguments.signature, type=Signature)
    try:
        opened = import_module(f"headrace.serving.runtimes.{arguments.runtime}").open_package(
            arguments.folder, signature
        )
    except Exception as error:  # noqa: BLE001 -- the model's own code ran; whatever it raised is the answer
        connection.send({"error": _told(error)})
        sys.exit(1)
    connection.send({"ready": True})
    serve(connection, opened, signature)


def serve(connection: Connection, opened: Opened, signature: Signature) -> None:
    while True:
        try:
            message = connection.receive()
        except (EOFError, OSError):
            return
        header = message[0]
        number, shared_from = header["id"], header.get("shared_from", sys.maxsize)
        answer, packed = _answered(opened, message, signature)
        del message, header  # nothing here looks at the inputs any more: the other side may write there again
        try:
            connection.send({"id": number, **answer}, packed, shared_from=shared_from)
        except BadFrame as error:
            connection.send({"id": number, "error": f"the answer is too large: {error}"})
        del answer, packed


def _answered(opened: Opened, message: Message, signature: Signature) -> tuple[Header, list[bytes | memoryview]]:
    header, blobs = message
    if header["op"] != "run":
        return {}, []
    try:
        arrays = unpack_arrays(header["tensors"], blobs)
        rows = len(next(iter(arrays.values())))
        tensors, packed = pack_arrays(by_signature(opened(arrays, rows), signature))
    except Exception as error:  # noqa: BLE001 -- the model's own code ran; its error is the answer, the host goes on
        return {"error": _told(error)}, []
    return {"tensors": tensors}, packed


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
    parser.add_argument("--runtime", choices=[kind.value for kind in RuntimeKind], required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--signature", required=True)
    parser.add_argument("--areas", default="", help="memory files that both sides see: IN,OUT")
    parser.add_argument("--fd", type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main()
