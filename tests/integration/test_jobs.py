"""A job of the API on a whole platform: files in, kill -9 of its process and of the control plane, rows out."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from sklearn.datasets import load_digits

from bench.running import Platform, wait_for

pytestmark = pytest.mark.process
ROWS = 600


def job(platform: Platform, job_id: str) -> dict[str, Any]:
    return dict(platform.http.get(f"{platform.control}/api/v1/jobs/{job_id}").json())


def worker(job_id: str) -> int | None:
    for process in psutil.process_iter(["cmdline"]):
        if job_id in (process.info["cmdline"] or []):
            return int(process.pid)
    return None


def test_a_job_survives_its_process_and_the_control_plane(platform: Platform) -> None:
    files: Path = platform.home / "files"
    pixels, truth = load_digits(return_X_y=True)
    with (files / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *(f"pixel_{i}" for i in range(64)), "truth"])
        writer.writerows([f"é{i}", *pixels[i].tolist(), int(truth[i])] for i in range(ROWS))
    more = ("--features", "pixel_*", "--rows-per-call", "1", "-c", "1", "--submit", "--json")
    said = platform.run("predict", "-e", "digits", "-i", "rows.csv", "-o", "scored.jsonl", *more)
    job_id = json.loads(said.stdout)["id"]
    pid = wait_for(lambda: worker(job_id), seconds=30, what="the job's process")
    wait_for(lambda: (files / "scored.jsonl.parts" / "job.json").exists(), seconds=30, what="the job at work")
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: worker(job_id) not in (None, pid), seconds=30, what="its next process")
    os.kill(platform.pid("control"), signal.SIGKILL)
    wait_for(lambda: platform.alive(f"{platform.control}/health"), seconds=60, what="the control plane")
    done = wait_for(
        lambda: (found := job(platform, job_id))["state"] != "running" and found, seconds=90, what="the end"
    )
    assert (done["state"], done["rows"], done["failed"]) == ("done", ROWS, 0), done
    assert done["tries"] >= 2
    found = [json.loads(line) for line in (files / "scored.jsonl").read_text().splitlines()]
    assert [row["id"] for row in found] == [f"é{i}" for i in range(ROWS)]
    right = sum(int(row["truth"]) == row["prediction"] for row in found)
    assert right > 0.95 * ROWS
    assert "done" in platform.run("jobs", job_id).stdout
    listed = json.loads(platform.run("jobs", "--json").stdout)
    assert listed[0]["id"] == job_id
