"""Anthropic. `https://api.anthropic.com/v1` is the form of the URL."""

from __future__ import annotations

from headrace.compute.line import Headers
from headrace.gateway.providers.base import Target, tail_of
from headrace.types.gateway import Provider, Wire

VERSION = "2023-06-01"  # of the interface; a caller's own header wins


class Anthropic:
    speaks = frozenset((Wire.MESSAGES, Wire.COUNT_TOKENS))

    def path(self, provider: Provider, target: Target) -> str:
        return tail_of(target)

    def headers(self, provider: Provider, secret: str) -> Headers:
        version = (b"anthropic-version", (provider.api_version or VERSION).encode())
        return [version, (b"x-api-key", secret.encode())] if secret else [version]
