"""Reference pages from the code: settings and commands."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from textwrap import dedent

import typer.main
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from headrace.base.settings import PREFIX, Settings
from headrace.cli.main import app


def settings_page() -> str:
    rows = [
        f"| `{f.name}` | `{PREFIX}{f.name.upper()}` | {_default(f.default)} | {f.metadata['meaning']} |"
        for f in fields(Settings)
    ]
    return "\n".join(
        [
            "# Settings",
            "",
            "Made by `make docs` from `src/headrace/base/settings.py`.",
            "",
            "A later source wins: the default, then `headrace.yaml` in the working folder (or the file that",
            "`HEADRACE_CONFIG` names), then the environment, then the option of a command.",
            "",
            "| setting | variable | default | meaning |",
            "|---|---|---|---|",
            *rows,
            "",
        ]
    )


def _default(value: object) -> str:
    text = str(value)
    return f"`{text}`" if text and not (isinstance(value, Path) and value == Path()) else "empty"


def command_page() -> str:
    root = typer.main.get_group(app)
    parts = [
        "# Commands",
        "",
        "Made by `make docs` from what `--help` says. `headrace COMMAND --help` shows the same.",
        "",
    ]
    for path, command in _commands(root, "headrace"):
        words, _, example = (command.help or "").replace("\b\n", "").partition("Example:\n")
        parts += [f"## {path}", "", words.strip(), "", "```bash", dedent(example).strip(), "```", ""]
        options = [_option(p) for p in command.params if isinstance(p, TyperOption | TyperArgument) and not p.hidden]
        if options:
            parts += ["| option | meaning |", "|---|---|", *options, ""]
    return "\n".join(parts)


def _commands(command: TyperGroup | TyperCommand, path: str) -> list[tuple[str, TyperCommand]]:
    if isinstance(command, TyperCommand):
        return [(path, command)]
    below = {name: c for name, c in sorted(command.commands.items()) if isinstance(c, TyperGroup | TyperCommand)}
    return [found for name, c in below.items() if not c.hidden for found in _commands(c, f"{path} {name}")]


def _option(parameter: TyperOption | TyperArgument) -> str:
    names = (
        ", ".join(f"`{name}`" for name in parameter.opts)
        if isinstance(parameter, TyperOption)
        else f"`{(parameter.name or '').upper()}`"
    )
    meaning = (getattr(parameter, "help", "") or "").replace("|", "\\|").replace("\n", " ")
    return f"| {names} | {meaning} |"
