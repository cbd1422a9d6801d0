"""What there is, in the words of the Open Inference Protocol and Triton: metadata, configuration, statistics, index.

Called by api/http/described.py and api/grpc, which write it in their form. Decides what an endpoint looks like as a
Triton model: its versions are the loaded variants, its configuration is its batching. Ignores traffic: who may see a
name may see all of its versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from headrace import __version__
from headrace.serving.lifecycle import State
from headrace.serving.statistics import Statistics, Tally
from headrace.serving.table import Lane, Loaded, Table
from headrace.types.endpoint import Batching
from headrace.types.errors import NotFound, Unavailable
from headrace.types.model import Datatype, RuntimeKind, TensorSpec

Json = dict[str, Any]

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "generate",
    "model_configuration",
    "model_repository",
    "model_repository(unload_dependents)",
    "parameters",
    "schedule_policy",
    "statistics",
)
# The words of the specification for what runs a model, and Triton's for the back end.
_PLATFORMS = {RuntimeKind.ONNX: "onnx_onnxv1", RuntimeKind.PYFUNC: "mlflow_pyfunc"}
_BACKENDS = {RuntimeKind.ONNX: "onnxruntime", RuntimeKind.PYFUNC: "python"}
_TYPES = {Datatype.BYTES: "TYPE_STRING"}
_SERVING = (State.READY, State.LIVE, State.DRAINING, State.RETAINED)
PARKED = "unloaded"


def server(name: str) -> Json:
    return {"name": name, "version": __version__, "extensions": list(EXTENSIONS)}


def find(table: Table, name: str, version: str = "") -> tuple[Lane, str]:
    """The endpoint, and the variant that is meant: the baseline without a version. Raises NotFound, Unavailable."""
    lane = table.lane(name)
    if not version:
        if not lane.live:
            raise Unavailable(f"endpoint {lane.endpoint.name!r} {_why(lane)}", retry_after=1.0)
        return lane, lane.policy.baseline
    variant = lane.endpoint.selectors.get(version)
    if variant is None:
        there = ", ".join(sorted(lane.endpoint.selectors))
        raise NotFound(f"no version {version!r} of {name!r}; there are: {there}", field="version")
    return lane, variant


def metadata(table: Table, name: str, version: str = "") -> Json:
    lane, variant = find(table, name, version)
    package, signature = lane.variant(variant).package, lane.signature(variant)
    return {
        "name": name,
        "versions": [str(number) for number in _versions(lane)],
        "platform": _PLATFORMS.get(package.runtime, f"headrace_{package.runtime.value}"),
        "inputs": [_tensor(spec) for spec in signature.inputs],
        "outputs": [_tensor(spec) for spec in signature.outputs],
    }


def configuration(table: Table, name: str, version: str = "") -> Json:
    """As Triton writes a model's config.pbtxt in JSON. Dimensions are without the batch where there is batching."""
    lane, variant = find(table, name, version)
    package, batching = lane.variant(variant).package, lane.endpoint.batching
    signature = lane.signature(variant)
    backend = _BACKENDS.get(package.runtime, package.runtime.value)
    batched = batching.max_batch_size > 0
    return {
        "name": name,
        "platform": f"{backend}_onnx" if package.runtime is RuntimeKind.ONNX else "",
        "backend": backend,
        "version_policy": {"specific": {"versions": _versions(lane)}},
        "max_batch_size": batching.max_batch_size,
        "input": [_io(spec, batched) for spec in signature.inputs],
        "output": [_io(spec, batched) for spec in signature.outputs],
        "instance_group": [{"name": name, "kind": "KIND_CPU", "count": max(1, batching.instances)}],
        "default_model_filename": package.files[0].path if package.files else "",
        **({"dynamic_batching": _batching(batching)} if batched else {}),
    }


