"""On a real platform: a stock MLflow client meets a protected stage, a second person says yes, and others are told."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from bench.running import Platform, wait_for
from headrace.client.signature import verify
from tests.unit.notify.receiver import receiving

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

COLUMNS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
ROWS = [dict(zip(COLUMNS, (5.1, 3.5, 1.4, 0.2), strict=True))]
MOVE = """
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
client = MlflowClient()
try:
    client.transition_model_version_stage("petals", "2", "Production")
except MlflowException as error:
    print(error.error_code, error)
else:
    print("moved")
client.set_registered_model_alias("petals", "free", "1")
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


def test_a_protected_stage_a_second_person_and_those_who_are_told(platform: Platform) -> None:
    with receiving() as receiver:
        platform.run("deploy", "models:/petals/1", "--endpoint", "petals")
        made = json.loads(platform.run("webhook", "add", "ci", receiver.url, "--json").stdout)
        platform.run("endpoint", "set", "petals", "approvals.stages=Production")

        assert "PERMISSION_DENIED" in by_hand(platform)
        waiting = json.loads(platform.run("approvals", "--state", "pending", "--json").stdout)
        (request,) = [one for one in waiting if one["deed"]["model"] == "petals"]
        assert (request["actor"], request["sentence"]) == ("carol", "petals version 2 moves to Production")
        other = platform.run("stage", "petals", "2", "Production", check=False)
        assert other.returncode == 4
        assert request["id"] not in other.stderr, "that one is of another person"

        platform.run("approve", request["id"], "--reason", "looked at it")
        assert platform.predict("petals", ROWS).headers["x-headrace-variant"] == "v2"
        entries = json.loads(platform.run("history", "petals", "--json").stdout)
        moved = next(e for e in entries if e["action"] == "endpoint.deploy")
        assert moved["actor"] == "carol"
        assert len(moved["about"]["approvers"]) == 1
        aliases = json.loads(platform.run("history", "--model", "petals", "--action", "alias.move", "--json").stdout)
        assert [(e["actor"], e["detail"]) for e in aliases] == [("carol", "@free: nothing → version 1")]

        platform.run("undo", "petals", "--reason", "only a test")
        assert platform.predict("petals", ROWS).headers["x-headrace-variant"] == "v1"
        assert platform.run("history", "--check").returncode == 0

        wanted = ["endpoint.set", "approval.requested", "approval.approved", "endpoint.deploy", "endpoint.undo"]
        wait_for(lambda: set(wanted) <= set(receiver.events()), seconds=30, what=f"{wanted}")
        for headers, body in receiver.got:
            assert verify(made["secret"], headers, body)
        platform.run("webhook", "remove", "ci")
