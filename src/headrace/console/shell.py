"""What stands around every page: the rail (the map of the loop), the keys, light and dark, the language.

Called by mount for every address. Decides the map and where one is on it; pages decide everything inside.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from nicegui import ui
from nicegui.page_arguments import RouteMatch

from headrace.console import theme
from headrace.console.messages import Language, choose_language
from headrace.console.pages import (
    changes,
    costs,
    dataset,
    datasets,
    editor,
    endpoint,
    endpoints,
    flywheel,
    gateway,
    history,
    keys,
    models,
    overview,
    pairs,
    playground,
    prices,
    program,
    programs,
    release,
    releases,
    review,
    settings,
    teach,
    traces,
    webhooks,
)
from headrace.console.parts.button import icon_button
from headrace.console.parts.empty import empty
from headrace.console.parts.icon import icon
from headrace.console.parts.tag import link, markup, tag, text
from headrace.console.visit import ANYBODY, Visit

if TYPE_CHECKING:
    from headrace.control.services import Services


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An entry of the rail. `key` follows g on the keyboard; `later` marks a page that has nothing to show yet."""

    name: str
    path: str
    key: str = ""
    later: bool = False


def _later(name: str) -> Place:
    return Place(name=name, path=f"/{name}", later=True)


MAP: tuple[tuple[str, tuple[Place, ...]], ...] = (
    ("", (Place(name="overview", path="/", key="o"),)),
    (
        "record",
        (
            Place(name="models", path="/versions", key="m"),
            Place(name="datasets", path="/datasets", key="d"),
            *map(_later, ("features", "lineage")),
        ),
    ),
    (
        "release",
        (
            Place(name="endpoints", path="/endpoints", key="e"),
            Place(name="releases", path="/releases", key="r"),
            Place(name="gateway", path="/gateway", key="g"),
            Place(name="playground", path="/playground", key="p"),
        ),
    ),
    ("observe", (Place(name="traces", path="/traces", key="t"), *map(_later, ("monitor", "alerts", "judges")))),
    (
        "learn",
        (
            Place(name="flywheel", path="/flywheel", key="f"),
            Place(name="programs", path="/programs", key="b"),
            Place(name="review", path="/review", key="q"),
            _later("jobs"),
        ),
    ),
    (
        "govern",
        (
            *map(_later, ("access", "policies")),
            Place(name="audit", path="/history", key="h"),
            Place(name="webhooks", path="/webhooks", key="w"),
            _later("compute"),
            Place(name="costs", path="/costs", key="c"),
            Place(name="settings", path="/settings", key="s"),
        ),
    ),
    ("", (_later("assistant"),)),
)
PLACES = tuple(place for _, places in MAP for place in places)
PATIENCE = 1.0  # seconds
TABS = ("overview", "endpoints", "releases", "traces")
PAGES: dict[str, Callable[..., Any]] = {
    "/": overview.show,
    "/endpoints": endpoints.show,
    "/endpoints/{name}": endpoint.show,
    "/releases": releases.show,
    "/releases/{id}": release.show,
    "/releases/{id}/pairs": pairs.show,
    "/gateway": gateway.show,
    "/gateway/keys": keys.show,
    "/gateway/versions": changes.show,
    "/gateway/edit": editor.show,
    "/playground": playground.show,
    "/traces": traces.show,
    "/versions": models.show,
    "/datasets": datasets.show,
    "/datasets/{name}": dataset.show,
    "/review": review.show,
    "/programs": programs.show,
    "/programs/{name}": program.show,
    "/flywheel": flywheel.show,
    "/history": history.show,
    "/audit": history.show,  # as it was called before
    "/webhooks": webhooks.show,
    "/costs": costs.show,
    "/costs/prices": prices.show,
    "/settings": settings.show,
    **{place.path: partial(teach.show, name=place.name) for place in PLACES if place.later},
}


