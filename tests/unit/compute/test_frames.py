"""Frames: what is packed is read back, and what is no frame is refused."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.compute import frames
from headrace.compute.frames import BadFrame, Connection, Header, Splitter

headers = st.dictionaries(
    st.text(max_size=8).filter(lambda name: name not in ("blobs", "shared")),
    st.integers(-(2**40), 2**40) | st.text() | st.none(),
    max_size=4,
)


def joined(header: Header, *blobs: bytes) -> bytes:
    return b"".join(bytes(piece) for piece in frames.pack(header, blobs))


@given(headers, st.lists(st.binary(max_size=200), max_size=4))
def test_blocking_round_trip(header: Header, blobs: list[bytes]) -> None:
    ours, theirs = socket.socketpair()
    with Connection(ours.detach()) as sender, Connection(theirs.detach()) as receiver:
        sender.send(header, blobs)
        found, received = receiver.receive()
    assert (found, [bytes(b) for b in received]) == (header, blobs)


@given(st.lists(st.lists(st.binary(max_size=50), max_size=3), max_size=4), st.integers(1, 40))
def test_however_it_is_cut_the_same_messages_come_out(messages: list[list[bytes]], step: int) -> None:
    data = b"".join(joined({"n": n}, *blobs) for n, blobs in enumerate(messages))
    splitter = Splitter()
    found = [m for at in range(0, len(data), step) for m in splitter.feed(data[at : at + step])]
    assert [(header["n"], [bytes(b) for b in blobs]) for header, blobs in found] == list(enumerate(messages))


BAD = [
    struct.pack("<IQ", 1 << 30, 0),
    struct.pack("<IQ", 4, 1 << 40),
    struct.pack("<IQ", 3, 0) + b"\xff\xff\xff",
    struct.pack("<IQ", 1, 0) + b"\x80",  # a header without blobs
    struct.pack("<IQ", 9, 2) + b"\x81\xa5blobs\x91\x05" + b"ab",  # 5 bytes told, 2 there
    struct.pack("<IQ", 10, 2) + b"\x81\xa5blobs\x92\xff\x03" + b"ab",  # a blob of -1 bytes
    frames.pack_shared({}, [1]).replace(b"\x91\x01", b"\x91\xff"),  # a blob of -1 bytes in shared memory
]


@pytest.mark.parametrize("data", BAD)
def test_what_is_no_frame_is_refused(data: bytes) -> None:
    with pytest.raises(BadFrame):
        list(Splitter().feed(data))
    ours, theirs = socket.socketpair()
    with ours, Connection(theirs.detach()) as receiver:
        ours.sendall(data)
        with pytest.raises(BadFrame):
            receiver.receive()


def test_a_torn_frame_is_the_end() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(joined({"a": 1}, b"xyz")[:-1])
    with Connection(theirs.detach()) as receiver, pytest.raises(EOFError):
        receiver.receive()


def test_blobs_in_memory_that_is_not_there_are_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, Connection(theirs.detach()) as receiver:
        ours.sendall(frames.pack_shared({"a": 1}, [8]))
        with pytest.raises(BadFrame, match="where there is none"):
            receiver.receive()
