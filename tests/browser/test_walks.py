"""People walk through the console: each page's main action, as a person would do it."""

from __future__ import annotations

import re
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visitor, copied
from tests.browser.shadowed import SHADOWED
from tests.browser.stage import BACK, GOING


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).locator("visible=true").first.click()


def test_overview_says_what_happens_and_leads_on(visitor: Visitor) -> None:
    page = visitor.open("/")
    # Whoever built a program in this shop before has deployed and released it.
    expect(page.locator(".sentence")).to_contain_text(re.compile("[23] endpoints answer"))
    expect(page.locator(".sentence")).to_contain_text(re.compile("1 release is|2 releases are"))
    before = page.locator(".stat-value").first.inner_text()
    expect(page.locator(".stat-value").first).not_to_have_text(before)  # it lives
    page.locator("table").first.get_by_text("v1").click()  # anywhere in the row
    expect(page).to_have_url(f"{visitor.url}/endpoints/digits")
    expect(page.locator("h1")).to_contain_text("digits")
    expect(page.locator("nav.rail .here")).to_have_text("Endpoints")
    page.go_back()
    expect(page.locator("h1")).to_have_text("Overview")


def test_endpoint_answers_when_tried_and_its_trace_can_be_opened(visitor: Visitor) -> None:
    page = visitor.open("/endpoints/digits")
    expect(page.locator(".legend").first).to_contain_text(re.compile(r"v1 75 %.*v2 25 %", re.DOTALL))
    page.get_by_label("User").fill("grace")
    press(page, "Predict")
    answer = page.locator(".try .answer")
    expect(answer).to_have_text(re.compile(r"^\d$"))
    facts = page.locator(".try .facts")
    expect(facts).to_contain_text(re.compile(r"Variant\s*v[12]"))
    first = facts.inner_text()
    trace_link = page.locator(".try a.mono")
    for _ in range(3):  # the same user always gets the same variant
        before = trace_link.inner_text()
        press(page, "Another row")
        press(page, "Predict")
        expect(trace_link).not_to_have_text(before)  # the new answer, not the one before it
        assert re.findall(r"Variant\s*(v\d)", facts.inner_text()) == re.findall(r"Variant\s*(v\d)", first)
    trace = trace_link.inner_text()
    trace_link.click()
    expect(page.locator(".drawer")).to_contain_text(trace)
    expect(page.locator(".drawer .pixels i")).to_have_count(64)


def test_endpoint_gives_a_curl_line_and_a_program(visitor: Visitor) -> None:
    page = visitor.open("/endpoints/digits")
    expect(page.locator(".try .pixels")).to_be_visible()
    press(page, "curl")
    expect(page.get_by_role("button", name="Copied").first).to_be_visible()
    line = copied(page, "curl ")
    assert line.startswith("curl http://127.0.0.1:8000/predict")
    assert '"model":"digits","inputs":[[' in line
    press(page, "Python")
    compile(copied(page, "import Headrace"), "snippet", "exec")


def chart(page: Page, label: str) -> dict[str, object]:
    found: dict[str, object] = page.evaluate(
        """async (label) => {
            const box = document.querySelector(`.chart[aria-label="${label}"]`);
            for (let i = 0; i < 100; i++) {
                const drawn = getElement(Number(box.id.slice(1)))?.chart?.getOption();
                if (drawn?.series?.length > 1) return JSON.parse(JSON.stringify(drawn));
                await new Promise((next) => setTimeout(next, 100));
            }
        }""",
        label,
    )
    return found


def test_charts_show_variants_in_their_colours_and_as_tables(visitor: Visitor, tmp_path: Path) -> None:
    page = visitor.open("/endpoints/digits")
    drawn = chart(page, "Calls per second")
    marks, *lines = drawn["series"]  # type: ignore[misc]
    assert {line["name"]: line["lineStyle"]["color"] for line in lines} == {"v1": "#3B82F6", "v2": "#F59E0B"}
    assert all(len(line["data"]) > 30 for line in lines)
    assert all(mark["label"]["formatter"] for mark in marks["markLine"]["data"])
    press(page, "Show as a table")
    expect(page.locator(".dialog tbody tr").nth(10)).to_be_visible()
    page.keyboard.press("Escape")
    with page.expect_download() as download:
        press(page, "Download as CSV")
    download.value.save_as(tmp_path / "rate.csv")
    assert (tmp_path / "rate.csv").read_text().startswith("time,v1,v2\n")


