"""On a real platform: a stock MLflow client meets a protected stage, a second person says yes, and others are told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.running import Platform, wait_for
from headrace.client.signature import verify
from tests.unit.notify.receiver import receiving

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

MOVE = """
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
client = MlflowClient()
try:
    client.transition_model_version_stage("digits", "2", "Production")
except MlflowException as error:
    print(error.error_code, error)
else:
    print("moved")
client.set_registered_model_alias("digits", "free", "1")
"""


def by_hand(platform: Platform) -> str:
    """As somebody with MLflow's own client and a login, through /mlflow."""
    env = platform.env | {
        "MLFLOW_TRACKING_URI": f"{platform.control}/mlflow",
        "MLFLOW_TRACKING_USERNAME": "carol",
        "MLFLOW_TRACKING_PASSWORD": "any",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "PYTHONWARNINGS": "ignore",
    }
    done = subprocess.run([sys.executable, "-c", MOVE], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_protected_stage_a_second_person_and_those_who_are_told(tmp_path: Path) -> None:
    with receiving() as receiver, Platform(tmp_path / "home") as platform:
        platform.train("digits", "digits")
        platform.run("deploy", "models:/digits/1", "--endpoint", "digits")
        made = json.loads(platform.run("webhook", "add", "ci", receiver.url, "--json").stdout)
        platform.run("endpoint", "set", "digits", "approvals.stages=Production")

        assert "PERMISSION_DENIED" in by_hand(platform)
        (request,) = json.loads(platform.run("approvals", "--state", "pending", "--json").stdout)
        assert (request["actor"], request["sentence"]) == ("carol", "digits version 2 moves to Production")
        waiting = platform.run("stage", "digits", "2", "Production", check=False)
        assert waiting.returncode == 4
        assert request["id"] not in waiting.stderr, "that one is of another person"

        platform.run("approve", request["id"], "--reason", "looked at it")
        row = [[0.0] * 64]
        assert platform.predict("digits", row).headers["x-headrace-variant"] == "v2"
        entries = json.loads(platform.run("history", "digits", "--json").stdout)
        moved = next(e for e in entries if e["action"] == "endpoint.deploy")
        assert moved["actor"] == "carol"
        assert len(moved["about"]["approvers"]) == 1
        aliases = json.loads(platform.run("history", "--action", "alias.move", "--json").stdout)
        assert [(e["actor"], e["detail"]) for e in aliases] == [("carol", "@free: nothing → version 1")]

        platform.run("undo", "digits", "--reason", "only a test")
        assert platform.predict("digits", row).headers["x-headrace-variant"] == "v1"
        assert platform.run("history", "--check").returncode == 0

        wanted = ["endpoint.set", "approval.requested", "approval.approved", "endpoint.deploy", "endpoint.undo"]
        wait_for(lambda: set(wanted) <= set(receiver.events()), seconds=30, what=f"{wanted}")
        for headers, body in receiver.got:
            assert verify(made["secret"], headers, body)
