"""OpenAI's client in another language: what only one client forgives, this one does not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from golden_llm import CALLS, TEXT

from tests.contract.llm.conftest import KINDS, LlmPlane

pytestmark = pytest.mark.process
CLIENT = Path(__file__).with_name("client.mjs")
VERSION = "6.49.0"


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `node_modules/openai`. HEADRACE_NODE_OPENAI names one that is there already."""
    if shutil.which("node") is None:
        pytest.skip("needs Node.js: apt-get install nodejs npm")
    if found := os.environ.get("HEADRACE_NODE_OPENAI"):
        return Path(found)
    if shutil.which("npm") is None:
        pytest.skip("needs npm, or HEADRACE_NODE_OPENAI naming a folder with node_modules/openai")
    folder = tmp_path_factory.mktemp("node")
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent", f"openai@{VERSION}"]
    try:
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("npm could not fetch the client in two minutes")
    if made.returncode:
        pytest.skip(f"npm could not fetch the client: {made.stderr.strip()[-200:]}")
    return folder


def test_it_gets_what_the_python_client_gets(modules: Path, llm_plane: LlmPlane) -> None:
    made = subprocess.run(
        ["node", str(CLIENT), str(modules), llm_plane.url, *KINDS],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    got = json.loads(made.stdout)
    assert set(got.pop("models")) == set(llm_plane.endpoints)
    assert got.pop("missing") == 404
    for kind in KINDS:
        assert "boom" in got[kind].pop("failed")
        assert got[kind] == {
            "whole": TEXT,
            "text": TEXT,
            "usage": [20, 12],
            "calls": [[name, json.loads(arguments)] for name, arguments in CALLS],
        }
