"""The models of Triton's own examples as ONNX packages: `simple`, `simple_string`, identities of every datatype."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import NodeProto, TensorProto, helper
from plane_samples import endpoint, package

from headrace.store.artifacts import Artifacts
from headrace.types.endpoint import Endpoint
from headrace.types.model import Datatype, Signature, TensorSpec

_ONNX = {
    Datatype.BOOL: TensorProto.BOOL,
    Datatype.UINT8: TensorProto.UINT8,
    Datatype.UINT16: TensorProto.UINT16,
    Datatype.UINT32: TensorProto.UINT32,
    Datatype.UINT64: TensorProto.UINT64,
    Datatype.INT8: TensorProto.INT8,
    Datatype.INT16: TensorProto.INT16,
    Datatype.INT32: TensorProto.INT32,
    Datatype.INT64: TensorProto.INT64,
    Datatype.FP16: TensorProto.FLOAT16,
    Datatype.BF16: TensorProto.FLOAT,  # carried as float32
    Datatype.FP32: TensorProto.FLOAT,
    Datatype.FP64: TensorProto.DOUBLE,
    Datatype.BYTES: TensorProto.STRING,
}
_SUM = (("Add", "OUTPUT0"), ("Sub", "OUTPUT1"))
PAIR = ("INPUT0", "INPUT1")


class Zoo:
    """Packages in an artifact store; each model is an endpoint of its name."""

    def __init__(self, home: Path) -> None:
        self._artifacts = Artifacts(home / "artifacts")
        self._work = home / "work"

    def all(self) -> tuple[Endpoint, ...]:
        identities = (self.identity(f"identity_{kind.value.lower()}", kind) for kind in Datatype)
        return (self.simple(), self.simple_string(), *identities)

    def simple(self, name: str = "simple") -> Endpoint:
        """INPUT0 and INPUT1, INT32 [n, 16], to their sum and their difference."""
        nodes = [helper.make_node(op, list(PAIR), [output]) for op, output in _SUM]
        return self._endpoint(name, Datatype.INT32, (-1, 16), nodes, PAIR, [output for _, output in _SUM])

    def simple_string(self) -> Endpoint:
        """The same with numbers written as text."""
        nodes = [helper.make_node("Cast", [i], [f"{i}_n"], to=TensorProto.INT32) for i in PAIR]
        for op, output in _SUM:
            nodes.append(helper.make_node(op, [f"{i}_n" for i in PAIR], [f"{output}_n"]))
            nodes.append(helper.make_node("Cast", [f"{output}_n"], [output], to=TensorProto.STRING))
        return self._endpoint("simple_string", Datatype.BYTES, (-1, 16), nodes, PAIR, [o for _, o in _SUM])

    def identity(self, name: str, datatype: Datatype) -> Endpoint:
        nodes = [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])]
        return self._endpoint(name, datatype, (-1, -1), nodes, ["INPUT0"], ["OUTPUT0"])

    def _endpoint(
        self,
        name: str,
        datatype: Datatype,
        shape: tuple[int, ...],
        nodes: list[NodeProto],
        inputs: Sequence[str],
        outputs: Sequence[str],
    ) -> Endpoint:
        source = self._work / name
        source.mkdir(parents=True)
        dims = [None if size == -1 else size for size in shape]
        tensors = [
            [helper.make_tensor_value_info(n, _ONNX[datatype], dims) for n in side] for side in (inputs, outputs)
        ]
        graph = helper.make_graph(nodes, name, *tensors)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(made, str(source / "model.onnx"))
        sides = [tuple(TensorSpec(name=n, datatype=datatype, shape=shape) for n in side) for side in (inputs, outputs)]
        signature = Signature(inputs=sides[0], outputs=sides[1])
        return endpoint(self._artifacts.add(source, package(1, model=name, signature=signature)), name=name)
