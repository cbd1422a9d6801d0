"""What a broker must do, and which one a URL leads to: `redis://host:6379/orders` is the stream `orders` there.

Called by `headrace stream`, which hands sources and sinks to serve.py. Decides the form of the URLs. A broker is one
file and one row in BROKERS; tests/contract/test_brokers.py holds all to the same behaviour. Trouble with the connection
is raised as UpstreamError: serve.py tries again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from headrace.types.errors import BadInput, Unavailable

REMEMBERED = 86_400  # seconds for which a broker knows the ids of what was written


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    id: str  # the same at each delivery, and of this message alone
    body: bytes
    deliveries: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """To be written. One of the same id that was written before is not written again."""

    id: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A URL, taken apart. `server` has no password to show in `name`."""

    scheme: str
    server: str
    name: str
    options: Mapping[str, str]


class Source(Protocol):
    async def read(self, limit: int, seconds: float) -> list[Message]:
        """New messages, or such as another consumer has not acknowledged for too long; none when there are none."""
        ...

    async def hold(self, messages: Sequence[Message]) -> None:
        """They are still being worked on: nobody else is to have them."""
        ...

    async def done(self, messages: Sequence[Message]) -> None: ...

    async def close(self) -> None: ...


class Sink(Protocol):
    async def write(self, letters: Sequence[Letter]) -> None:
        """All are kept by the broker when this returns. May be repeated."""
        ...

    async def close(self) -> None: ...


class Broker(Protocol):
    """The module of a broker."""

    def source(self, place: Place, *, group: str, idle_seconds: float) -> Source: ...

    def sink(self, place: Place) -> Sink: ...


BROKERS = {"redis": "redis", "rediss": "redis", "nats": "nats"}


def place_of(url: str, *, field: str) -> Place:
    parts = urlsplit(url)
    name = unquote(parts.path.strip("/"))
    if parts.scheme not in BROKERS:
        raise BadInput(f"{field} is of scheme {parts.scheme!r}; allowed: {', '.join(BROKERS)}", field=field)
    if not parts.hostname or not name:
        raise BadInput(
            f"{field} names no {'stream' if parts.hostname else 'host'}",
            field=field,
            hint="redis://127.0.0.1:6379/orders",
        )
    return Place(
        scheme=parts.scheme,
        server=f"{parts.scheme}://{parts.netloc}",
        name=name,
        options=dict(parse_qsl(parts.query)),
    )


def broker(place: Place) -> Broker:
    """Raises Unavailable with the install hint when its client is not there."""
    try:
        module: Broker = import_module(f"headrace.stream.brokers.{BROKERS[place.scheme]}")
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"streaming with {place.scheme} needs {error.name}", hint="install it with: pip install 'headrace[stream]'"
        ) from error
    return module
