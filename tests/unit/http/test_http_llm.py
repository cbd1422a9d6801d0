"""The paths of chat models at the data plane's front door."""

from __future__ import annotations

from pathlib import Path

from gateway_samples import ANSWER, ASK, Folders, assistant, saying, ways
from http_edge import Http
from scripted import scripted

from headrace.types.endpoint import Plan
from headrace.types.gateway import Chat, Gateway, Provider, ProviderKind

ANTHROPIC = {"anthropic-version": "2023-06-01"}


async def test_a_chat_comes_through_the_front_door(tmp_path: Path) -> None:
    http, folders = Http(), Folders(tmp_path)
    http.boards._artifacts = folders
    async with scripted(saying(200, ANSWER)) as (port, came):
        provider = Provider(name="one", kind=ProviderKind.OPENAI, url=f"http://127.0.0.1:{port}/v1", private=True)
        endpoint = assistant(folders.add(Chat(ways=ways("one"))))
        await http.apply(Plan(revision=1, created=0.0, endpoints=(endpoint,), gateway=Gateway(providers=(provider,))))
        answer = await http.call("POST", "/v1/chat/completions", ASK, headers={"cookie": "secret=1"})
        assert (answer.status, answer.json()) == (200, ANSWER)
        assert "cookie" not in came[0][0]
        listed = await http.call("GET", "/v1/models")
        assert [model["id"] for model in listed.json()["data"]] == ["assistant"]
        theirs = await http.call("GET", "/v1/models/assistant", headers=ANTHROPIC)
        assert theirs.json()["type"] == "model"
        passed = await http.call("GET", "/passthrough/one/files/a%20b/content?x=1")
        assert passed.status == 200
        assert came[1][0].startswith("GET /v1/files/a%20b/content?x=1 HTTP/1.1")
        await http.boards.close()


async def test_errors_are_in_the_form_of_the_path() -> None:
    http = await Http().serve()
    openai = await http.call("POST", "/v1/chat/completions", ASK)
    assert (openai.status, openai.json()["error"]["message"][:22]) == (404, "there is no chat model")
    anthropic = await http.call("POST", "/v1/messages", ASK | {"max_tokens": 5}, headers=ANTHROPIC)
    assert anthropic.status == 404
    assert anthropic.json()["type"] == "error"
    gemini = await http.call("POST", "/v1beta/models/m:generateContent", {"contents": []})
    assert (gemini.status, gemini.json()["error"]["code"]) == (404, 404)
    broken = await http.call("POST", "/v1/chat/completions", b"{")
    assert broken.status == 400
    assert (await http.call("GET", "/v1/models/none")).json()["error"]
