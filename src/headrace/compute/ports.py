"""Listening sockets, bound before the programs that serve on them start.

Called by `headrace up`, and by a data plane for the socket on which it tells of itself. Decides what a person is told
when a port cannot be had: who holds it and how to take another.
The supervisor keeps each socket open while a child restarts, so that connections wait in the kernel's queue.
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from functools import cache
from pathlib import Path

import psutil

from headrace.types.errors import BadInput, Conflict, Forbidden

_UNIX_BYTES = 104  # of a socket's path, on the system with the fewest
_BACKLOG = 2048  # connections that wait while a child comes back
_EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 -- compared with, not bound to


def listen(host: str, port: int, *, option: str = "--port") -> socket.socket:
    """A listening socket; port 0 takes a free one. `option` is what the caller's user can change."""
    family, address = _resolve(host, port, option)
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(address)
        server.listen(_BACKLOG)
    except OSError as error:
        server.close()
        raise _explain(error, host, port, option) from error
    return server


def reserve(host: str = "127.0.0.1", port: int = 0, *, option: str = "--port") -> socket.socket:
    """A port, by default a free one, kept for a program that must bind it itself.

    The socket is bound but does not listen: nobody else is given the port, and a program that sets SO_REUSEADDR (every
    asyncio and WSGI server does, and llama.cpp's) can bind it beside us and listen.
    """
    family, address = _resolve(host, port, option)
    keeper = socket.socket(family, socket.SOCK_STREAM)
    keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        keeper.bind(address)
    except OSError as error:
        keeper.close()
        raise _explain(error, host, port, option) from error
    return keeper


def listen_unix(path: Path) -> socket.socket:
    """A listening socket in the file system, for this user alone; one that a killed process left there is replaced."""
    address = unix_address(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with suppress(FileNotFoundError):
        os.unlink(address)
    try:
        os.fchmod(server.fileno(), 0o600)  # of the file that bind makes: never open to others, not for a moment
        server.bind(address)
        server.listen(_BACKLOG)
    except OSError:
        server.close()
        raise
    server.setblocking(False)
    return server


def unix_address(path: Path) -> str:
    """What to bind or connect to: an address holds 108 bytes, and data folders are where people put them."""
    if len(os.fsencode(path)) < _UNIX_BYTES:
        return str(path)
    return f"/proc/self/fd/{_folder(path.parent)}/{path.name}"


@cache
def _folder(path: Path) -> int:
    """Kept open for as long as this process lives."""
    path.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def url_of(host: str, port: int) -> str:
    """What a person or a program on this machine opens: an address that means "everywhere" becomes loopback."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{name}:{port}"


def holder_of(host: str, port: int) -> str:
    """Who listens on a port, in words: "nginx (pid 812: nginx -g …)"."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.AccessDenied:
        return "a process that this user may not see"
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.laddr or connection.laddr.port != port:
            continue
        if connection.laddr.ip in (host, *_EVERYWHERE) or host in _EVERYWHERE:
            return _name(connection.pid)
    return "a process that cannot be found; it may just have ended"


def _name(pid: int | None) -> str:
    if pid is None:
        return "a process of another user"
    try:
        process = psutil.Process(pid)
        command = " ".join(process.cmdline())
        return f"{process.name()} (pid {pid}: {command[:120]})"
    except psutil.Error:
        return f"pid {pid}"


def _resolve(host: str, port: int, option: str) -> tuple[int, tuple[str, int]]:
    if not 0 <= port <= 65_535:
        raise BadInput(f"port is {port!r}; allowed: 0 to 65535", field=option)
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except socket.gaierror as error:
        raise BadInput(f"host {host!r} is not an address of this machine: {error}", field="host") from error
    return family, (str(address[0]), int(address[1]))


def _explain(error: OSError, host: str, port: int, option: str) -> Exception:
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"port {port} on {host} is taken by {holder_of(host, port)}",
            field=option,
            hint=f"stop that process, or choose another port with {option}; 0 takes a free one",
        )
    if error.errno == errno.EACCES:
        return Forbidden(
            f"this user may not listen on port {port}", field=option, hint=f"choose one above 1023 with {option}"
        )
    return BadInput(
        f"cannot listen on {host} port {port}: {error.strerror}", field="host", hint="set host to 127.0.0.1"
    )
