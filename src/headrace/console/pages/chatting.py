"""A chat endpoint's ways and its prompts, in the place where other endpoints have a form; and what one copies.

Called by the endpoint page. Decides nothing: the rows are those of the gateway page; one tries it in the playground.
"""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

from headrace.console import snippets
from headrace.console.pages import routes
from headrace.console.parts.button import copy_button
from headrace.console.parts.frame import panel
from headrace.console.parts.icon import icon
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Table
from headrace.console.parts.tag import link, tag, text
from headrace.console.visit import Visit
from headrace.control.gateway import Route
from headrace.store import spend
from headrace.types.endpoint import Endpoint
from headrace.types.gateway import SpendSum

DAY = 86_400.0
SECONDS = 5.0
Found = tuple[tuple[Route, ...], tuple[SpendSum, ...]]


class Chatting:
    """In the place of trying.py's TryIt."""

    def __init__(self, visit: Visit, endpoint: Endpoint) -> None:
        self._visit, self._name = visit, endpoint.name
        self._prompted: list[tuple[str, str]] = []

    def draw_copies(self) -> None:
        url = self._visit.services.planes.url
        for label, make in (("curl", snippets.chat_curl), ("Python", snippets.chat_python)):
            copy_button(self._visit, label, partial(make, url, self._name), kind="ghost")

    def draw(self) -> None:
        say = self._visit.say
        with panel(say("chat.ways"), flush=True) as box:
            with box.head, link(f"/playground?model={quote(self._name, safe='')}", "btn small push"):
                icon("playground")
                text("span", "", say("chat.try"))
            columns = [each for each in routes.columns(self._visit) if each["name"] != "endpoint"]
            self._table = Table(columns, label=say("chat.ways")).classes("tame")
            self._prompts = tag("div", "stack inset")
        self._prompts.set_visibility(False)

    async def start(self) -> None:
        found = await first_look(self._load)
        if found is not None:
            self._show(found)
            keep_fresh(self._load, self._show, seconds=SECONDS)

    def _load(self) -> Found:
        services = self._visit.services
        now = services.clock.now()
        with services.database.read() as conn:
            by = ("endpoint", "variant", "provider", "model")
            seen = spend.sums(conn, since=now - DAY, until=now, by=by, only={"endpoint": self._name})
        return tuple(r for r in services.gateway.routes() if r.endpoint.name == self._name), seen

    def _show(self, found: Found) -> None:
        self._table.show(routes.rows(self._visit, *found))
        prompted = [(name, chat.prompt) for route in found[0] for name, chat in route.chats.items() if chat.prompt]
        if prompted == self._prompted:
            return
        self._prompted = prompted
        self._prompts.set_visibility(bool(prompted))
        self._prompts.clear()
        with self._prompts:
            for name, prompt in prompted:
                with tag("div", "labelled"):
                    text("span", "label", self._visit.say("chat.prompt", variant=name))
                    text("p", "prose", prompt)
