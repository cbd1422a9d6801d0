"""Programs for the tests of this room, and where their language model is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ticket_program import TICKET

from headrace.programs.definition import read_program
from headrace.serving.lm import Aliases
from headrace.types.program import Program


@pytest.fixture
def ticket() -> Program:
    return read_program(TICKET)


@pytest.fixture
def alias_file(tmp_path: Path) -> Callable[..., Aliases]:
    def write(url: str, **more: Any) -> Aliases:
        file = tmp_path / "lms.yaml"
        file.write_text(json.dumps({"fast": {"url": url, "model": "m", **more}}))
        return Aliases(file)

    return write
