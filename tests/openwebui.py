"""The real Open WebUI for tests, where `make chat-env` has put one; started once in a session that asks for it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from headrace.base.settings import Settings
from headrace.chat.install import is_installed
from headrace.chat.place import place_of

ENVIRONMENT = os.environ.get(
    "HEADRACE_CHAT_ENVIRONMENT", str(Path(sys.prefix).with_name(Path(sys.prefix).name + "-chat"))
)
PASSWORD = "a-password-of-a-test"


@pytest.fixture(scope="session")
def chat_environment() -> str:
    """Where Open WebUI is installed."""
    if not is_installed(place_of(Settings(chat_environment=ENVIRONMENT))):
        pytest.skip("Open WebUI is not installed here (1.1 GB): make chat-env")
    return ENVIRONMENT


@dataclass(slots=True, kw_only=True)
class Person:
    """Somebody who chats, over the same API as the application's own pages."""

    url: str
    email: str
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, timeout=120)
        name = self.email.partition("@")[0]
        account = {"name": name, "email": self.email, "password": PASSWORD}
        token = self.ask("POST", "/api/v1/auths/signup", json=account)["token"]
        self.http.headers["authorization"] = f"Bearer {token}"

    def ask(self, method: str, path: str, **content: Any) -> Any:
        response = self.http.request(method, path, **content)
        assert response.status_code == 200, f"{path}: {response.status_code} {response.text[:500]}"
        return response.json()

    def models(self) -> list[str]:
        return [model["id"] for model in self.ask("GET", "/api/models")["data"]]

    def chat(self, model: str, question: str) -> tuple[str, str]:
        """A conversation as the pages make it: stored, then asked. Ids of the chat and of the answer."""
        asked, answered = str(uuid4()), str(uuid4())
        messages = {
            asked: {"id": asked, "parentId": None, "childrenIds": [answered], "role": "user", "content": question},
            answered: {
                "id": answered,
                "parentId": asked,
                "childrenIds": [],
                "role": "assistant",
                "content": "",
                "model": model,
                "done": False,
            },
        }
        made = {"title": "New Chat", "models": [model], "history": {"messages": messages, "currentId": answered}}
        chat = self.ask("POST", "/api/v1/chats/new", json={"chat": made})["id"]
        body = {
            "model": model,
            "stream": True,
            "chat_id": chat,
            "id": answered,
            "session_id": str(uuid4()),
            "messages": [{"role": "user", "content": question}],
            "params": {"max_tokens": 8},
            "background_tasks": {"title_generation": True, "tags_generation": True},
        }
        self.ask("POST", "/api/chat/completions", json=body)
        return chat, answered

    def answer(self, chat: str, message: str) -> dict[str, Any]:
        """As it is stored now."""
        stored = self.ask("GET", f"/api/v1/chats/{chat}")["chat"]["history"]["messages"][message]
        return dict(stored)

    def rate(self, chat: str, message: str, model: str, rating: int, **words: Any) -> dict[str, Any]:
        body = {
            "type": "rating",
            "data": {"rating": rating, "model_id": model, **words},
            "meta": {"chat_id": chat, "message_id": message, "model_id": model},
            "snapshot": {"chat": {"title": "of a test"}},
        }
        return dict(self.ask("POST", "/api/v1/evaluations/feedback", json=body))

    def close(self) -> None:
        self.http.close()


def people(url: str) -> Iterator[Person]:
    """One after the other, each with an address of their own."""
    number = 0
    while True:
        number += 1
        yield Person(url=url, email=f"person{number}@example.com")
