"""kill -9 of `headrace predict` in the middle of a file: the same command ends it, no row lost, none twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.running import wait_for
from tests.played_endpoint import Sums, sums

pytestmark = pytest.mark.process
ROWS = 6000
SMALL_PARTS = "import headrace.batch.run as run; run.PART_ROWS = 64; from headrace.cli.main import main; main()"


def start(folder: Path, endpoint: Sums) -> subprocess.Popen[str]:
    arguments = ["predict", "-e", "sums", "-i", "rows.jsonl", "-o", "scored.jsonl", "--rows-per-call", "8", "--json"]
    return subprocess.Popen(
        [sys.executable, "-c", SMALL_PARTS, *arguments, "--url", endpoint.url],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_kill_and_go_on(tmp_path: Path) -> None:
    lines = [json.dumps({"id": i, "input": [i + 0.5, 1, 1]}) + "\n" for i in range(ROWS)]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    parts = tmp_path / "scored.jsonl.parts"
    with sums() as endpoint:
        for kills in range(1, 4):
            process = start(tmp_path, endpoint)
            wait_for(lambda k=kills: len(list(parts.glob("*.arrow"))) >= 3 * k, seconds=60, what="parts")  # type: ignore[misc]
            endpoint.gate.clear()
            process.kill()
            process.communicate()
            endpoint.gate.set()
            assert not (tmp_path / "scored.jsonl").exists()
        process = start(tmp_path, endpoint)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
    told: dict[str, Any] = json.loads(out)
    assert told["finished"]
    assert told["resumed_after"] >= 64 * 9
    found = [json.loads(line) for line in (tmp_path / "scored.jsonl").read_text().splitlines()]
    assert [row["id"] for row in found] == list(range(ROWS))
    assert [row["prediction"] for row in found] == [i + 2.5 for i in range(ROWS)]
    assert not parts.exists()
