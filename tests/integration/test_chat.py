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
from playwright.sync_api import sync_playwright

from bench.running import HEADRACE, Platform, wait_for
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.openwebui import PASSWORD, Person

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

    def rated(self) -> list[str]:
        return sorted({one["trace_id"] for one in self.ask("/api/v1/feedback?limit=100")["feedback"]})

    def said(self, trace: str) -> dict[str, Any]:
        """What stands now, by name."""
        return {one["name"]: one["value"] for one in self.ask(f"/api/v1/traces/{trace}")["feedback"]}


@pytest.fixture(scope="module")
def chat(chat_environment: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    home = tmp_path_factory.mktemp("chat") / "home"
    os.environ["HEADRACE_CHAT_ENVIRONMENT"] = chat_environment
    with Platform(home, llm_port=0, chat_port=0, chat_environment=chat_environment, tick_ms=200) as platform:
        platform.run("key", "create", "somebody")  # from now on a key is asked for
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


def test_each_person_gets_what_the_gateway_lets_them(chat: Beside, ann: Person) -> None:
    people = {"people": [{"user": "bob@example.com", "models": ["nothing"]}]}
    change = httpx.put(f"{chat.platform.control}/api/v1/gateway", json={"gateway": people}, timeout=60)
    assert change.status_code == 200, change.text
    bob = Person(url=chat.url, email="bob@example.com")
    try:
        conversation, message = bob.chat("smollm2", "Name a colour.")
        stored = wait_for(
            lambda: (told := bob.answer(conversation, message)).get("done") and told, seconds=60, what="a refusal"
        )
        assert stored["error"]
        assert not stored["content"]
        assert ann.models() == ["smollm2"]
    finally:
        bob.close()
    assert httpx.get(f"{chat.platform.data}/v1/models").status_code == 401


@pytest.mark.browser
def test_in_a_browser_as_people_do(chat: Beside, ann: Person) -> None:
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-US").new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{chat.url}/auth")
        page.get_by_text("Sign up", exact=True).first.click()
        page.locator('input[autocomplete="name"]').fill("Grace")
        page.locator('input[type="email"]').fill("grace@example.com")
        page.locator('input[type="password"]').first.fill(PASSWORD)
        page.locator('button[type="submit"]').click()
        page.locator("#chat-input").click()
        page.keyboard.type("Name a river.")
        page.keyboard.press("Enter")
        page.locator('button[aria-label="Bad Response"]').first.click()
        page.locator("textarea").last.fill("That is no river.")
        page.get_by_role("button", name="Save", exact=True).click()
        wait_for(
            lambda: {"user_rating": False, "comment": "That is no river."} in map(chat.said, chat.rated()),
            seconds=120,
            what="the thumb of a person with a browser",
        )
        if pictures := os.environ.get("HEADRACE_CHAT_PICTURES"):
            page.screenshot(path=Path(pictures) / "chat-light-wide.png")
        browser.close()


def test_the_bell_is_rung_by_nobody_else(chat: Beside) -> None:
    ring = httpx.post(f"{chat.platform.control}/api/v1/chat/bell", headers={"authorization": "Bearer guess"}, json={})
    assert ring.status_code == 401


def test_no_secret_of_it_is_written_in_clear(chat: Beside) -> None:
    secrets = json.loads((chat.platform.home / "keys" / "chat.json").read_text())
    hidden = [secrets[name].encode() for name in ("password", "session", "users", "bell")]
    written = [p for p in Path(chat.platform.home).rglob("*") if p.is_file() and p.name != "chat.json"]
    leaks = [str(path) for path in written for secret in hidden if secret in path.read_bytes()]
    assert leaks == []
