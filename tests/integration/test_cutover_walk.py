"""The walk of docs/migration.md, line by line: a legacy service, a model as its shadow, a canary, back, a switch, back.

The service is a real one over HTTP: a rule that somebody wrote by hand, in a dialect of its own, and slow.
"""

from __future__ import annotations

import itertools
import json
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from sklearn.datasets import load_iris

from bench.running import ROOT, Platform, wait_for
from headrace.cli.cutover import report_on
from headrace.client.admin import Admin

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

SECTION = "## Services: from a legacy service to a model, and back"
SLOW_SECONDS = 0.02
COLUMNS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
ROWS = [dict(zip(NAMES, row, strict=True)) for row in load_iris().data.tolist()]


class Rule(BaseHTTPRequestHandler):
    """What is to be replaced. It differs from the model in one flower of thirty."""

    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # the answer in one piece

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        time.sleep(SLOW_SECONDS)
        told = [
            {"decision": 2 if row["petal_width"] > 1.8 else int(row["petal_width"] > 0.8)} for row in asked["flowers"]
        ]
        body = json.dumps({"result": told}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nobody reads it."""


@pytest.fixture
def rule() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Rule)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/score"
    server.shutdown()
    thread.join()
    server.server_close()


def written() -> tuple[dict[str, Any], list[list[str]]]:
    """The files that the walk shows, by name, and its commands in order."""
    text = (ROOT / "docs" / "migration.md").read_text().partition(SECTION)[2]
    blocks = re.findall(r"```(yaml|bash)\n(.*?)```", text, re.DOTALL)
    files = {body.split()[1]: yaml.safe_load(body) for kind, body in blocks if kind == "yaml"}
    lines = [shlex.split(line) for kind, body in blocks if kind == "bash" for line in body.splitlines()]
    return files, [line[1:] for line in lines]


def hurried(plan: dict[str, Any]) -> dict[str, Any]:
    """The plan as it is written, for people who have seconds where others have hours. The last step stays as long."""
    few = {"shadow": 60}
    steps = [step | {"min_units": min(step.get("min_units", 20), few.get(step["kind"], 20))} for step in plan["steps"]]
    short = [step | {"min_seconds": min(step.get("min_seconds", 1), 1)} for step in steps if step["kind"] != "switch"]
    return plan | {"steps": short + [step for step in steps if step["kind"] == "switch"], "proof": False}


class Walk:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.numbers = itertools.count()

    def call(self) -> str:
        """By a new user, with a flower of any kind; the variant that answered."""
        number = next(self.numbers)
        answer = self.platform.predict("iris", [ROWS[37 * number % len(ROWS)]], **{"x-user-id": f"visitor-{number}"})
        assert answer.status_code == 200, answer.text
        return answer.headers["x-headrace-variant"]

    def release(self) -> dict[str, Any]:
        found = self.platform.http.get(f"{self.platform.control}/api/v1/releases?endpoint=iris&limit=1").json()
        return dict(found["releases"][0])

    def until(self, holds: Callable[[dict[str, Any]], bool], *, what: str) -> dict[str, Any]:
        """Users call on, until the newest release is as wanted."""

        def looked() -> dict[str, Any] | None:
            for _ in range(20):
                self.call()
            release = self.release()
            assert release["phase"] not in ("failed", "rolled_back"), release["judgement"]
            return release if holds(release) else None

        return wait_for(looked, seconds=90, what=what)


def test_a_legacy_service_gives_way_to_a_model_and_comes_back(platform: Platform, rule: str, tmp_path: Path) -> None:
    platform.train("iris")
    files, commands = written()
    _write(files, rule, tmp_path)
    walk = Walk(platform)
    here = {"churn": "iris", "models:/churn/1": "models:/iris/1"}

    def take(words: list[str]) -> str:
        given = [here.get(word, word) for word in words]
        paths = [str(tmp_path / word) if word in files else word for word in given]
        return platform.run(*paths).stdout

    names = [" ".join(words[:2]) for words in commands]
    assert names == ["deploy churn.yaml", "release churn", "release diff", "release resume", "undo churn",
                     "release churn", "release abort", "migrate report"]  # fmt: skip
    deploy, dual, diff, resume, undo, switch, abort, report = commands

    take(deploy)
    assert {walk.call() for _ in range(20)} == {"v1000001"}
    take(dual)
    walk.until(lambda r: r["phase"] == "paused", what="enough answers compared, a person is asked")
    assert {walk.call() for _ in range(20)} == {"v1000001"}, "nobody gets the model's answers in a dual run"
    shown = take(diff)
    assert re.search(r"[\d,]+ pairs, \d[\d.]* % another answer \(tolerated: 10 %\)", shown)
    take(resume)
    walk.until(lambda r: r["phase"] == "promoted", what="the canary ends")
    assert {walk.call() for _ in range(20)} == {"v1"}
    take(undo)
    assert {walk.call() for _ in range(20)} == {"v1000001"}, "with the next request"
    take(switch)
    walk.until(lambda r: any(e["share"] == 10_000 for e in r["history"]), what="the switch")
    assert {walk.call() for _ in range(20)} == {"v1"}
    take(abort)
    assert {walk.call() for _ in range(20)} == {"v1000001"}, "with the next request"

    with Admin(platform.control) as control:
        _check(report_on(control, "iris"))
    told = take(report)
    for words in ("v1000001", "promoted", "aborted", "another one", "the call centre complains", "not before Monday"):
        assert words in told


def _write(files: dict[str, Any], rule: str, folder: Path) -> None:
    """As the docs have them, about flowers in place of customers."""
    flowers = [{"name": name, "datatype": "FP64"} for name in NAMES]
    mine = {"name": "iris", "url": rule, "request": {"flowers": "$rows"}, "inputs": flowers}
    renamed = [{"rename": dict(zip(NAMES, COLUMNS, strict=True))}]
    made = {
        "churn.yaml": files["churn.yaml"] | mine,
        "dual-run.yaml": hurried(files["dual-run.yaml"]),
        "switch.yaml": hurried(files["switch.yaml"]),
        "adapter.yaml": files["adapter.yaml"] | {"inputs": renamed},
    }
    for name, body in made.items():
        (folder / name).write_text(yaml.safe_dump(body, sort_keys=False))


def _check(report: dict[str, Any]) -> None:
    before, after = report["variants"]
    assert (before["variant"], after["variant"]) == ("v1000001", "v1")
    assert before["p50_ms"] >= 1000 * SLOW_SECONDS
    assert before["failed"] == after["failed"] == 0
    assert min(before["calls"], after["calls"]) >= 40
    assert after["p50_change"] == pytest.approx(after["p50_ms"] / before["p50_ms"] - 1)
    canary, switched = report["releases"]
    assert (canary["phase"], switched["phase"]) == ("promoted", "aborted")
    assert canary["compared"]["pairs"] >= 60
    assert 0 < canary["compared"]["flip_rate"] < 0.1
    assert switched["compared"] is None
    timeline = [event["name"] for event in canary["timeline"]]
    assert timeline == ["started", "step", "paused", "resumed", "step", "step", "promoted"]
    moves = [(move["action"], move["to"]) for move in report["moves"]]
    whole = [{"v1000001": 10_000}, {"v1": 10_000}]
    assert moves[0] == ("endpoint.deploy", whole[0])
    assert [to for action, to in moves if action in ("release.promoted", "release.aborted", "endpoint.undo")] == [
        whole[1], whole[0], whole[0]
    ]  # fmt: skip
    undone = next(move for move in report["moves"] if move["action"] == "endpoint.undo")
    assert (undone["why"], undone["from"]) == ("the call centre complains", whole[1])
