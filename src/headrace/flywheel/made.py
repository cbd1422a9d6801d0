"""One step of a turn and what it has made, kept by what it was made from. Called by conduct.py and the steps.

The key of a step is the digest of its code, its parameters and the digests of what it read; the same key is the same
work, whoever asked for it, and is not done twice. What it makes appears whole or not at all: it is built beside and
renamed. A folder that was being built when we were killed is built again, except for `work`, where a training may keep
checkpoints.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import msgspec

from headrace.base.files import sync_folder, tree_sha256, write_atomic
from headrace.types.turn import StepName

MADE: Final = "made.json"
MODEL: Final = "model"  # the folder of a candidate, as MLflow saves models
KEPT: Final = "work"
PAID: Final = f"{KEPT}/answers.jsonl"  # of language models: a killed step does not ask again
KEEP = 60  # results; the oldest go
Say = Callable[[float, str], None]  # 0 to 1, and words
_sorted = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """`facts` is what later steps need to know besides the files in `folder`. `refused`: why the turn ends here."""

    digest: str = ""
    says: str = ""
    counts: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    refused: str = ""
    folder: str = ""
    key: str = ""
    maker: str = ""  # the turn that made it
    cached: bool = False  # by an earlier one

    def file(self, name: str) -> Path:
        return Path(self.folder) / name


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """`build` writes into the folder that it gets. Without `kept`, it changes the world outside, and does so once by
    its own marks there; nothing of it is reused."""

    name: StepName
    build: Callable[[Path, Say], Made]
    key: str
    kept: bool = True


def key_of(step: StepName, code: ModuleType, *, inputs: Mapping[str, str], params: Any) -> str:
    file = code.__file__
    assert file is not None
    source = sha256(Path(file).read_bytes()).hexdigest()
    told = {"step": step, "code": source, "inputs": dict(inputs), "params": msgspec.to_builtins(params)}
    return f"{step}-{sha256(_sorted.encode(told)).hexdigest()[:32]}"


class Kept:
    def __init__(self, folder: Path, *, turn: str) -> None:
        self._folder, self._turn = folder, turn

    def find(self, step: Step) -> Made | None:
        there = self._folder / step.key / MADE
        if not there.is_file():
            return None
        os.utime(there.parent)
        made = msgspec.json.decode(there.read_bytes(), type=Made)
        return replace(made, cached=made.maker != self._turn)

    def make(self, step: Step, say: Say) -> Made:
        if (found := self.find(step)) is not None:
            return found
        place, work = self._folder / step.key, self._folder / f".{step.key}"
        work.mkdir(parents=True, exist_ok=True)
        for left in work.iterdir():
            if left.name != KEPT:
                _remove(left)
        made = step.build(work, say)
        _remove(work / KEPT)
        made = replace(made, digest=made.digest or tree_sha256(work), folder=str(place), key=step.key, maker=self._turn)
        write_atomic(work / MADE, msgspec.json.encode(made))
        _remove(place)  # of a result without its manifest, which a full disk may have left
        work.rename(place)
        sync_folder(self._folder)
        return made

    def scratch(self, step: Step) -> Path:
        """For a step whose result is elsewhere."""
        work = self._folder / f".{step.key}"
        work.mkdir(parents=True, exist_ok=True)
        return work

    def sweep(self) -> None:
        """Results that nobody has asked for since KEEP others were made."""
        if not self._folder.is_dir():
            return
        newest = sorted(self._folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for old in newest[KEEP:]:
            _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
