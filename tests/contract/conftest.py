"""A data plane as a process, with HTTP and gRPC on real ports, that clients of others can be pointed at."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from bench.running import free_port
from headrace.types.endpoint import Endpoint
from tests.integration.test_data_plane import RunningPlane
from tests.v2_models import Zoo


@dataclass
class V2Plane:
    running: RunningPlane
    endpoints: dict[str, Endpoint]
    http: str  # host:port, as tritonclient takes it
    grpc: str

    def publish(self) -> int:
        return self.running.publish(*self.endpoints.values())


class Control(BaseHTTPRequestHandler):
    """The control plane's part of the model repository: parks and unparks in a new plan."""

    plane: V2Plane

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        name, verb = self.path.split("/")[-2:]
        status, body = (200, b"{}") if name in self.plane.endpoints else (404, b'{"detail": "there is no such model"}')
        self.send_response(status)
        if status == 200:
            self.plane.endpoints[name] = replace(self.plane.endpoints[name], parked=verb == "unload")
            self.send_header("x-headrace-revision", str(self.plane.publish()))
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture(scope="module")
def v2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[V2Plane]:
    home = tmp_path_factory.mktemp("v2") / "home"
    control = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    thread = threading.Thread(target=control.serve_forever)
    thread.start()
    grpc_port = free_port()
    running = RunningPlane(home, control_port=control.server_port, grpc_port=grpc_port, server_name="triton")
    try:
        made = V2Plane(
            running=running,
            endpoints={e.name: e for e in Zoo(home).all()},
            http=running.url.removeprefix("http://"),
            grpc=f"127.0.0.1:{grpc_port}",
        )
        Control.plane = made
        revision = made.publish()
        running.start().live(revision)
        yield made
    finally:
        running.close()
        control.shutdown()
        thread.join()
        control.server_close()
