"""The size ratchet and the habits that a linter does not know. `make check` runs it; a breach fails."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "headrace"
FILES = sorted(SOURCE.rglob("*.py"))
SOFT, HARD = 400, 500
# Files between 400 and 500 lines, each with its size when it was let in. An entry may shrink or go, never grow.
RATCHET: dict[str, int] = {}
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "tools", "core"}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_stays_small(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    allowed = min(RATCHET.get(name_of(path), SOFT), HARD)
    assert lines <= allowed, f"{name_of(path)} has {lines} lines, {allowed} are allowed: split it by what it does"


def test_ratchet_only_shrinks() -> None:
    for name, size in RATCHET.items():
        lines = len((SOURCE / name).read_text().splitlines())
        assert SOFT < lines == size <= HARD, f"{name} has {lines} lines now: write that into RATCHET, or drop the entry"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_has_a_name_and_a_docstring(path: Path) -> None:
    assert path.stem not in VAGUE, f"{name_of(path)}: a name that says nothing"
    source = path.read_text()
    if source.strip():
        assert ast.get_docstring(ast.parse(source)), f"{name_of(path)} does not say who calls it and what it decides"


def test_every_room_has_its_card() -> None:
    for room in (p for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"):
        card = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        assert "Never" in card, f"the card of {room.name} does not say what may not be put there"


def test_no_two_test_files_have_one_name() -> None:
    """They are collected together when what failed is run once more, and modules of one name would meet."""
    names = Counter(path.name for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
