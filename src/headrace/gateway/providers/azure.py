"""OpenAI on Azure. With an `api_version` the model is a deployment in the path, as it always was; without one the URL
ends in /openai/v1 and the model is in the body, as with OpenAI itself.
"""

from __future__ import annotations

from urllib.parse import quote

from headrace.compute.line import Headers
from headrace.gateway.providers.base import OPENAI, Target, tail_of
from headrace.types.gateway import Provider


class Azure:
    speaks = OPENAI

    def path(self, provider: Provider, target: Target) -> str:
        tail = tail_of(target)
        if not provider.api_version:
            return tail
        version = quote(provider.api_version, safe="")
        return f"/openai/deployments/{quote(target.model, safe='')}{tail}?api-version={version}"

    def headers(self, provider: Provider, secret: str) -> Headers:
        return [(b"api-key", secret.encode())] if secret else []
