"""How the command line speaks: words and tables for people, one JSON document for programs, errors on one line.

Called by every command. Results go to standard output; progress, notes and errors to standard error, so that a pipe
gets nothing but the result.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

_STAMP = 6  # columns of a progress line's time
_PIPE_WIDTH = 240  # of a table that no terminal shows


def out() -> Console:
    """Made per use: the streams may have been replaced since the last one (tests, pagers)."""
    return Console(file=sys.stdout, highlight=False, soft_wrap=True)


def err() -> Console:
    return Console(file=sys.stderr, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A line of the result; may hold rich markup."""
    out().print(text)


def note(text: str) -> None:
    """A line beside the result."""
    err().print(text)


def emit(content: Any) -> None:
    sys.stdout.write(json.dumps(content, indent=2, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def fail(text: str) -> None:
    err().print(f"[bold red]error:[/] {escape(text)}")


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str) -> None:
    """Right-aligned where a column holds numbers; `empty` says what would stand here and how to get it."""
    listed = [[plain(cell) for cell in row] for row in rows]
    if not listed:
        say(f"[dim]{escape(empty)}[/]")
        return
    drawn = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        numeric = all(_is_number(row[number]) for row in listed)
        last = number == len(columns) - 1  # the one that may be long; an id must stay in one piece to be copied
        drawn.add_column(column, justify="right" if numeric else "left", overflow="fold", no_wrap=not last)
    for row in listed:
        drawn.add_row(*(escape(cell) for cell in row))
    console = Console(file=sys.stdout, highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    console.print(drawn)


def plain(value: object) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, float):
        return f"{value:,.1f}"
    return str(value)


def duration(seconds: float) -> str:
    """12 s, 3 min 5 s, 2 h 4 min, 3 d 1 h."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    for name, size, small, step in (("min", 60, "s", 1), ("h", 3600, "min", 60), ("d", 86_400, "h", 3600)):
        if whole < size * (60 if name == "min" else 24) or name == "d":
            return f"{whole // size} {name} {whole % size // step} {small}"
    raise AssertionError("unreachable: days have no limit")


def ago(moment: float) -> str:
    return f"{duration(max(0.0, time.time() - moment))} ago" if moment else "–"


def share(buckets: int) -> str:
    """10,000 buckets are all traffic."""
    return f"{buckets / 100:g} %"


class Progress:
    """Lines as they happen, each with the seconds since the start; below them, on a terminal, what is going on now."""

    def __init__(self, console: Console, status: Status | None) -> None:
        self._console, self._status = console, status
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start

    def __call__(self, line: str) -> None:
        """Something was done or begun."""
        self._console.print(f"[dim]{self.seconds:{_STAMP}.1f} s[/]  {escape(line)}")

    def heading(self, line: str) -> None:
        """A part of the work begins."""
        self._console.print(f"\n[bold]{escape(line)}[/]")
        self.now(line)

    def now(self, line: str) -> None:
        """What goes on at the moment; replaced by the next one. Not shown where there is no terminal."""
        if self._status is not None:
            self._status.update(escape(line))


@contextmanager
def progress(what: str, *, quiet: bool = False) -> Iterator[Progress]:
    console = Console(file=sys.stderr, highlight=False, soft_wrap=True, quiet=quiet)
    if quiet or not console.is_terminal:
        yield Progress(console, None)
        return
    with console.status(escape(what)) as status:
        yield Progress(console, status)


def _is_number(text: str) -> bool:
    return text == "–" or text.replace(",", "").replace(".", "", 1).lstrip("-").isdigit()
