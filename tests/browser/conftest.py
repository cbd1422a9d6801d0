"""One furnished console and one empty one in processes of their own, and Chromium to walk through them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route, expect, sync_playwright

from bench.running import wait_for
from tests.browser.stage import spawned

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
PATIENCE_MS = 30_000  # of a wait for something to happen: machines that run this are shared
expect.set_options(timeout=PATIENCE_MS)
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "browser" in item.path.parts:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                item.add_marker(pytest.mark.skip(reason="no Chromium: apt-get install chromium"))


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with spawned(tmp_path_factory.mktemp("shop") / "home") as url:
        yield url


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with spawned(tmp_path_factory.mktemp("bare") / "home", "--empty", "--still") as url:
        yield url


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with spawned(tmp_path_factory.mktemp("theatre") / "home", "--theatre", "--still") as url:
        yield url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Ended with its module: Playwright's event loop runs in this thread, and the tests after it start their own."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Visitor:
    """A person with a browser: walks, and remembers what went wrong on the way."""

    page: Page
    url: str
    trouble: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        self.page.wait_for_selector("main h1, main h2")
        return self.page

    def hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.trouble.append(message.text)

    def watch(self, route: Route, request: Request) -> None:
        """Nothing may be asked of anyone but the console."""
        if urlsplit(request.url).hostname == "127.0.0.1":
            route.continue_()
        else:
            self.trouble.append(f"asked for {request.url}")
            route.abort()


def copied(page: Page, words: str) -> str:
    """What the clipboard holds, once these words are in it: one reading, asked again until it has them."""

    def reading() -> str | None:
        found = str(page.evaluate("navigator.clipboard.readText()"))
        return found if words in found else None

    return wait_for(reading, seconds=PATIENCE_MS / 1000, what=f"{words!r} in the clipboard")


def visit(browser: Browser, url: str, **options: object) -> Iterator[Visitor]:
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, "locale": "en-US"} | options)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(PATIENCE_MS)
    visitor = Visitor(page=context.new_page(), url=url)
    visitor.page.on("console", visitor.hear)
    visitor.page.on("pageerror", lambda error: visitor.trouble.append(str(error)))
    visitor.page.route("**/*", visitor.watch)
    yield visitor
    context.close()
    assert not visitor.trouble


@pytest.fixture
def visitor(chromium: Browser, shop: str) -> Iterator[Visitor]:
    yield from visit(chromium, shop)


@pytest.fixture
def spectator(chromium: Browser, stage: str) -> Iterator[Visitor]:
    """Where releases of every strategy are played."""
    yield from visit(chromium, stage)


@pytest.fixture
def newcomer(chromium: Browser, bare: str) -> Iterator[Visitor]:
    yield from visit(chromium, bare)


@pytest.fixture
def walker(chromium: Browser, shop: str) -> Iterator[Visitor]:
    """With a telephone."""
    yield from visit(chromium, shop, viewport={"width": 390, "height": 844}, has_touch=True)
