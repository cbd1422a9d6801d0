"""A TorchScript archive, in a model host: compiled code and weights, nothing of Python's is unpickled.

Called by fleet.py and batch.py through hosted.py; `open_package` by serving/host.py, inside the host.

    model.pt                  torch.jit.save(script)
    model/data/model.pth      the same, as MLflow's flavour pytorch puts it
"""

from __future__ import annotations

from pathlib import Path

from headrace.serving.runtimes.base import Opened, register
from headrace.serving.runtimes.hosted import HostedRuntime
from headrace.serving.runtimes.torch import FOLDER, PICKLED, answering
from headrace.types.errors import ModelRefused
from headrace.types.model import RuntimeKind, Signature

FILE = "model.pt"


def open_package(folder: Path, signature: Signature) -> Opened:
    """In the host. The data plane imports this module too, but never torch."""
    import torch  # noqa: PLC0415 -- only in the host

    places = (folder / FILE, folder / FOLDER / PICKLED)
    file = next((place for place in places if place.exists()), None)
    if file is None:
        raise ModelRefused(f"the package has neither {FILE} nor {FOLDER}/{PICKLED}", field="package")
    return answering(torch.jit.load(str(file), map_location="cpu").eval(), signature)


register(RuntimeKind.TORCHSCRIPT, HostedRuntime)
