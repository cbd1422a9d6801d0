"""Services elsewhere on an endpoint: asked for their signature, numbered, deployed, and left alone by the registry."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from headrace.base.clock import ManualClock
from headrace.base.settings import Settings
from headrace.release.parts import Cause, Parts
from headrace.release.service import Releases
from headrace.release.services import read_service, read_url
from headrace.release.sync import _switch
from headrace.store import outbox
from headrace.store.artifacts import Artifacts
from headrace.store.db import Database
from headrace.store.journal.query import JournalQuery
from headrace.store.migrate import migrate
from headrace.types.endpoint import Endpoint, PlaneReport
from headrace.types.errors import BadInput, ModelRefused, UpstreamError
from headrace.types.model import Layout, ModelVersion, RuntimeKind, Stage
from headrace.types.upstream import FIRST_VERSION, Legacy, Remote

TENSORS = {
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
    "outputs": [{"name": "y", "datatype": "INT64", "shape": [-1]}],
}
ANSWERS: dict[str, tuple[int, Any]] = {
    "/v2": (200, {"name": "other", "extensions": ["binary_tensor_data"]}),
    "/plain/v2": (200, {"name": "other", "extensions": []}),
    "/v2/models/m": (200, {"name": "m", **TENSORS}),
    "/plain/v2/models/m": (200, {"name": "m", **TENSORS}),
    "/v2/models/m/versions/3": (200, {"name": "m", **TENSORS}),
    "/v2/models/fixed": (200, TENSORS | {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 3]}]}),
    "/v2/models/odd": (200, TENSORS | {"inputs": [{"name": "x", "datatype": "FP99", "shape": [-1]}]}),
    "/v2/models/empty": (200, TENSORS | {"outputs": []}),
    "/v2/models/page": (200, "<html>hello</html>"),
    "/v2/models/busy": (503, {"error": "loading"}),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status, answer = ANSWERS.get(self.path, (404, {"error": "unknown model"}))
        if self.headers.get("authorization", "") not in ("", "Bearer s3cret"):
            status = 401
        body = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


class NoRegistry:
    """Whoever asks it of a service is wrong."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the registry was asked: {name}")


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    settings = Settings(home=tmp_path)
    database = Database(settings.database)
    migrate(database)
    query = JournalQuery(settings.journal)
    yield Parts(
        settings=settings,
        clock=ManualClock(1000.0),
        database=database,
        registry=NoRegistry(),  # type: ignore[arg-type]
        artifacts=Artifacts(settings.artifacts),
        query=query,
        await_plan=lambda revision, seconds: PlaneReport(revision=revision, live=True),
    )
    query.close()
    database.close()


def deploy(parts: Parts, source: Any, name: str = "digits") -> Endpoint:
    return Releases(parts).deploy(name, source, actor="ann")


def live(endpoint: Endpoint) -> Any:
    found = endpoint.variant(endpoint.policy.baseline)
    assert found
    return found


SCORER: dict[str, Any] = {
    "name": "churn",
    "url": "http://127.0.0.1:9/score?k=v",
    "request": {"instances": "$rows"},
    "response": {"label": "predictions[].label"},
    "inputs": [{"name": "a", "datatype": "FP64"}, {"name": "b", "datatype": "BYTES"}],
    "outputs": [{"name": "label", "datatype": "INT64"}],
}


def test_a_model_on_another_server_gets_the_traffic_under_its_own_signature(parts: Parts, url: str) -> None:
    endpoint = deploy(parts, f"{url}/v2/models/m")
    variant = live(endpoint)
    assert (endpoint.model, variant.name) == ("m", f"v{FIRST_VERSION}")
    package = variant.package
    assert package.runtime is RuntimeKind.REMOTE
    assert [(s.name, s.shape) for s in package.signature.inputs] == [("x", (-1, 3))]
    described = json.loads((parts.artifacts.verify(package) / "remote.json").read_text())
    assert described["url"] == url
    assert described["binary"] is True
    with parts.database.read() as conn:
        assert not outbox.pending(conn)  # no stage to move: it is in no registry


