"""The size ratchet and the habits that a linter does not know. `make check` runs it; a breach fails."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "headrace"
FILES = sorted(SOURCE.rglob("*.py"))
SOFT, HARD = 400, 500
# Files between 400 and 500 lines, each with its size when it was let in. An entry may shrink or go, never grow.
RATCHET: dict[str, int] = {}
VAGUE = {"util", "utils", "helper", "helpers", "common", "misc", "tools", "core"}


def name_of(path: Path) -> str:
    return path.relative_to(SOURCE).as_posix()


def test_files_stay_small() -> None:
    sizes = {name_of(path): len(path.read_text().splitlines()) for path in FILES}
    large = {name: lines for name, lines in sizes.items() if lines > min(RATCHET.get(name, SOFT), HARD)}
    assert not large, f"over {SOFT} lines, split them by what they do: {large}"


def test_ratchet_only_shrinks() -> None:
    for name, size in RATCHET.items():
        lines = len((SOURCE / name).read_text().splitlines())
        assert SOFT < lines == size <= HARD, f"{name} has {lines} lines now: write that into RATCHET, or drop the entry"


def test_files_have_a_name_and_a_docstring() -> None:
    assert [name_of(path) for path in FILES if path.stem in VAGUE] == [], "names that say nothing"
    sources = {name_of(path): path.read_text() for path in FILES}
    silent = [name for name, text in sources.items() if text.strip() and not ast.get_docstring(ast.parse(text))]
    assert silent == [], "they do not say who calls them and what they decide"


def test_every_room_has_its_card() -> None:
    for room in (p for p in SOURCE.iterdir() if p.is_dir() and p.name != "__pycache__"):
        card = ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or ""
        assert "Never" in card, f"the card of {room.name} does not say what may not be put there"


def test_no_two_test_files_have_one_name() -> None:
    """They are collected together when what failed is run once more, and modules of one name would meet."""
    names = Counter(path.name for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
