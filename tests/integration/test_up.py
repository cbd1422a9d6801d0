"""`headrace up` as people and machines use it: start, a second one, a killed one, and the end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.running import HEADRACE, Platform, wait_for

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform of its own: these tests stop and kill it."""
    with Platform(tmp_path_factory.mktemp("up") / "home") as running:
        yield running


def status(platform: Platform) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(platform.run("status", "--json", check=False).stdout)
    return found


def all_ready(platform: Platform) -> bool:
    return bool(status(platform)["ready"])


def test_ready_in_time(ran: Platform) -> None:
    wait_for(lambda: all_ready(ran), seconds=60, what="all processes ready")
    seconds = {p["name"]: p["ready_seconds"] for p in status(ran)["processes"]}
    assert set(seconds) == {"data", "control", "mlflow"}
    assert min(seconds, key=lambda name: seconds[name]) == "data", "the data plane waits for nobody"


def test_the_data_plane_goes_before_the_others(ran: Platform) -> None:
    behind = {p["name"]: psutil.Process(p["pid"]).nice() for p in status(ran)["processes"]}
    assert behind["data"] < min(behind["control"], behind["mlflow"])
    if Path("/proc/self/autogroup").exists():  # else niceness alone counts
        sessions = {p["name"]: Path(f"/proc/{p['pid']}/autogroup").read_text() for p in status(ran)["processes"]}
        for name, nice in behind.items():
            assert sessions[name].endswith(f"nice {nice}\n")


def test_status_in_words(ran: Platform) -> None:
    words = ran.run("status").stdout
    for part in ("data plane", "control plane", "MLflow", ran.data, ran.control, "plan revision", "headrace deploy"):
        assert part in words


def test_second_up_says_who_is_there(ran: Platform) -> None:
    assert ran.process is not None
    for command in (("up",), ("up", "--detach")):
        second = ran.run(*command, check=False)
        assert second.returncode == 1
        assert f"pid {ran.process.pid}" in second.stderr
        assert ran.data in second.stderr
        assert "Traceback" not in second.stderr


def test_taken_port_names_the_holder(ran: Platform, tmp_path: Path) -> None:
    done = subprocess.run(
        [HEADRACE, "up", "--home", str(tmp_path)], env=ran.env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert f"port {ran.port} on 127.0.0.1 is taken by" in done.stderr
    assert "pid " in done.stderr
    assert "--port" in done.stderr


def test_a_killed_supervisor_leaves_nothing_and_the_next_one_starts(ran: Platform) -> None:
    assert ran.process is not None
    before = [psutil.Process(p["pid"]) for p in status(ran)["processes"]]
    below = [child for process in before for child in process.children(recursive=True)]
    ran.process.kill()
    ran.process.wait()
    ran.up()  # at once: it ends what is left, and takes the ports
    wait_for(lambda: all_ready(ran), seconds=60, what="ready again")
    assert [p for p in (*before, *below) if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []


def test_logs_of_each_process(ran: Platform) -> None:
    names = {line.split()[0] for line in ran.run("logs", "-n", "3").stdout.splitlines() if line.split()}
    assert "mlflow" in names


def test_down_waits_until_all_are_gone(ran: Platform) -> None:
    assert ran.process is not None
    below = psutil.Process(ran.process.pid).children(recursive=True)
    assert "stopped after" in ran.run("down").stdout
    assert ran.process.wait(5) == 0
    assert [p for p in below if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert ran.run("status", check=False).returncode == 3
    assert "nothing runs" in ran.run("down").stdout


def test_detached(ran: Platform) -> None:
    started = json.loads(ran.run("up", "--detach", "--json").stdout)
    try:
        assert started["urls"]["data"] == ran.data
        assert all_ready(ran)
        os.kill(started["pid"], signal.SIGTERM)
        wait_for(lambda: not psutil.pid_exists(started["pid"]), seconds=30, what="the end")
    finally:
        ran.run("down")
