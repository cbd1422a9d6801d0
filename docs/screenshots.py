"""`make screenshots`: the pictures of the console that the docs show, into docs/images/.

`python -m docs.screenshots --into FOLDER` takes every page, light and dark, wide and narrow, to be looked at.
Serves tests/browser/stage.py (a small shop with real data) and tests/browser/talking.py (a gateway) on free ports and
looks at them with Chromium. `… release traces` takes only these pages.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from tests.browser import theatre
from tests.browser.stage import BACK, GOING, spawned
from tests.browser.talking import talking

IMAGES = Path(__file__).parent / "images"
SHOWN = ("costs", "flywheel", "gateway", "history", "playground", "programs", "release", "release-ab", "review")
LOOKS = [("light", "wide"), ("light", "narrow"), ("dark", "wide"), ("dark", "narrow")]  # the first is that of the docs
WIDTHS = {"wide": (1280, 800), "narrow": (390, 844)}
TALLEST = 1200
SETTLE_MS = 2500  # charts and the first live values


def nothing(_: Page) -> None:
    pass


def predict(page: Page) -> None:
    page.get_by_role("button", name="Predict").click()
    page.wait_for_selector(".try .answer")


def open_trace(page: Page) -> None:
    page.locator("tbody tr", has=page.locator("td", has_text="Corrected to")).first.click()
    page.wait_for_selector(".drawer .answer")
    page.wait_for_timeout(500)


def ask_both(page: Page) -> None:
    page.get_by_label("Your question").fill("Why is the sky blue?")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("button", name="Good answer of quick").click()


def ask(page: Page) -> None:
    page.get_by_role("button", name="Promote").locator("visible=true").click()
    page.wait_for_selector(".dialog")


def open_entry(page: Page) -> None:
    page.locator("tbody tr", has=page.locator("td", has_text="release.rolled_back")).first.click()
    page.wait_for_selector(".drawer .facts")


def begin_example(page: Page) -> None:
    example = page.get_by_role("button", name="Begin with the example")
    if example.count():
        example.click()
    else:
        page.locator("tbody a", has_text="ticket").click()
    page.wait_for_selector(".cards")


def open_row(page: Page) -> None:
    page.locator("tbody tr").first.click()
    page.wait_for_selector(".drawer .facts")


PAGES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "overview": ("/", nothing),
    "endpoints": ("/endpoints", nothing),
    "endpoint": ("/endpoints/digits", predict),
    "releases": ("/releases", nothing),
    "release": (f"/releases/{GOING}", nothing),
    "release-rolled-back": (f"/releases/{BACK}", nothing),
    "release-promote": (f"/releases/{GOING}", ask),
    "traces": ("/traces", nothing),
    "trace": ("/traces?endpoint=digits", open_trace),
    "playground": ("/playground?model=careful&beside=quick", ask_both),
    "models": ("/versions", nothing),
    "history": ("/history", nothing),
    "history-entry": ("/history?kind=release", open_entry),
    "datasets": ("/datasets", nothing),
    "dataset": ("/datasets/digits@1", open_row),
    "review": ("/review", nothing),
    "webhooks": ("/webhooks", nothing),
    "webhook": ("/webhooks?name=pipeline", nothing),
    "settings": ("/settings", nothing),
    "flywheel": ("/flywheel", nothing),
    "programs": ("/programs", begin_example),
}

STAGED: dict[str, tuple[str, Callable[[Page], None]]] = {  # with a release of every strategy
    "theatre": ("/", nothing),
    "release-shadow": (f"/releases/{theatre.SHADOW}", nothing),
    "release-ab": (f"/releases/{theatre.AB}", nothing),
    "release-approval": (f"/releases/{theatre.APPROVAL}", nothing),
    "release-switch": (f"/releases/{theatre.SWITCH}", nothing),
    "release-together": (f"/releases/{theatre.EARLY}", nothing),
    "endpoint-adapter": (f"/endpoints/{theatre.ADAPTED}", nothing),
}
TALKED: dict[str, tuple[str, Callable[[Page], None]]] = {  # of a real platform over stub upstreams
    "gateway": ("/gateway", nothing),
    "gateway-keys": ("/gateway/keys", nothing),
    "costs": ("/costs", nothing),
}
ALL = PAGES | STAGED | TALKED


def main() -> int:
    chromium = next((path for name in ("chromium", "chromium-browser") if (path := shutil.which(name))), None)
    if chromium is None:
        sys.stdout.write("no Chromium: apt-get install chromium\n")
        return 1
    parser = argparse.ArgumentParser(prog="python -m docs.screenshots", description="Pictures of the console.")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"some of: {', '.join(ALL)}")
    parser.add_argument("--into", type=Path, help="every page and look into this folder, not those of the docs")
    given = parser.parse_args()
    wanted = given.pages or list(ALL if given.into else SHOWN)
    if unknown := [name for name in wanted if name not in ALL]:
        parser.error(f"no page {unknown[0]!r}; there are: {', '.join(ALL)}")
    images, looks = (given.into, LOOKS) if given.into else (IMAGES, LOOKS[:1])
    images.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as started, sync_playwright() as playwright:
        urls = _start(started, Path(folder), wanted)
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        for name in wanted:
            for mode, width in looks:
                path = images / f"{name}-{mode}-{width}.png"
                _take(browser, urls[name], name=name, mode=mode, width=width, path=path)
                sys.stdout.write(f"{path} {path.stat().st_size // 1024} kB\n")
                sys.stdout.flush()
        browser.close()
    return 0


def _start(started: ExitStack, folder: Path, wanted: list[str]) -> dict[str, str]:
    """The address for each page; only what is wanted is started."""
    urls: dict[str, str] = {}
    for pages, begin in (
        (PAGES, lambda: started.enter_context(spawned(folder / "home"))),
        (STAGED, lambda: started.enter_context(spawned(folder / "stage", "--theatre"))),
        (TALKED, lambda: started.enter_context(talking(folder / "talk", people=400)).url),
    ):
        if names := [name for name in wanted if name in pages]:
            urls |= dict.fromkeys(names, begin())
    return urls


def _take(browser: Browser, url: str, *, name: str, mode: str, width: str, path: Path) -> None:
    address, act = ALL[name]
    across, down = WIDTHS[width]
    context = browser.new_context(viewport={"width": across, "height": down}, color_scheme=mode, locale="en-US")
    page = context.new_page()
    page.goto(url + address)
    page.wait_for_selector("main h1")
    act(page)
    if width == "wide":  # the whole page, with the rail down to its end
        tall = page.evaluate("document.querySelector('.main').getBoundingClientRect().bottom")
        page.set_viewport_size({"width": across, "height": int(min(max(tall, down), TALLEST))})
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=path)
    context.close()


if __name__ == "__main__":
    sys.exit(main())
