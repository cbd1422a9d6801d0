"""People look where a row is from, and label answers with the keyboard."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visitor


def test_a_row_leads_to_its_call_and_the_word_it_is_from(visitor: Visitor) -> None:
    page = visitor.open("/datasets")
    expect(page.locator(".sentence")).to_contain_text("versions, made from what people said")
    page.locator("tbody").get_by_text("digits@1").click()
    expect(page.locator("h1")).to_contain_text("digits@1")
    expect(page.locator(".sentence")).to_contain_text("held out")
    expect(page.get_by_text("corrections", exact=True).first).to_be_visible()
    page.locator("tbody tr").first.click()
    drawer = page.locator(".drawer")
    expect(drawer).to_contain_text("This row came from that call of digits")
    expect(drawer).to_contain_text("in this row")
    expect(drawer).to_contain_text("row_")
    expect(page).to_have_url(re.compile(r"/datasets/digits@1\?split=\w+&row=row_"))
    drawer.get_by_text("Open the call").click()
    expect(page).to_have_url(re.compile(r"/traces\?trace=tr-"))
    expect(page.locator(".drawer")).to_contain_text("tr-")


def test_answers_are_labelled_with_the_keyboard(walker: Visitor) -> None:
    page = walker.open("/review")
    case = page.locator("[data-review]")
    first = case.get_attribute("data-review")
    place = page.locator(".push", has_text=" of ")
    expect(place).to_contain_text("1 of")
    page.keyboard.press("j")
    expect(place).to_contain_text("2 of")
    page.keyboard.press("k")
    expect(place).to_contain_text("1 of")
    expect(case).to_have_attribute("data-review", str(first))
    page.keyboard.press("1")
    expect(page.get_by_text(re.compile("^Kept: "))).to_be_visible()
    expect(case).not_to_have_attribute("data-review", str(first))
    page.keyboard.press("u")
    expect(page.get_by_text("Taken back.")).to_be_visible()
    expect(case).to_have_attribute("data-review", str(first))
    page.keyboard.press("c")
    expect(page.locator("[data-correct]")).to_be_focused()
    page.keyboard.type("7")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Kept: 7.")).to_be_visible()
    expect(page.locator("table", has_text="grace").first).to_contain_text("linus")
    expect(page.locator(".sentence")).to_contain_text(re.compile(r"Of all answers .* % are right"))


def test_calls_are_drawn(visitor: Visitor) -> None:
    page = visitor.open("/review?endpoint=digits")
    page.get_by_role("button", name="Draw 50 calls").click()
    expect(page.get_by_text(re.compile(r"^Drew 50 of [\d,]+ calls"))).to_be_visible()


def test_pages_that_have_nothing_yet(newcomer: Visitor) -> None:
    page = newcomer.open("/datasets")
    expect(page.get_by_text("No dataset yet")).to_be_visible()
    expect(page.get_by_text("headrace dataset make MODEL")).to_be_visible()
    newcomer.open("/review")
    expect(page.get_by_text("Nothing waits for review")).to_be_visible()
