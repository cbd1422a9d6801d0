"""What is learned: turns of a flywheel, programs, datasets.

Part of admin.py's Admin.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.client.forms import API, Json, Part, as_list, as_object, part


class LearnCalls(Part):
    def flywheels(self) -> list[Json]:
        """With what each waits for."""
        return as_list(self._wire.get(f"{API}/flywheels"), "flywheels")

    def flywheel(self, endpoint: str) -> Json:
        return as_object(self._wire.get(f"{API}/flywheels/{part(endpoint)}"))

    def plan_turn(self, endpoint: str) -> Json:
        """Days to decision. Nothing begins."""
        return as_object(self._wire.get(f"{API}/flywheels/{part(endpoint)}/plan"))

    def begin_turn(self, endpoint: str, *, why: str = "") -> Json:
        return as_object(self._wire.post(f"{API}/flywheels/{part(endpoint)}/turns", {"why": why}))

    def report_drift(self, endpoint: str, *, why: str = "") -> Json:
        """What a monitor calls; begins a turn."""
        return as_object(self._wire.post(f"{API}/flywheels/{part(endpoint)}/drift", {"why": why}))

    def turns(self, *, endpoint: str | None = None, limit: int | None = None) -> list[Json]:
        """The newest first."""
        return as_list(self._wire.get(f"{API}/turns", endpoint=endpoint, limit=limit), "turns")

    def turn(self, turn_id: str) -> Json:
        return as_object(self._wire.get(f"{API}/turns/{part(turn_id)}"))

    def cancel_turn(self, turn_id: str) -> Json:
        return as_object(self._wire.post(f"{API}/turns/{part(turn_id)}/cancel", {}))

    def compile(self, order: Json) -> Json:
        """Begin to compile a program: `{"program", "rows", "how", …}` as in docs/programs.md."""
        return as_object(self._wire.post(f"{API}/programs/compilations", order))

    def compilations(self) -> list[Json]:
        """The newest first."""
        return as_list(self._wire.get(f"{API}/programs/compilations"), "compilations")

    def compilation(self, compile_id: str) -> Json:
        return as_object(self._wire.get(f"{API}/programs/compilations/{part(compile_id)}"))

    def cancel_compilation(self, compile_id: str) -> Json:
        return as_object(self._wire.post(f"{API}/programs/compilations/{part(compile_id)}/cancel", {}))

    def try_program(self, inputs: Json, *, program: Json | None = None, code: str = "", model: str = "") -> Json:
        """One row through a program that need not be deployed."""
        body: Json = {"inputs": inputs, "code": code, "model": model} | ({"program": program} if program else {})
        return as_object(self._wire.post(f"{API}/programs/try", body))

    def datasets(self, name: str | None = None) -> list[Json]:
        """Newest first."""
        return as_list(self._wire.get(f"{API}/datasets", name=name), "datasets")

    def dataset(self, name: str) -> Json:
        """By name@number, name (the newest), or id."""
        return as_object(self._wire.get(f"{API}/datasets/{part(name)}"))

    def make_dataset(self, model: str, **recipe: Any) -> Json:
        """`rules`: {"praise": False, "cap": {"rows": 50}}; `since`, `until`: as in export. May take a while."""
        body = {"model": model} | {name: value for name, value in recipe.items() if value is not None}
        return as_object(self._wire.post(f"{API}/datasets", body))

    def dataset_rows(self, name: str, **selection: Any) -> list[Json]:
        return as_list(self._wire.get(f"{API}/datasets/{part(name)}/rows", **selection), "rows")

    def dataset_diff(self, before: str, after: str, *, limit: int = 20) -> Json:
        return as_object(self._wire.get(f"{API}/datasets/{part(after)}/diff", before=before, limit=limit))

    def dataset_origin(self, name: str, row: str) -> Json:
        """Which call, whose words. `row`: a row's id or a trace id."""
        return as_object(self._wire.get(f"{API}/datasets/{part(name)}/origin", row=row))

    def freeze_dataset(self, name: str) -> Json:
        """Its held-out rows are the golden set from now on."""
        return as_object(self._wire.post(f"{API}/datasets/{part(name)}/freeze", {}))

    def download_dataset(self, name: str, split: str, write: Callable[[bytes], Any]) -> dict[str, str]:
        return dict(self._wire.download(f"{API}/datasets/{part(name)}/file", write, split=split))
