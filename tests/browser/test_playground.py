"""A person asks two chat models side by side, rates one, and comes back by the address."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visitor


def test_two_models_answer_side_by_side_and_one_is_rated(visitor: Visitor) -> None:
    page = visitor.open("/playground")
    expect(page.locator(".sentence")).to_contain_text("Ask one chat model, or two")
    page.get_by_label("Model", exact=True).select_option("careful")
    page.get_by_label("Beside it").select_option("quick")
    expect(page).to_have_url(re.compile(r"/playground\?model=careful&beside=quick$"))
    page.get_by_label("System prompt").fill("Be brief.")
    page.get_by_label("Your question").fill("Why is the sky blue?")
    page.get_by_role("button", name="Ask", exact=True).click()
    answers = page.locator("[data-answer]")
    expect(answers).to_have_count(2)
    expect(answers.first).to_contain_text("2 read. Air scatters")
    expect(answers.last).to_contain_text("Because of Rayleigh scattering.")
    expect(page.get_by_text(re.compile(r"First word after .* 18 tokens read"))).to_have_count(2)
    page.get_by_role("button", name="Bad answer of quick").click()
    expect(page.get_by_role("status").last).to_have_text("Rated thumbs down")
    assert page.locator("a.mono").count() == 2


def test_what_breaks_off_says_so_and_keeps_what_came(visitor: Visitor) -> None:
    page = visitor.open("/playground?model=torn")
    page.get_by_label("Your question").fill("Why?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("the connection was lost")
    expect(page.locator("[data-answer]")).to_contain_text("It is")


def test_nothing_to_ask_and_no_such_trace_are_said(visitor: Visitor) -> None:
    page = visitor.open("/playground?trace=tr-00000000000000000000000000000000")
    expect(page.get_by_role("alert")).to_contain_text("is not in the journal")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.get_by_role("alert").last).to_contain_text("There is nothing to ask yet")


def test_an_empty_playground_says_how_to_fill_it(newcomer: Visitor) -> None:
    page = newcomer.open("/playground")
    expect(page.locator("#main")).to_contain_text("headrace up --llm")
