"""kill -9 of each process under load: what was acknowledged is there afterwards, and serving goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sklearn.datasets import load_digits

from bench.failover import hosts, lasts, package
from bench.running import ROOT, Platform, wait_for
from bench.wire import post_json, prepare

pytestmark = pytest.mark.process

ROWS = [row.tolist() for row in load_digits().data[-50:]]


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of its own: these tests kill its parts."""
    with Platform(tmp_path_factory.mktemp("victim") / "home", mlflow_sample=0.0) as running:
        running.train("digits", "digits", "custom")
        running.run("deploy", "models:/digits/1", "--endpoint", "digits")
        running.run("deploy", "models:/custom/1", "--endpoint", "custom")
        yield running


class Load:
    """The generator as a process; `end` gives what it saw."""

    def __init__(self, platform: Platform, folder: Path, *, model: str = "digits", rate: float = 150) -> None:
        requests = [post_json("/predict", {"model": model, "inputs": [row]}) for row in ROWS]
        file = prepare(folder / "requests", requests, users=200)
        flags = [f"--port={platform.port}", f"--requests={file}", f"--rate={rate}"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", *flags, "--seconds=120", "--concurrency=8", "--full"],
            stdout=subprocess.PIPE,
            cwd=ROOT,
        )

    def end(self) -> dict[str, Any]:
        self.process.send_signal(signal.SIGTERM)
        told = self.process.communicate(timeout=30)[0]
        assert self.process.returncode == 0, f"the load was ended by {self.process.returncode}, {len(told)} bytes told"
        seen: dict[str, Any] = json.loads(told)
        return seen

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@pytest.fixture
def load(victim: Platform, tmp_path: Path) -> Iterator[Load]:
    with Load(victim, tmp_path) as running:
        yield running


def answered(platform: Platform) -> int:
    """How many calls of digits the data plane has answered since it started."""
    return int(platform.predict("digits", [ROWS[0]]).status_code == 200)


def kill(platform: Platform, name: str) -> int:
    pid = platform.pid(name)
    os.kill(pid, signal.SIGKILL)
    return pid


def back(platform: Platform, name: str, old: int, url: str) -> None:
    wait_for(lambda: platform.pid(name) != old and platform.alive(url), seconds=60, what=f"{name} back")


def feedback(platform: Platform, trace: str, comment: str) -> None:
    answer = platform.http.post(f"{platform.data}/feedback", json={"trace_id": trace, "comment": comment})
    assert answer.status_code == 200, answer.text


def detail(platform: Platform, trace: str) -> dict[str, Any] | None:
    try:
        answer = platform.http.get(f"{platform.control}/api/v1/traces/{trace}")
    except httpx.HTTPError:
        return None
    return answer.json() if answer.status_code == 200 else None


def comments(platform: Platform, trace: str) -> list[Any]:
    return [f["value"] for f in (detail(platform, trace) or {}).get("feedback", []) if f["name"] == "comment"]


def test_control_plane(victim: Platform, load: Load) -> None:
    wait_for(lambda: answered(victim), seconds=20, what="first answers")
    old = kill(victim, "control")
    trace = victim.predict("digits", [ROWS[0]]).json()["trace_id"]
    feedback(victim, trace, "while the control plane was dead")
    back(victim, "control", old, f"{victim.control}/health")
    seen = load.end()
    assert set(seen["statuses"]) == {"200"}, seen["statuses"]
    wait_for(lambda: comments(victim, trace), seconds=30, what="feedback collected after the restart")
    assert comments(victim, trace) == ["while the control plane was dead"]


def test_mlflow(victim: Platform, load: Load) -> None:
    wait_for(lambda: answered(victim), seconds=20, what="first answers")
    old = kill(victim, "mlflow")
    trace = victim.predict("digits", [ROWS[0]]).json()["trace_id"]
    feedback(victim, trace, "while MLflow was dead")
    back(victim, "mlflow", old, f"{victim.control}/mlflow/health")
    assert set(load.end()["statuses"]) == {"200"}
    url = f"{victim.control}/mlflow/api/3.0/mlflow/traces/{trace}"

    def recorded() -> list[Any]:
        answer = victim.http.get(url)
        if answer.status_code != 200:
            return []
        return list(answer.json()["trace"]["trace_info"].get("assessments", []))

    assessments = wait_for(recorded, seconds=60, what="the trace and its feedback in MLflow")
    assert any(a["assessment_name"] == "comment" for a in assessments)


def test_model_host(victim: Platform, load: Load) -> None:
    assert victim.predict("custom", [ROWS[0]]).status_code == 200
    hosts = [p for p in psutil.Process(victim.pid("data")).children() if "headrace.serving.host" in p.cmdline()]
    assert hosts
    for host in hosts:
        host.kill()
    wait_for(
        lambda: victim.predict("custom", [ROWS[0]]).status_code == 200, seconds=60, what="the model host came back"
    )
    assert set(load.end()["statuses"]) == {"200"}, "another model's host must not matter"


@pytest.fixture(scope="module")
def brittle(victim: Platform) -> Platform:
    """With a second version of custom that can be made to fail."""
    victim.train("brittle")
    victim.run("endpoint", "set", "custom", "failover.lasting_seconds=1", "limits.timeout_ms=4000")
    return victim


