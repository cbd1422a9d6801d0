"""Which executors there are. A new one is a file here and a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headrace.compute.executors import kubernetes, ray
from headrace.compute.executors.base import Executor
from headrace.compute.executors.process import ProcessExecutor
from headrace.types.errors import BadInput
from headrace.types.turn import ExecutorName


def _process(options: dict[str, Any]) -> Executor:
    if options:
        raise BadInput(f"the executor process has no option {next(iter(options))!r}", field="options")
    return ProcessExecutor()


EXECUTORS: Mapping[ExecutorName, Callable[[dict[str, Any]], Executor]] = {
    ExecutorName.PROCESS: _process,
    ExecutorName.RAY: ray.make,
    ExecutorName.KUBERNETES: kubernetes.make,
}


def executor_of(name: ExecutorName, options: Mapping[str, Any]) -> Executor:
    """Raises BadInput for options that it does not have."""
    return EXECUTORS[name](dict(options))
