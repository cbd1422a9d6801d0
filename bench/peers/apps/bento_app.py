"""BentoML as its documentation shows it: one service, one worker. Loaded by name, so the file comes by environment."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import bentoml

sys.path.insert(0, str(Path(__file__).parent))
from graph import Graph


@bentoml.service(workers=1, traffic={"timeout": 60})
class Served:
    def __init__(self) -> None:
        self.graph = Graph(os.environ["BENCH_FILE"])

    @bentoml.api
    def infer(self, inputs: list[dict[str, Any]], outputs: list[dict[str, Any]]) -> dict[str, Any]:
        return self.graph.infer({"inputs": inputs, "outputs": outputs})
