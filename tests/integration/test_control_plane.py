"""The control plane as a process, with a real MLflow behind it and a real data plane beside it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import psutil
import pytest
from sklearn.datasets import load_digits

from bench.running import ROOT, Platform, wait_for
from headrace.client.admin import Admin

pytestmark = pytest.mark.process

ROW = load_digits().data[-1].tolist()
TRANSITION = "/api/2.0/mlflow/model-versions/transition-stage"
ALIAS = "/api/2.0/mlflow/registered-models/alias"


@pytest.fixture(scope="module")
def walk(platform: Platform) -> dict[str, Any]:
    """What the stock client did and got."""
    env = platform.env | {"MLFLOW_TRACKING_URI": f"{platform.control}/mlflow", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.mlflow_walk"], env=env, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index('{"run"') :])
    return found


def test_a_stock_client_records_runs_and_artifacts(walk: dict[str, Any]) -> None:
    assert walk["run"] == {
        "params": {"depth": "3", "näme": "wert & mehr"},
        "steps": [0, 1, 2],
        "artifacts": ["sub folder/large file.bin"],
        "same": True,
        "inputs": ["numbers"],
        "searched": 1,
    }


def test_a_stock_client_uses_the_registry(walk: dict[str, Any]) -> None:
    assert walk["registry"] == {
        "stages": {"1": "Archived", "2": "Production"},
        "aliases": {"champion": "2"},
        "left": {},
        "predicts": [0, 0, 1, 1],
    }


def test_a_stock_client_traces(walk: dict[str, Any]) -> None:
    assert walk["traces"] == {"output": "WHY", "feedback": [True]}


def test_what_was_registered_is_known_at_once(platform: Platform, walk: dict[str, Any]) -> None:
    with Admin(platform.control) as admin:
        model = next(m for m in admin.models() if m["name"] == "walked")
        assert (model["versions"], model["production"]) == ([1, 2], 2)
        assert all(v["sha256"] for v in admin.versions("walked"))


def test_mlflows_page_comes_through(platform: Platform) -> None:
    page = platform.http.get(f"{platform.control}/mlflow/", headers={"origin": "http://127.0.0.1:1"})
    assert page.status_code == 200
    assert "static-files/" in page.text
    asset = page.text.partition("static-files/")[2].partition('"')[0]
    assert platform.http.get(f"{platform.control}/mlflow/static-files/{asset}").status_code == 200
    assert platform.http.get(f"{platform.control}/mlflow").status_code == 307


@pytest.mark.parametrize("path", ["gateway/x", "//gateway/x", "ajax-api/3.0/jobs", "ajax-api/3.0/mlflow/assistant/x"])
def test_what_runs_code_or_spends_money_is_closed(platform: Platform, path: str) -> None:
    assert platform.http.post(f"{platform.control}/mlflow/{path}", content=b"{}").status_code == 403


def test_another_sites_page_cannot_write_to_mlflow(platform: Platform) -> None:
    url = f"{platform.control}/mlflow/api/2.0/mlflow/experiments/create"
    answer = platform.http.post(url, json={"name": "evil"}, headers={"origin": "http://evil.example.com"})
    assert answer.status_code == 403
    found = platform.http.get(url.replace("create", "get-by-name"), params={"experiment_name": "evil"})
    assert found.status_code == 404


def version_of(platform: Platform) -> str:
    answer = platform.predict("digits", [ROW])
    assert answer.status_code == 200, answer.text
    return str(answer.json()["model_version"])


def test_a_stage_moved_by_a_stock_client_is_in_force_for_the_next_request(platform: Platform) -> None:
    """Both versions have been proven on real rows before: their conversion is not what is measured."""
    version_of(platform)
    with Admin(platform.control, timeout=120) as admin:
        admin.deploy("digits", "models:/digits/2")
        admin.deploy("digits", "models:/digits/1")
    for version in ("2", "1", "2", "1"):
        answer = platform.http.post(
            f"{platform.control}/mlflow{TRANSITION}",
            json={"name": "digits", "version": version, "stage": "Production", "archive_existing_versions": True},
        )
        assert answer.status_code == 200, answer.text
        assert version_of(platform) == version


def test_an_alias_set_by_a_stock_client_is_known_for_the_next_request(platform: Platform) -> None:
    def asked(stage: str) -> httpx.Response:
        return platform.http.post(f"{platform.data}/predict", json={"model": "digits", "inputs": [ROW], "stage": stage})

    for version in ("1", "2"):
        body = {"name": "digits", "alias": "trial", "version": version}
        assert platform.http.post(f"{platform.control}/mlflow{ALIAS}", json=body).status_code == 200
        answer = asked("@trial")
        assert answer.status_code == 200, answer.text
        assert str(answer.json()["model_version"]) == version
    query = {"name": "digits", "alias": "trial"}
    assert platform.http.request("DELETE", f"{platform.control}/mlflow{ALIAS}", json=query).status_code == 200
    assert asked("@trial").status_code == 404


def test_a_stage_moved_through_the_data_plane_is_in_force_for_the_next_request(platform: Platform) -> None:
    for version in (2, 1):
        answer = platform.http.post(
            f"{platform.data}/models/digits/stage", json={"version": version, "stage": "production"}
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-headrace-revision"].isdigit()
        assert version_of(platform) == str(version)
    stages = {
        v["version"]: v["stage"]
        for v in platform.http.get(f"{platform.data}/models/digits/versions").json()["versions"]
    }
    assert (stages[1], stages[2]) == ("Production", "Archived")


@pytest.mark.parametrize(
    ("name", "body", "status", "field"),
    [
        ("nix", {"version": 1, "stage": "Production"}, 404, "model"),
        ("digits", {"version": 99, "stage": "Production"}, 404, None),
        ("digits", {"version": 1, "stage": "Live"}, 400, "stage"),
        ("digits", {"version": 1, "stage": "Archived"}, 409, "stage"),
    ],
)
def test_bad_stage_moves_have_the_data_planes_form(
    platform: Platform, name: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    answer = platform.http.post(f"{platform.data}/models/{name}/stage", json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()["error"]
    assert told["message"]
    assert field is None or told["field"] == field


def test_feedback_goes_all_the_way(platform: Platform, tmp_path: Path) -> None:
    """Data plane → journal → database → admin API, export and MLflow, where the call was not in the sample."""
    trace = platform.predict("digits", [ROW], **{"x-user-id": "ann"}).json()["trace_id"]
    body = {"trace_id": trace, "user_rating": False, "corrected_output": 7, "comment": "it is a seven"}
    assert platform.http.post(f"{platform.data}/feedback", json=body).status_code == 200

    with Admin(platform.control) as admin:
        said = wait_for(lambda: admin.trace(trace)["feedback"], seconds=20, what="feedback in the database")
        assert {f["name"]: f["value"] for f in said} == {
            "user_rating": False, "corrected_output": 7, "comment": "it is a seven",
        }  # fmt: skip
        with (tmp_path / "rows.jsonl").open("wb") as file:
            headers = admin.export(file.write, model="digits", rating="corrected", format="jsonl")
        rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
        row = next(r for r in rows if r["trace_id"] == trace)
        assert (row["label"], row["corrected"], row["comment"]) == (7, True, "it is a seven")
        assert row["inputs"] == ROW
        assert headers["x-headrace-dataset"].startswith("ds_")
        assert int(headers["x-headrace-rows"]) == len(rows)

        link = wait_for(lambda: admin.trace(trace)["mlflow"], seconds=60, what="the trace in MLflow")
        assert trace in str(link)
    url = f"{platform.control}/mlflow/api/3.0/mlflow/traces/{trace}"

    def assessed() -> set[str]:
        info = platform.http.get(url).json()["trace"]["trace_info"]
        found = {str(a["assessment_name"]) for a in info.get("assessments", [])}
        return found if len(found) == 3 else set()

    assert wait_for(assessed, seconds=30, what="three assessments") == {"user_rating", "corrected_output", "comment"}


def test_export_through_the_data_plane(platform: Platform) -> None:
    platform.predict("digits", [ROW])
    for wanted in ("csv", "jsonl", "parquet"):
        direct, passed = (
            platform.http.get(f"{url}/export", params={"model": "digits", "format": wanted, "to": "2099-01-01"})
            for url in (platform.control, platform.data)
        )
        assert direct.status_code == passed.status_code == 200
        assert direct.content == passed.content or wanted == "parquet"
        assert direct.headers["x-headrace-row-hash"] == passed.headers["x-headrace-row-hash"]
    answer = platform.http.get(f"{platform.data}/export", params={"model": "digits", "format": "xlsx"})
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "format"


def test_status_and_live(platform: Platform) -> None:
    platform.predict("digits", [ROW])
    with Admin(platform.control) as admin:

        def settled() -> dict[str, Any] | None:
            found: dict[str, Any] = admin.status()
            return found if found["mlflow"]["ok"] and not found["failing"] else None

        status = wait_for(settled, seconds=30, what="all loops well")
        assert status["planes"][0]["ready"]
        assert status["planes"][0]["revision"] == status["revision"]
        assert {loop["name"] for loop in status["loops"]} >= {
            "release",
            "registry",
            "live",
            "feedback",
            "mirror",
            "archive",
        }
        live = wait_for(
            lambda: (found := admin.live("digits")) and found["totals"]["calls"] and found,
            seconds=10,
            what="live figures",
        )
        assert live["totals"]["p50_ms"] > 0


def test_the_documentation_needs_no_network(platform: Platform) -> None:
    page = platform.http.get(f"{platform.control}/api/docs").text
    assert "https://" not in page
    assert platform.http.get(f"{platform.control}/api/static/swagger-ui-bundle.js").status_code == 200


def test_it_is_small(platform: Platform) -> None:
    """MLflow's client, DuckDB, Arrow and the console are in it; what is not: a second copy of anything."""
    rss = psutil.Process(platform.pid("control")).memory_info().rss / 2**20
    assert rss < 450, f"{rss:.0f} MiB"


async def test_many_artifacts_at_once(platform: Platform, tmp_path: Path) -> None:
    """Twenty uploads and downloads of 8 MiB beside each other, and the control plane answers meanwhile."""
    base = f"{platform.control}/mlflow/api/2.0/mlflow-artifacts/artifacts/many"
    contents = [os.urandom(8 << 20) for _ in range(20)]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:

        async def there_and_back(number: int) -> bool:
            async with session.put(f"{base}/{number}.bin", data=io.BytesIO(contents[number])) as answer:
                assert answer.status == 200, await answer.text()
            async with session.get(f"{base}/{number}.bin") as answer:
                return await answer.read() == contents[number]

        async def health() -> float:
            loop = asyncio.get_running_loop()
            start = loop.time()
            async with session.get(f"{platform.control}/health") as answer:
                assert answer.status == 200
            return loop.time() - start

        work = asyncio.gather(*(there_and_back(number) for number in range(len(contents))))
        waits = []
        while not work.done():
            waits.append(await health())
            await asyncio.sleep(0.05)
        assert all(await work)
    assert sorted(waits)[len(waits) // 2] < 2.0