@pytest.mark.parametrize("files", ["there", "gone"])
def test_a_live_version_whose_host_hangs_or_cannot_start_again(brittle: Platform, files: str) -> None:
    brittle.run("deploy", "models:/custom/2", "--endpoint", "custom")
    for _ in range(25):
        assert brittle.predict("custom", [ROWS[0]]).headers["x-headrace-variant"] == "v2"
    folder = brittle.home / "artifacts" / "packages" / package(brittle)
    found, away = hosts(brittle), folder.parent.with_name("away")
    if files == "gone":
        folder.rename(away)
    for host in found:
        os.kill(host.pid, signal.SIGKILL if files == "gone" else signal.SIGSTOP)
    answers = [brittle.predict("custom", [ROWS[0]])]
    while answers[-1].status_code != 200 and len(answers) < 8:
        answers.append(brittle.predict("custom", [ROWS[0]]))
    assert answers[-1].headers["x-headrace-variant"] == "v1", [answer.text for answer in answers]
    assert {brittle.predict("custom", [ROWS[0]]).headers["x-headrace-variant"] for _ in range(20)} == {"v1"}
    wait_for(lambda: lasts(brittle), seconds=30, what="the version before is live for good")
    if files == "gone":
        away.rename(folder)


def test_a_live_version_that_breaks_while_the_control_plane_is_dead(brittle: Platform, tmp_path: Path) -> None:
    """The data plane falls back by itself; the control plane hears of it when it is back, and makes it lasting."""
    victim = brittle
    victim.run("deploy", "models:/custom/2", "--endpoint", "custom")
    victim.run("endpoint", "set", "custom", "failover.stall_seconds=0")  # failures are what is looked for here
    before = {entry["id"] for entry in victim.http.get(f"{victim.control}/api/v1/audit").json()["entries"]}
    good, strange = [ROWS[0]], [[99.0, *ROWS[0][1:]]]
    for _ in range(20):
        assert victim.predict("custom", good).headers["x-headrace-variant"] == "v2"
    failed = 0

    def answered_by_the_one_before() -> bool:
        nonlocal failed
        answer = victim.predict("custom", strange)
        failed += answer.status_code != 200
        return answer.status_code == 200 and answer.headers["x-headrace-variant"] == "v1"

    with Load(victim, tmp_path) as load:
        old = kill(victim, "control")
        wait_for(answered_by_the_one_before, seconds=20, what="the version before answers")
        assert failed <= 20, "five failures decide, and some are under way meanwhile"
        back(victim, "control", old, f"{victim.control}/health")
        seen = load.end()
    url = f"{victim.control}/api/v1/endpoints/custom"
    wait_for(lambda: victim.http.get(url).json()["policy"]["baseline"] == "v1", seconds=30, what="it is lasting")
    entries = victim.http.get(f"{victim.control}/api/v1/audit").json()["entries"]
    mine = [e["action"] for e in entries if e["actor"] == "system:failover" and e["id"] not in before]
    assert mine == [
        "endpoint.failover",
        "endpoint.ejected",
    ]
    assert set(seen["statuses"]) == {"200"}, "other endpoints do not notice"


def test_data_plane(victim: Platform, load: Load) -> None:
    wait_for(lambda: answered(victim), seconds=20, what="first answers")
    noted = {}
    for number in range(30):
        trace = victim.predict("digits", [ROWS[number]]).json()["trace_id"]
        feedback(victim, trace, f"note {number}")
        noted[trace] = f"note {number}"
    old = kill(victim, "data")
    back(victim, "data", old, f"{victim.data}/health")
    seen = load.end()
    broken = seen["statuses"].get("0", 0)
    assert broken <= 8, f"only the eight connections of the killed process may break: {seen['statuses']}"
    assert set(seen["statuses"]) <= {"200", "0"}
    last = seen["traces"][-1]
    wait_for(lambda: detail(victim, last), seconds=30, what="the last call in the journal")
    missing = [trace for trace in seen["traces"][::10] if detail(victim, trace) is None]
    assert not missing, f"answered, but not in the journal: {missing}"
    for trace, note in noted.items():
        wait_for(lambda trace=trace: comments(victim, trace), seconds=30, what="feedback")
        assert comments(victim, trace) == [note]


def test_release_goes_on_where_it_stood(victim: Platform, load: Load) -> None:
    victim.run(
        *("release", "digits", "--candidate", "models:/digits/2", "--canary"),
        *("--step-seconds", "4", "--min-units", "1", "--detach"),
    )
    releases = f"{victim.control}/api/v1/releases?endpoint=digits"

    def release() -> dict[str, Any]:
        found: dict[str, Any] = victim.http.get(releases).json()["releases"][0]
        return found

    wait_for(lambda: release()["step"] >= 1, seconds=60, what="the second step")
    before = release()
    old = kill(victim, "control")
    back(victim, "control", old, f"{victim.control}/health")
    after = release()
    assert after["id"] == before["id"]
    assert after["step"] >= before["step"]
    wait_for(lambda: release()["phase"] not in ("progressing", "preparing"), seconds=120, what="the end of the release")
    assert set(load.end()["statuses"]) == {"200"}
    steps = [event["share"] for event in release()["history"] if event["name"] in ("started", "step")]
    assert steps == sorted(set(steps)), f"a step was taken twice: {steps}"
