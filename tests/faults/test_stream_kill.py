"""`headrace stream` on a real broker: kill -9 of the consumer, of the broker, an endpoint that sheds, bad messages."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.running import wait_for
from tests.brokers import PARAMETERS, SERVERS, NatsServer, Server, settled
from tests.played_endpoint import Sums, sums

pytestmark = pytest.mark.process
COUNT = 200


@pytest.fixture(params=PARAMETERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    made = SERVERS[request.param](tmp_path)
    yield made
    made.kill()


@pytest.fixture
def endpoint() -> Iterator[Sums]:
    with sums() as played:
        yield played


def start(server: Server, endpoint: Sums, *more: str) -> subprocess.Popen[str]:
    arguments = ["--from", server.url("in"), "--to", server.url("out"), "--group", "g", "--idle-seconds", "1.5"]
    command = ["stream", "-e", "sums", *arguments, "--batch", "8", "--url", endpoint.url, "--json", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "headrace.cli.main", *command],
        env={k: v for k, v in os.environ.items() if not k.startswith("HEADRACE_")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> dict[str, int]:
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    return dict(json.loads(out.splitlines()[-1]))


def messages() -> list[bytes]:
    """Message 5 is refused by the endpoint, 6 is no JSON, 7 lacks a value."""
    found = [json.dumps({"order": i, "input": [i + 0.5, 1, 1]}).encode() for i in range(COUNT)]
    found[5], found[6], found[7] = b'{"order": 5, "input": [13, 1, 1]}', b"\xff{", b'{"order": 7, "input": [1, 1]}'
    return found


def check(server: Server) -> None:
    answers = settled(lambda: server.read("out"), COUNT - 3)
    assert sorted(a["carried"]["order"] for a in answers) == [i for i in range(COUNT) if i not in (5, 6, 7)]
    assert len({a["id"] for a in answers}) == COUNT - 3
    assert all(a["prediction"] == a["carried"]["order"] + 2.5 and a["model_version"] == "7" for a in answers)
    dead = settled(lambda: server.read("in.dead"), 3)
    assert len({d["id"] for d in dead}) == len(dead) == 3
    reasons = " ".join(sorted(d["error"] for d in dead))
    assert "input has 2 values, the model takes 3" in reasons
    assert "the message is not JSON" in reasons
    assert "unlucky" in reasons


def test_kill_the_consumer(server: Server, endpoint: Sums) -> None:
    server.put("in", messages())
    for kills in range(1, 3):
        process = start(server, endpoint)
        wait_for(lambda k=kills: endpoint.answers >= 6 * k, seconds=30, what="answers")  # type: ignore[misc]
        endpoint.called.clear()
        endpoint.gate.clear()
        wait_for(endpoint.called.is_set, seconds=30, what="a call in hand")
        process.kill()
        process.communicate()
        endpoint.gate.set()
    process = start(server, endpoint)
    check(server)
    wait_for(lambda: server.open_work("in", "g") == 0, seconds=30, what="all acknowledged")
    told = end(process)
    assert told["redelivered"] > 0
    assert told["in_hand"] == 0


def test_kill_the_broker(server: Server, endpoint: Sums) -> None:
    server.put("in", messages())
    process = start(server, endpoint)
    wait_for(lambda: endpoint.answers >= 5, seconds=30, what="answers")
    server.kill()
    server.start()
    check(server)
    wait_for(lambda: server.open_work("in", "g") == 0, seconds=30, what="all acknowledged")
    assert end(process)["in_hand"] == 0  # one that is back at once may have been missed by nobody


@pytest.mark.parametrize("server", PARAMETERS[1:], indirect=True)
def test_a_consumer_that_the_broker_forgot_is_made_again(server: NatsServer, endpoint: Sums) -> None:
    server.put("in", messages())
    process = start(server, endpoint)
    check(server)
    server.forget("in", "g")
    server.put("in", messages())
    answers = settled(lambda: server.read("out"), 2 * (COUNT - 3))
    end(process)
    assert len({a["id"] for a in answers}) == len(answers) == 2 * (COUNT - 3)


@pytest.mark.parametrize("server", PARAMETERS[:1], indirect=True)
def test_nothing_more_is_read_while_the_endpoint_sheds(server: Server, endpoint: Sums) -> None:
    server.put("in", messages())
    endpoint.next = [(503, {"error": "full"}, {"retry-after": "0.05"})] * 40
    process = start(server, endpoint, "--concurrency", "2", "--every", "0.2")
    assert process.stdout is not None
    lines = (json.loads(line) for line in process.stdout)
    told = next(line for line in lines if line["waits"] >= 8 and line["answered"] == 0)
    assert told["read"] == told["in_hand"] == 16
    assert told["error"] == "full"
    check(server)
    end(process)


@pytest.mark.parametrize("server", PARAMETERS[:1], indirect=True)
def test_a_drain_ends_what_is_in_hand(server: Server, endpoint: Sums) -> None:
    server.put("in", messages()[10:26])
    endpoint.gate.clear()
    process = start(server, endpoint)
    wait_for(endpoint.called.is_set, seconds=30, what="a call")
    process.send_signal(signal.SIGTERM)
    endpoint.gate.set()
    told = end(process)
    assert told["read"] == told["answered"] == len(server.read("out"))
    assert told["in_hand"] == 0
