"""Log files of children: rotated by size, read from the end.

Called by supervise.py (rotate) and `headrace logs` (tail). Decides how much is kept: four files of 10 MB a child.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LIMIT = 10_000_000  # bytes
KEEP = 3  # older files: name.log.1 … name.log.3


def rotate(path: Path, *, limit: int = LIMIT, keep: int = KEEP) -> bool:
    """Copy, then truncate: the child keeps its descriptor, which appends. A line written in between is lost."""
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    for number in range(keep - 1, 0, -1):
        older = path.with_name(f"{path.name}.{number}")
        if older.exists():
            older.replace(path.with_name(f"{path.name}.{number + 1}"))
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


def tail(path: Path, lines: int) -> list[str]:
    """The last `lines` lines of a file, without reading what comes before them; none if there is no file."""
    try:
        with path.open("rb") as file:
            at = file.seek(0, os.SEEK_END)
            block = b""
            while at and block.count(b"\n") <= lines:
                step = min(at, 1 << 16)
                at = file.seek(at - step)
                block = file.read(step) + block
                file.seek(at)
    except FileNotFoundError:
        return []
    return block.decode(errors="replace").splitlines()[-lines:] if lines > 0 else []


def last_line(path: Path) -> str:
    """What a program said last, for an error message; the line of an exception in a traceback."""
    said = [line.strip() for line in tail(path, 20) if line.strip()]
    return said[-1][:400] if said else "it wrote nothing"