def test_the_same_service_is_the_same_version_and_another_one_the_next(parts: Parts, url: str) -> None:
    first = live(deploy(parts, f"{url}/v2/models/m"))
    assert live(deploy(parts, f"{url}/v2/models/m")).package == first.package
    second = live(deploy(parts, f"{url}/v2/models/m/versions/3"))
    assert second.model.version == FIRST_VERSION + 1
    assert second.model.uri == f"{url}/v2/models/m/versions/3"
    back = deploy(parts, f"{url}/v2/models/m")
    assert live(back).name == first.name
    assert {v.name for v in back.variants} == {first.name, second.name}


def test_bytes_are_sent_only_to_a_server_that_says_it_takes_them(parts: Parts, url: str) -> None:
    package = live(deploy(parts, f"{url}/plain/v2/models/m")).package
    assert json.loads((parts.artifacts.path(package.id) / "remote.json").read_text())["binary"] is False


def test_a_json_service_counts_as_the_model_of_its_description(parts: Parts) -> None:
    endpoint = deploy(parts, read_service(SCORER), "risk")
    variant = live(endpoint)
    assert endpoint.model == "churn"
    assert variant.package.runtime is RuntimeKind.LEGACY
    assert variant.package.signature.layout is Layout.COLUMNS
    assert variant.model.uri == "legacy:http://127.0.0.1:9/score"  # its query may hold a key


def test_on_an_endpoint_that_exists_a_service_counts_as_its_model(parts: Parts, url: str) -> None:
    first = SCORER | {
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}],
        "outputs": [{"name": "y", "datatype": "INT64"}],
        "response": {"y": "[]"},
    }
    deploy(parts, read_service(first), "risk")
    endpoint = deploy(parts, f"{url}/v2/models/m", "risk")
    assert endpoint.model == "churn"
    assert live(endpoint).package.runtime is RuntimeKind.REMOTE


def test_a_service_with_another_signature_is_refused_and_nothing_changes(parts: Parts, url: str) -> None:
    deploy(parts, read_service(SCORER), "risk")
    with pytest.raises(ModelRefused, match="does not fit endpoint 'risk'"):
        deploy(parts, f"{url}/v2/models/m", "risk")


def test_the_registry_does_not_take_the_traffic_back(parts: Parts, url: str) -> None:
    endpoint = deploy(parts, f"{url}/v2/models/m")
    _switch(
        parts,
        endpoint,
        [ModelVersion(name="m", version=2, uri="models:/m/2", stage=Stage.PRODUCTION)],
        Cause(actor="ann"),
    )


@pytest.mark.parametrize(
    ("path", "kind", "told"),
    [
        ("/v2/models/fixed", ModelRefused, "its first dimension is not free"),
        ("/v2/models/odd", UpstreamError, "does not speak V2"),
        ("/v2/models/empty", ModelRefused, "no inputs or no outputs"),
        ("/v2/models/page", UpstreamError, "does not speak V2"),
        ("/v2/models/busy", UpstreamError, "status 503: .*loading"),
        ("/v2/models/nobody", UpstreamError, "status 404: .*unknown model"),
    ],
)
def test_a_service_that_cannot_be_had_is_refused_with_its_words(
    parts: Parts, url: str, path: str, kind: type[Exception], told: str
) -> None:
    with pytest.raises(kind, match=told):
        deploy(parts, url + path)


def test_one_that_is_away_is_an_upstream_error(parts: Parts) -> None:
    with pytest.raises(UpstreamError, match="does not answer"):
        deploy(parts, "http://127.0.0.1:9/v2/models/m")


