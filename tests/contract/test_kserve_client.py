"""KServe's own client.

`make conformance` runs it: it needs an environment of its own, whose Python is named by HEADRACE_KSERVE_PYTHON.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.contract.conftest import V2Plane

PYTHON = os.environ.get("HEADRACE_KSERVE_PYTHON", "")


@pytest.mark.process
@pytest.mark.skipif(not PYTHON, reason="make conformance: needs an environment with kserve")
def test_health_and_infer_over_http_and_grpc(v2: V2Plane) -> None:
    script = Path(__file__).with_name("kserve") / "ask.py"
    done = subprocess.run([PYTHON, str(script), v2.http, v2.grpc], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
