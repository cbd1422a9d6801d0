"""The connection that Open WebUI keeps follows ours, and nothing beside it is touched."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from headrace.base.secret import Secret
from headrace.chat.place import Connection
from headrace.chat.webui import WebUi
from headrace.chat.wiring import Wire
from headrace.types.errors import UpstreamError

OURS = {"X-Headrace-Message-Id": "{{MESSAGE_ID}}"}
SECRET = Secret("a-secret")
CONNECTION = Connection(url="http://chat", password=SECRET, session=SECRET, users=SECRET, bell=SECRET)


class Played:
    def __init__(self, headers: dict[str, str]) -> None:
        self.config: dict[str, Any] = {
            "ENABLE_OPENAI_API": True,
            "OPENAI_API_BASE_URLS": ["http://theirs/v1", "http://old/v1"],
            "OPENAI_API_KEYS": ["theirs"],
            "OPENAI_API_CONFIGS": {"0": {"enable": True}, "1": {"enable": True, "headers": headers, "tags": ["x"]}},
        }
        self.updates = 0
        self.ended = False

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/signin"):
            good = json.loads(request.content)["password"] == "a-secret"
            return httpx.Response(200 if good else 400, json={"token": "t"})
        if self.ended:
            self.ended = False
            return httpx.Response(401, json={})
        if request.url.path == "/openai/config/update":
            self.config, self.updates = json.loads(request.content), self.updates + 1
        return httpx.Response(200, json=self.config)


def wire(key: str = "hr-new") -> Wire:
    return Wire(url="http://new/v1", key=Secret(key), headers=OURS | {"x-user-id": "{{USER_EMAIL}}"})


def test_our_connection_follows_and_theirs_stays() -> None:
    played = Played(OURS)
    app = WebUi(CONNECTION, wire(), transport=httpx.MockTransport(played))
    app.connect()
    played.ended = True  # its session ends meanwhile
    app.connect()
    assert played.updates == 1
    assert played.config["OPENAI_API_BASE_URLS"] == ["http://theirs/v1", "http://new/v1"]
    assert played.config["OPENAI_API_KEYS"] == ["theirs", "hr-new"]
    assert played.config["OPENAI_API_CONFIGS"]["1"] == {"enable": True, "headers": wire().headers, "tags": ["x"]}


def test_who_takes_it_out_is_obeyed_and_who_changes_the_password_is_told() -> None:
    played = Played({})
    WebUi(CONNECTION, wire(), transport=httpx.MockTransport(played)).connect()
    assert played.updates == 0
    other = Connection(url="http://chat", password=Secret("old"), session=SECRET, users=SECRET, bell=SECRET)
    with pytest.raises(UpstreamError, match="does not let 'headrace@localhost' in"):
        WebUi(other, wire(), transport=httpx.MockTransport(played)).connect()
