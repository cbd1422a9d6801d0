"""A person walks the gateway, its keys and versions, the editor, the costs and the playground of a real platform."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from bench.running import wait_for
from tests.browser.conftest import Visitor, visit
from tests.browser.talking import LONG, Talk, talking

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    with talking(tmp_path_factory.mktemp("talk") / "home", people=60) as made:
        yield made


@pytest.fixture
def guest(chromium: Browser, talk: Talk) -> Iterator[Visitor]:
    yield from visit(chromium, talk.url)


def said_of(talk: Talk, trace: str) -> bool:
    answer = httpx.get(f"{talk.platform.control}/api/v1/traces/{trace}")
    return answer.status_code == 200 and bool(answer.json()["feedback"])


def test_two_models_of_a_real_gateway_side_by_side_and_a_call_asked_again(guest: Visitor, talk: Talk) -> None:
    page = guest.open("/playground?model=assistant&beside=house")
    page.get_by_label("Your question").fill("Why is the sky blue?")
    page.get_by_role("button", name="Ask", exact=True).click()
    answers = page.locator("[data-answer]")
    expect(answers.first).to_contain_text("short waves of light")
    expect(answers.last).to_contain_text("because of the air")
    expect(page.get_by_text(re.compile(r"swift/gpt-5-mini · First word after .* read, 11 written"))).to_be_visible()
    page.get_by_role("button", name="Good answer of assistant").click()
    expect(page.get_by_role("status").first).to_have_text("Rated thumbs up")
    rated = page.locator("a.mono").first.inner_text()
    wait_for(lambda: said_of(talk, rated), seconds=30, what="the rating, collected")
    guest.open(f"/traces?trace={rated}")
    expect(page.locator(".drawer")).to_contain_text("Rated thumbs up")
    guest.open(f"/traces?trace={talk.trace}")
    page.locator(".drawer").get_by_text("Ask again in the playground").click()
    expect(page.locator(".said-before")).to_contain_text("Why is the sky blue, 0?")
    page.get_by_label("Model", exact=True).select_option("draft-of-long-letters")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("[data-answer=draft-of-long-letters]")).to_contain_text("Sunlight meets molecules")


def test_the_gateway_says_who_is_left_alone_and_how_full_limits_are(guest: Visitor) -> None:
    page = guest.open("/gateway")
    expect(page.locator(".sentence")).to_contain_text("moody/gpt-5-nano is left alone")
    upstreams = page.get_by_role("table", name="Upstream models")
    expect(upstreams.locator("tr", has_text="moody")).to_contain_text(re.compile("Left alone.*rate limit", re.DOTALL))
    expect(upstreams.locator("tr", has_text="swift")).to_contain_text("Good")
    ways = page.get_by_role("table", name="Chat endpoints and their ways").locator("tbody tr")
    expect(ways.nth(1)).to_contain_text(re.compile(r"swift/gpt-5-mini\s*75 %\s*100 %"))
    expect(ways.nth(2)).to_contain_text("when others fail")
    expect(page.get_by_role("table", name="Guards")).to_contain_text("pii")
    limits = page.get_by_role("table", name="Limits")
    expect(limits.locator("tr", has_text="team support")).to_contain_text("/ 90.00 USD")
    limits.locator("tr", has_text="tokens a day").click()
    expect(page.locator(".drawer")).to_contain_text("helpdesk")
    expect(page).to_have_url(re.compile(r"/gateway\?limit=2$"))
    page.keyboard.press("Escape")
    for key in "gc":
        page.keyboard.press(key)
    expect(page.locator("h1")).to_have_text("Costs")
    for key in "gg":
        page.keyboard.press(key)
    expect(page.locator("h1")).to_have_text("Gateway")


@pytest.mark.parametrize("width", [390, 1280])
def test_no_table_is_cut(chromium: Browser, talk: Talk, width: int) -> None:
    wider = "[...document.querySelectorAll('.table .q-table__middle')].filter(e => e.scrollWidth > e.clientWidth + 1)"
    for walker in visit(chromium, talk.url, viewport={"width": width, "height": 844}):
        for path in ("/gateway", "/gateway/keys", "/gateway/versions", "/costs", "/costs/prices"):
            page = walker.open(path)
            expect(page.locator(".table tbody tr").first).to_be_visible()
            assert page.evaluate(f"{wider}.map(e => e.innerText.slice(0, 40))") == [], path
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_key_is_made_used_turned_and_revoked(guest: Visitor, talk: Talk) -> None:
    page = guest.open("/gateway/keys")
    expect(page.get_by_text(re.compile(r"1 to 50 of 6\d"))).to_be_visible()
    page.get_by_role("button", name="Next page").click()
    expect(page).to_have_url(re.compile("page=1"))
    page.get_by_role("button", name="New key").click()
    dialog = page.locator(".dialog")
    dialog.get_by_label("Name").fill("helpdesk")
    dialog.get_by_role("button", name="Make it").click()
    expect(dialog.get_by_role("alert")).to_contain_text("there is a key 'helpdesk' already")
    dialog.get_by_label("Name").fill("fresh")
    dialog.get_by_label("Team").fill(LONG)
    dialog.get_by_label("passthrough").check()
    dialog.get_by_role("button", name="Make it").click()
    made = page.locator(".dialog .command code").inner_text()
    page.get_by_role("button", name="It is kept safe").click()
    expect(page.locator(".drawer")).to_contain_text("Not used this month.")
    assert _status(talk, made) == 200
    page.locator(".drawer").get_by_role("button", name="New secret").click()
    page.get_by_role("button", name="Make a new one").click()
    turned = page.locator(".dialog .command code").inner_text()
    page.get_by_role("button", name="It is kept safe").click()
    assert turned != made
    assert (_status(talk, made), _status(talk, turned)) == (200, 200)
    page.locator(".drawer").get_by_role("button", name="Revoke").click()
    page.locator(".dialog").get_by_role("button", name="Revoke it").click()
    expect(page.locator(".toast")).to_have_text("fresh is worth nothing now")
    page.keyboard.press("Escape")
    page.get_by_role("searchbox").fill("fresh")
    expect(page.get_by_text("No key is like that.")).to_be_visible()
    page.get_by_label("Status").select_option("revoked")
    expect(page.locator("tbody tr")).to_have_count(1)


def _status(talk: Talk, key: str) -> int:
    return httpx.get(f"{talk.platform.data}/v1/models", headers={"authorization": f"Bearer {key}"}).status_code


def test_text_is_compared_applied_and_gone_back_from(guest: Visitor) -> None:
    page = guest.open("/gateway/edit?section=limits")
    text = page.get_by_role("textbox")
    apply = page.get_by_role("button", name="Apply", exact=True)
    expect(apply).to_be_disabled()
    before = text.input_value()
    text.fill("limits: [{level: nobody, counted: cost, amount: 1}]")
    expect(page.get_by_role("alert")).to_contain_text("allowed: all, workspace, team")
    text.fill("limits: [")
    expect(page.locator(".would")).to_contain_text("line 1")
    expect(apply).to_be_disabled()
    text.fill(before.replace("amount: 90", "amount: 5"))
    expect(page.locator(".would")).to_contain_text(re.compile("amount 90 → 5"))
    apply.click()
    dialog = page.locator(".dialog")
    dialog.get_by_label("Reason").fill("support spends too much")
    dialog.get_by_role("button", name="Apply", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("is in force")
    guest.open("/gateway")
    expect(page.locator(".sentence")).to_have_class(re.compile("tone-bad"))
    guest.open("/gateway/versions")
    page.locator("tbody tr", has_text="support spends too much").click()
    expect(page.locator(".drawer .diff")).to_contain_text("amount 90 → 5")
    visible = page.locator("tbody tr", has_text="providers, keys and limits")
    visible.click()
    page.get_by_role("button", name="Go back to it").click()
    expect(page.locator(".dialog .diff")).to_contain_text("amount 5 → 90")
    page.locator(".dialog").get_by_role("button", name="Go back to it").click()
    expect(page.locator(".toast")).to_contain_text("Back at what version 1 was")


def test_costs_add_up_and_prices_say_whose_they_are(guest: Visitor, tmp_path: Path) -> None:
    page = guest.open("/costs?days=7&by=model")
    expect(page.locator(".sentence")).to_contain_text(re.compile(r"cost .* USD in 7 days\. This month will come to"))
    ranks = page.get_by_role("table", name="Models, the dearest first").locator("tbody tr")
    expect(ranks.first).to_contain_text(re.compile(r"gpt-5\d\d %.* USD"))
    expect(page.locator("canvas")).to_have_count(2)
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV of all").click()
    download.value.save_as(tmp_path / "costs.csv")
    rows = list(csv.DictReader((tmp_path / "costs.csv").read_text().splitlines()))
    assert {row["team"] for row in rows} >= {"support", "search", LONG}
    assert sum(float(row["cost_usd"]) for row in rows) > 1
    page.get_by_label("Added up by").select_option("key")
    expect(page.get_by_role("table", name="Keys, the dearest first")).to_contain_text("helpdesk")
    guest.open("/costs/prices")
    prices = page.get_by_role("table", name="Prices").locator("tbody tr")
    expect(prices.filter(has_text="a person")).to_contain_text("In force")
    expect(prices.filter(has_text="Set aside")).to_contain_text("genai-prices")
    page.get_by_label("Which prices").select_option("all")
    expect(page.get_by_text(re.compile(r"1 to 50 of \d{3}"))).to_be_visible()
    page.get_by_role("searchbox").fill("gpt-5-nano")
    expect(prices.first).to_contain_text("gpt-5-nano")
    expect(page.get_by_role("table", name="What people changed")).to_contain_text("swift gpt-5-mini 2026-10-01")


def test_chat_endpoints_stand_among_the_others(guest: Visitor, talk: Talk) -> None:
    page = guest.open("/")
    expect(page.get_by_role("table", name="Endpoints")).to_contain_text("draft-of-long-letters")
    guest.open("/endpoints/assistant")
    expect(page.get_by_role("table", name="Who answers")).to_contain_text("sage/gpt-5")
    expect(page.locator("#main")).to_contain_text("You are the assistant of a hardware shop")
    page.get_by_text("Open in the playground").click()
    expect(page).to_have_url(re.compile(r"/playground\?model=assistant$"))
    assert "assistant" in talk.platform.run("status").stdout


def test_empty_ones_teach(newcomer: Visitor) -> None:
    for path in ("/gateway", "/gateway/keys", "/gateway/versions", "/costs", "/costs/prices"):
        page = newcomer.open(path)
        expect(page.locator(".empty .will li").first).to_be_visible()
