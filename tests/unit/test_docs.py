"""Docs cannot rot: generated pages are fresh, links lead somewhere, and the README's commands exist."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from typer.main import get_command

from docs.__main__ import FOLDER, PAGES
from headrace.cli.main import app

ROOT = Path(__file__).parents[2]
TEXTS = sorted(p for p in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("bench/*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
ALL = get_command(app)
BLOCK = re.compile(r"```(?:bash|sh|console)\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize(("name", "make"), PAGES.items(), ids=PAGES)
def test_generated_pages_are_fresh(name: str, make: Callable[[], str]) -> None:
    assert (FOLDER / name).read_text() == make(), f"docs/{name} is stale: make docs"


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links to {target}, which does not exist"


def commands(text: str) -> list[str]:
    """Lines of shell blocks that call headrace or make, continued lines joined, comments cut."""
    lines = [line for block in BLOCK.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    return [
        line.split(" # ")[0].removeprefix("$ ").strip() for line in lines if re.match(r"(\$ )?(headrace|make) ", line)
    ]


@pytest.mark.parametrize("path", TEXTS, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_in_docs_exist(path: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands(path.read_text()):
        words = shlex.split(line)
        if words[0] == "make":
            assert words[1] in targets or "=" in words[1], f"{path.name}: {line}"
            continue
        options = [w for w in words if w.startswith("--") and w != "--help"]
        known = options_of(*[w for w in words[1:3] if not w.startswith("-")])
        for option in options:
            assert option.split("=")[0] in known, f"{path.name}: {line}: {option} is not an option"


UNSAID = {"release": "start", "feedback": "give"}  # the command of a group that need not be named


@cache
def options_of(*words: str) -> frozenset[str]:
    """Of the longest command that the words begin with, and of all above it. `release digits …` starts a release,
    `feedback TRACE …` gives feedback."""
    command = ALL
    assert words[0] in command.commands, f"headrace {words[0]} is not a command"  # type: ignore[attr-defined]
    found: set[str] = set()
    for word in (*words, UNSAID.get(words[0], "")):
        command = getattr(command, "commands", {}).get(word, command)
        found |= {option for given in command.params for option in (*given.opts, *given.secondary_opts)}
    return frozenset(found) | (options_of("release") if words[0] == "release" and words[1:] else frozenset())


def test_the_readme_shows_what_the_makefile_has() -> None:
    assert {"make demo", "make test"} <= set(commands((ROOT / "README.md").read_text()))