def test_release_is_paused_and_resumed_with_a_reason_and_a_word_before_and_after(visitor: Visitor) -> None:
    page = visitor.open(f"/releases/{GOING}")
    press(page, "Pause")
    dialog = page.locator(".dialog")
    expect(dialog).to_contain_text("Pause the release of digits v2?")
    expect(dialog.locator(".change")).to_contain_text(re.compile(r"Progressing\s*Paused"))
    expect(dialog.locator(".change")).to_contain_text(re.compile(r"Traffic of v2\s*25 %\s*25 %"))
    dialog.get_by_label("Reason").fill('lunch <img src=x onerror="window.hacked = true">')
    dialog.get_by_role("button", name="Pause").click()
    expect(page.locator("h1 .badge:visible")).to_have_text("Paused")
    expect(page.locator(".sentence")).to_contain_text("v2 is paused at 25 %: lunch <img")
    expect(page.locator(".history")).to_contain_text("lunch <img")
    assert page.evaluate("window.hacked") is None
    toast = page.locator(".toast")
    expect(toast).to_contain_text("Paused v2")
    toast.get_by_role("button", name="Undo").click()
    page.locator(".dialog").get_by_role("button", name="Resume").click()
    expect(page.locator("h1 .badge:visible")).to_have_text("Progressing")
    visitor.open("/audit")
    expect(page.locator("tbody tr").first).to_contain_text("release.resumed")


def test_leaving_it_as_it_is_changes_nothing(visitor: Visitor) -> None:
    page = visitor.open(f"/releases/{GOING}")
    press(page, "Abort")
    expect(page.locator(".dialog .change")).to_contain_text(re.compile(r"Traffic of v1\s*75 %\s*100 %"))
    press(page, "Leave as it is")
    expect(page.locator(".dialog")).to_have_count(0)
    expect(page.locator("h1 .badge:visible")).to_have_text("Progressing")


def test_a_release_that_was_rolled_back_shows_the_line_it_crossed(visitor: Visitor) -> None:
    page = visitor.open(f"/releases/{BACK}")
    expect(page.locator(".sentence")).to_contain_text("v3 was rolled back after")
    marks, *lines = chart(page, "Evidence of harm")["series"]  # type: ignore[misc]
    drawn = {mark["yAxis"]: mark["label"]["formatter"] for mark in marks["markLine"]["data"]}
    assert drawn[60] == "roll back ≥ 60 · errors, feedback"
    crossed = [line for line in lines if line["data"] and max(point[1] for point in line["data"]) >= 60]
    assert [line["lineStyle"]["color"] for line in crossed] == ["#EF4444"]
    expect(page.locator(".tallies tbody tr")).to_have_count(5)
    for name in ("Pause", "Resume", "Promote", "Abort"):
        expect(page.get_by_role("button", name=name)).to_be_hidden()


def test_traces_filter_by_the_address_and_stay_still(visitor: Visitor) -> None:
    page = visitor.open("/traces")
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(100)
    first = rows.first.get_attribute("data-id")
    chip = page.locator(".chip")
    expect(chip).to_have_text(re.compile(r"\d+\+? new"))
    assert rows.first.get_attribute("data-id") == first  # nothing moved under the pointer
    chip.click()
    expect(chip).to_be_hidden()
    assert rows.first.get_attribute("data-id") != first
    page.get_by_label("Variant").select_option("v2")
    expect(page).to_have_url(f"{visitor.url}/traces?variant=v2")
    expect(page.locator("tbody tr td:nth-child(4)").first).to_have_text("v2")
    page.reload()
    expect(page.locator("tbody tr").first).to_be_visible()
    assert set(page.locator("tbody tr td:nth-child(4)").all_inner_texts()) == {"v2"}
    page.get_by_label("Status").select_option("rejected")
    expect(page).to_have_url(re.compile("variant=v2&status=rejected"))
    press(page, "Clear")
    expect(page).to_have_url(f"{visitor.url}/traces")
    expect(rows).to_have_count(100)
    press(page, "Load 100 more")
    expect(rows).to_have_count(200)


