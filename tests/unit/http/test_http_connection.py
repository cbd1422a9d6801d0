"""The front door's grammar: what is a request, what is smuggling, how answers go back. Bytes in, bytes out."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise

import numpy as np
import pytest
from http_edge import Answer, Http, Line, Site, parse
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plane_samples import endpoint, package

from headrace.api.http.connection import HEAD_BYTES, PIPELINED, Connection
from headrace.api.http.edge import Edge, Parameters, Route
from headrace.api.http.exchange import AHEAD_BYTES, Exchange, Reply, json_reply
from headrace.api.http.server import HttpServer
from headrace.serving.runtimes.base import Inputs, Outputs
from headrace.traffic.meter import Meter
from headrace.types.errors import Overloaded

LIMIT = 1 << 20


async def echo(exchange: Exchange, _: Parameters) -> Reply:
    body = await exchange.body(LIMIT)
    told = {"method": exchange.method, "path": exchange.path, "query": exchange.query, "body": body.decode("latin-1")}
    return json_reply(json.dumps(told).encode())


async def slow(exchange: Exchange, _: Parameters) -> Reply:
    """Waits, so that it is begun in place and ended by a task."""
    await asyncio.sleep(0)
    try:
        await asyncio.sleep(0.001)
    finally:
        await asyncio.sleep(0)
    return await echo(exchange, {})


async def stream(exchange: Exchange, _: Parameters) -> None:
    exchange.begin(200, [(b"content-type", b"text/plain")])
    for number in range(3):
        await exchange.write(b"line %d\n" % number)
    if "cut" not in exchange.query:
        exchange.end()


async def refuses(exchange: Exchange, _: Parameters) -> Reply:
    raise Overloaded("no", retry_after=3)


def site() -> Site:
    routes = [
        Route(method, path, handler, eager=eager)
        for method in ("GET", "POST")
        for path, handler, eager in (
            ("/echo", echo, True),
            ("/later", echo, False),
            ("/slow", slow, True),
            ("/stream", stream, True),
            ("/refuses", refuses, True),
        )
    ]
    return Site(Edge(routes, Meter()))


async def send(*pieces: bytes, leave: bool = False) -> tuple[list[Answer], Line]:
    """All answers to what was sent in these pieces. `leave`: then hang up, if the server waits for more."""
    connection, line = site().connect()
    for piece in pieces:
        if not line.closed.is_set():
            connection.data_received(piece)
        await asyncio.sleep(0)
    for _ in range(20 if leave else 0):
        await asyncio.sleep(0)
    if leave:
        connection.connection_lost(None)
    async with asyncio.timeout(10):
        while connection.busy:
            await asyncio.sleep(0.001)
    answers, rest = [], line.written
    while rest:
        answer, rest = parse(rest)
        answers.append(answer)
    return answers, line


def request(
    target: str = "/echo", body: bytes = b"", *headers: str, method: str = "POST", version: str = "1.1"
) -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


async def test_one_request_and_its_answer() -> None:
    (answer,), line = await send(request("/echo?a=1&b=%20", b"hello"))
    assert (answer.status, answer.complete) == (200, True)
    assert answer.json() == {"method": "POST", "path": "/echo", "query": "a=1&b=%20", "body": "hello"}
    assert answer.headers["content-type"] == "application/json"
    assert "date" in answer.headers
    assert "connection" not in answer.headers
    assert not line.closed.is_set()


@pytest.mark.parametrize("path", ["/echo", "/later", "/slow"])
async def test_requests_behind_each_other_are_answered_in_order(path: str) -> None:
    bodies = [b"%d" % i for i in range(PIPELINED * 3)]
    answers, line = await send(b"".join(request(path, body) for body in bodies))
    assert [a.json()["body"].encode() for a in answers] == bodies
    assert line.reading


@pytest.mark.parametrize("path", ["/echo", "/later", "/slow"])
async def test_byte_by_byte(path: str) -> None:
    data = request(path, b"one") + request(path, b"two")
    answers, _ = await send(*(data[i : i + 1] for i in range(len(data))))
    assert [a.json()["body"] for a in answers] == ["one", "two"]


async def test_chunks_are_put_together() -> None:
    head = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    (answer,), _ = await send(head + b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\nTrailer: 1\r\n\r\n")
    assert answer.json()["body"] == "hello world"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/a%20b%2Fc", "/a b/c", ""),
        ("/%C3%A9?%C3%A9", "/é", "%C3%A9"),
        ("http://example.org:80/echo?q", "/echo", "q"),
        ("/echo?a?b", "/echo", "a?b"),
        ("/%FF", "/\ufffd", ""),
    ],
)
async def test_targets(target: str, path: str, query: str) -> None:
    (answer,), _ = await send(request(target, method="GET"))
    if path == "/echo":
        assert (answer.json()["path"], answer.json()["query"]) == (path, query)
    else:
        assert (answer.status, repr(path) in answer.json()["error"]["message"]) == (404, True)


def lines(*of_head: str, body: bytes = b"", first: str = "POST /echo HTTP/1.1") -> bytes:
    return "\r\n".join([first, "Host: x", *of_head, "", ""]).encode("latin-1") + body


CHUNKED, END = "Transfer-Encoding: chunked", b"0\r\n\r\n"
SMUGGLING = {
    "both lengths": lines("Content-Length: 4", CHUNKED, body=END),
    "both, other order": lines(CHUNKED, "Content-Length: 4", body=END),
    "two lengths": lines("Content-Length: 1", "Content-Length: 2", body=b"ab"),
    "the same length twice": lines("Content-Length: 1", "Content-Length: 1", body=b"a"),
    "a list of lengths": lines("Content-Length: 1, 1", body=b"a"),
    "a signed length": lines("Content-Length: +1", body=b"a"),
    "a negative length": lines("Content-Length: -1", body=b"a"),
    "a giant length": lines("Content-Length: 99999999999999999999999", body=b"a"),
    "another coding": lines("Transfer-Encoding: gzip"),
    "two codings": lines("Transfer-Encoding: gzip, chunked", body=END),
    "chunked twice": lines("Transfer-Encoding: chunked, chunked", body=END),
    "two coding headers": lines(CHUNKED, "Transfer-Encoding: identity", body=END),
    "a disguised coding": lines("Transfer-Encoding: xchunked", body=END),
    "chunks in 1.0": lines(CHUNKED, body=END, first="POST /echo HTTP/1.0"),
    "space before the colon": lines("Content-Length : 1", body=b"a"),
    "a folded header": lines("X: a", " b", "Content-Length: 1", body=b"a"),
    "a bare line feed": b"POST /echo HTTP/1.1\nHost: x\nContent-Length: 1\n\na",
    "a bare carriage return": lines("X: a\rContent-Length: 9", "Content-Length: 1", body=b"a"),
    "a null": lines("X: a\0b", "Content-Length: 1", body=b"a"),
    "a chunk size that is none": lines(CHUNKED, body=b"zz\r\na\r\n" + END),
    "a chunk without its end": lines(CHUNKED, body=b"1\r\nabc\r\n" + END),
    "a chunk size out of range": lines(CHUNKED, body=b"fffffffffffffffff\r\n"),
    "two hosts": lines("Host: y", first="GET /echo HTTP/1.1"),
    "no host": b"GET /echo HTTP/1.1\r\n\r\n",
    "another version": b"GET /echo HTTP/3.7\r\nHost: x\r\n\r\n",
    "no version": b"GET /echo\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "an upgrade with a body": lines("Connection: Upgrade", "Upgrade: h2c", "Content-Length: 1", body=b"a"),
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_what_two_parsers_could_read_differently_is_refused(name: str) -> None:
    answers, _ = await send(SMUGGLING[name] + request("/echo", b"smuggled"))
    assert answers
    assert all(answer.status in (400, 413, 505) for answer in answers), [a.body for a in answers]
    assert all(b"smuggled" not in answer.body for answer in answers)
    assert [a.headers.get("connection") for a in answers] == ["close"] * len(answers)


async def test_what_came_before_the_nonsense_is_answered() -> None:
    answers, line = await send(request("/slow", b"good") + b"\x00\x01 nonsense\r\n\r\n")
    assert [(a.status, a.json()["body"]) for a in answers] == [(200, "good")]
    assert answers[0].headers["connection"] == "close"
    assert line.closed.is_set()


@pytest.mark.parametrize(
    "big",
    [
        b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * HEAD_BYTES),
        b"GET / HTTP/1.1\r\nHost: x\r\nX: %b\r\n\r\n" % (b"a" * HEAD_BYTES),
        b"GET / HTTP/1.1\r\nHost: x\r\n%b\r\n" % b"".join(b"x%d: 1\r\n" % i for i in range(200)),
    ],
)
async def test_a_head_has_bounds(big: bytes) -> None:
    answers, line = await send(*(big[i : i + 1000] for i in range(0, len(big), 1000)))
    assert [a.status for a in answers] == [431]
    assert line.closed.is_set()


async def test_a_body_that_nobody_asked_for_yet_is_bounded() -> None:
    connection, line = site().connect()
    gate = asyncio.Event()

    async def waits(exchange: Exchange, _: Parameters) -> Reply:
        await gate.wait()
        return await echo(exchange, {})

    connection._shared.front = Edge([Route("POST", "/waits", waits)], Meter())
    size = AHEAD_BYTES + 5
    connection.data_received(request("/waits", b"x" * size)[:-size])
    connection.data_received(b"x" * (AHEAD_BYTES + 1))
    assert not line.reading
    gate.set()
    async with asyncio.timeout(5):
        while not line.reading:
            await asyncio.sleep(0)
    connection.data_received(b"x" * 4)
    async with asyncio.timeout(5):
        await line.wrote.wait()
    assert len(parse(line.written)[0].json()["body"]) == size


@pytest.mark.parametrize(
    ("version", "header", "closes", "told"),
    [
        ("1.1", "X: y", False, None),
        ("1.1", "Connection: close", True, "close"),
        ("1.0", "X: y", True, "close"),
        ("1.0", "Connection: keep-alive", False, "keep-alive"),
    ],
)
async def test_how_long_a_connection_lives(version: str, header: str, closes: bool, told: str | None) -> None:
    (answer,), line = await send(request("/echo", b"x", header, version=version))
    assert (answer.status, line.closed.is_set(), answer.headers.get("connection")) == (200, closes, told)


async def test_head_has_no_body() -> None:
    _, line = await send(request("/echo", method="HEAD"))
    head, _, rest = line.written.partition(b"\r\n\r\n")
    assert (head.startswith(b"HTTP/1.1 405 "), b"content-length: " in head, rest) == (True, True, b"")


async def test_expect_continue() -> None:
    data = request("/echo", b"hello", "Expect: 100-continue")
    connection, line = site().connect()
    connection.data_received(data[:-5])
    async with asyncio.timeout(5):
        await line.wrote.wait()
    assert line.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.data_received(data[-5:])
    async with asyncio.timeout(5):
        while connection.busy:
            await asyncio.sleep(0)
    assert parse(line.written)[0].json()["body"] == "hello"


async def test_an_upgrade_is_ignored() -> None:
    (answer,), line = await send(
        b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n"
    )
    assert (answer.status, line.closed.is_set()) == (200, True)


async def test_a_stream_comes_in_chunks_and_a_cut_one_is_seen() -> None:
    whole, line = await send(request("/stream") + request("/echo", b"next"))
    assert whole[0].body == b"line 0\nline 1\nline 2\n"
    assert [a.complete for a in whole] == [True, True]
    assert not line.closed.is_set()
    cut, line = await send(request("/stream?cut") + request("/echo", b"next"))
    assert [a.complete for a in cut] == [False]
    assert line.closed.is_set()


async def test_a_stream_to_an_old_client_ends_with_the_connection() -> None:
    _, line = await send(request("/stream", version="1.0"))
    assert line.written.endswith(b"\r\n\r\nline 0\nline 1\nline 2\n")
    assert line.closed.is_set()


async def test_a_stream_waits_for_its_reader() -> None:
    connection, line = site().connect()
    connection.pause_writing()
    connection.data_received(request("/stream"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert line.written.count(b"line") == 1
    connection.resume_writing()
    async with asyncio.timeout(5):
        while connection.busy:
            await asyncio.sleep(0)
    assert line.written.count(b"line") == 3


async def test_an_error_goes_in_its_form_with_retry_after() -> None:
    (answer,), _ = await send(request("/refuses"))
    assert (answer.status, answer.headers["retry-after"], answer.json()["error"]["message"]) == (503, "3", "no")


async def test_a_client_that_leaves_ends_its_call_and_those_behind() -> None:
    connection, line = site().connect()
    connection.data_received(request("/slow", b"a") + request("/echo", b"b"))
    connection.connection_lost(None)
    async with asyncio.timeout(5):
        while connection.busy:
            await asyncio.sleep(0)
    assert line.written == b""


async def test_a_slow_head_is_timed_out() -> None:
    connection, line = site().connect()
    assert connection.idle
    connection.data_received(b"GET /echo HT")
    assert connection.reading_head
    connection.time_out()
    assert parse(line.written)[0].status == 408
    assert line.closed.is_set()


async def test_draining_answers_what_is_under_way_and_closes() -> None:
    shared = site()
    connection, line = shared.connect()
    connection.data_received(request("/slow", b"x"))
    shared.draining = True
    connection.end()
    assert not line.closed.is_set()
    async with asyncio.timeout(5):
        await line.closed.wait()
    answer, _ = parse(line.written)
    assert (answer.status, answer.headers["connection"]) == (200, "close")


async def test_a_header_cannot_be_injected() -> None:
    exchange = Exchange(site().connect()[0])
    with pytest.raises(ValueError, match="line break"):
        exchange.reply(Reply(200, b"", [(b"x", b"a\r\nset-cookie: b")]))


BODIES = st.lists(st.binary(max_size=60), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(bodies=BODIES, chunked=st.lists(st.booleans(), min_size=5, max_size=5), cuts=st.sets(st.integers(0, 900)))
def test_however_it_is_cut_each_request_gets_its_body(bodies: list[bytes], chunked: list[bool], cuts: set[int]) -> None:
    data = b""
    for body, chunks in zip(bodies, chunked, strict=False):
        if not chunks:
            data += request("/echo", body)
            continue
        data += b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        data += b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
        data += b"0\r\n\r\n"
    edges = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[a:b] for a, b in pairwise(edges)]
    answers, _ = asyncio.run(send(*pieces))
    assert [a.json()["body"].encode("latin-1") for a in answers] == bodies


@settings(max_examples=300, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=300),
        st.tuples(st.sampled_from(sorted(SMUGGLING.values())), st.integers(0, 200), st.binary(max_size=4)).map(
            lambda t: t[0][: t[1]] + t[2] + t[0][t[1] :]
        ),
        st.tuples(st.integers(0, 80), st.binary(max_size=4)).map(
            lambda t: request("/echo", b"hello")[: t[0]] + t[1] + request("/echo", b"hello")[t[0] :]
        ),
    )
)
@example(b"")
def test_no_bytes_break_it(data: bytes) -> None:
    """Whatever comes: an answer that is one, or silence while more may come. No exception, nothing answered twice."""
    answers, line = asyncio.run(send(data, leave=True))
    assert all(a.status in (200, 400, 404, 405, 413, 431, 505) for a in answers)
    assert all(a.complete for a in answers if a.status != 405)
    refused = [a for a in answers if a.status in (431, 505)]
    assert len(refused) <= 1
    if refused:
        assert answers[-1] is refused[0]
        assert line.closed.is_set()


async def test_calls_that_come_together_run_together_and_each_gets_its_own() -> None:
    http = await Http().serve(endpoint(package(1)))
    http.runtime.models[1].fast = True
    http.runtime.models[1].behave = summed
    server = HttpServer(http.edge, http.fleet.turn)
    lines_ = []
    for number in range(5):
        connection, line = Connection(server), Line()
        connection.connection_made(line)
        body = json.dumps({"model": "toy", "inputs": [[number, 0, 0]]}).encode()
        connection.data_received(request("/predict", body) * 2)  # the second one waits behind the first
        lines_.append(line)
    assert all(line.written == b"" for line in lines_)
    await asyncio.sleep(0)
    results = []
    for line in lines_:
        first, rest = parse(line.written)
        results.append((first.json()["result"], parse(rest)[0].json()["result"]))
    assert results == [([number], [number]) for number in range(5)]
    assert [inputs.rows for inputs in http.runtime.models[1].ran] == [5, 5]
    assert len({call.trace_id for call in http.journal.calls()}) == 10


async def test_a_call_alone_in_its_turn_waits_for_nobody() -> None:
    http = await Http().serve(endpoint(package(1)))
    http.runtime.models[1].fast = True
    server = HttpServer(http.edge, http.fleet.turn)
    connection, line = Connection(server), Line()
    connection.connection_made(line)
    connection.data_received(request("/predict", b'{"model": "toy", "inputs": [[1, 2, 3]]}'))
    await asyncio.sleep(0)
    assert parse(line.written)[0].status == 200


def summed(inputs: Inputs) -> Outputs:
    return [inputs.arrays["input"].sum(axis=1).astype(np.int64), np.zeros((inputs.rows, 2), dtype=np.float32)]
