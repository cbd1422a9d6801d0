"""OpenAI, and every server that is compatible: vLLM, SGLang, Ollama, llama.cpp, Groq, Mistral, another gateway, …

`https://api.openai.com/v1` is the form of the URL.
"""

from __future__ import annotations

from headrace.compute.line import Headers
from headrace.gateway.providers.base import OPENAI, Target, tail_of
from headrace.types.gateway import Provider


class OpenAI:
    speaks = OPENAI

    def path(self, provider: Provider, target: Target) -> str:
        return tail_of(target)

    def headers(self, provider: Provider, secret: str) -> Headers:
        return [(b"authorization", b"Bearer " + secret.encode())] if secret else []
