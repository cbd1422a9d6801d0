"""Listening sockets, and what a person is told when one cannot be had."""

from __future__ import annotations

import os
import socket

import pytest

from headrace.compute.ports import holder_of, listen, port_of, reserve, url_of
from headrace.types.errors import BadInput, Conflict


def test_taken_port_names_its_holder() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = port_of(taken)
        assert f"pid {os.getpid()}" in holder_of("127.0.0.1", port)
        with pytest.raises(Conflict) as caught:
            listen("127.0.0.1", port, option="--control-port")
    assert f"port {port} on 127.0.0.1 is taken by" in caught.value.message
    assert f"pid {os.getpid()}" in caught.value.message
    assert caught.value.hint is not None
    assert "--control-port" in caught.value.hint


def test_a_listener_on_every_address_is_found() -> None:
    with listen("0.0.0.0", 0) as taken:
        assert f"pid {os.getpid()}" in holder_of("127.0.0.1", port_of(taken))
    assert "cannot be found" in holder_of("127.0.0.1", 1)


def test_connections_wait_before_anybody_accepts() -> None:
    with listen("127.0.0.1", 0) as server, socket.create_connection(("127.0.0.1", port_of(server)), timeout=5) as early:
        early.sendall(b"hello")
        accepted, _ = server.accept()
        with accepted:
            assert accepted.recv(5) == b"hello"


def test_a_reserved_port_can_be_bound_by_a_program_that_reuses_addresses() -> None:
    with reserve() as keeper:
        port = port_of(keeper)
        with socket.create_server(("127.0.0.1", port)) as program:
            assert port_of(program) == port
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    ("host", "port", "word"),
    [("127.0.0.1", 70_000, "70000"), ("no such host", 0, "no such host"), ("192.0.2.1", 0, "192.0.2.1")],
)
def test_an_address_that_cannot_be_had(host: str, port: int, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        listen(host, port)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
    ],
)
def test_url_is_one_that_can_be_opened(host: str, url: str) -> None:
    assert url_of(host, 80) == url
