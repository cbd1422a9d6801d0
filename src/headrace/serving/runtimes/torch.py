"""A PyTorch module, in a model host.

Called by fleet.py and batch.py through hosted.py; `open_package` by serving/host.py, inside the host. Decides which
files a module is made from, and how arrays go in and come out. What is unpickled there may run any code.

    model/            an MLflow model of the flavour pytorch: a pickled module, or an exported program (pt2)
    module.pt         torch.save(module)
    torch.json        {"class": "package.module:Class", "arguments": {…}}, with its code in code/
    state_dict.pt     torch.save(module.state_dict()), for the module that torch.json describes
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from inspect import signature as signature_of
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from headrace.serving.runtimes.base import Array, Opened, register
from headrace.serving.runtimes.hosted import HostedRuntime
from headrace.serving.wire import Table
from headrace.types.errors import ModelRefused
from headrace.types.model import Layout, RuntimeKind, Signature

FOLDER = "model"  # the MLflow folder inside the package
PICKLED, EXPORTED = "data/model.pth", "data/model.pt2"  # where MLflow puts them
WHOLE, DESCRIPTION, WEIGHTS, CODE = "module.pt", "torch.json", "state_dict.pt", "code"


class Description(msgspec.Struct, forbid_unknown_fields=True):
    made: str = msgspec.field(name="class")
    arguments: dict[str, Any] = {}


def open_package(folder: Path, signature: Signature) -> Opened:
    """In the host. The data plane imports this module too, but never torch."""
    return answering(_module(folder), signature)


def answering(module: Any, signature: Signature) -> Opened:
    import torch  # noqa: PLC0415 -- only in the host

    inputs = [spec.name for spec in signature.inputs]
    outputs = [spec.name for spec in signature.outputs] or ["prediction"]
    named = len(inputs) > 1 and _takes(module, inputs)
    table = signature.layout is Layout.COLUMNS

    def answer(given: Table, rows: int) -> Table:
        del rows
        if table:
            given = {"input": np.stack([given[name] for name in inputs], axis=1).astype(np.float32)}
        tensors = {name: torch.from_numpy(array) for name, array in given.items()}
        with torch.inference_mode():
            found = module(**tensors) if named else module(*tensors.values())
        return _by_name(found, outputs)

    return answer


def _module(folder: Path) -> Any:
    import torch  # noqa: PLC0415 -- only in the host

    model = folder / FOLDER
    for code in (folder / CODE, model / CODE):
        if code.is_dir():
            sys.path.insert(0, str(code))
    if (file := model / EXPORTED).exists():
        return torch.export.load(str(file)).module()
    if (folder / DESCRIPTION).exists():
        module = _described((folder / DESCRIPTION).read_bytes())
        module.load_state_dict(torch.load(folder / WEIGHTS, map_location="cpu", weights_only=True))
        return module.eval()
    for file in (model / PICKLED, folder / WHOLE):
        if file.exists():
            return torch.load(file, map_location="cpu", weights_only=False).eval()
    places = (f"{FOLDER}/{EXPORTED}", f"{FOLDER}/{PICKLED}", WHOLE, DESCRIPTION)
    raise ModelRefused(f"the package has no module: none of {', '.join(places)}", field="package")


def _described(text: bytes) -> Any:
    description = msgspec.json.decode(text, type=Description)
    module, _, name = description.made.partition(":")
    make: Callable[..., Any] = getattr(import_module(module), name)
    return make(**description.arguments)


def _takes(module: Any, names: Sequence[str]) -> bool:
    """Whether its `forward` calls its inputs as the signature does; else they go in order."""
    try:
        return set(names) <= set(signature_of(module.forward).parameters)
    except (TypeError, ValueError):  # a script has no Python signature
        return False


def _by_name(found: Any, names: Sequence[str]) -> Table:
    if isinstance(found, Mapping):
        return {str(name): _array(value) for name, value in found.items()}
    several = found if isinstance(found, (tuple, list)) else (found,)
    return {name: _array(value) for name, value in zip(names, several, strict=False)}


def _array(value: Any) -> Array:
    array: Array = value.detach().cpu().numpy()
    return array


register(RuntimeKind.TORCH, HostedRuntime)
