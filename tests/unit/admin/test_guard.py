"""Who may talk to the control plane."""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest
from admin_stand import HERE, Stand, told

from headrace.api.admin.guard import BODY_LIMIT, COOKIE, Guard
from headrace.types.errors import Forbidden, Unauthenticated

TOKEN = "open-sesame"
JSON = {"content-type": "application/json"}
DEPLOY = "/api/v1/endpoints/digits/deploy"


def basic(password: str, user: str = "ann") -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": "Bearer wrong"}, basic("wrong"), {"authorization": "Basic %%%"}, {"cookie": f"{COOKIE}=1"},
     {"authorization": "Bearer"}, {"cookie": f'{COOKIE}="; \u00e9'}],
)  # fmt: skip
async def test_a_token_is_needed_everywhere(stand: Stand, headers: dict[str, str]) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    async with stand.client(token=TOKEN) as client:
        for path in ("/api/v1/status", "/models", "/export?model=digits", "/mlflow/", "/api/docs", "/"):
            answer = await client.get(path, headers=raw)  # type: ignore[arg-type]
            assert answer.status_code == 401, path
            assert isinstance(told(answer), Unauthenticated)
            assert answer.headers["www-authenticate"].startswith("Basic")


async def test_health_needs_none(stand: Stand) -> None:
    async with stand.client(token=TOKEN) as client:
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    "headers", [{"authorization": f"Bearer {TOKEN}"}, {"authorization": f"bearer {TOKEN}"}, basic(TOKEN)]
)
async def test_the_token_opens(stand: Stand, headers: dict[str, str]) -> None:
    async with stand.client("http://headrace.example.com", token=TOKEN) as client:
        assert (await client.get("/models", headers=headers)).status_code == 200, "by any name, with a token"


async def test_a_browser_gets_a_cookie_and_a_program_none(stand: Stand) -> None:
    async with stand.client(token=TOKEN) as client:
        program = await client.get("/models", headers={"authorization": f"Bearer {TOKEN}"})
        assert "set-cookie" not in program.headers
        browser = await client.get("/models", headers=basic(TOKEN))
        cookie = browser.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Strict" in cookie
        assert TOKEN not in cookie
        assert (await client.get("/models")).status_code == 200, "httpx sends the cookie back, as a browser does"
    async with stand.client(token="another") as client:
        answer = await client.get("/models", headers={"cookie": cookie.partition(";")[0]})
        assert answer.status_code == 401, "it ends with the token"


@pytest.mark.parametrize("name", ["evil.example.com", "127.0.0.1.nip.io", "", "localhost.evil.com", "10.0.0.1"])
async def test_without_a_token_only_this_machines_names(stand: Stand, name: str) -> None:
    async with stand.client() as client:
        answer = await client.get("/models", headers={"host": name})
        assert answer.status_code == 403
        assert "HEADRACE_ADMIN_TOKEN" in (told(answer).hint or "")


@pytest.mark.parametrize("name", ["127.0.0.1:8001", "localhost:8001", "localhost", "[::1]:8001", "LOCALHOST:1"])
async def test_this_machines_names(stand: Stand, name: str) -> None:
    async with stand.client() as client:
        assert (await client.get("/models", headers={"host": name})).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example.com", "null", "http://127.0.0.1:9999", "https://127.0.0.1"])
@pytest.mark.parametrize("path", [DEPLOY, "/models/digits/stage", "/mlflow/api/2.0/mlflow/runs/create"])
async def test_another_sites_page_changes_nothing(stand: Stand, path: str, origin: str) -> None:
    async with stand.client() as client:
        answer = await client.post(path, json={"model": "m"}, headers={"origin": origin})
        assert answer.status_code == 403
        assert isinstance(told(answer), Forbidden)
        assert told(answer).field == "origin"
        assert not stand.releases.asked
        assert (await client.get("/models", headers={"origin": origin})).status_code == 200, "reading is not changing"


async def test_our_own_page_may(stand: Stand) -> None:
    async with stand.client() as client:
        answer = await client.post(DEPLOY, json={"model": "m"}, headers={"origin": HERE})
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "media", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_a_body_is_json(stand: Stand, media: str) -> None:
    async with stand.client() as client:
        answer = await client.post(DEPLOY, content=b'{"model": "m"}', headers={"content-type": media} if media else {})
        assert answer.status_code == 415
        assert told(answer).field == "content-type"
        assert not stand.releases.asked


async def test_a_body_is_small_and_says_its_length(stand: Stand) -> None:
    async def chunks() -> Any:
        yield b'{"model": "m"}'

    async with stand.client() as client:
        large = await client.post(DEPLOY, content=b" " * (BODY_LIMIT + 1), headers=JSON)
        endless = await client.post(DEPLOY, content=chunks(), headers=JSON)
        assert [large.status_code, endless.status_code] == [413, 413]


@pytest.mark.parametrize(
    ("headers", "closed"),
    [
        ([(b"host", b"127.0.0.1:8001"), (b"origin", b"http://127.0.0.1:8001")], False),
        ([(b"host", b"127.0.0.1:8001"), (b"origin", b"http://evil.example.com")], True),
        ([(b"host", b"evil.example.com"), (b"origin", b"http://evil.example.com")], True),
    ],
)
async def test_web_sockets_too(stand: Stand, headers: list[tuple[bytes, bytes]], closed: bool) -> None:
    reached, sent = [], []

    async def app(*_: Any) -> None:
        reached.append(True)

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    scope = {"type": "websocket", "path": "/_nicegui_ws/socket.io/", "headers": headers}
    await Guard(app, stand.services.settings)(scope, receive, send)
    assert bool(reached) is not closed
    assert sent == (["websocket.close"] if closed else [])


async def test_a_web_socket_with_the_cookie(stand: Stand) -> None:
    async with stand.client(token=TOKEN) as client:
        cookie = (await client.get("/models", headers=basic(TOKEN))).headers["set-cookie"].partition(";")[0]
    for header, expected in ((cookie, [True]), ("", [])):
        reached: list[bool] = []

        async def app(*_: Any, reached: list[bool] = reached) -> None:
            reached.append(True)

        async def nothing(*_: Any) -> Any:
            return None

        headers = [(b"host", b"a"), (b"origin", b"http://a"), (b"cookie", header.encode())]
        scope = {"type": "websocket", "path": "/_nicegui_ws/socket.io/", "headers": headers}
        await Guard(app, stand.services.settings)(scope, nothing, nothing)
        assert reached == expected


async def test_lifespan_passes(stand: Stand) -> None:
    reached = []

    async def app(scope: Any, *_: Any) -> None:
        reached.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return None

    await Guard(app, stand.services.settings)({"type": "lifespan"}, nothing, nothing)
    assert reached == ["lifespan"]


def test_httpx_is_what_we_think() -> None:
    """The tests above stand on it sending what it is told."""
    assert httpx.Request("GET", HERE, headers={"host": "evil"}).headers["host"] == "evil"
