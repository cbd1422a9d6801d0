"""Takes one turn and kills itself with -9 at each point that is named, once: `python -m tests.faults.turn_program`.

Arguments: world (`table` or `program`), folder, database, turn, points. The points are tried in order of their coming;
a process that dies at one is started again, by fork, so that the imports are paid once. Prints how often it was
started, and the points where it died.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from dbos._dbos import _get_or_create_dbos_registry

from headrace.app.turn import _durable_url
from headrace.flywheel import conduct as conducting
from headrace.flywheel.durable import Durable, Work
from headrace.flywheel.made import Kept, Made
from headrace.flywheel.steps import compiling, curate, evaluate, export, gate, register, release, train, validate
from headrace.serving.paid import Paid
from headrace.store.db import Database
from headrace.types.program import Usage
from tests import compile_world
from tests.turn_world import FileClient, World

STEPS = {
    "export": export,
    "curate": curate,
    "validate": validate,
    "train": train,
    "evaluate": evaluate,
    "gate": gate,
    "register": register,
    "release": release,
}
WORLDS: dict[str, Callable[[Path, Database], World]] = {"table": World, "program": compile_world.at}


class Fate:
    def __init__(self, folder: Path, points: set[str]) -> None:
        self._folder, self._points = folder, points
        folder.mkdir(exist_ok=True)

    def strike(self, point: str) -> None:
        mark = self._folder / point.replace(":", "-")
        if point in self._points and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def met(self) -> list[str]:
        return sorted(path.name.replace("-", ":", 1) for path in self._folder.iterdir())


def arm(fate: Fate) -> None:
    """`inside`: all is done and nobody knows; `made`: kept, and DBOS has not got it; `recorded`: the row has not."""
    for name, module in STEPS.items():
        module.build = _inside(fate, name, module.build)  # type: ignore[attr-defined]
    compiling.build = _inside(fate, "train", compiling.build)
    _arm_questions(fate)
    progress = train._progress

    def told(words: str) -> tuple[float, str]:
        fate.strike("train:running")
        return progress(words)

    train._progress = told
    told_mlflow = FileClient.create_model_version

    def create(self: FileClient, *given: Any, **named: Any) -> None:
        told_mlflow(self, *given, **named)
        fate.strike("register:told")

    FileClient.create_model_version = create  # type: ignore[method-assign]
    step = Durable.step

    def durable(self: Durable, name: str, work: Work) -> str:
        def worked() -> str:
            text = work()
            fate.strike(f"{name}:made")
            return text

        text = step(self, name, worked)
        fate.strike(f"{name}:recorded")
        return text

    Durable.step = durable  # type: ignore[method-assign]


def _arm_questions(fate: Fate) -> None:
    """Of language models. `asked.N`: the N-th is about to be sent; `heard.N`: it was answered, and that is not kept;
    `kept.N`: it is. Counted over all lives, by step and by who is asked."""
    send, keep = Paid.send, Paid.keep

    def sent(self: Paid, question: str) -> None:
        send(self, question)
        fate.strike(f"{_step_of(self)}:asked.{_lines(self)[0]}")

    def kept(self: Paid, question: str, answer: bytes, usage: Usage) -> None:
        fate.strike(f"{_step_of(self)}:heard.{_lines(self)[1] + 1}")
        keep(self, question, answer, usage)
        fate.strike(f"{_step_of(self)}:kept.{_lines(self)[1]}")

    Paid.send, Paid.keep = sent, kept  # type: ignore[method-assign]


def _step_of(paid: Paid) -> str:
    """work/answers.jsonl of a training, work/before.jsonl and work/after.jsonl of an examination."""
    name = Path(paid._out.name).stem
    return "train" if name == "answers" else name


def _lines(paid: Paid) -> tuple[int, int]:
    """Questions sent, answers kept."""
    lines = Path(paid._out.name).read_bytes().splitlines()
    answers = sum(b'"answer"' in line for line in lines)
    return len(lines) - answers, answers


def _inside(fate: Fate, name: str, build: Callable[..., Made]) -> Callable[..., Made]:
    def built(*given: Any, **named: Any) -> Made:
        made = build(*given, **named)
        fate.strike(f"{name}:inside")
        return made

    return built


def attempt(world: str, folder: Path, url: str, turn_id: str) -> None:
    place = WORLDS[world](folder, Database(url))
    state: Any = SimpleNamespace(flywheel=place.state)
    durable = Durable(turn_id=turn_id, url=_durable_url(state, place.database, turn_id))
    _get_or_create_dbos_registry().get_internal_queue()._polling_interval_sec = 0.05  # a second each time adds up
    conducting.conduct(place.shop(turn_id), durable, Kept(place.state / "kept", turn=turn_id))


def main() -> None:
    world, folder, url, turn_id, points = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:6]
    fate = Fate(folder / "fate", set(points.split(",")))
    arm(fate)
    for starts in range(1, 80):
        child = os.fork()
        if not child:
            attempt(world, folder, url, turn_id)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            continue
        sys.stdout.write(json.dumps({"starts": starts, "died": fate.met(), "status": status}))
        return
    raise SystemExit("it never ends")


if __name__ == "__main__":
    main()
