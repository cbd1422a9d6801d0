"""A person writes a program in the console, tries it, compiles it within a budget, and sees what that brought."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Visitor, visit


def test_from_nothing_to_a_version_that_is_measured(walker: Visitor) -> None:
    page = walker.open("/programs")
    expect(page.locator("#main")).to_contain_text("No program yet")
    page.get_by_role("button", name="New program").click()
    expect(page.locator(".wrong:visible")).to_contain_text("name is ''")
    page.get_by_role("button", name="Begin with the example").click()
    expect(page.locator("h1")).to_contain_text("ticket")
    expect(page.locator(".code-block")).to_contain_text("instructions: Say which team answers this mail.")
    _define(page)
    _try(page)
    _compile(page)


def _define(page: Page) -> None:
    """What is wrong is said at the field; the file follows what is written."""
    name = page.locator(".field-row").nth(1).get_by_label("name", exact=True)
    name.fill("2nd team")
    name.blur()
    expect(page.locator(".field-row + .wrong:visible")).to_contain_text("a field is called '2nd team'")
    expect(page.locator("#main")).to_contain_text("The definition is not right yet")
    name.fill("team")
    name.blur()
    expect(page.locator(".field-row + .wrong:visible")).to_have_count(0)
    page.get_by_text("ChainOfThought", exact=True).click()
    page.get_by_role("button", name="Python").click()
    expect(page.locator(".code-block")).to_contain_text("program = dspy.ChainOfThought(Ticket)")
    expect(page.locator(".code-block")).to_contain_text("team: Literal['billing', 'technical', 'sales']")
    page.get_by_text("Predict", exact=True).click()
    expect(page.locator(".code-block")).to_contain_text("program = dspy.Predict(Ticket)")


def _try(page: Page) -> None:
    page.get_by_role("button", name="Take one of the rows").click()
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".try .answer")).to_contain_text("billing")
    expect(page.locator(".try")).to_contain_text(re.compile(r"1 calls · 15 tokens"))


def _compile(page: Page) -> None:
    page.get_by_text("LabeledFewShot", exact=True).click()
    status = page.locator("p[role=status]", has_text="About")
    expect(status).to_contain_text("About 12 calls, 12 of them to measure before and after")
    calls = page.get_by_label("Calls at most")
    calls.fill("3")
    calls.blur()
    expect(page.locator(".is-wrong .wrong")).to_contain_text("a budget of 3 calls does not cover 6 test rows")
    calls.fill("500")
    calls.blur()
    expect(status).to_contain_text("by the prices of the alias")
    page.get_by_role("button", name="Compile", exact=True).click()
    dialog = page.locator(".dialog")
    expect(dialog).to_contain_text("500 calls · 60 minutes")
    dialog.get_by_role("button", name="Compile").click()
    expect(page.get_by_text("registered as models:/ticket/1")).to_be_visible()
    expect(page.locator("table", has_text="Should be")).to_contain_text("better")
    expect(page.locator("#main")).to_contain_text("Gain, row by row")
    expect(page.get_by_role("button", name="Deploy")).to_be_visible()


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_narrow(chromium: Browser, shop: str, language: str) -> None:
    for visitor in visit(chromium, shop, viewport={"width": 390, "height": 844}, locale=language):
        page = visitor.open("/programs/ticket")
        expect(page.locator("#main")).to_contain_text("What goes in" if language == "en-US" else "输入")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
