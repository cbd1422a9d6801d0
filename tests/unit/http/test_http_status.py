"""Health, metrics, and the pages."""

from __future__ import annotations

import re

import pytest
from http_edge import Http
from plane_samples import endpoint, package, plan

from headrace.api.http.openapi import description
from headrace.traffic.meter import METRICS
from headrace.traffic.route import GATE_HEADER
from headrace.types.traffic import TrafficPolicy


async def test_health_from_start_to_end() -> None:
    http = Http()
    starting = await http.call("GET", "/health")
    assert (starting.status, starting.json()["status"], starting.json()["revision"]) == (503, "starting", 0)
    await http.serve(endpoint(package(1)))
    ready = await http.call("GET", "/health")
    body = ready.json()
    assert (ready.status, body["status"], body["revision"]) == (200, "ready", 1)
    assert body["plan"] == {"revision": 1, "error": None, "refused_revision": None, "endpoint": None, "variant": None}
    assert body["journal"] == {"lost": 0}
    (served,) = body["endpoints"]
    assert served["variants"] == [{"name": "v1", "version": 1, "state": "live"}]
    http.status.draining = True
    draining = await http.call("GET", "/health")
    assert (draining.status, draining.json()["status"]) == (503, "draining")
    assert (await http.call("GET", "/health/live")).status == 200


async def test_a_refused_plan_is_told_and_the_plane_stays_ready() -> None:
    http = await Http().serve(endpoint(package(1)))
    http.verifier.damaged.add(2)
    policy = TrafficPolicy(baseline="v1", candidate="v2", share=100)
    await http.apply(plan(2, endpoint(package(1), package(2), policy=policy)))
    answer = await http.call("GET", "/health")
    assert answer.status == 200
    told = answer.json()["plan"]
    assert (told["revision"], told["refused_revision"], told["endpoint"], told["variant"]) == (1, 2, "toy", "v2")
    assert "another sha256" in told["error"]


@pytest.mark.parametrize(
    ("path", "accept", "media"),
    [
        ("/metrics", "*/*", "application/json"),
        ("/metrics", "text/plain", "text/plain"),
        ("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "text/plain"),
        ("/metrics?format=prometheus", "application/json", "text/plain"),
        ("/metrics?format=json", "text/plain", "application/json"),
    ],
)
async def test_metrics_for_people_and_for_scrapers(path: str, accept: str, media: str) -> None:
    http = await Http().serve(endpoint(package(1)))
    await http.predict([[1, 2, 3]])
    answer = await http.call("GET", path, headers={"accept": accept})
    assert answer.headers["content-type"].startswith(media)
    assert b"headrace_plan_revision" in answer.body
    if media == "text/plain":
        named = set(re.findall(r"^# TYPE (\S+)", answer.body.decode(), re.MULTILINE))
        assert named <= {metric.name for metric in METRICS}
        assert b'headrace_calls_total{endpoint="toy",variant="v1",status="ok"} 1' in answer.body
    else:
        assert answer.json()["endpoints"][0]["calls"] == {"ok": 1}


async def test_an_unknown_format_is_refused() -> None:
    assert (await Http().call("GET", "/metrics?format=xml")).status == 400


async def test_every_route_is_described_and_nothing_else() -> None:
    http = Http()
    routed = {(route.method.lower(), route.path) for route in http.edge.routes if route.documented}
    described = {(method, path) for path, methods in description()["paths"].items() for method in methods}
    assert described == routed


def test_every_reference_in_the_description_exists() -> None:
    text = str(description())
    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert names <= set(description()["components"]["schemas"])
    assert description()["openapi"].startswith("3.1")


async def test_the_pages_load_nothing_from_elsewhere() -> None:
    http = Http()
    for path in ("/docs", "/redoc"):
        page = await http.call("GET", path)
        assert page.headers["content-type"].startswith("text/html")
        sources = re.findall(r'(?:src|href|spec-url)="([^"]+)"', page.body.decode())
        assert sources
        for source in sources:
            assert source.startswith("/")
            assert (await http.call("GET", source)).status == 200
    assert (await http.call("GET", "/openapi.json")).json() == description()


@pytest.mark.parametrize("name", ["nothing.js", "..", "../__init__.py", "%2e%2e"])
async def test_other_files_are_not_served(name: str) -> None:
    assert (await Http().call("GET", f"/docs/assets/{name}")).status == 404


async def test_how_full_limits_are_is_told_to_the_control_plane_alone() -> None:
    http = Http()
    assert (await http.call("GET", "/limits")).status == 404
    assert (await http.call("GET", "/limits", headers={GATE_HEADER: "guessed"})).status == 404
    answer = await http.call("GET", "/limits", headers={GATE_HEADER: http.recorder.gate_token})
    assert (answer.status, answer.json()) == (200, {"limits": []})
