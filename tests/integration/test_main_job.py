"""The main job, as a person sees it: `headrace demo --once` on real data, with every fact as it must be."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from bench.running import HEADRACE

pytestmark = [pytest.mark.process, pytest.mark.timeout(420)]


def test_demo(tmp_path: Path) -> None:
    command = [HEADRACE, "demo", "--once", "--json", "--home", str(tmp_path / "demo"), "--port", "0"]
    done = subprocess.run([*command, "--control-port", "0"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert told["problems"] == []
    assert done.returncode == 0, done.stderr

    assert told["traffic"]["failed"] == 0
    assert told["traffic"]["requests"] > 2000
    offline = {t["version"]: t["accuracy"] for t in told["trained"]}
    assert offline[3] == max(offline.values()), "version 3 is the trap: best offline"
    assert offline[2] > offline[1]
    assert told["better"]["phase"] == "promoted"
    assert told["worse"]["phase"] == "rolled_back"
    assert told["worse"]["judgement"]["metric"] == "feedback"
    shares = [e["share"] for e in told["better"]["history"] if e["share"]]
    assert shares == [100, 500, 2500, 5000, 10_000]
    assert told["exported"]["corrected"] > 0
    crowd = max(1.0, os.getloadavg()[1] / (os.cpu_count() or 1))  # the promise is about two quiet cores
    assert told["seconds"] < 180 * crowd
