"""The console's own key is made as it is first needed; the data planes hear of it a moment later."""

from __future__ import annotations

import httpx
import pytest

from headrace.base.secret import Secret
from headrace.control import playground
from headrace.control.playground import Playground
from headrace.types.errors import BadInput


def asked(refusals: int) -> Playground:
    """Of a data plane that does not know the key so many times."""
    left = [refusals]

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == "Bearer hr-own"
        left[0] -= 1
        if left[0] >= 0:
            return httpx.Response(401, json={"error": {"message": "the API key is not known"}})
        return httpx.Response(200, json={"data": [{"id": "assistant"}]})

    return Playground(
        "http://data", key=lambda: Secret("hr-own"), user_header="x-user-id", transport=httpx.MockTransport(answer)
    )


async def test_a_key_that_was_just_made_is_waited_for() -> None:
    desk = asked(2)
    assert await desk.models() == ("assistant",)
    await desk.close()


async def test_a_key_that_stays_unknown_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playground, "NEW_SECONDS", 0.0)
    desk = asked(99)
    with pytest.raises(BadInput, match="the API key is not known"):
        await desk.models()
    await desk.close()
