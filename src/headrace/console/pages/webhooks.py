"""Webhooks: who is told of what happens here, whether it arrives, and the log of each receiver.

Called by the shell. Decides nothing: notify/hooks.py makes and tries receivers, its clock sends. The one whose log is
open stands in the address; a secret is shown once, when it is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from nicegui import ui

from headrace.console.pages.hooking import ask_new
from headrace.console.pages.webhook import Receiver, badge_of
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.drawer import Drawer
from headrace.console.parts.empty import empty
from headrace.console.parts.frame import page_head, panel
from headrace.console.parts.live import first_look, keep_fresh
from headrace.console.parts.table import Row, Table, badge_cell, cell, column, time_cell
from headrace.console.parts.tag import tag
from headrace.console.visit import Visit
from headrace.store import webhooks
from headrace.types.webhook import Delivery, DeliveryState, Webhook

if TYPE_CHECKING:
    from headrace.control.services import Services

LOG = 50  # messages in the drawer


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """`log` is of the receiver called `name`; `last` has the newest message of each."""

    hooks: tuple[Webhook, ...]
    last: dict[str, Delivery]
    name: str
    log: tuple[Delivery, ...]


def load(services: Services, name: str) -> Found:
    with services.database.read() as conn:
        hooks = webhooks.all(conn)
        newest = {hook.name: webhooks.deliveries(conn, hook.id, limit=1) for hook in hooks}
        chosen = next((hook for hook in hooks if hook.name == name), None)
        log = webhooks.deliveries(conn, chosen.id, limit=LOG) if chosen else ()
    return Found(hooks=hooks, last={n: found[0] for n, found in newest.items() if found}, name=name, log=log)


async def show(visit: Visit, name: str = "") -> None:
    ui.page_title(f"{visit.say('place.webhooks')} · Headrace")
    data = await first_look(lambda: load(visit.services, name))
    if data is None:
        return
    page = _Page(visit, data)
    page.show(data)
    page.open(name)
    keep_fresh(lambda: load(visit.services, page.chosen), page.show)


class _Page:
    def __init__(self, visit: Visit, data: Found) -> None:
        self._visit, say = visit, visit.say
        self.chosen, self._data = "", data
        self._head = page_head(say("place.webhooks"), "")
        with self._head.acts:
            button(say("webhooks.add"), lambda: ask_new(visit, self.open_made), kind="primary")
        with tag("div") as self._box, panel(say("webhooks.receivers"), flush=True):
            columns = [
                column("name", say("column.receiver")),
                column("state", say("column.status")),
                column("events", say("column.events"), grow=True, wide_only=True),
                column("endpoints", say("column.endpoint"), wide_only=True),
                column("last", say("column.message"), wide_only=True),
                column("time", say("column.time"), end=True),
            ]
            self._table = Table(columns, label=say("webhooks.receivers"), on_pick=self.open)
        with tag("div", "panel") as self._none:
            will = [say("webhooks.will_1"), say("webhooks.will_2"), say("webhooks.will_3")]
            command = "headrace webhook add chat https://chat.example.com/hooks/ml"
            empty(visit, icon_name="webhooks", title=say("webhooks.empty"), will=will, commands=[command])
        self._drawer = Drawer(visit, self._closed)
        self._receiver: Receiver | None = None

    def show(self, data: Found) -> None:
        self._data = data
        self._head.sentence.show(*said_of(self._visit, data))
        self._box.set_visibility(bool(data.hooks))
        self._none.set_visibility(not data.hooks)
        self._table.show([_row(self._visit, hook, data.last.get(hook.name)) for hook in data.hooks])
        hook = next((each for each in data.hooks if each.name == self.chosen), None)
        if self.chosen and hook is None:
            self._drawer.close()
        elif self._receiver is not None and hook is not None and data.name == self.chosen:
            self._receiver.show(hook, data.log)

    def open(self, name: str) -> None:
        hook = next((each for each in self._data.hooks if each.name == name), None)
        if hook is None:
            return
        self.chosen = name
        self._table.choose(name)
        ui.navigate.history.replace(f"/webhooks?{urlencode({'name': name})}")
        with self._drawer.open(name):
            self._receiver = Receiver(self._visit, hook, self.refresh)
            self._receiver.show(hook, load(self._visit.services, name).log)

    def open_made(self, name: str) -> None:
        self.refresh()
        self.open(name)

    def refresh(self) -> None:
        self.show(load(self._visit.services, self.chosen))

    def _closed(self) -> None:
        self.chosen, self._receiver = "", None
        self._table.choose("")
        ui.navigate.history.replace("/webhooks")


def said_of(visit: Visit, data: Found) -> tuple[str, str]:
    """The sentence and its tone: bad while something does not arrive."""
    stuck = [hook for hook in data.hooks if hook.active and _troubled(data.last.get(hook.name))]
    if stuck:
        names = visit.say("release.and").join(hook.name for hook in stuck)
        return visit.count("webhooks.stuck", len(stuck), names=names), "bad"
    active: Sequence[Webhook] = [hook for hook in data.hooks if hook.active]
    return visit.count("webhooks.sentence", len(active)), ""


def _troubled(last: Delivery | None) -> bool:
    return last is not None and last.state is not DeliveryState.DELIVERED and last.attempts > 0


def _row(visit: Visit, hook: Webhook, last: Delivery | None) -> Row:
    word, tone, icon_name = badge_of(visit, hook, last)
    return {
        "id": hook.name,
        "name": cell(hook.name, sub=urlsplit(hook.url).hostname or "", title=hook.url),
        "state": badge_cell(word, tone=tone, icon_name=icon_name),
        "events": cell(", ".join(hook.events), classes="soft mono"),
        "endpoints": cell(", ".join(hook.endpoints) or visit.say("webhooks.all_endpoints")),
        "last": cell(last.event, classes="mono soft") if last else cell(numbers.NOTHING),
        "time": time_cell(last.time or last.created) if last else cell(numbers.NOTHING),
    }
