"""`make bench`: runs the measurements on a fresh platform and writes bench/results.md.

`python -m bench SECTION … [options]` runs some of them and prints; with `--write` it also replaces them in the results.
"""

from __future__ import annotations

import os
import platform as machine
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from textwrap import wrap

import psutil

from bench.batching import batching
from bench.change import change
from bench.chats import chats
from bench.cost import rss_mb
from bench.failover import failover
from bench.feedback import feedback
from bench.gateway import gateway
from bench.inforce import inforce
from bench.options import Options, parse, say
from bench.program import program
from bench.running import Platform
from bench.serving import serving
from bench.shadow import shadow
from bench.soak import soak

RESULTS = Path(__file__).with_name("results.md")
TOP = """# Results

Written by `make bench`; each section says when and how it was measured. Wall time on a shared machine is noise: compare
CPU per request, and ratios within one run.
"""
Section = Callable[[Platform, Path, Options], list[str]]
SECTIONS: dict[str, tuple[str, Section]] = {
    "serving": ("One row beside other servers", serving),
    "batching": ("Running calls together", batching),
    "soak": ("A steady load", soak),
    "chats": ("Chats that break, for minutes", chats),
    "shadow": ("Copying live calls to a shadow", shadow),
    "change": ("Changing what serves, under load", change),
    "program": ("What a program adds to its language model", program),
    "failover": ("When the live version breaks", failover),
    "feedback": ("What people say, and exporting it", feedback),
    "gateway": ("What a chat costs beyond its upstream", gateway),
    "inforce": ("How soon a change of the gateway is in force", inforce),
}


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # so that the blocks below end what they started
    arguments = sys.argv[1:]
    names, write, remark, options = parse(tuple(SECTIONS), arguments)
    command = shlex.join(("python", "-m", "bench", *_without_remark(arguments))) if arguments else "make bench"
    with tempfile.TemporaryDirectory(prefix="headrace-bench-", ignore_cleanup_errors=True) as folder:
        for name in names:
            # A platform of its own for each: no section pays for what another left in the journal.
            home, load = Path(folder) / name, os.getloadavg()[1]
            title, section = SECTIONS[name]
            say(title)
            with Platform(home / "home") as platform:
                head = told(command, platform, load)
                lines = [*wrap(f"{head} {remark}", 118), "", *section(platform, home, options)]
            sys.stdout.write("\n".join((f"## {title}", "", *lines)) + "\n\n")
            if write:
                RESULTS.write_text(replaced(RESULTS.read_text() if RESULTS.exists() else TOP, title, lines))
    return 0


def replaced(text: str, title: str, lines: list[str]) -> str:
    """The results with this section's new lines, in the order of SECTIONS; those measured by other commands follow."""
    parts = text.split("\n## ")
    known = {part.partition("\n")[0]: part.partition("\n")[2] for part in parts[1:]}
    known[title] = "\n" + "\n".join(lines).rstrip() + "\n"
    ours = [title for title, _ in SECTIONS.values()]
    order = [name for name in ours if name in known] + [name for name in known if name not in ours]
    return TOP + "".join(f"\n## {name}\n{known[name].rstrip()}\n" for name in order)


def _without_remark(arguments: list[str]) -> list[str]:
    return [a for n, a in enumerate(arguments) if a != "--remark" and arguments[n - 1 : n] != ["--remark"]]


def told(command: str, platform: Platform, load: float) -> str:
    packages = ("mlflow", "onnxruntime", "uvloop", "httptools", "msgspec", "numpy", "scikit-learn")
    return (
        f"`{command}`, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {machine.system()} {machine.machine()},"
        f" {psutil.cpu_count()} cores, load {load:.1f} when it began, Python {machine.python_version()},"
        f" {', '.join(f'{name} {version(name)}' for name in packages)}."
        f" `headrace up` was ready after {platform.ready_seconds:.1f} s; the data plane began with"
        f" {rss_mb(platform.pid('data')):.0f} MB resident."
    )


if __name__ == "__main__":
    sys.exit(main())
