"""`make docs`: writes the reference pages that are made from the code, and says which ones changed.

`python -m docs --check` writes nothing and fails when a page is stale.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from docs.reference import command_page, settings_page

FOLDER = Path(__file__).parent
PAGES: dict[str, Callable[[], str]] = {"settings.md": settings_page, "commands.md": command_page}


def main() -> int:
    check = "--check" in sys.argv[1:]
    stale = [name for name, make in PAGES.items() if _read(FOLDER / name) != make()]
    for name in stale:
        if not check:
            (FOLDER / name).write_text(PAGES[name]())
        sys.stdout.write(f"docs/{name}: {'stale, run make docs' if check else 'written'}\n")
    if not stale:
        sys.stdout.write(f"{len(PAGES)} reference pages are up to date\n")
    return 1 if check and stale else 0


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main())
