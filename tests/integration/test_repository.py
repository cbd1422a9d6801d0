"""V2's model repository on a whole platform: the stock clients, a real control plane, memory that is given back."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from bench.running import Platform, wait_for

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import tritonclient.grpc as grpcclient
    import tritonclient.http as httpclient
    from tritonclient.utils import InferenceServerException

pytestmark = [pytest.mark.process, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]
ROW = [[0.0] * 64]


def packages(platform: Platform) -> dict[str, Any]:
    return {p["model"]: p["state"] for p in platform.http.get(f"{platform.data}/health").json()["packages"]}


def test_unload_gives_the_memory_back_and_load_takes_it_again(platform: Platform) -> None:
    """`custom` runs in a process of its own: unloading ends it."""
    with httpclient.InferenceServerClient(platform.data.removeprefix("http://"), network_timeout=120) as client:
        client.unload_model("custom")
        assert not client.is_model_ready("custom")
        wait_for(lambda: "custom" not in packages(platform), seconds=20, what="custom out of memory")
        client.load_model("custom", config='{"max_batch_size": 16}')
        assert client.is_model_ready("custom")
        assert client.get_model_config("custom")["max_batch_size"] == 16
        with pytest.raises(InferenceServerException, match="there is no model 'odd'"):
            client.load_model("odd")


def test_the_same_over_grpc_and_the_others_serve_on(platform: Platform) -> None:
    with grpcclient.InferenceServerClient(f"127.0.0.1:{platform.grpc_port}") as client:
        client.unload_model("digits")
        refused = platform.predict("digits", ROW)
        assert (refused.status_code, "is unloaded" in refused.text) == (503, True)
        assert client.is_server_ready()
        assert client.is_model_ready("custom")
        client.load_model("digits")
        assert platform.predict("digits", ROW).status_code == 200
        rows = {row.name: row.state for row in client.get_model_repository_index().models}
        assert (rows["custom"], rows["digits"]) == ("READY", "READY")
