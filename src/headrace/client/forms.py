"""The admin API's answers and paths, as the client's parts need them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from headrace.client.wire import Wire

API = "/api/v1"

Json = dict[str, Any]


class Part:
    """Calls of one area; Admin is all of them."""

    _wire: Wire


def silent(_: str) -> None:
    """Progress that nobody watches."""


def part(name: str) -> str:
    return quote(name, safe="")


def as_object(content: Any) -> Json:
    return content if isinstance(content, dict) else {"value": content}


def as_list(content: Any, name: str) -> list[Any]:
    """A list, bare or under its name: `{"releases": […]}`."""
    found = content.get(name, []) if isinstance(content, dict) else content
    return list(found)
