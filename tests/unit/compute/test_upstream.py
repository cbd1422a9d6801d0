"""A client for services that may do anything: answer, hang, break off, babble. Real sockets, scripted servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from scripted import Request, Script, scripted

from headrace.compute import upstream
from headrace.compute.line import Line, Times
from headrace.compute.upstream import Answer, Response, Upstream, parse_url
from headrace.types.errors import BadInput, TimedOut, UpstreamError


@asynccontextmanager
async def service(script: Script, **options: Any) -> AsyncIterator[tuple[Upstream, list[Request]]]:
    """The client, and the requests that came."""
    async with scripted(script) as (port, came):
        client = Upstream("the scorer", f"http://127.0.0.1:{port}/base/", connections=4, **options)
        try:
            yield client, came
        finally:
            await client.close()


def saying(*pieces: bytes, then_close: bool = False) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        if then_close:
            writer.close()

    return script


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def ask(client: Upstream, body: bytes = b"{}", seconds: float = 10) -> Response:
    return await client.post("/score?k=1", {"content-type": "application/json"}, body, seconds=seconds)


OK = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\nX-Thing: A\r\n\r\nabc"


async def test_a_request_is_sent_as_it_should_be_and_its_connection_used_again() -> None:
    async with service(saying(OK)) as (client, came):
        for _ in range(3):
            assert await ask(client) == Response(200, {"content-length": "3", "x-thing": "A"}, b"abc")
        assert came[0][0].splitlines()[0] == "POST /base/score?k=1 HTTP/1.1"
        assert "content-length: 2" in came[0][0]
        assert len(client._all) == 1
    assert not client._all


@pytest.mark.parametrize(
    ("pieces", "body"),
    [
        ((b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"), b"abc"),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", OK), b"abc"),
        ((b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",), b""),
        ((OK[:10], OK[10:40], OK[40:]), b"abc"),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), b""),
    ],
)
async def test_forms_of_an_answer(pieces: tuple[bytes, ...], body: bytes) -> None:
    async with service(saying(*pieces)) as (client, _):
        for _ in range(2):
            assert (await ask(client)).body == body


async def test_a_body_may_end_with_its_connection() -> None:
    async with service(saying(b"HTTP/1.1 200 OK\r\n\r\nab", b"c", then_close=True)) as (client, came):
        for _ in range(2):
            assert (await ask(client)).body == b"abc"
        assert len(came) == 2


@pytest.mark.parametrize(
    ("script", "told"),
    [
        (saying(then_close=True), "without an answer"),
        (saying(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", then_close=True), "in the middle of an answer"),
        (saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab", then_close=True), "in the middle"),
        (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "is not HTTP"),
        (saying(b"\x16\x03\x01" * 20), "is not HTTP"),
        (saying(b"HTTP/1.1 200 OK\r\ncontent-length: 999\r\n\r\n" + b"x" * 999), "larger than 100 bytes"),
        (saying(b"HTTP/1.1 200 OK\r\ncontent-length: -4\r\n\r\n"), "is not HTTP"),
    ],
)
async def test_a_service_that_breaks_off_or_babbles_is_an_upstream_error(script: Script, told: str) -> None:
    async with service(script, max_body=100) as (client, came):
        for number in (1, 2):
            with pytest.raises(UpstreamError, match=told):
                await ask(client)
            assert len(came) == number  # sent once each


async def test_a_short_wait_ends_in_time_on_a_connection_that_was_waited_for_longer() -> None:
    """Its one timer may be set for much later, by the call before."""
    came: list[None] = []

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(None)
        await (saying(OK) if len(came) == 1 else hang)(reader, writer)

    async with service(once) as (client, _), asyncio.timeout(20):
        await ask(client, seconds=60)
        with pytest.raises(TimedOut, match=r"within 0\.1 s"):
            await ask(client, seconds=0.1)


async def test_one_that_hangs_times_out_and_its_connection_is_not_used_again() -> None:
    async with service(hang) as (client, came):
        for number in (1, 2):
            with pytest.raises(TimedOut, match=r"the scorer did not answer within 0\.05 s"):
                await ask(client, seconds=0.05)
            assert len(came) == number
        await asyncio.sleep(0)
        assert not client._idle


async def test_one_that_is_away_is_an_upstream_error() -> None:
    async with service(saying(OK)) as (client, _):
        pass
    gone = Upstream("the scorer", f"http://127.0.0.1:{client._port}", connections=1)
    with pytest.raises(UpstreamError, match="the scorer cannot be reached"):
        await ask(gone)
    with pytest.raises(UpstreamError, match="was unloaded"):
        await ask(client)


async def test_what_nobody_asked_for_ends_the_connection_before_the_next_request() -> None:
    async with service(saying(OK + b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison")) as (client, came):
        assert (await ask(client)).body == b"abc"
        assert (await ask(client)).body == b"abc"
        assert len(came) == 2


async def test_an_old_connection_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "IDLE_SECONDS", 0.0)
    async with service(saying(OK)) as (client, _):
        await ask(client)
        first = set(client._all)
        await ask(client)
        assert not first & client._all


async def test_no_more_connections_than_allowed() -> None:
    most = 0
    async with service(hang) as (client, came):
        tasks = [asyncio.create_task(ask(client, seconds=0.2)) for _ in range(12)]
        for _ in range(20):
            await asyncio.sleep(0.005)
            most = max(most, len(client._all))
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(end, TimedOut) for end in ends)
        assert most == 4
        assert len(came) == 4


async def test_a_link_local_address_is_not_talked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Line, "address", lambda self: "169.254.169.254")
    async with service(saying(OK)) as (client, came):
        with pytest.raises(UpstreamError, match="link-local"):
            await ask(client)
        assert not came


@pytest.mark.parametrize(
    "url",
    ["", "host:80", "ftp://h/x", "http://", "http://u:p@h/", "http://h:99999/", "http://h/a b", "http://h/\r\nx: y"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="allowed: http://HOST"):
        parse_url(url)


EVENTS = (b"one", b"two", b"three")
HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def begun(client: Upstream) -> Answer:
    return await client.ask(client.head(b"POST", b"/"), b"{}", times=Times(10, 10, 10), connect=10, seconds=10)


def chunks(*pieces: bytes, last: bytes | None = b"0\r\n\r\n") -> Script:
    """Without a `last` the connection is cut."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)
        if last is None:
            writer.close()
        else:
            writer.write(last)

    return script


