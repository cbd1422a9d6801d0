"""Your own training as a part of the flywheel: one decorated function, any framework.

    from headrace.client.training import Task, trainer

    @trainer
    def train(task: Task) -> None:
        rows = list(task.rows("train"))            # {"inputs": …, "label": …}, one after the other
        model = MyModel(**task.params).fit([r["inputs"] for r in rows], [r["label"] for r in rows])
        task.progress(0.9, "fitted")
        mlflow.sklearn.save_model(model, task.model)   # or any other flavour, ONNX included
        task.report(accuracy=0.97)

Run by a turn as `python -m headrace.client.training FILE.py:NAME` in a folder of its own. A plain `command:` gets the
same folder and does the same: reads train.jsonl and task.json, writes out/model (as MLflow saves models) and, if it
likes, out/report.json; a line `headrace progress 0.4 epoch 3` on its output is shown to whoever waits.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

TASK: Final = "task.json"
OUT: Final = "out"
MODEL: Final = "model"
REPORT: Final = "report.json"
PROGRESS: Final = "headrace progress"
_MARK: Final = "__headrace_trainer__"
Trainer = Callable[["Task"], Any]
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a training has to go by. `folder` holds train.jsonl; `work` is kept when a training is begun again."""

    folder: Path
    params: dict[str, Any]
    endpoint: str
    baseline: str  # models:/… that is live now
    seed: int

    @property
    def model(self) -> Path:
        """Where the model goes; it does not exist yet."""
        return self.folder / OUT / MODEL

    @property
    def work(self) -> Path:
        """For checkpoints."""
        path = self.folder / "work"
        path.mkdir(exist_ok=True)
        return path

    def rows(self, name: str = "train") -> Iterator[dict[str, Any]]:
        with (self.folder / f"{name}.jsonl").open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def progress(self, share: float, says: str = "") -> None:
        sys.stdout.write(f"{PROGRESS} {min(max(share, 0.0), 1.0):.3f} {says}\n")
        sys.stdout.flush()

    def report(self, *, cost: float = 0.0, **metrics: float) -> None:
        """Shown in MLflow beside the version. `cost`: money that was spent, such as on a language model."""
        self.model.parent.mkdir(parents=True, exist_ok=True)
        (self.folder / OUT / REPORT).write_text(json.dumps({"cost": cost, "metrics": metrics}))


def trainer(function: F) -> F:
    """Marks the function that a flywheel may call."""
    setattr(function, _MARK, True)
    return function


def load_task(folder: Path) -> Task:
    told = json.loads((folder / TASK).read_text())
    return Task(folder=folder, **{name: told[name] for name in ("params", "endpoint", "baseline", "seed")})


def load_trainer(reference: str) -> Trainer:
    """FILE.py:NAME. Raises SystemExit with the reason, for the log of the turn."""
    file, _, name = reference.partition(":")
    path = Path(file).absolute()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SystemExit(f"there is no Python file {file!r} in the flywheel's folder")
    sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    marked = sorted(key for key, value in vars(module).items() if getattr(value, _MARK, False))
    found: Trainer | None = getattr(module, name or (marked[0] if len(marked) == 1 else ""), None)
    if found is None or not getattr(found, _MARK, False):
        there = ", ".join(marked) or "none"
        raise SystemExit(f"{file} has no function {name!r} decorated with @trainer; decorated: {there}")
    return found


def main() -> None:
    folder = Path.cwd()
    load_trainer(sys.argv[1])(load_task(folder))
    if not (folder / OUT / MODEL).exists():
        raise SystemExit(f"the trainer returned and there is no model in {OUT}/{MODEL}")


if __name__ == "__main__":
    main()
