"""One key, inside the drawer: what it may, what it spent, how full its limits are, and what can be done with it.

Called by the keys page. Decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from headrace.console.pages import limits
from headrace.console.pages.keying import ask_revoke, ask_rotate
from headrace.console.parts import numbers
from headrace.console.parts.button import button, copy_button
from headrace.console.parts.frame import facts
from headrace.console.parts.tag import tag, text
from headrace.console.parts.when import when
from headrace.console.visit import Visit
from headrace.control.fullness import Fullness
from headrace.types.gateway import SpendSum, VirtualKey

Shown = tuple[VirtualKey, SpendSum | None, tuple[Fullness, ...]]


class KeyDetail:
    def __init__(self, visit: Visit, key: VirtualKey, done: Callable[[], None]) -> None:
        self._visit, self._key, self._done = visit, key, done
        self._shown: Shown | None = None
        with tag("div", "row-flex wrap") as self._acts:
            button(visit.say("keys.rotate"), lambda: ask_rotate(visit, self._key, done), icon_name="undo")
            button(visit.say("keys.revoke"), lambda: ask_revoke(visit, self._key, done), kind="danger")
        self._body = tag("div", "stack")

    def show(self, key: VirtualKey, spent: SpendSum | None, found: tuple[Fullness, ...]) -> None:
        mine = tuple(each for each in found if not each.limit.who or each.limit.who == key.id)
        if (key, spent, mine) == self._shown:
            return
        self._key, self._shown = key, (key, spent, mine)
        self._acts.set_visibility(not key.revoked)
        self._body.clear()
        with self._body:
            self._draw(key, spent, mine)

    def _draw(self, key: VirtualKey, spent: SpendSum | None, mine: tuple[Fullness, ...]) -> None:
        say = self._visit.say
        facts(self._facts(key))
        for label, at in ((say("column.made"), key.created), (say("key.ends"), key.expires),
                          (say("key.revoked"), key.revoked), (say("key.old_until"), key.before_until)):  # fmt: skip
            if at:
                with tag("div", "row-flex"):
                    text("span", "faint small", label)
                    _moment(at, self._visit.now())
        with tag("section"):
            text("h3", "", say("column.spent_month"))
            text("p", "", self._spent(spent))
        if mine:
            with tag("section"):
                text("h3", "", say("gateway.limits"))
                with tag("div", "meters"):
                    for each in mine:
                        limits.draw_bar(self._visit, each, key.id)
        with tag("section"):
            text("h3", "", say("key.use"))
            url = f"{self._visit.services.planes.url}/v1"
            snippet = (
                f'from openai import OpenAI\n\nclient = OpenAI(\n    base_url="{url}",\n    api_key="hr-{key.id}-…",\n)'
            )
            text("code", "code", snippet)
            copy_button(self._visit, "Python", partial(str, snippet))

    def _facts(self, key: VirtualKey) -> list[tuple[str, str]]:
        say = self._visit.say
        return [
            (say("key.prefix"), f"hr-{key.id}-…"),
            (say("key_field.workspace"), key.workspace),
            (say("key_field.team"), key.team),
            (say("key_field.user"), key.user),
            (say("column.scopes"), ", ".join(scope.value for scope in key.scopes)),
            (say("column.models"), ", ".join(key.models) or say("keys.all_models")),
            (say("key.trusted"), say("key.trusted_means") if key.trusted else ""),
        ]

    def _spent(self, spent: SpendSum | None) -> str:
        if spent is None:
            return self._visit.say("key.unused")
        calls = self._visit.count("calls", spent.calls)
        tokens = numbers.count(spent.usage.total)
        return self._visit.say("key.spent", cost=numbers.money(spent.cost), calls=calls, tokens=tokens)


def _moment(at: float, now: float) -> None:
    """What is ahead is said by its day: the browser's words are for what was."""
    if at > now:
        text("span", "", f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}", title=numbers.duration(at - now))
    else:
        when(at)
