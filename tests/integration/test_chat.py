"""The real Open WebUI beside a real platform: what people think of an answer arrives on the trace of its call."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.running import HEADRACE, Platform, wait_for
from tests.openwebui import Person

pytestmark = [pytest.mark.process, pytest.mark.timeout(900)]


@dataclass(slots=True, kw_only=True)
class Beside:
    platform: Platform
    url: str

    def ask(self, path: str) -> Any:
        return httpx.get(f"{self.platform.control}{path}", timeout=60).raise_for_status().json()

    def calls(self, endpoint: str = "smollm2") -> list[dict[str, Any]]:
        return list(self.ask(f"/api/v1/traces?endpoint={endpoint}&limit=100")["traces"])

    def trace_of(self, message: str) -> str:
        def found() -> str:
            for call in self.calls():
                told = self.ask(f"/api/v1/traces/{call['trace_id']}")["call"]
                if (told.get("spent") or {}).get("message") == message:
                    return str(call["trace_id"])
            return ""

        return wait_for(found, seconds=60, what=f"the call that answered {message}")

    def said(self, trace: str) -> dict[str, Any]:
        """What stands now, by name."""
        return {one["name"]: one["value"] for one in self.ask(f"/api/v1/traces/{trace}")["feedback"]}


@pytest.fixture(scope="module")
def chat(chat_environment: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    home = tmp_path_factory.mktemp("chat") / "home"
    os.environ["HEADRACE_CHAT_ENVIRONMENT"] = chat_environment
    with Platform(home, llm_port=0, chat_port=0, chat_environment=chat_environment, tick_ms=200) as platform:
        made = json.loads(platform.run("chat", "start", "--detach", "--json").stdout)
        try:
            yield Beside(platform=platform, url=made["url"])
        finally:
            subprocess.run([HEADRACE, "chat", "stop"], env=platform.env, check=True, capture_output=True)


@pytest.fixture(scope="module")
def ann(chat: Beside) -> Iterator[Person]:
    wait_for(lambda: chat.ask("/api/v1/chat")["connected"], seconds=120, what="the chat application's function")
    person = Person(url=chat.url, email="ann@example.com")
    yield person
    person.close()


def test_thumbs_and_comments_come_back_on_the_trace_of_the_answer(chat: Beside, ann: Person) -> None:
    assert wait_for(lambda: ann.models(), seconds=60, what="models") == ["smollm2"]
    conversation, message = ann.chat("smollm2", "Name a colour.")
    answer = wait_for(
        lambda: (stored := ann.answer(conversation, message)).get("done") and stored, seconds=120, what="an answer"
    )
    assert answer["content"].strip()
    trace = chat.trace_of(message)

    rated = ann.rate(conversation, message, "smollm2", -1, comment="Not a colour.", reason="not_factually_correct")
    both = {"user_rating": False, "comment": "Not a colour."}
    wait_for(lambda: chat.said(trace) == both, seconds=60, what="the thumb and the comment")

    changed = {"type": "rating", "data": {"rating": 1, "model_id": "smollm2"}, "meta": rated["meta"]}
    ann.ask("POST", f"/api/v1/evaluations/feedback/{rated['id']}", json=changed)
    wait_for(lambda: chat.said(trace) == {"user_rating": True}, seconds=60, what="the changed thumb")

    ann.ask("DELETE", f"/api/v1/evaluations/feedback/{rated['id']}")
    wait_for(lambda: chat.said(trace) == {}, seconds=60, what="nothing, once it was deleted")


def test_titles_are_no_evidence_and_answers_are_of_a_person(chat: Beside, ann: Person) -> None:
    _, message = ann.chat("smollm2", "Name a fruit.")
    answered = chat.ask(f"/api/v1/traces/{chat.trace_of(message)}")["call"]
    assert answered["counted"]
    assert answered["sticky"], "known by the address of the person"

    def title() -> dict[str, Any] | None:
        told = (chat.ask(f"/api/v1/traces/{call['trace_id']}")["call"] for call in chat.calls())
        return next((call for call in told if (call["spent"] or {}).get("task") == "title_generation"), None)

    made = wait_for(title, seconds=120, what="a title")
    assert not made["counted"]
    assert made["spent"]["conversation"]


def test_the_bell_is_rung_by_nobody_else(chat: Beside) -> None:
    ring = httpx.post(f"{chat.platform.control}/api/v1/chat/bell", headers={"authorization": "Bearer guess"}, json={})
    assert ring.status_code == 401


def test_no_secret_of_it_is_written_in_clear(chat: Beside) -> None:
    secrets = json.loads((chat.platform.home / "keys" / "chat.json").read_text())
    hidden = [secrets[name].encode() for name in ("password", "session", "users", "bell")]
    written = [p for p in Path(chat.platform.home).rglob("*") if p.is_file() and p.name != "chat.json"]
    leaks = [str(path) for path in written for secret in hidden if secret in path.read_bytes()]
    assert leaks == []
