"""A provider's own API through the gateway."""

from __future__ import annotations

from pathlib import Path

import pytest
from gateway_samples import Seen, assistant, gateway, saying, ways

from headrace.gateway.passthrough import Passer, RawRequest
from headrace.types.call import CallStatus
from headrace.types.errors import KeyRefused, NotFound, OverLimit
from headrace.types.gateway import Chat, Counted, Level, Limit, Window


def raw(provider: str = "one", **more: object) -> RawRequest:
    given = {"method": "GET", "path": "/files/abc?limit=2", "body": b"", "header": {}.get, "headers": []}
    return RawRequest(provider=provider, **(given | more))  # type: ignore[arg-type]


async def test_a_request_goes_on_as_it_came(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(200, b"\x00bytes", x_request_id="r1")) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = Seen()
        await Passer(site.boards, site.limiter, site.completer.recorder).go(raw(), seen)
        assert (seen.status, seen.body, seen.ended) == (200, b"\x00bytes", True)
        assert seen.headers["x-request-id"] == "r1"
        assert site.came["one"][0][0].startswith("GET /v1/files/abc?limit=2 HTTP/1.1")
        (call,) = site.calls()
    assert (call.endpoint, call.variant, call.status, call.counted) == ("passthrough/one", "one", CallStatus.OK, False)


async def test_refusals_of_a_provider_are_its_own(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(404, {"error": "no such file"})) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = Seen()
        passer = Passer(site.boards, site.limiter, site.completer.recorder)
        await passer.go(raw(), seen)
        assert (seen.status, seen.json()) == (404, {"error": "no such file"})
        with pytest.raises(NotFound, match="there is no provider 'two'; there are: one"):
            await passer.go(raw("two"), Seen())
        (call,) = site.calls()
    assert call.status is CallStatus.REJECTED


async def test_a_key_of_ours_that_is_refused(tmp_path: Path) -> None:
    async with gateway(tmp_path, one=saying(401, {"error": "bad key sk-12"})) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))))
        seen = Seen()
        with pytest.raises(KeyRefused, match="upstream 'one' were refused"):
            await Passer(site.boards, site.limiter, site.completer.recorder).go(raw(), seen)
        assert seen.status == 0
        (call,) = site.calls()
    assert call.status is CallStatus.FAILED


async def test_its_calls_are_limited_too(tmp_path: Path) -> None:
    limit = Limit(level=Level.ALL, counted=Counted.REQUESTS, amount=1, window=Window.MINUTE)
    async with gateway(tmp_path, one=saying(200, b"{}")) as site:
        await site.apply(assistant(site.folders.add(Chat(ways=ways("one")))), limits=(limit,))
        passer = Passer(site.boards, site.limiter, site.completer.recorder)
        await passer.go(raw(), Seen())
        with pytest.raises(OverLimit):
            await passer.go(raw(), Seen())
        assert [call.status for call in site.calls()] == [CallStatus.OK, CallStatus.REJECTED]