class Stage(ui.sub_pages):
    """The part of the window that changes with the address."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        super().__init__(PAGES, data={"visit": visit})

    async def settled(self) -> None:
        """Until the page is there, so that it travels with the first answer; a slow one follows over the socket."""
        if self._active_tasks:
            await asyncio.wait(list(self._active_tasks), timeout=PATIENCE)

    def _find_matching_path(self) -> RouteMatch | None:
        """A page answers for its whole address; by itself NiceGUI would give `/` the rest of an unknown one."""
        match = super()._find_matching_path()
        return None if match is None or match.remaining_path else match

    def _render_404(self) -> None:
        say = self._visit.say
        empty(self._visit, icon_name="search", title=say("shell.no_page"), hint=say("shell.no_page_hint"))

    def _render_error(self, _: Exception) -> None:
        say = self._visit.say
        empty(self._visit, icon_name="warn", title=say("shell.broken"), hint=say("shell.broken_hint"))


async def build(services: Services) -> None:
    """One page load."""
    request = ui.context.client.request
    language = choose_language(request.cookies.get("headrace_lang"), request.headers.get("accept-language", ""))
    mode = request.cookies.get("headrace_mode", "")
    visit = Visit(services=services, language=language, actor=_name(request.cookies.get("headrace_name", "")))
    ui.add_head_html(
        f"<script>document.documentElement.lang = {json.dumps(language.value)};"
        f"document.documentElement.dataset.mode = {json.dumps(mode if mode in ('light', 'dark') else '')};</script>"
    )
    dark = ui.dark_mode({"dark": True, "light": False}.get(mode))
    places = _Places(visit)
    with tag("div", "shell"):
        with tag("nav", "rail", aria_label=visit.say("shell.map")):
            _brand()
            with tag("div", "rail-map"):
                places.draw()
            _foot(visit, dark)
        with tag("main", "main", id="main"):
            stage = Stage(visit)
    _tab_bar(visit, places, dark)
    router = ui.context.client.sub_pages_router
    places.mark(router.current_path)
    router.on_path_changed(places.mark)
    await stage.settled()


def _name(cookie: str) -> str:
    """Who the person says they are, for the history."""
    return "".join(sign for sign in unquote(cookie) if sign.isprintable()).strip()[:100] or ANYBODY


def _brand() -> None:
    with link("/", "rail-brand"):
        markup(theme.ICON)
        text("span", "", "Headrace")


class _Places:
    """The links of the map, drawn in the rail and in the sheet; knows which one is here."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._links: list[tuple[Place, ui.element, str]] = []

    def draw(self, *, keys: bool = True) -> None:
        for station, places in MAP:
            with tag("div", "rail-group"):
                if station:
                    text("div", "rail-title", self._visit.name("station", station))
                for place in places:
                    self._link(place, "rail-link later" if place.later else "rail-link", key=place.key if keys else "")

    def tab(self, place: Place) -> None:
        self._link(place, "", key="")

    def mark(self, path: str) -> None:
        here = "/" + path.split("?")[0].strip("/").split("/")[0]
        for place, element, classes in self._links:
            element.classes(replace=f"{classes} here" if place.path == here else classes)

    def _link(self, place: Place, classes: str, *, key: str) -> None:
        title = f"g {key}" if key else None
        with link(place.path, classes, data_go=key or None, title=title) as element:
            icon(place.name)
            text("span", "", self._visit.name("place", place.name))
        self._links.append((place, element, classes))


def _foot(visit: Visit, dark: ui.dark_mode) -> None:
    with tag("div", "rail-foot"):
        _switches(visit, dark)
        helper = icon_button(visit.say("shell.help"), lambda: _help(visit), icon_name="help")
        helper.props["data-help"] = True


def _switches(visit: Visit, dark: ui.dark_mode) -> None:
    def turn() -> None:
        dark.value = not dark.value
        ui.run_javascript(f"prefer('mode', '{'dark' if dark.value else 'light'}')")

    icon_button(visit.say("shell.mode"), turn, icon_name="moon")
    other = Language.ENGLISH if visit.language is Language.CHINESE else Language.CHINESE
    switch = tag("button", "btn ghost", type="button", title=visit.say("shell.language"))
    switch.on("click", js_handler=f"() => {{ prefer('lang', {json.dumps(other.value)}); location.reload(); }}")
    with switch:
        text("span", "", visit.say("shell.other_language"))


def _tab_bar(visit: Visit, places: _Places, dark: ui.dark_mode) -> None:
    with ui.dialog().props("position=bottom") as sheet, tag("div", "dialog"), tag("div", "sheet-grid"):
        places.draw(keys=False)
        with tag("div", "row-flex"):
            _switches(visit, dark)

    def close(_: str) -> None:
        sheet.close()

    ui.context.client.sub_pages_router.on_path_changed(close)
    with tag("nav", "tabbar", aria_label=visit.say("shell.tabs")):
        for name in TABS:
            places.tab(next(place for place in PLACES if place.name == name))
        more = tag("button", "", type="button")
        more.on("click", sheet.open, args=[])
        with more:
            icon("more")
            text("span", "", visit.say("shell.more"))


def _help(visit: Visit) -> None:
    keys = [("/", visit.say("shell.key_search")), ("?", visit.say("shell.help")), ("Esc", visit.say("shell.key_close"))]
    keys += [(f"g {place.key}", visit.name("place", place.name)) for place in PLACES if place.key]
    with ui.dialog() as dialog, tag("div", "dialog"):
        text("h2", "", visit.say("shell.help"))
        with tag("dl", "facts"):
            for key, meaning in keys:
                with tag("dt", "row-flex"):
                    for part in key.split(" "):
                        text("kbd", "", part)
                text("dd", "", meaning)
    dialog.on("hide", dialog.delete)
    dialog.open()
