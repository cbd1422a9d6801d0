"""Messages between a process and the child it started: a small header and raw bytes behind it.

Spoken by host.py on one end and by the program in the model host on the other. Decides the form and its limits:

    u32 length of the header · u64 length of the payload · header (msgpack map) · payload (blobs end to end)

little-endian. The header's `blobs` gives the length of each blob. With `shared` the payload is empty and the blobs lie
in memory that both see (shared.py). Tensors go as they lie in memory: no JSON, no pickle. Ignores what the header says
otherwise.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any

import msgspec

from headrace.compute.shared import SIZE, Area, extent, fill

MAX_HEADER = 1 << 20
MAX_PAYLOAD = SIZE
_LENGTHS = struct.Struct("<IQ")
_decoder = msgspec.msgpack.Decoder(dict[str, Any])

Header = dict[str, Any]
Blob = bytes | memoryview
Message = tuple[Header, list[memoryview]]


class BadFrame(ValueError):
    """What came is no frame: the other end is broken or is not ours."""


def pack(header: Header, blobs: Sequence[Blob] = ()) -> list[Blob]:
    """The pieces to write, in order; blobs are not copied."""
    sizes = [len(b) for b in blobs]
    head = msgspec.msgpack.encode({**header, "blobs": sizes})
    size = sum(sizes)
    _bounded(len(head), size)
    return [_LENGTHS.pack(len(head), size) + head, *blobs]


def pack_shared(header: Header, sizes: Sequence[int]) -> bytes:
    """For blobs that lie in the sender's area already."""
    head = msgspec.msgpack.encode({**header, "blobs": list(sizes), "shared": True})
    _bounded(len(head), extent(sizes))
    return _LENGTHS.pack(len(head), 0) + head


class Splitter:
    """Bytes as they come, cut into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Raises BadFrame. Of a message in shared memory the header has `shared`, the sizes of its blobs."""
        self._buffer += data
        while (end := self._end()) and len(self._buffer) >= end:
            if len(self._buffer) == end:
                whole, self._buffer = self._buffer, bytearray()
            else:
                whole = self._buffer[:end]
                del self._buffer[:end]
            head, _ = _LENGTHS.unpack_from(whole)
            view = memoryview(whole)
            split = _LENGTHS.size + head
            header, sizes = _header(view[_LENGTHS.size : split])
            if header.get("shared"):
                header["shared"] = sizes
                yield header, []
            else:
                yield header, _cut(view[split:], sizes)

    def _end(self) -> int:
        if len(self._buffer) < _LENGTHS.size:
            return 0
        head, size = _bounded(*_LENGTHS.unpack_from(self._buffer))
        return _LENGTHS.size + head + size


class Connection:
    """The child's end: blocking, for a program without an event loop."""

    def __init__(self, fd: int, *, incoming: Area | None = None, outgoing: Area | None = None) -> None:
        self._socket = socket.socket(fileno=fd)
        self._incoming = incoming
        self._outgoing = outgoing

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def receive(self) -> Message:
        """Raises EOFError or OSError when the other end is gone, BadFrame when it talks nonsense."""
        head, size = _bounded(*_LENGTHS.unpack(self._exactly(_LENGTHS.size)))
        header, sizes = _header(self._exactly(head))
        if header.get("shared"):
            if self._incoming is None:
                raise BadFrame("blobs in shared memory, where there is none")
            return header, self._incoming.look(sizes)
        return header, _cut(self._exactly(size), sizes)

    def send(self, header: Header, blobs: Sequence[Blob] = (), *, shared_from: int = MAX_PAYLOAD) -> None:
        """Blobs of `shared_from` bytes or more together go through memory. By then nothing may look at what was
        received any more: if something still does, the other end is told not to write there."""
        if self._incoming is not None and not self._incoming.let_go():
            header = {**header, "held": True}
        sizes = [len(blob) for blob in blobs]
        if self._outgoing is not None and shared_from <= sum(sizes) and extent(sizes) <= SIZE:
            fill(self._outgoing.places(sizes), blobs)
            self._socket.sendall(pack_shared(header, sizes))
            return
        for piece in pack(header, blobs):
            self._socket.sendall(piece)

    def _exactly(self, size: int) -> memoryview:
        buffer = memoryview(bytearray(size))
        got = 0
        while got < size:
            count = self._socket.recv_into(buffer[got:])
            if count == 0:
                raise EOFError("the other end closed the connection")
            got += count
        return buffer


def _bounded(head: int, size: int) -> tuple[int, int]:
    if head > MAX_HEADER or size > MAX_PAYLOAD:
        raise BadFrame(f"a frame of {head} + {size} bytes; at most {MAX_HEADER} + {MAX_PAYLOAD}")
    return head, size


def _header(head: memoryview) -> tuple[Header, list[int]]:
    try:
        header = _decoder.decode(head)
        sizes = msgspec.convert(header.pop("blobs"), list[int])
    except (msgspec.MsgspecError, KeyError) as error:
        raise BadFrame(f"a header that is none: {error}") from error
    if any(size < 0 for size in sizes) or extent(sizes) > SIZE:
        raise BadFrame(f"blobs of {sizes} bytes; together at most {SIZE}")
    return header, sizes


def _cut(payload: memoryview, sizes: Sequence[int]) -> list[memoryview]:
    if sum(sizes) != len(payload):
        raise BadFrame(f"blobs of {sum(sizes)} bytes in a payload of {len(payload)}")
    start, blobs = 0, []
    for size in sizes:
        blobs.append(payload[start : start + size])
        start += size
    return blobs