def statistics(table: Table, name: str = "", version: str = "") -> Json:
    """Of one version, of all of a model's, or of all models. Counted since the version was loaded."""
    if version:
        lane, variant = find(table, name, version)
        found = [(name, lane.variant(variant))]
    else:
        lanes = [(name, table.lane(name))] if name else [(lane.endpoint.name, lane) for lane in table.lanes.values()]
        found = [(known, loaded) for known, lane in lanes for loaded in _loaded(lane)]
    return {"model_stats": [_stats(known, loaded) for known, loaded in found]}


def index(table: Table, *, ready: bool = False) -> list[Json]:
    """Every version of every endpoint; with `ready`, those that take calls."""
    rows = [row for lane in table.lanes.values() for row in _index(lane)]
    return [row for row in rows if row["state"] == "READY" or not ready]


def _index(lane: Lane) -> Iterator[Json]:
    endpoint = lane.endpoint
    for variant in sorted(endpoint.variants, key=lambda v: v.model.version):
        loaded = lane.loaded.get(variant.name)
        state, reason = "UNAVAILABLE", _why(lane)
        if loaded is not None:
            state, reason = ("READY", "") if loaded.state in _SERVING else ("UNAVAILABLE", loaded.state.value)
        yield {"name": endpoint.name, "version": str(variant.model.version), "state": state, "reason": reason}


def _why(lane: Lane) -> str:
    return PARKED if lane.endpoint.parked else "has no live version"


def _versions(lane: Lane) -> list[int]:
    return sorted(int(selector) for selector in lane.endpoint.selectors if selector.isdigit())


def _loaded(lane: Lane) -> list[Loaded]:
    return sorted(lane.loaded.values(), key=lambda loaded: loaded.package.version)


def _tensor(spec: TensorSpec) -> Json:
    return {"name": spec.name, "datatype": spec.datatype.value, "shape": list(spec.shape)}


def _io(spec: TensorSpec, batched: bool) -> Json:
    dims = list(spec.shape[1:] if batched else spec.shape)
    kind = _TYPES.get(spec.datatype, f"TYPE_{spec.datatype.value}")
    # A shape without dimensions is written as Triton asks for it: one, reshaped away.
    return {"name": spec.name, "data_type": kind, "dims": dims or [1], **({} if dims else {"reshape": {"shape": []}})}


def _batching(batching: Batching) -> Json:
    return {
        "preferred_batch_size": list(batching.preferred_batch_size),
        "max_queue_delay_microseconds": batching.max_queue_delay_microseconds,
        "priority_levels": batching.priority_levels,
        "default_priority_level": batching.default_priority_level,
        "default_queue_policy": {
            "timeout_action": batching.timeout_action.value,
            "default_timeout_microseconds": batching.default_timeout_microseconds,
            "allow_timeout_override": batching.allow_timeout_override,
            "max_queue_size": batching.max_queue_size,
        },
    }


def _stats(name: str, loaded: Loaded) -> Json:
    kept: Statistics = loaded.statistics
    return {
        "name": name,
        "version": str(loaded.package.version),
        "last_inference": int(kept.last_inference * 1000),
        "inference_count": kept.inference_count,
        "execution_count": kept.execution_count,
        "inference_stats": {
            "success": _tally(kept.success),
            "fail": _tally(kept.fail),
            "queue": _tally(kept.queue),
            "compute_input": _tally(kept.compute_input),
            "compute_infer": _tally(kept.compute_infer),
            "compute_output": _tally(kept.compute_output),
            "cache_hit": _tally(kept.cache_hit),
            "cache_miss": _tally(kept.cache_miss),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": _tally(Tally()),  # stacking and splitting are the execution's here
                "compute_infer": _tally(batch.compute_infer),
                "compute_output": _tally(Tally()),
            }
            for size, batch in sorted(kept.batches.items())
        ],
        "memory_usage": [],
    }


def _tally(tally: Tally) -> Json:
    return {"count": tally.count, "ns": tally.ns}
