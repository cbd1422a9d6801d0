"""Frames: what is packed is read back, and what is no frame is refused."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.compute import frames
from headrace.compute.frames import BadFrame

headers = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name != "blobs"),
    st.integers(-(2**40), 2**40) | st.text() | st.none(),
    max_size=4,
)


@given(headers, st.lists(st.binary(max_size=200), max_size=4))
def test_blocking_round_trip(header: dict[str, object], blobs: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        frames.send(ours, header, blobs)
        found, received = frames.receive(theirs)
    assert (found, [bytes(b) for b in received]) == (header, blobs)


async def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


async def test_several_in_a_row_then_the_end() -> None:
    data = b"".join(bytes(piece) for n in range(3) for piece in frames.pack({"n": n}, [b"x" * n]))
    reader = await reader_of(data)
    assert [(await frames.read(reader))[0]["n"] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(EOFError):
        await frames.read(reader)


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<IQ", 1 << 30, 0),
        struct.pack("<IQ", 4, 1 << 40),
        struct.pack("<IQ", 3, 0) + b"\xff\xff\xff",
        struct.pack("<IQ", 1, 0) + b"\x80",  # a header without blobs
        struct.pack("<IQ", 9, 2) + b"\x81\xa5blobs\x91\x05" + b"ab",  # 5 bytes told, 2 there
        struct.pack("<IQ", 10, 2) + b"\x81\xa5blobs\x92\xff\x03" + b"ab",  # a blob of -1 bytes
    ],
)
async def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        await frames.read(await reader_of(data))


def test_a_torn_frame_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        with ours:
            ours.sendall(b"".join(bytes(p) for p in frames.pack({"a": 1}, [b"xyz"]))[:-1])
        with pytest.raises(EOFError):
            frames.receive(theirs)
