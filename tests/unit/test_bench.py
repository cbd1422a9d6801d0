"""The measurements themselves: prepared requests, latencies that cannot hide a stall, peers that end or say why not."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from bench.__main__ import SECTIONS, TOP, replaced
from bench.cost import Cost
from bench.load import Drive
from bench.paraphrases import Question, _asked, _read
from bench.peers.base import Files, Peer, PeerFailed, Setup, Start, running
from bench.peers.registry import PEERS, chosen
from bench.serving import Measured, Point, table
from bench.wire import HEAD, Sample, Wire, agrees, infer, post_json, predict, prepare, prepared
from headrace.gateway.semantic import Near, Prompt

SAMPLE = Sample(name="digits", input="input", output="label", row=np.array([[0.0, 5.5]], np.float32), expected=(3.0,))
FILES = Files(name="digits", onnx=Path("model.onnx"), mlflow=Path("mlflow"), sklearn=None)


def test_prepared_requests_come_back_whole_with_users_in_turn(tmp_path: Path) -> None:
    bodies = [post_json("/predict", {"n": n, "text": "a\n7\nb"}) for n in range(2)]
    sent = list(prepared(prepare(tmp_path / "requests", bodies, users=3)))
    assert [s.partition(b"x-user-id: ")[2].partition(b"\r\n")[0] for s in sent] == [b"user-0", b"user-1", b"user-2"]
    for number, request in enumerate(sent):
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /predict HTTP/1.1\r\n")
        assert f"content-length: {len(body)}".encode() in head
        assert json.loads(body) == {"n": number % 2, "text": "a\n7\nb"}


def near(text: str, *vector: float) -> Near:
    return Near(Prompt(b"", text), np.array(vector, dtype=np.float32))


def test_hits_of_a_semantic_cache_are_counted_as_right_and_wrong(tmp_path: Path) -> None:
    file = tmp_path / "some.csv"
    file.write_text("text,category\na,x\nb,x\nc,y\nd 2,x\n")
    questions = list(_read(file))
    assert questions[2] == Question("c", "y")
    nears = [near("a", 1.0, 0.0), near("b", 1.0, 0.0), near("c", 0.9, 0.43589), near("d 2", 1.0, 0.0)]
    found = [_asked(questions, nears, threshold) for threshold in (0.85, 0.95)]
    assert [(each.asked, each.hits, each.false) for each in found] == [(4, 2, 1), (4, 1, 0)], "another number is no hit"


def test_everybody_is_sent_the_same_row() -> None:
    text, binary = infer(SAMPLE, Wire.JSON), infer(SAMPLE, Wire.BINARY)
    size = int(binary.headers[HEAD])
    tensor = json.loads(text.body)["inputs"][0]
    assert json.loads(predict(SAMPLE).body)["inputs"] == [tensor["data"]] == [[0.0, 5.5]]
    assert np.frombuffer(binary.body[size:], np.float32).tolist() == tensor["data"]
    raw = json.loads(binary.body[:size])["inputs"][0]
    assert (raw["shape"], raw["datatype"], raw["parameters"]) == ([1, 2], "FP32", {"binary_data_size": 8})


@pytest.mark.parametrize(("values", "same"), [([3.0], True), ([3.0001], True), ([4.0], False), ([3.0, 3.0], False)])
def test_a_wrong_answer_is_seen(values: list[float], same: bool) -> None:
    assert agrees(values, SAMPLE) is same


async def test_a_stall_shows_in_the_requests_behind_it() -> None:
    """Sent late, due early: the second request waited for the first, so its latency counts from when it was due."""
    answer, first = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-headrace-trace: tr-1\r\n\r\nok", True

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal first
        while await reader.readline():
            await reader.readuntil(b"\r\n\r\n")
            if first:
                first = False
                await asyncio.sleep(0.05)
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        request = b"POST / HTTP/1.1\r\ncontent-length: 0\r\n\r\n"
        seen = await Drive(port, [request], concurrency=1, seconds=0.1, rate=1000).run()
    assert seen.statuses.keys() == {200}
    assert seen.traces[0] == "tr-1"
    assert min(seen.latencies[:10]) > 20  # due within the first 10 ms, answered after 50
    assert seen.summary()["failed"] == 0


def peer(program: str) -> Peer:
    def start(setup: Setup) -> Start:
        return Start(command=[sys.executable, "-c", program, str(setup.port)])

    return Peer(name="fake", environment="", requires=(), start=start, ready=lambda model: "/")


SERVER = """
import http.server, subprocess, sys
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler).serve_forever()
"""


def test_a_peer_leaves_no_process_behind_not_even_one_that_left_its_tree(tmp_path: Path) -> None:
    with running(peer(SERVER), FILES, tmp_path) as server:
        begun = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert len(begun) == 2
    assert not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in begun)


def test_a_peer_that_does_not_start_says_why(tmp_path: Path) -> None:
    broken = peer("import sys; print('loading'); sys.exit('no such model')")
    with pytest.raises(PeerFailed, match="ended at start with 1: no such model"), running(broken, FILES, tmp_path):
        pass


def test_peers_are_chosen_by_parts_of_their_names() -> None:
    assert len({each.name for each in PEERS}) == len(PEERS)
    assert chosen(()) == PEERS
    assert [each.name for each in chosen(("triton", "nginx"))] == ["triton, Python backend", "floor: nginx, constant"]
    with pytest.raises(ValueError, match="there is no peer 'seldon'; there are: mlserver"):
        chosen(("seldon",))


def test_who_could_not_be_measured_is_in_the_table_with_the_reason() -> None:
    cost = Cost(requests=9, failed=0, cpu_ms=0.2, beside_ms=0.1, per_second=5.0, p50_ms=1.0, p99_ms=2.0, rss_mb=90.0)
    costs = {
        Point(server="headrace /predict", wire=Wire.JSON, concurrency=16): cost,
        Point(server="slow", wire=Wire.JSON, concurrency=16): Cost(
            requests=9, failed=1, cpu_ms=0.5, beside_ms=0.0, per_second=2.0, p50_ms=3.0, p99_ms=4.0, rss_mb=10.0
        ),
    }
    lines = table(
        Measured(model="digits", costs=costs, absent={"gone": "not installed: a | b"}, runs={"slow": "sklearn"})
    )
    assert "| slow | sklearn | 16 | **0.500** | 2.50 | 2 | 3.00 | 4.00 | 10 | 1 |" in lines
    assert "| gone | | | not measured: not installed: a / b | | | | | | |" in lines


def test_a_section_is_replaced_and_the_others_stay() -> None:
    serving, change = SECTIONS["serving"][0], SECTIONS["change"][0]
    text = replaced(replaced(TOP, change, ["old change"]), serving, ["new", "", "### digits", "table"])
    text = replaced(text, change, ["new change"])
    assert text == f"{TOP}\n## {serving}\n\nnew\n\n### digits\ntable\n\n## {change}\n\nnew change\n"
