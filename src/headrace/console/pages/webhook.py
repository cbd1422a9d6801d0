"""One receiver, inside the drawer: what it is told, what became of each message, and what one can do with it.

Called by the webhooks page. Decides how a message's fate is shown; what is done is notify/hooks.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from nicegui import run

from headrace.console.pages.hooking import ask_off, ask_remove, ask_rotate
from headrace.console.parts import numbers
from headrace.console.parts.button import button
from headrace.console.parts.confirm import toast
from headrace.console.parts.frame import facts, problem
from headrace.console.parts.icon import icon
from headrace.console.parts.tag import tag, text
from headrace.console.parts.when import when
from headrace.console.visit import Visit
from headrace.types.errors import HeadraceError
from headrace.types.webhook import Delivery, DeliveryState, Webhook

FATES = {  # tone, icon
    DeliveryState.DUE: ("candidate", "clock"),
    DeliveryState.DELIVERED: ("good", "check"),
    DeliveryState.FAILED: ("bad", "warn"),
}


def badge_of(visit: Visit, hook: Webhook, last: Delivery | None) -> tuple[str, str, str]:
    """Word, tone and icon: off, or what became of the newest message."""
    if not hook.active:
        return visit.say("webhook.off"), "", "pause"
    if last is None:
        return visit.say("webhook.on"), "good", "check"
    tone, icon_name = FATES[last.state]
    return visit.name("delivery", last.state), tone, icon_name


class Receiver:
    def __init__(self, visit: Visit, hook: Webhook, changed: Callable[[], None]) -> None:
        self._visit, self._hook, self._changed = visit, hook, changed
        self._shown: tuple[Webhook | None, tuple[Delivery, ...]] = (None, ())
        self._facts = tag("section")
        self._notices = tag("div")
        say = visit.say
        with tag("div", "row-flex wrap"):
            button(say("webhook.test"), self._test, kind="primary", icon_name="play")
            self._on = button(say("webhook.switch_on"), partial(self._switch, True), icon_name="play")
            self._off = button(
                say("webhook.switch_off"), lambda: ask_off(visit, self._hook, changed), icon_name="pause"
            )
            self._rotate = button(say("webhook.rotate"), lambda: ask_rotate(visit, self._hook, changed))
            button(say("webhook.remove"), lambda: ask_remove(visit, self._hook, changed), kind="danger")
        with tag("section"):
            text("h3", "", say("webhook.log"))
            self._log = tag("ol", "history")

    def show(self, hook: Webhook, log: Sequence[Delivery]) -> None:
        self._hook = hook
        self._on.set_visibility(not hook.active)
        self._off.set_visibility(hook.active)
        self._rotate.set_visibility(not hook.secret_env)
        if self._shown == (hook, tuple(log)):
            return
        self._shown = (hook, tuple(log))
        self._facts.clear()
        with self._facts:
            facts(facts_of(self._visit, hook))
        self._log.clear()
        with self._log:
            for delivery in log:
                self._draw(delivery)
            if not log:
                text("li", "faint", self._visit.say("webhook.no_message"))

    def _draw(self, delivery: Delivery) -> None:
        visit = self._visit
        tone, icon_name = FATES[delivery.state]
        with tag("li"):
            tag("i", f"dot role-{tone}")
            with tag("div"):
                with tag("div", "row-flex wrap"):
                    text("span", "what mono", delivery.event)
                    with tag("span", f"badge tone-{tone}"):
                        icon(icon_name)
                        text("span", "", visit.name("delivery", delivery.state))
                    if delivery.entry and delivery.state is not DeliveryState.DELIVERED:
                        again = partial(self._retry, delivery.id)
                        button(visit.say("webhook.retry"), again, kind="ghost small", icon_name="undo")
                text("div", "detail", fate_of(visit, delivery))
            when(delivery.time or delivery.created, "faint small")

    async def _test(self) -> None:
        visit, name = self._visit, self._hook.name
        self._notices.clear()
        try:
            found = await run.io_bound(lambda: visit.services.hooks.test(name, actor=visit.actor))
        except HeadraceError as error:
            self._say(error.sentence())
            return
        if found is not None and found.state is DeliveryState.DELIVERED:
            took = numbers.milliseconds(1000 * found.seconds)
            toast(visit, visit.say("webhook.arrived", name=name, status=found.status, took=took))
        elif found is not None:
            self._say(visit.say("webhook.not_arrived", name=name, error=found.error or str(found.status)))
        self._changed()

    async def _switch(self, active: bool) -> None:
        visit, name = self._visit, self._hook.name
        self._notices.clear()
        try:
            await run.io_bound(lambda: visit.services.hooks.change(name, {"active": active}, actor=visit.actor))
        except HeadraceError as error:
            self._say(error.sentence())
            return
        self._changed()

    async def _retry(self, delivery: int) -> None:
        self._notices.clear()
        try:
            await run.io_bound(lambda: self._visit.services.hooks.retry(self._hook.name, delivery))
        except HeadraceError as error:
            self._say(error.sentence())
            return
        self._changed()

    def _say(self, message: str) -> None:
        with self._notices:
            problem(message)


def facts_of(visit: Visit, hook: Webhook) -> list[tuple[str, str]]:
    say = visit.say
    secret = say("webhook.secret_env", name=hook.secret_env) if hook.secret_env else say("webhook.secret_ours")
    return [
        (say("column.address"), hook.url),
        (say("column.events"), ", ".join(hook.events)),
        (say("column.endpoint"), ", ".join(hook.endpoints) or say("webhooks.all_endpoints")),
        (say("webhook.secret"), secret),
        (say("webhook.why_off"), hook.why_off),
    ]


def fate_of(visit: Visit, delivery: Delivery) -> str:
    """What became of it, in one line."""
    if not delivery.attempts:
        return visit.say("webhook.waiting")
    tries = visit.count("webhook.tries", delivery.attempts)
    if delivery.state is DeliveryState.DELIVERED:
        took = numbers.milliseconds(1000 * delivery.seconds)
        return visit.say("webhook.answered", status=delivery.status, took=took, tries=tries)
    return visit.say("webhook.failed", error=delivery.error or str(delivery.status), tries=tries)
