"""Any service that takes and gives JSON over HTTP, such as the one that a model is to replace.

Called by fleet.py and batch.py. Decides how rows become the body of a request and where in the answer the outputs are,
by the mapping that its package declares (serving/mapping.py). Calls are not run together here, since only the service
knows what it can; a call of several rows is one request, or with `each` one request for each row.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from headrace.compute.upstream import Response
from headrace.serving.codec import dtype_of, element, to_array
from headrace.serving.mapping import check_template, fill, parse_path, read
from headrace.serving.runtimes.base import Inputs, Model, Outputs, Surroundings, register
from headrace.serving.runtimes.upstream import UpstreamModel, read_description
from headrace.types.errors import BadInput, ModelRefused
from headrace.types.model import Layout, Package, RuntimeKind, Signature, TensorSpec
from headrace.types.upstream import Legacy

FILE = "legacy.json"
_HEADERS = {"content-type": "application/json", "accept": "application/json"}
_encoder = msgspec.json.Encoder()


class LegacyRuntime:
    def __init__(self, surroundings: Surroundings) -> None:
        del surroundings

    async def load(self, folder: Path, package: Package) -> Model:
        what = read_description(folder, FILE, Legacy, package)
        try:
            return LegacyModel(what, package.signature)
        except BadInput as error:
            raise ModelRefused(f"package {package.id[:12]}: {error.sentence()}", field=error.field) from error

    async def close(self) -> None:
        """Each model closes its own connections."""


class LegacyModel(UpstreamModel):
    """Raises BadInput for a mapping that does not fit the signature."""

    def __init__(self, what: Legacy, signature: Signature) -> None:
        super().__init__(what, signature)
        check_template(what.request, [spec.name for spec in signature.inputs], each=what.each)
        if missing := [spec.name for spec in signature.outputs if spec.name not in what.response]:
            raise BadInput(f"response has no path for the output {missing[0]!r}", field="response")
        self._template = what.request
        self._each = what.each
        self._headers = _HEADERS | {name.lower(): value for name, value in what.headers.items()}
        self._paths = [(spec, parse_path(what.response[spec.name]), _nested(spec)) for spec in signature.outputs]

    async def call(self, inputs: Inputs) -> Outputs:
        rows = _rows(inputs, self.signature)
        if not self._each:
            return self._arrays(await self._values(rows, inputs))
        asked = [asyncio.ensure_future(self._values(row, inputs)) for row in rows]
        try:
            found = await asyncio.gather(*asked)
        finally:
            for task in asked:  # when one failed, the others are of no use
                task.cancel()
        return self._arrays([list(column) for column in zip(*found, strict=True)])

    async def _values(self, rows: Any, inputs: Inputs) -> list[Any]:
        """Of each output, in order."""
        body = _encoder.encode(fill(self._template, rows, each=self._each))
        response = await self.ask("", self._headers, body, inputs)
        return self._found(response)

    def _found(self, response: Response) -> list[Any]:
        try:
            answer = msgspec.json.decode(response.body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise self.odd(f"it is not JSON: {error}") from error
        try:
            return [read(path, answer) for _, path, _ in self._paths]
        except LookupError as error:
            raise self.odd(str(error.args[0])) from error

    def _arrays(self, values: Sequence[Any]) -> Outputs:
        """Typed as strictly as what callers send: a text is no number, 1.5 is no whole one."""
        outputs: Outputs = []
        for (spec, _, form), found in zip(self._paths, values, strict=True):
            try:
                outputs.append(to_array(msgspec.convert(found, form), dtype_of(spec), spec.name))
            except (BadInput, msgspec.ValidationError) as error:
                told = error.sentence() if isinstance(error, BadInput) else str(error)
                raise self.odd(f"output {spec.name!r}: {told}") from error
        return outputs


def _nested(spec: TensorSpec) -> Any:
    form: Any = element(dtype_of(spec))
    for _ in spec.shape:
        form = list[form]
    return form


def _rows(inputs: Inputs, signature: Signature) -> list[Any]:
    """As JSON has them: arrays for a model with one tensor, else an object by name."""
    names = [spec.name for spec in signature.inputs]
    columns = [np.asarray(inputs.arrays[name]).tolist() for name in names]
    if signature.layout is Layout.TENSOR and len(names) == 1:
        return list(columns[0])
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


register(RuntimeKind.LEGACY, LegacyRuntime)