def test_its_secret_is_named_and_never_kept(parts: Parts, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = {"url": f"{url}/v2/models/m", "secret": {"env": "UPSTREAM_TOKEN"}}
    with pytest.raises(ModelRefused, match="'UPSTREAM_TOKEN' is not set"):
        deploy(parts, read_service(text))
    monkeypatch.setenv("UPSTREAM_TOKEN", "s3cret")
    package = live(deploy(parts, read_service(text))).package
    kept = (parts.artifacts.path(package.id) / "remote.json").read_text()
    assert "UPSTREAM_TOKEN" in kept
    assert "s3cret" not in kept
    monkeypatch.setenv("UPSTREAM_TOKEN", "wrong")
    with pytest.raises(UpstreamError, match="status 401") as refused:
        deploy(parts, read_service(text), "other")
    assert "wrong" not in str(refused.value)


@pytest.mark.parametrize("name", ["HEADRACE_ADMIN_TOKEN", "PATH", "AWS_SECRET_ACCESS_KEY"])
def test_no_other_variable_can_be_sent_away(parts: Parts, url: str, name: str) -> None:
    with pytest.raises(ModelRefused, match="names that start with UPSTREAM_"):
        deploy(parts, read_service({"url": f"{url}/v2/models/m", "secret": {"env": name}}))


@pytest.mark.parametrize(
    "given",
    [
        ("http://h/v2/models/a", Remote(url="http://h", model="a")),
        ("http://h:1/base/v2/models/a%20b/versions/2/infer", Remote(url="http://h:1/base", model="a b", version="2")),
    ],
)
def test_a_url_says_server_model_and_version(given: tuple[str, Remote]) -> None:
    assert read_url(given[0]).what == given[1]


@pytest.mark.parametrize("text", ["http://h/models/a", "http://h/v2/models/", "http://u:p@h/v2/models/a", "http://h"])
def test_another_url_is_refused(text: str) -> None:
    with pytest.raises(BadInput):
        read_url(text)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in SCORER.items() if key != name}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ({"kind": "soap"}, "kind is 'soap'; allowed: remote, legacy"),
        (without("response"), "missing required field `response`"),
        (SCORER | {"retries": 3}, "unknown field `retries`"),
        (SCORER | {"url": "score"}, "allowed: http://HOST"),
        (SCORER | {"timeout_seconds": 0}, "timeout_seconds is 0"),
        (SCORER | {"connections": 0}, "connections is 0"),
        (SCORER | {"inputs": []}, "one tensor each"),
        (SCORER | {"inputs": [{"name": "a", "datatype": "FP64", "shape": [3]}]}, "shape of 'a'"),
        (SCORER | {"headers": {"Authorization": "Bearer abc"}}, "header 'Authorization' is not for a description"),
        (SCORER | {"headers": {"x": "a\r\nb: c"}}, "header 'x' cannot be sent"),
        (SCORER | {"secret": {"env": "UPSTREAM_A", "header": "content-length"}}, "'content-length' is not for"),
        ({"url": "http://h/v2/models/a", "request": {}, "kind": "remote"}, "unknown field `request`"),
    ],
)
def test_a_description_that_cannot_be_is_refused_with_the_part(text: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_service(text)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"request": {"instances": "$row"}}, "'\\$row' stands for nothing"),
        ({"request": {}}, "no place for the rows"),
        ({"response": {"other": "x"}}, "no path for the output 'label'"),
        ({"response": {"label": "a["}}, "cannot be read from"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_before_any_traffic(
    parts: Parts, change: dict[str, Any], told: str
) -> None:
    with pytest.raises(ModelRefused, match=told):
        deploy(parts, read_service(SCORER | change))


def test_a_description_keeps_what_it_says() -> None:
    what = read_service(SCORER | {"each": True, "request": "$row", "headers": {"x-tenant": "acme"}}).what
    assert isinstance(what, Legacy)
    assert what.each
    assert what.headers == {"x-tenant": "acme"}
    assert what.inputs[0].shape == (-1,)


def test_the_services_of_the_docs_are_services(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[3] / "docs" / "runtimes.md").read_text()
    texts = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)]
    remote, legacy = (read_service(text) for text in texts)
    assert isinstance(remote.what, Remote)
    assert isinstance(legacy.what, Legacy)
    monkeypatch.setenv("UPSTREAM_SCORER_KEY", "k")
    assert live(deploy(parts, legacy, "churn")).package.signature.inputs[1].name == "plan"
