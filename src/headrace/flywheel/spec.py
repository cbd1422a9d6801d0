"""flywheel.yaml, read and checked. Called by turns.py and the command line.

Decides what may be said, and names what may not. Whoever can write into the folder of the flywheels can have a program
run on this machine; nobody can do so through the API.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Final, get_type_hints

import msgspec
import yaml

from headrace.compute.executors.registry import executor_of
from headrace.data.curate import settle
from headrace.flywheel.cron import read_cron
from headrace.programs.optimizers.registry import optimizers
from headrace.programs.orders import read_how
from headrace.release.plans import plan_from
from headrace.types.errors import BadInput
from headrace.types.turn import ExecutorName, Flywheel, Training

FILE: Final = "flywheel.yaml"
_RANGES: Mapping[str, tuple[float, float]] = {
    "alpha": (1e-6, 0.5),
    "train.timeout_seconds": (1, 30 * 86_400),
    "train.memory_mb": (256, 1 << 24),
    "train.cpus": (1, 1024),
    "train.gpus": (0, 1024),
    "data.window_days": (0.001, 3650),
    "data.fresh_share": (0.01, 0.9),
    "data.min_rows": (1, 1e9),
    "data.max_distrusted": (0, 1),
    "gates.margin": (0, 1e9),
    "gates.slice_margin": (0, 1e9),
    "gates.max_latency": (0.1, 1e6),
    "gates.min_golden": (1, 1e9),
    "triggers.feedback": (0, 1e9),
    "triggers.rest_seconds": (0, 1e9),
}


def read_flywheel(folder: Path) -> Flywheel:
    """Raises BadInput naming the part."""
    path = folder / FILE
    try:
        text = yaml.safe_load(path.read_text())
    except FileNotFoundError as error:
        raise BadInput(f"there is no {FILE} in {str(folder)!r}", field="flywheel", hint="headrace turn init") from error
    except yaml.YAMLError as error:
        raise BadInput(f"{path} is not YAML: {error}", field="flywheel") from error
    if not isinstance(text, dict):
        raise BadInput(f"{path} holds a {type(text).__name__}, not the parts of a flywheel", field="flywheel")
    return flywheel_of({"endpoint": folder.name, **text})


def flywheel_of(text: Mapping[str, Any]) -> Flywheel:
    _known(text, Flywheel, "")
    if isinstance(text.get("train"), Mapping) and (how := text["train"].get("compile")) is not None:
        if not isinstance(how, Mapping):
            raise BadInput(f"train.compile is {how!r}; allowed: optimizer, budget, seed, …", field="train.compile")
        read_how(how)
    try:
        found = msgspec.convert(_worded(text), Flywheel)
    except msgspec.ValidationError as error:
        raise BadInput(f"the flywheel: {error}", field="flywheel") from error
    _check(found)
    return found


def _worded(text: Mapping[str, Any]) -> dict[str, Any]:
    """A command may be one line, as in a shell without one."""
    train = text.get("train")
    if isinstance(train, Mapping) and isinstance(train.get("command"), str):
        return {**text, "train": {**train, "command": train["command"].split()}}
    return dict(text)


def _known(text: Mapping[str, Any], noun: Any, where: str) -> None:
    kinds = get_type_hints(noun)
    names = [each.name for each in fields(noun)]
    for name, value in text.items():
        if name not in names:
            raise BadInput(
                f"unknown part {where + str(name)!r}; there are: {', '.join(names)}", field=where + str(name)
            )
        if is_dataclass(kinds[name]) and isinstance(value, Mapping):
            _known(value, kinds[name], f"{where}{name}.")


def _check(found: Flywheel) -> None:
    for name, (low, high) in _RANGES.items():
        value: Any = found
        for part in name.split("."):
            value = getattr(value, part)
        if not low <= value <= high:
            raise BadInput(f"{name} is {value!r}; allowed: {low:g} to {high:g}", field=name)
    _check_training(found.train)
    if found.triggers.cron:
        read_cron(found.triggers.cron)
    executor_of(found.train.executor, found.train.options)
    settle(found.data.rules)
    if found.release is not None:
        plan_from(found.release)


def _check_training(train: Training) -> None:
    ways = [name for name in ("function", "command", "compile") if getattr(train, name)]
    if len(ways) != 1:
        told = " and ".join(ways) or "none of them"
        raise BadInput(f"train has {told}; allowed: one of function (FILE.py:NAME), command, compile", field="train")
    if train.function and not train.function.partition(":")[0].endswith(".py"):
        raise BadInput(f"train.function is {train.function!r}; allowed: FILE.py:NAME", field="train.function")
    if train.compile is not None:
        optimizers()[train.compile.optimizer].with_defaults(train.compile.settings)
        if train.executor is not ExecutorName.PROCESS:
            raise BadInput(
                f"train.executor is {train.executor.value!r}; a program is compiled beside the platform, by process",
                field="train.executor",
            )
