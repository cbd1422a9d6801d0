"""A person writes a program in the console, tries it, compiles it within a budget, and sees what that brought."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import Visitor, visit

pytestmark = pytest.mark.timeout(900)
COMPILE_MS = 150_000  # DSPy is slow to start where others work too
ADVISED = {
    "SIMBA": {"steps": "1", "candidates": "2", "minibatch": "4"},
    "GEPA": {"runs": "16"},
}


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
    _deploy(page)
    _beat(page)
    _take_advice(page)


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
    expect(page.get_by_text("registered as models:/ticket/1")).to_be_visible(timeout=COMPILE_MS)
    expect(page.locator("table", has_text="Should be")).to_contain_text("better")
    expect(page.locator("#main")).to_contain_text("Gain, row by row")
    expect(page.get_by_role("button", name="Deploy")).to_be_visible()


def _deploy(page: Page) -> None:
    """Nothing serves the model yet: at once, with a reason for the history."""
    page.get_by_role("button", name="Deploy", exact=True).click()
    dialog = page.locator(".dialog")
    expect(dialog).to_contain_text("models:/ticket/1")
    dialog.locator("input").fill("the first one")
    dialog.get_by_role("button", name="Deploy").click()
    expect(page).to_have_url(re.compile("/endpoints/ticket$"))
    expect(page.locator("#main")).to_contain_text("v1")
    expect(page.locator("#main")).to_contain_text(re.compile("ticket"))


def _beat(page: Page) -> None:
    """A version that is live has to be beaten, and what beats it proves itself in a release."""
    page.goto(page.url.partition("/endpoints")[0] + "/programs/ticket")
    expect(page.locator("#main")).to_contain_text("models:/ticket/1")
    page.get_by_text("BootstrapFewShot", exact=True).click()
    page.get_by_role("button", name="Compile", exact=True).click()
    page.locator(".dialog").get_by_role("button", name="Compile").click()
    expect(page.get_by_text("registered as models:/ticket/2")).to_be_visible(timeout=COMPILE_MS)
    expect(page.get_by_role("button", name="Deploy", exact=True)).to_have_count(0)
    page.get_by_role("button", name=re.compile("Release .*ticket")).click()
    dialog = page.locator(".dialog")
    expect(dialog).to_contain_text("models:/ticket/2")
    dialog.get_by_role("button", name=re.compile("Release")).click()
    expect(page).to_have_url(re.compile("/releases$"))
    expect(page.locator("table").first).to_contain_text("ticket")


def _take_advice(page: Page) -> None:
    """What cannot work is said before it begins: too few rows, or nobody who gives the advice that is asked for."""
    page.goto(page.url.partition("/releases")[0] + "/programs/ticket")
    page.get_by_label("It has to beat").uncheck()
    page.get_by_text("MIPROv2", exact=True).click()
    expect(page.locator("#main")).to_contain_text("MIPROv2 has 6 rows to train on; it needs 50 labelled rows")
    expect(page.get_by_role("button", name="Compile", exact=True)).to_be_hidden()
    for number, (optimizer, settings) in enumerate(ADVISED.items(), start=3):
        page.get_by_text(optimizer, exact=True).click()
        thinks = page.get_by_label("Language model that thinks")
        thinks.fill("nobody")
        thinks.blur()
        expect(page.locator(".is-wrong .wrong")).to_contain_text("no language model is called 'nobody'")
        expect(page.get_by_role("button", name="Compile", exact=True)).to_be_hidden()
        thinks.fill("fast")
        thinks.blur()
        if not page.locator("details[open]", has_text="Settings of the optimizer").count():
            page.locator("summary", has_text="Settings of the optimizer").click()
        for setting, value in settings.items():
            box = page.get_by_label(setting, exact=True)
            box.fill(value)
            box.blur()
        page.get_by_role("button", name="Compile", exact=True).click()
        page.locator(".dialog").get_by_role("button", name="Compile").click()
        expect(page.get_by_text(f"registered as models:/ticket/{number}")).to_be_visible(timeout=COMPILE_MS)
        expect(page.locator("#main")).to_contain_text("Gain, row by row")


@pytest.mark.parametrize("language", ["en-US", "zh-CN"])
def test_narrow(chromium: Browser, shop: str, language: str) -> None:
    for visitor in visit(chromium, shop, viewport={"width": 390, "height": 844}, locale=language):
        page = visitor.open("/programs/ticket")
        expect(page.locator("#main")).to_contain_text("What goes in" if language == "en-US" else "输入")
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
