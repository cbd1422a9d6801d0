"""`make bench`: runs the measurements on a fresh platform and writes bench/results.md.

`python -m bench NAME …` runs some of: serving, change.
"""

from __future__ import annotations

import platform as machine
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psutil

from bench.change import measure_changes
from bench.cost import rss_mb
from bench.running import Platform
from bench.serving import compare

RESULTS = Path(__file__).with_name("results.md")
Section = Callable[[Platform, Path], list[str]]


def main() -> int:
    wanted = sys.argv[1:] or list(SECTIONS)
    if unknown := set(wanted) - set(SECTIONS):
        sys.stderr.write(f"unknown: {', '.join(sorted(unknown))}; there are: {', '.join(SECTIONS)}\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        home = Path(folder)
        with Platform(home / "home") as platform:
            _say(f"platform ready after {platform.ready_seconds:.1f} s; training")
            platform.train("digits", "digits")
            platform.run("deploy", "models:/digits/1", "--endpoint", "digits")
            lines = _head(platform)
            for name in wanted:
                _say(name)
                lines += ["", *SECTIONS[name](platform, home)]
    text = "\n".join(lines) + "\n"
    if not sys.argv[1:]:
        RESULTS.write_text(text)
    sys.stdout.write(text)
    return 0


def serving(platform: Platform, home: Path) -> list[str]:
    costs = compare(platform, home)
    rows = [
        f"| {c.name} | {c.concurrency} | **{c.cpu_ms:.3f}** | {c.per_second:,.0f} | {c.p50_ms:.2f} | {c.p99_ms:.2f} |"
        f" {c.rss_mb:.0f} | {c.failed} |"
        for c in costs
    ]
    by = {(c.name, c.concurrency): c.cpu_ms for c in costs}
    ratio = {c: by["mlflow models serve", c] / by["headrace /predict", c] for c in (1, 16)}
    return [
        "## One row, digits logistic regression, JSON",
        "",
        "Whole path: auth hook, route, journal on. CPU is of the server's process tree, the load generator is another",
        "process. Median of three rounds in turn.",
        "",
        "| server | c | CPU-ms/request | requests/s | p50 ms | p99 ms | RSS MB | failed |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
        *rows,
        "",
        f"`mlflow models serve` takes {ratio[1]:.1f} times the CPU at c=1 and {ratio[16]:.1f} times at c=16.",
    ]


def change(platform: Platform, _home: Path) -> list[str]:
    return [
        "## Changing what serves, under load",
        "",
        "400 requests/s from 1,000 users over 16 connections; the p99 is over the whole change, preparation included.",
        "",
        "| change | requests | failed | p99 steady ms | p99 during ms | ratio | took s |",
        "|---|--:|--:|--:|--:|--:|--:|",
        *(
            f"| {c.name} | {c.requests} | {c.failed} | {c.steady_p99_ms:.2f} | {c.during_p99_ms:.2f} |"
            f" {c.during_p99_ms / c.steady_p99_ms:.2f} | {c.seconds:.1f} |"
            for c in measure_changes(platform)
        ),
    ]


SECTIONS: dict[str, Section] = {"serving": serving, "change": change}


def _head(platform: Platform) -> list[str]:
    packages = ("mlflow", "onnxruntime", "uvicorn", "uvloop", "msgspec", "numpy", "scikit-learn")
    return [
        "# Results",
        "",
        f"`make bench`, {datetime.now(UTC):%Y-%m-%d}: {machine.system()} {machine.machine()},",
        f"{psutil.cpu_count()} cores, Python {machine.python_version()},",
        ", ".join(f"{name} {version(name)}" for name in packages) + ".",
        "Wall time on a shared machine is noise; compare CPU per request, and ratios within one run.",
        "",
        f"`headrace up` on an empty folder was ready after {platform.ready_seconds:.1f} s (databases made, MLflow up).",
        f"The data plane with one small model: {rss_mb(platform.pid('data')):.0f} MB resident.",
    ]


def _say(text: str) -> None:
    sys.stderr.write(f"bench: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
