"""People watch releases of every strategy, quote a result, and approve a step."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.conftest import Visitor, visit
from tests.browser.theatre import AB, APPROVAL, EARLY, SHADOW, SWITCH

SAID = {
    SHADOW: r"v4 answers copies of 100 % of calls, and .* of its answers differ; users get those of v3\.",
    AB: r"The A/B test has reached its horizon: [\d,]+ users of v4, [\d,]+ users of v3\.",
    EARLY: r"v4 and v3 are compared side by side at 50 %\. Held: \d+ of 5,000 users of v3",
    SWITCH: r"v4 answers everyone, v3 stands by\. Held: \d+ users so far, 800 needed",
}


@pytest.mark.parametrize("release", SAID)
def test_each_strategy_says_where_it_stands(spectator: Visitor, release: str) -> None:
    page = spectator.open(f"/releases/{release}")
    expect(page.locator(".sentence")).to_have_text(re.compile(SAID[release]))
    expect(page.locator(".steps.full .step.now")).to_have_count(1)
    expect(page.locator(".now-step .meter:visible").first).to_be_visible()
    sides = page.get_by_role("table", name="Versions side by side")
    expect(sides.locator("tr", has_text="auc")).to_contain_text(re.compile(r"0\.842.*0\.861.*▲ 2 %", re.DOTALL))


def test_a_result_at_its_horizon_is_copied_with_both_intervals(spectator: Visitor) -> None:
    page = spectator.open(f"/releases/{AB}")
    results = page.locator(".results")
    expect(results).to_contain_text("both intervals may be quoted")
    expect(results).to_contain_text("The split is as asked for")
    row = results.locator(".result", has_text="purchase").first
    expect(row.locator(".badge:visible")).to_have_text(["success", "Better"])
    expect(row.locator(".interval .fixed")).to_be_visible()
    row.get_by_role("button", name="sentence").click()
    expect(row.get_by_role("button", name="Copied")).to_be_visible()  # the clipboard is written by now
    copied = page.evaluate("navigator.clipboard.readText()")
    assert re.search(r"with v4 .* with v3 .*read once at the horizon; .*valid at every look", copied)
    expect(results.locator(".result", has_text="minutes").locator(".badge:visible").nth(1)).to_have_text("dry run")


def test_before_the_horizon_the_fixed_interval_is_not_to_be_had(spectator: Visitor) -> None:
    page = spectator.open(f"/releases/{EARLY}")
    results = page.locator(".results")
    expect(results).to_contain_text("Until the horizon, 5,000 users of each version, only the always-valid interval")
    expect(results.locator(".result").first).to_contain_text("valid at every look")
    expect(results.locator(".result .fixed:visible")).to_have_count(0)


def test_the_steps_of_a_release_stand_below_each_other_on_a_telephone(chromium: Browser, stage: str) -> None:
    for walker in visit(chromium, stage, viewport={"width": 390, "height": 844}, has_touch=True):
        page = walker.open(f"/releases/{APPROVAL}")
        places = [box.bounding_box() for box in page.locator(".steps.full .step").all()]
        tops = [place["y"] for place in places if place is not None]
        assert len(tops) == 5
        assert tops == sorted(set(tops))
        for release in (AB, SHADOW, SWITCH):
            walker.open(f"/releases/{release}")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_person_approves_a_step_after_reading_what_it_changes(spectator: Visitor) -> None:
    page = spectator.open("/")
    expect(page.locator(".sentence")).to_contain_text("2 releases wait for a person: ranking v4 and spam v4.")
    page = spectator.open(f"/releases/{APPROVAL}")
    expect(page.locator(".sentence")).to_have_text("v4 waits for approval at 5 %: may v4 go on to 25 %?")
    page.locator(".now-step").get_by_role("button", name="Approve").click()
    dialog = page.locator(".dialog")
    expect(dialog.locator(".change")).to_contain_text(re.compile(r"The step\s*Approval\s*25 %"))
    dialog.get_by_role("button", name="Approve").click()
    expect(page.locator("h1 .badge:visible")).to_have_text("Progressing")
    expect(page.locator(".history")).to_contain_text("Resumed")
    expect(page.locator(".now-step").get_by_role("button", name="Approve")).to_be_hidden()
