"""Dialogs about receivers: a new one, its secret (shown once), another secret, off, away.

Called by the webhooks page and its drawer. Decides what is asked before; what may be said is notify/hooks.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.console.parts.confirm import Change, Question, confirm, toast
from headrace.console.parts.dialog import asking
from headrace.console.parts.secret import show_secrets
from headrace.console.parts.tag import VALUE_OF_TARGET, tag, text
from headrace.console.visit import Visit
from headrace.notify.hooks import Made
from headrace.types.webhook import EVENTS, Webhook

FIELDS = ("name", "url", "events", "endpoints")


def ask_new(visit: Visit, done: Callable[[str], None]) -> None:
    """`done` gets the name of what was made."""
    told = {"name": "", "url": "", "events": ", ".join(EVENTS), "endpoints": ""}

    def made(found: Made | None) -> None:
        if found is not None:
            show_secret(visit, found)
            done(found.hook.name)

    with asking(
        visit,
        title=visit.say("webhooks.add"),
        sentence=visit.say("webhooks.add_means"),
        yes=visit.say("webhooks.make"),
        act=lambda: visit.services.hooks.create(given(told), actor=visit.actor),
        done=made,
    ):
        for name in FIELDS:
            _field(visit, told, name)


def given(told: dict[str, str]) -> dict[str, Any]:
    """As notify/hooks.py reads it: names that are listed with commas or blanks."""
    listed = {key: told[key].replace(",", " ").split() for key in ("events", "endpoints")}
    return {"name": told["name"].strip(), "url": told["url"].strip(), **listed}


def _field(visit: Visit, told: dict[str, str], name: str) -> None:
    with tag("label", "labelled"):
        text("span", "label", visit.name("webhook_field", name))
        with tag("span", "field"):
            hint = visit.name("webhook_hint", name)
            box = tag("input", "", type="text", maxlength=500, defaultValue=told[name], placeholder=hint)
            box.on("input", lambda event: told.update({name: str(event.args)}), js_handler=VALUE_OF_TARGET)


def show_secret(visit: Visit, made: Made) -> None:
    """Nobody can see it again. It stands by itself: the dialog that it was asked for in goes."""
    if not made.secret:
        return
    title, once = visit.say("webhook.secret_of", name=made.hook.name), visit.say("webhook.secret_once")
    show_secrets(visit, title, once, [("", made.secret)], kept=visit.say("webhook.secret_kept"))


def ask_rotate(visit: Visit, hook: Webhook, done: Callable[[], None]) -> None:
    made: list[Made] = []

    def finish() -> None:
        done()
        show_secret(visit, made[-1])

    _ask(
        visit,
        "rotate",
        hook,
        act=lambda: made.append(visit.services.hooks.rotate(hook.name, actor=visit.actor)),
        done=finish,
    )


def ask_off(visit: Visit, hook: Webhook, done: Callable[[], None]) -> None:
    def act() -> None:
        visit.services.hooks.change(hook.name, {"active": False}, actor=visit.actor)

    _ask(visit, "off", hook, act=act, done=done)


def ask_remove(visit: Visit, hook: Webhook, done: Callable[[], None]) -> None:
    def act() -> None:
        visit.services.hooks.remove(hook.name, actor=visit.actor)

    _ask(visit, "remove", hook, act=act, done=done)


def _ask(visit: Visit, deed: str, hook: Webhook, *, act: Callable[[], None], done: Callable[[], None]) -> None:
    was, will = (visit.name("webhook_change", f"{deed}_{side}") for side in ("was", "will"))
    question = Question(
        title=visit.name("webhook_ask", deed, name=hook.name),
        sentence=visit.name("webhook_ask", f"{deed}_means"),
        changes=[Change(what=hook.name, was=was, will=will)],
        yes=visit.name("webhook_yes", deed),
        danger=deed == "remove",
        reasoned=False,
    )

    def told() -> None:
        toast(visit, visit.name("webhook_did", deed, name=hook.name))
        done()

    confirm(visit, question, act=lambda _: act(), done=told)
