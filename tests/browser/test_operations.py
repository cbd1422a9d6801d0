"""People take a move back, tell other systems, and look at what stands between callers and a version."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Visitor
from tests.browser.hooked import CHAT, PIPELINE
from tests.browser.stage import DONE
from tests.browser.theatre import ADAPTED, EARLY, TOGETHER


def test_a_receiver_is_added_tried_and_removed(visitor: Visitor) -> None:
    page = visitor.open("/webhooks")
    expect(page.locator(".sentence")).to_have_text(f"{PIPELINE} does not get its messages.")
    page.get_by_role("button", name="Add a webhook").click()
    dialog = page.locator(".dialog")
    dialog.get_by_label("Name").fill("here")
    dialog.get_by_label("Address").fill("ftp://nowhere")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(dialog.get_by_role("alert")).to_contain_text("ftp")
    dialog.get_by_label("Address").fill(f"{visitor.url}/api/told")
    dialog.get_by_role("button", name="Add", exact=True).click()
    expect(page.locator(".dialog .command code")).to_have_text(re.compile("^whsec_"))
    page.get_by_role("button", name="It is kept safe").click()
    drawer = page.locator(".drawer")
    expect(drawer).to_contain_text("made here, shown once")
    expect(page).to_have_url(f"{visitor.url}/webhooks?name=here")
    drawer.get_by_role("button", name="Send a test").click()
    expect(page.locator(".toast")).to_contain_text(re.compile("here answered 200 in"))
    expect(drawer.locator("li", has_text="webhook.test")).to_contain_text(
        re.compile(r"Arrived.*200 in .*, 1 try", re.DOTALL)
    )
    drawer.get_by_role("button", name="Remove").click()
    page.locator(".dialog").get_by_role("button", name="Remove").click()
    expect(drawer).to_be_hidden()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_what_did_not_arrive_says_why_and_is_sent_again(visitor: Visitor) -> None:
    page = visitor.open("/webhooks")
    page.locator("tbody tr", has_text=PIPELINE).click()
    drawer = page.locator(".drawer")
    expect(drawer).to_contain_text("in the variable WEBHOOK_PIPELINE")
    given_up = drawer.locator("li", has_text="Given up")
    expect(given_up).to_contain_text("it answered 503: draining (4 tries)")
    given_up.get_by_role("button", name="Send again").click()
    expect(drawer.locator("li", has_text="Given up")).to_have_count(0)
    expect(drawer.locator("li", has_text="On its way")).to_have_count(2)
    page.keyboard.press("Escape")
    visitor.open(f"/webhooks?name={CHAT}")
    expect(page.locator(".drawer li", has_text="release.rolled_back")).to_contain_text("200 in 42.0 ms, 1 try")


def test_the_last_move_is_taken_back(visitor: Visitor) -> None:
    page = visitor.open(f"/releases/{DONE}")
    expect(page.locator(".sentence")).to_contain_text("v4 took over from v3")
    visitor.open("/endpoints/churn")
    page.get_by_role("button", name="Undo").click()
    dialog = page.locator(".dialog")
    expect(dialog).to_contain_text("The last move is release.promoted by")
    expect(dialog.locator(".change")).to_contain_text(re.compile(r"Traffic of v3\s*0 %\s*100 %"))
    dialog.get_by_label("Reason").fill("the call centre complains")
    dialog.get_by_role("button", name="Give it back").click()
    expect(page.locator(".toast")).to_contain_text("v3 answers everyone of churn again")
    visitor.open("/history")
    expect(page.locator("tbody tr").first).to_contain_text("endpoint.undo")


def test_an_adapter_is_read_step_by_step(spectator: Visitor) -> None:
    page = spectator.open(f"/endpoints/{ADAPTED}")
    adapters = page.locator(".panel", has=page.locator("h2", has_text="Adapters"))
    expect(adapters).to_contain_text(re.compile(r"v4, inputs 1\s*rename area → square_metres", re.DOTALL))
    expect(adapters).to_contain_text(re.compile(r"v4, outputs 2\s*drop scores", re.DOTALL))
    row = page.get_by_role("table", name="Variants").locator("tr", has_text="candidate")
    expect(row).to_contain_text("behind an adapter")
    spectator.open("/endpoints/spam")
    expect(page.locator("h2", has_text="Adapters")).to_be_hidden()


def test_endpoints_that_move_together_are_all_named(spectator: Visitor) -> None:
    page = spectator.open(f"/releases/{EARLY}")
    expect(page.locator("h1")).to_contain_text("and 1 more endpoint")
    together = page.get_by_role("table", name="Endpoints that move together")
    expect(together.locator("tbody tr")).to_have_count(2)
    expect(together.locator("tr", has_text=TOGETHER)).to_contain_text("50 %")
    expect(page.get_by_role("table", name="Gates before traffic")).to_contain_text("3 of 64 rows get another answer")
    together.get_by_text(TOGETHER).click()
    expect(page).to_have_url(f"{spectator.url}/endpoints/{TOGETHER}")
