"""Reference pages from the code: settings and commands."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import click
import typer.main

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
    root = typer.main.get_command(app)
    parts = [
        "# Commands",
        "",
        "Made by `make docs` from what `--help` says. `headrace COMMAND --help` shows the same.",
        "",
    ]
    for path, command in _commands(root, "headrace"):
        parts += [f"## {path}", "", (command.help or "").replace("\b\n", "").strip(), ""]
        options = [_option(p) for p in command.params if not getattr(p, "hidden", False)]
        if options:
            parts += ["| option | meaning |", "|---|---|", *options, ""]
    return "\n".join(parts)


def _commands(command: click.Command, path: str) -> list[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        return [
            found
            for name in sorted(command.commands)
            if not command.commands[name].hidden
            for found in _commands(command.commands[name], f"{path} {name}")
        ]
    return [(path, command)]


def _option(parameter: click.Parameter) -> str:
    names = (
        ", ".join(f"`{name}`" for name in parameter.opts)
        if isinstance(parameter, click.Option)
        else f"`{(parameter.name or '').upper()}`"
    )
    meaning = (getattr(parameter, "help", "") or "").replace("|", "\\|").replace("\n", " ")
    return f"| {names} | {meaning} |"
