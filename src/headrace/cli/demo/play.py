"""The main job, from an empty folder to a proven release: the spine of the demo, read from top to bottom.

Called by `headrace demo` (command.py). Uses the platform as a user would: the commands' own functions, the client, the
stock MLflow client in a process of its own (train.py), the public HTTP API (replay.py). Decides nothing: what happened
goes to story.py as facts.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from headrace.base.settings import Settings
from headrace.cli.demo.replay import USERS, Replay, Rows
from headrace.cli.demo.story import Exported, Facts, Trained
from headrace.cli.deploy import proof
from headrace.cli.options import CONTROL, DATA, MLFLOW
from headrace.cli.release import watch
from headrace.cli.show import Progress
from headrace.client.admin import Admin
from headrace.types.errors import ModelFailed, Unavailable

MODEL = "digits"
RATE = 200.0
# A release that takes days in production takes a minute here, so its steps are short. What is asked of the evidence is
# not made easier: the metrics, their margins and the risk are the defaults.
PLAN = {"min_seconds": 4.0, "min_units": 3}
WARM = 800  # requests that version 1 answers before anything changes
CALM = 400  # and version 2 after version 3 was taken back
AFTERWARDS = 5.0  # requests a second while a person looks around
_MLFLOW_PATIENCE = 30.0


def play(settings: Settings, urls: dict[str, str], tell: Progress, *, start_seconds: float) -> Facts:
    """Everything after the platform is up. Raises HeadraceError when a step cannot even be tried."""
    with Admin(urls[CONTROL], token=settings.admin_token.reveal(), actor="demo") as control:
        tell.heading("Train three versions with the stock MLflow client")
        trained = train(urls[MLFLOW], tell)

        tell.heading("headrace deploy models:/digits/1 --endpoint digits")
        live = control.deploy(MODEL, f"models:/{MODEL}/1", on_progress=tell)

        tell.heading(f"{USERS:,} users send held-out rows, {RATE:.0f} a second, and say later what they think")
        replay = users(urls, rate=RATE)
        began = time.time()
        with replay:
            answered(replay, WARM, tell)
            better = release(control, 2, replay, tell)
            worse = release(control, 3, replay, tell)
            answered(replay, CALM, tell)

        tell.heading("headrace export digits --format csv")
        exported = export(control, settings.home / f"{MODEL}-feedback.csv", tell)
        assessments, page = recorded(urls[MLFLOW], replay.seen.trace, tell)
        stages = {int(v["version"]): str(v["stage"]) for v in control.versions(MODEL)}
        return Facts(
            urls=urls,
            home=str(settings.home),
            start_seconds=start_seconds,
            trained=trained,
            proof=tuple(proof(live)),
            better=better,
            worse=worse,
            stages=stages,
            seen=replay.seen,
            began=began,
            exported=exported,
            trace=replay.seen.trace,
            assessments=assessments,
            traces_page=page,
            seconds=tell.seconds,
        )


def train(tracking_uri: str, tell: Progress) -> tuple[Trained, ...]:
    """In a process of its own: MLflow and scikit-learn take seconds to import."""
    env = os.environ | {"MLFLOW_TRACKING_URI": tracking_uri, "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        [sys.executable, "-m", "headrace.cli.demo.train"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None  # piped above
        assert process.stderr is not None
        trained = []
        for line in process.stdout:
            if line.startswith("{"):  # MLflow prints links to its pages too
                trained.append(Trained(**json.loads(line)))
                one = trained[-1]
                tell(f"version {one.version}: {one.description} Offline accuracy {one.accuracy:.1%}")
        complaint = process.stderr.read().strip()
    if process.returncode:
        raise ModelFailed(f"training ended with {process.returncode}: {complaint.splitlines()[-1:]}")
    return tuple(trained)


def users(urls: dict[str, str], *, rate: float) -> Replay:
    """They send rows that no version has seen."""
    address = urlsplit(urls[DATA])
    printed = subprocess.check_output([sys.executable, "-m", "headrace.cli.demo.digits"])
    return Replay(str(address.hostname), int(address.port or 80), Rows(**json.loads(printed)), users=USERS, rate=rate)


def release(control: Admin, version: int, replay: Replay, tell: Progress) -> dict[str, Any]:
    """To the end, whichever it is."""
    candidate = f"models:/{MODEL}/{version}"
    tell.heading(f"headrace release {MODEL} --candidate {candidate} --canary")
    started = control.release(MODEL, candidate, plan=PLAN, on_progress=tell)
    ended = watch(lambda: control.find_release(started["id"]), tell, beside=lambda: f" · {_so_far(replay)}")
    tell(_so_far(replay))
    return ended


def answered(replay: Replay, requests: int, tell: Progress) -> None:
    goal = replay.seen.requests + requests
    deadline = time.monotonic() + 10 * requests / RATE
    while replay.seen.requests < goal:
        if time.monotonic() > deadline:
            raise Unavailable(f"{_so_far(replay)}: the data plane answers too slowly", hint="headrace logs data")
        tell.now(_so_far(replay))
        time.sleep(0.1)
    tell(_so_far(replay))


def export(control: Admin, path: Path, tell: Progress) -> Exported:
    """What the next training would learn from: calls and what people said of them."""
    with path.open("wb") as file:
        headers = control.export(file.write, model=MODEL, format="csv", rating="any")
    csv.field_size_limit(1 << 20)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = Exported(
        path=str(path),
        dataset=headers.get("x-headrace-dataset", "without an id"),
        rows=len(rows),
        labelled=sum(1 for row in rows if row["label"]),
        corrected=sum(1 for row in rows if row["corrected"].lower() == "true"),
    )
    tell(f"{found.rows:,} rows, {found.corrected:,} corrected")
    return found


def recorded(mlflow: str, trace: str, tell: Progress) -> tuple[int, str]:
    """How many assessments MLflow has on a call that somebody corrected, and the page with all such traces."""
    page = mlflow
    if not trace:
        return 0, page

    def look() -> tuple[int, str]:
        answer = httpx.get(f"{mlflow}/api/3.0/mlflow/traces/{trace}", timeout=10)
        if answer.status_code != httpx.codes.OK:
            return 0, page
        info = answer.json()["trace"]["trace_info"]
        experiment = info.get("trace_location", {}).get("mlflow_experiment", {}).get("experiment_id", "0")
        return len(info.get("assessments", ())), f"{mlflow}/#/experiments/{experiment}/traces"

    found, page = _until(look, lambda seen: seen[0] > 0, seconds=_MLFLOW_PATIENCE)
    tell(f"MLflow has {found} assessments on the corrected call {trace}")
    return found, page


def _until(
    look: Callable[[], tuple[int, str]], good: Callable[[tuple[int, str]], bool], *, seconds: float
) -> tuple[int, str]:
    deadline = time.monotonic() + seconds
    while True:
        found = look()
        if good(found) or time.monotonic() > deadline:
            return found
        time.sleep(0.5)


def _so_far(replay: Replay) -> str:
    seen = replay.seen
    by_version = ", ".join(f"version {version}: {count:,}" for version, count in sorted(seen.versions.items()))
    return f"{seen.requests:,} requests, {seen.failed} failed ({by_version})"
