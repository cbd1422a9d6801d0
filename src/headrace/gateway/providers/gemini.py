"""Google's Gemini. `https://generativelanguage.googleapis.com/v1beta` is the form of the URL. Its key goes into a
header, although the path may have it too: addresses end in logs.
"""

from __future__ import annotations

from urllib.parse import quote

from headrace.compute.line import Headers
from headrace.gateway.providers.base import Target
from headrace.types.gateway import Provider, Wire


class Gemini:
    speaks = frozenset((Wire.GEMINI,))

    def path(self, provider: Provider, target: Target) -> str:
        verb = "streamGenerateContent?alt=sse" if target.stream else "generateContent"
        return f"/models/{quote(target.model, safe='')}:{verb}"

    def headers(self, provider: Provider, secret: str) -> Headers:
        return [(b"x-goog-api-key", secret.encode())] if secret else []
