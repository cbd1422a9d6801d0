"""The way to say something of an answer: the data plane's own /feedback, as any application has it.

Called by collect.py. Decides which refusals are for good (the words) and which are not (a key, a plane that is away).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from headrace.base.secret import Secret
from headrace.types.errors import BadInput, UpstreamError

_SECONDS = 10.0


class FeedbackDoor:
    """`key`: what is sent to a data plane that asks for one."""

    def __init__(self, url: str, *, key: Callable[[], Secret], transport: httpx.BaseTransport | None = None) -> None:
        self._url, self._key = url, key
        self._client = httpx.Client(timeout=_SECONDS, transport=transport, trust_env=False)

    def __call__(self, body: dict[str, Any]) -> None:
        key = self._key().reveal()
        headers = {"authorization": f"Bearer {key}"} if key else {}
        try:
            response = self._client.post(f"{self._url}/feedback", json=body, headers=headers)
        except httpx.HTTPError as error:
            raise UpstreamError(f"the data plane at {self._url} does not answer: {type(error).__name__}") from error
        if response.status_code in (400, 404, 413):
            raise BadInput(f"the data plane refuses it: {response.text[:200]}")
        if response.status_code != 200:
            raise UpstreamError(f"the data plane answers with {response.status_code}: {response.text[:200]}")

    def close(self) -> None:
        self._client.close()