@pytest.mark.parametrize("secret", [b"", b"the-key-of-it"], ids=["open", "hushed"])
async def test_who_hears_is_told_of_all_that_comes_and_may_say_when_it_is_enough(secret: bytes) -> None:
    async with service(chunks(*EVENTS, secret or b"four"), secret=secret) as (client, _):
        heard: list[bytes] = []
        stops = 0
        answer = await begun(client)

        def hear(piece: bytes) -> bool:
            heard.append(piece)
            return len(heard) % 2 == 0

        while await answer.flow(hear):
            stops += 1
        answer.close()
        assert b"".join(heard) == b"".join(EVENTS) + (b"[key]" if secret else b"four")
        assert stops >= len(heard) // 2
        assert len(client._idle) == 1


async def test_what_who_hears_raises_is_raised_where_it_is_waited_for() -> None:
    async with service(chunks(*EVENTS, last=b"")) as (client, _):
        answer = await begun(client)
        heard: list[bytes] = []

        def hear(piece: bytes) -> bool:
            heard.append(piece)
            if b"".join(heard) == b"".join(EVENTS):
                raise ValueError("enough of it")
            return True

        with pytest.raises(ValueError, match="enough of it"):
            await answer.flow(hear)
        answer.close()
        assert not client._all


@pytest.mark.parametrize(("last", "told"), [(None, "in the middle of an answer"), (b"no chunk", "is not HTTP")])
async def test_all_that_came_is_heard_before_it_breaks_off(last: bytes | None, told: str) -> None:
    async with service(chunks(*EVENTS, last=last)) as (client, _):
        answer = await begun(client)
        heard: list[bytes] = []
        with pytest.raises(UpstreamError, match=told):
            await answer.flow(lambda piece: heard.append(piece) is None)
        answer.close()
        assert b"".join(heard) == b"".join(EVENTS)


async def test_of_a_header_that_comes_twice_the_last_one_counts_and_trailers_are_none() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\n\r\n"
    head = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nX-B: 3\r\ntransfer-encoding: chunked\r\ntrailer: X-C\r\n\r\n"
    async with service(saying(early, head, b"3\r\nabc\r\n0\r\nX-C: 4\r\nX-B: 5\r\n\r\n")) as (client, _):
        for _ in range(2):
            response = await ask(client)
            assert response.body == b"abc"
            assert response.headers == {"x-a": "2", "x-b": "3", "transfer-encoding": "chunked", "trailer": "X-C"}


@pytest.mark.parametrize("secret", [b"", b"the-key-of-it"], ids=["open", "hushed"])
async def test_what_came_and_nobody_took_can_be_had_before_it_is_given_up(secret: bytes) -> None:
    """Also what is in the system's hands alone: the event loop does not run between the writing and the reading."""
    writers: list[asyncio.StreamWriter] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"3\r\none\r\n")
        writers.append(writer)
        await reader.read()

    async with service(script, secret=secret) as (client, _):
        answer = await begun(client)
        assert await answer.piece() == b"one"
        writers[0].write(b"3\r\ntwo\r\n")
        writers[0].write(b"5\r\nthree\r\n4\r\nfo")
        assert answer.unread() == b"twothreefo"
        assert answer.unread() == b""
        answer.close()
        assert answer.unread() == b""
        assert client._idle == []


async def test_an_answer_that_is_found_to_be_whole_leaves_its_connection_to_the_next() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD)
        writers.append(writer)

    async with service(script) as (client, _):
        answer = await begun(client)
        writers[0].write(b"3\r\ntwo\r\n0\r\n\r\n")
        assert answer.unread() == b"two"
        answer.close()
        assert len(client._idle) == 1
