"""What stands around the pages: map, keys, light and dark, languages, small screens, speed."""

from __future__ import annotations

import os
import time

import httpx
import pytest
from playwright.sync_api import Browser, expect

from headrace.console import shell
from tests.browser.conftest import Visitor, copied, visit
from tests.browser.shadowed import SHADOWED
from tests.browser.stage import DONE, GOING

PAGES = [
    *(place.path for place in shell.PLACES),
    "/endpoints/digits",
    f"/releases/{GOING}",
    f"/releases/{DONE}",
    f"/releases/{SHADOWED}/pairs?by=age",
]
LARGEST = 2 << 20
FIRST_PAINT_MS = 1000.0
SIZE = "performance.getEntriesByType('resource').reduce((sum, entry) => sum + entry.transferSize, 0)"


def test_every_page_fits_a_telephone_and_asks_nobody_else(walker: Visitor) -> None:
    """One person walks through all of them: a browser for each would take a minute more."""
    for path in PAGES:
        page = walker.open(path)
        expect(page.locator(".tabbar")).to_be_visible()
        expect(page.locator("nav.rail")).to_be_hidden()
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, path
        assert not page.get_by_text("[object Object]").count(), path


def test_the_sheet_leads_to_all_places(walker: Visitor) -> None:
    page = walker.open("/")
    page.get_by_role("button", name="More").click()
    page.locator(".dialog").get_by_text("Lineage").click()
    expect(page.locator("h1")).to_have_text("Lineage")
    expect(page.locator(".dialog")).to_be_hidden()


def test_a_page_without_content_teaches(visitor: Visitor) -> None:
    for place in (place for place in shell.PLACES if place.later):
        page = visitor.open(place.path)
        expect(page.locator(".empty .will li")).to_have_count(3)
        expect(page.locator("nav.rail .here")).to_have_count(1)
        expect(page.locator(".empty")).to_contain_text("Today:")


def test_keys_lead_everywhere(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.keyboard.press("g")
    page.keyboard.press("e")
    expect(page).to_have_url(f"{visitor.url}/endpoints")
    page.keyboard.press("g")
    page.keyboard.press("t")
    expect(page.locator("h1")).to_have_text("Traces")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("ge?")  # letters, while one types
    expect(page.get_by_role("searchbox")).to_have_value("ge?")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.locator(".dialog")).to_contain_text("Search on this page")
    page.keyboard.press("Escape")
    expect(page.locator(".dialog")).to_have_count(0)


def test_a_row_opens_from_the_keyboard(visitor: Visitor) -> None:
    page = visitor.open("/endpoints")
    page.locator("tbody tr").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("churn")


def test_language_is_chosen_and_kept(visitor: Visitor) -> None:
    page = visitor.open("/")
    page.get_by_role("button", name="中文").click()
    expect(page.locator("h1")).to_have_text("总览")
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.reload()
    expect(page.locator("nav.rail")).to_contain_text("端点")
    page.get_by_role("button", name="English").click()
    expect(page.locator("h1")).to_have_text("Overview")


def test_the_browser_s_language_is_respected(chromium: Browser, shop: str) -> None:
    for visitor in visit(chromium, shop, locale="zh-CN"):
        expect(visitor.open("/endpoints").locator("h1")).to_have_text("端点")


def test_dark_is_chosen_and_kept(visitor: Visitor) -> None:
    page = visitor.open("/")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(ground) == "rgb(248, 250, 252)"
    page.get_by_role("button", name="Light or dark").first.click()
    page.wait_for_function(f"{ground} === 'rgb(11, 18, 32)'")
    page.reload()
    page.wait_for_selector("h1")
    page.wait_for_function(f"{ground} === 'rgb(11, 18, 32)'")


def test_the_system_s_dark_is_respected(chromium: Browser, shop: str) -> None:
    for visitor in visit(chromium, shop, color_scheme="dark"):
        page = visitor.open("/")
        assert page.evaluate("document.body.classList.contains('body--dark')")


def test_nothing_runs_on_for_people_who_left(chromium: Browser, shop: str) -> None:
    for visitor in visit(chromium, shop):
        visitor.open("/")
        visitor.page.locator("nav.rail").get_by_text("Traces").click()
        assert httpx.get(f"{shop}/health", trust_env=False).json()["clients"] >= 1
    deadline = time.monotonic() + 120
    while httpx.get(f"{shop}/health", trust_env=False).json()["clients"]:
        assert time.monotonic() < deadline, "page loads are still held two minutes after everybody left"
        time.sleep(0.5)


def test_a_wrong_address_is_answered_for_people_and_for_programs(visitor: Visitor) -> None:
    for path, status in (("/nowhere", 404), ("/api/v1/nowhere", 404), ("/releases", 200)):
        answer = httpx.get(visitor.url + path, trust_env=False)
        assert answer.status_code == status
        assert ("html" in answer.headers["content-type"]) == (not path.startswith("/api"))
    page = visitor.page
    page.goto(f"{visitor.url}/nowhere")
    expect(page.locator(".empty")).to_contain_text("There is no such page")
    visitor.trouble = [line for line in visitor.trouble if "404" not in line]
    visitor.open("/endpoints/nowhere")
    expect(page.locator(".empty")).to_contain_text("There are: churn, digits")
    visitor.open("/releases/rel_nowhere")
    expect(page.locator(".empty")).to_contain_text("There is no release rel_nowhere")


WEIGHED = ["/", "/endpoints/digits", f"/releases/{GOING}", "/traces"]


@pytest.mark.parametrize("path", WEIGHED)
def test_pages_are_small_and_paint_at_once(visitor: Visitor, path: str) -> None:
    """Weighed with an empty cache, and with what a chart loads later. Painted in the best of three: other work on the
    machine is not ours, and a machine that is busy with it measures nothing."""
    page = visitor.open(path)
    page.wait_for_load_state("networkidle")
    assert 50_000 < page.evaluate(SIZE) < LARGEST
    paints = []
    for _ in range(3):
        paints += page.evaluate("performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)")
        if min(paints) < FIRST_PAINT_MS:
            return
        visitor.open(path)
    if os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1):
        pytest.skip(f"the machine is busy with other work (load {os.getloadavg()[0]:.1f}): {min(paints):.0f} ms")
    assert min(paints) < FIRST_PAINT_MS


def test_a_new_platform_teaches(newcomer: Visitor) -> None:
    page = newcomer.open("/")
    expect(page.locator(".sentence")).to_have_text("Nothing is served yet.")
    expect(page.locator(".notice")).to_contain_text(
        "The data plane at http://127.0.0.1:8000 is not ready: no plan yet."
    )
    expect(page.locator(".command code")).to_have_text("headrace deploy models:/digits/1 --endpoint digits")
    page.get_by_role("button", name="Copy").first.click()
    assert copied(page, "headrace deploy").startswith("headrace deploy")
    for path in ("/endpoints", "/releases", "/traces", "/versions", "/audit"):
        newcomer.open(path)
        expect(page.locator(".empty h2:visible")).to_have_count(1)
