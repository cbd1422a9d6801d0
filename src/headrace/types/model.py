"""What was trained: the model version, its signature, and the package that a data plane can run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Datatype(StrEnum):
    """Element types, in the words of the Open Inference Protocol (BF16 is Triton's addition)."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    BF16 = "BF16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"


class Layout(StrEnum):
    TENSOR = "tensor"  # inputs are arrays; the first dimension is the batch
    COLUMNS = "columns"  # inputs are named columns of a table, one spec per column


class Stage(StrEnum):
    """MLflow's stages. One version of a model at most is in Production: a promotion archives the one it replaces."""

    NONE = "None"
    STAGING = "Staging"
    PRODUCTION = "Production"
    ARCHIVED = "Archived"


class RuntimeKind(StrEnum):
    ONNX = "onnx"  # ONNX Runtime, inside the data plane
    OPENVINO = "openvino"  # OpenVINO, inside the data plane
    PYFUNC = "pyfunc"  # MLflow pyfunc, in a model host
    TORCH = "torch"  # a PyTorch module, in a model host
    TORCHSCRIPT = "torchscript"  # a TorchScript archive, in a model host
    REMOTE = "remote"  # another server that speaks V2: Triton, Headrace, …
    LEGACY = "legacy"  # any service that takes and gives JSON over HTTP
    CHAT = "chat"  # upstream language models, asked by the gateway
    PROGRAM = "program"  # a program that asks a language model, in a model host


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """`shape` has -1 for a free dimension; the first one is the batch. A column of a table has shape (-1,)."""

    name: str
    datatype: Datatype
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What goes in and what comes out. The first output is the model's answer; the others (scores) ride along."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    layout: Layout = Layout.TENSOR


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelVersion:
    """One version in the registry. `sha256` is over the artifact's manifest, recorded when it was registered."""

    name: str
    version: int
    uri: str  # models:/digits/3
    flavor: str = ""  # sklearn, xgboost, onnx, pyfunc, …
    stage: Stage = Stage.NONE
    aliases: tuple[str, ...] = ()
    sha256: str = ""
    run_id: str = ""
    created: float = 0.0  # seconds since the epoch, as all times here
    metrics: dict[str, float] | None = None
    params: dict[str, str] | None = None
    dataset: str = ""  # digest or id of the training dataset
    frameworks: dict[str, str] | None = None
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageFile:
    path: str  # relative, with forward slashes
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Proof that the converted model answers like the original one."""

    passed: bool
    rows: int  # rows compared, split points included
    split_rows: int  # of these, rows that sit on a tree's split value
    label_flips: int
    max_difference: float  # largest absolute difference of any score
    tolerance: float
    tried: tuple[str, ...] = ()  # what was tried before and why it was rejected, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Hosting:
    """What the processes of a model may use of the machine, as it was declared with the model."""

    network: bool = False
    memory_mb: int = 8192  # of address space, which libraries reserve more of than they use
    threads: int = 1  # that each numeric library may start


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A model version made ready to run: a content-addressed folder in the artifact store.

    `id` is the sha256 of the manifest (files, signature, runtime, source); a data plane refuses a folder whose files
    do not hash to it. `model` and `version` say what it was made from; `source_sha256` which artifact.
    """

    id: str
    model: str
    version: int
    source_sha256: str
    runtime: RuntimeKind
    signature: Signature
    files: tuple[PackageFile, ...]
    parity: Parity | None = None
    warmup: str = ""  # path inside the package of real rows used to warm the model (.npy / .json), or empty
    created: float = 0.0
    hosting: Hosting = Hosting()
