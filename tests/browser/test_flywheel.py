"""A person at the flywheel: sees the loop and what was gained, turns it, and takes that back."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitor, visit
from tests.browser.test_walks import press


def test_turn_now_and_cancel(visitor: Visitor) -> None:
    page = visitor.open("/flywheel")
    expect(page.locator("h1")).to_contain_text("Flywheel · digits")
    ring = page.locator(".ring svg")
    expect(ring).to_have_attribute("aria-label", re.compile(r"Said 312 rows.*Trained 8\.4 s.*Gates 0 of 1 passed"))
    expect(page.locator("table").first).to_contain_text("golden")
    expect(page.locator("#main")).to_contain_text("at most +0.020 is allowed")
    expect(page.locator("#main")).to_contain_text("92.1% of all answers were right (84.6% to 95.8%), by 60 reviewed")
    expect(page.locator("table", has_text="At today's pace")).to_contain_text("held-out rows can prove a gain")
    expect(page.locator("#main")).to_contain_text(re.compile(r"0 of 200 usable words since the last turn"))
    press(page, "Turn now")
    dialog = page.locator(".dialog")
    expect(dialog).to_contain_text("Traffic moves only if the candidate passes every gate")
    dialog.get_by_role("button", name="Turn now").click()
    expect(page.locator(".sentence")).to_contain_text("A turn is under way")
    press(page, "Cancel the turn")
    page.locator(".dialog").get_by_role("button", name="Cancel the turn").click()
    expect(page.locator(".sentence")).to_contain_text("Nothing turns")
    expect(page.get_by_text("Cancelled", exact=True).first).to_be_visible()


def test_nothing_yet_says_how_to_begin(newcomer: Visitor) -> None:
    page = newcomer.open("/flywheel")
    expect(page.locator("#main")).to_contain_text("No flywheel yet")
    expect(page.locator("#main")).to_contain_text("headrace turn init")


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_narrow(chromium: Browser, shop: str, language: str) -> None:
    for visitor in visit(chromium, shop, viewport={"width": 390, "height": 844}, locale=language):
        page = visitor.open("/flywheel")
        expect(page.locator(".ring-list li")).to_have_count(9)
        expect(page.locator(".ring-list li").nth(1)).to_contain_text("Said" if language == "en-US" else "反馈")
        said = "at most +0.020 is allowed" if language == "en-US" else "最多允许 +0.020"
        expect(page.locator("table", has_text=said).first).to_be_visible()
        began = "release rel_digits of models:/digits/2 began" if language == "en-US" else "的发布 rel_digits"
        expect(page.locator("table", has_text=began).last).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
