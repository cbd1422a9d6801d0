"""Messages between a process and the child it started: a small header and raw bytes behind it.

Spoken by host.py on one end and by the program in the model host on the other. Decides the form and its limits:

    u32 length of the header · u64 length of the payload · header (msgpack map) · payload (blobs end to end)

little-endian. The header's `blobs` gives the length of each blob. Tensors go as they lie in memory: no JSON, no pickle.
Ignores what the header says otherwise.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Sequence
from typing import Any

import msgspec

MAX_HEADER = 1 << 20
MAX_PAYLOAD = 1 << 30
_LENGTHS = struct.Struct("<IQ")
_decoder = msgspec.msgpack.Decoder(dict[str, Any])

Header = dict[str, Any]
Blob = bytes | memoryview


class BadFrame(ValueError):
    """What came is no frame: the other end is broken or is not ours."""


def pack(header: Header, blobs: Sequence[Blob] = ()) -> list[Blob]:
    """The pieces to write, in order; blobs are not copied."""
    head = msgspec.msgpack.encode({**header, "blobs": [len(b) for b in blobs]})
    size = sum(len(b) for b in blobs)
    _bounded(len(head), size)
    return [_LENGTHS.pack(len(head), size) + head, *blobs]


async def read(reader: asyncio.StreamReader) -> tuple[Header, list[memoryview]]:
    """Raises EOFError (asyncio's IncompleteReadError) when the other end is gone, BadFrame when it talks nonsense."""
    head, size = _bounded(*_LENGTHS.unpack(await reader.readexactly(_LENGTHS.size)))
    header = await reader.readexactly(head)
    return _unpack(header, await reader.readexactly(size) if size else b"")


def receive(connection: socket.socket) -> tuple[Header, list[memoryview]]:
    """The same, blocking, for a child without an event loop."""
    head, size = _bounded(*_LENGTHS.unpack(_exactly(connection, _LENGTHS.size)))
    header = _exactly(connection, head)
    return _unpack(header, _exactly(connection, size))


def send(connection: socket.socket, header: Header, blobs: Sequence[Blob] = ()) -> None:
    for piece in pack(header, blobs):
        connection.sendall(piece)


def _exactly(connection: socket.socket, size: int) -> memoryview:
    buffer = memoryview(bytearray(size))
    got = 0
    while got < size:
        count = connection.recv_into(buffer[got:])
        if count == 0:
            raise EOFError("the other end closed the connection")
        got += count
    return buffer


def _bounded(head: int, size: int) -> tuple[int, int]:
    if head > MAX_HEADER or size > MAX_PAYLOAD:
        raise BadFrame(f"a frame of {head} + {size} bytes; at most {MAX_HEADER} + {MAX_PAYLOAD}")
    return head, size


def _unpack(head: bytes | memoryview, payload: bytes | memoryview) -> tuple[Header, list[memoryview]]:
    try:
        header = _decoder.decode(head)
        sizes = msgspec.convert(header.pop("blobs"), list[int])
    except (msgspec.MsgspecError, KeyError) as error:
        raise BadFrame(f"a header that is none: {error}") from error
    if sum(sizes) != len(payload) or any(size < 0 for size in sizes):
        raise BadFrame(f"blobs of {sum(sizes)} bytes in a payload of {len(payload)}")
    view, start, blobs = memoryview(payload), 0, []
    for size in sizes:
        blobs.append(view[start : start + size])
        start += size
    return header, blobs