def test_a_trace_opens_beside_the_list_with_its_feedback(visitor: Visitor) -> None:
    page = visitor.open("/traces?endpoint=digits&variant=v1")
    row = page.locator("tbody tr", has=page.locator("td", has_text="Corrected to")).first
    row.click()
    drawer = page.locator(".drawer")
    expect(drawer).to_contain_text("Corrected the answer to")
    expect(drawer).to_contain_text("The loop is open at the top.")
    expect(drawer.locator(".answer")).to_have_text(re.compile(r"\d"))
    expect(drawer.get_by_text("Open in MLflow")).to_be_visible()
    link = drawer.locator("a", has_text="Open in MLflow")
    assert (link.get_attribute("href") or "").startswith("/mlflow/")
    assert link.get_attribute("target") == "_blank"
    expect(page).to_have_url(re.compile("trace=tr-"))
    expect(page.locator("tbody tr.chosen")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(page).to_have_url(f"{visitor.url}/traces?endpoint=digits&variant=v1")


def test_a_trace_is_found_by_its_id(visitor: Visitor) -> None:
    page = visitor.open("/traces?endpoint=churn")
    trace = page.locator("tbody tr").nth(3).get_attribute("data-id")
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type(str(trace))
    page.keyboard.press("Enter")
    expect(page.locator(".drawer")).to_contain_text(str(trace))
    expect(page.locator(".drawer")).to_contain_text("tenure")
    visitor.open("/traces?find=tr-0000&trace=tr-0000")
    expect(page.locator(".drawer")).to_contain_text("There is no call tr-0000")


def test_the_diff_explorer_leads_from_a_release_to_whom_it_differs_for_and_to_one_pair(visitor: Visitor) -> None:
    page = visitor.open(f"/releases/{SHADOWED}")
    page.get_by_role("link", name="Compare answers").click()
    expect(page.locator(".sentence")).to_contain_text("answers would have been another one; 1.0 % is tolerated")
    worst = page.get_by_role("table", name="The worst first")
    expect(worst.locator("tbody tr").first).to_contain_text("region is not known")
    page.get_by_label("Column").select_option("region")
    where = page.get_by_role("table", name="Where they differ")
    expect(where.locator("tbody tr").first).to_contain_text("west")
    where.get_by_text("west").click()
    expect(page).to_have_url(re.compile("by=region&value=west$"))
    worst.locator("tbody tr", has_text="label[0]").first.click()
    drawer = page.locator(".drawer")
    expect(drawer).to_contain_text("v4 told the user")
    expect(drawer).to_contain_text(re.compile("region.*west.*v5 would have said.*What differs", re.DOTALL))
    expect(page).to_have_url(re.compile("&trace=tr-"))
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()


def test_a_second_person_says_yes(visitor: Visitor) -> None:
    page = visitor.open("/history")
    expect(page.locator(".sentence")).to_have_text("1 request waits for a second person.")
    name = page.get_by_label("Your name, for the history")
    name.fill("bob & co")
    name.press("Tab")  # the page is loaded anew, with the name
    expect(page.get_by_label("Your name, for the history")).to_have_value("bob & co")
    press(page, "Approve")
    expect(page.locator(".dialog .change")).to_contain_text(re.compile(r"waits\s*done now"))
    page.locator(".dialog").get_by_role("button", name="Approve").click()
    expect(page.locator(".toast")).to_contain_text("Approved: digits version 3 moves to Production")
    expect(page.get_by_text("Waiting for a second person")).to_be_hidden()


def test_an_entry_of_the_history_says_why(visitor: Visitor) -> None:
    page = visitor.open("/history")
    page.get_by_label("Action").select_option("release")
    page.wait_for_url("**/history?kind=release")
    page.locator("tbody tr", has=page.locator("td", has_text="release.rolled_back")).first.click()
    drawer = page.locator(".drawer")
    expect(drawer).to_contain_text(re.compile(r"Before\s*v1 99 %, v3 1 %"))
    expect(drawer).to_contain_text(re.compile(r"[6-9]\d\.\d / 60"))
    drawer.get_by_role("link", name="Release").click()
    expect(page.locator("h1")).to_contain_text("v3")
