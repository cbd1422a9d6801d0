"""Dialogs about keys: a new one, its secret (shown once), a turn, the end.

Called by the keys page and its drawer. Decides what is asked before; what may be said is provision/document.py's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.console.parts.confirm import Change, Question, confirm, toast
from headrace.console.parts.dialog import asking
from headrace.console.parts.secret import show_secrets
from headrace.console.parts.tag import VALUE_OF_TARGET, tag, text
from headrace.console.visit import Visit
from headrace.traffic.keys import MadeKey
from headrace.types.gateway import USUAL_SCOPES, Scope, VirtualKey

FIELDS = ("name", "team", "user", "workspace", "models", "expires")


def ask_new(visit: Visit, done: Callable[[str], None]) -> None:
    """`done` gets the id of what was made."""
    told = dict.fromkeys(FIELDS, "")
    scopes = set(USUAL_SCOPES)

    def made(found: MadeKey | None) -> None:
        if found is not None:
            show_key(visit, found)
            done(found.key.id)

    def create() -> MadeKey:
        new = visit.services.provision.create_key(given(told, scopes), actor=visit.actor)
        visit.services.settle()  # what is shown can be used
        return new

    with asking(
        visit,
        title=visit.say("keys.make"),
        sentence=visit.say("keys.make_means"),
        yes=visit.say("keys.make_it"),
        act=create,
        done=made,
    ):
        with tag("div", "grid-2"):
            for name in FIELDS:
                _field(visit, told, name)
        with tag("fieldset", "labelled ticks-box"):
            text("legend", "label", visit.say("column.scopes"))
            with tag("div", "ticks"):
                for scope in Scope:
                    _tick(visit, scopes, scope)


def given(told: dict[str, str], scopes: set[Scope]) -> dict[str, Any]:
    """As provision/document.py reads it."""
    plain = {name: told[name].strip() for name in FIELDS if name != "models" and told[name].strip()}
    models = told["models"].replace(",", " ").split()
    return plain | ({"models": models} if models else {}) | {"scopes": [s.value for s in Scope if s in scopes]}


def _field(visit: Visit, told: dict[str, str], name: str) -> None:
    with tag("label", "labelled"):
        text("span", "label", visit.name("key_field", name))
        with tag("span", "field"):
            kind = "date" if name == "expires" else "text"
            box = tag("input", "", type=kind, maxlength=200, placeholder=visit.name("key_hint", name))
            box.on("input", lambda event: told.update({name: str(event.args or "")}), js_handler=VALUE_OF_TARGET)


def _tick(visit: Visit, scopes: set[Scope], scope: Scope) -> None:
    def turn(event: Any) -> None:
        (scopes.add if event.args else scopes.discard)(scope)

    with tag("label", title=visit.name("scope", scope)):
        box = tag("input", "", type="checkbox", defaultChecked=scope in scopes)
        box.on("change", turn, js_handler="(event) => emit(event.target.checked)")
        text("span", "", scope.value)


def show_key(visit: Visit, made: MadeKey) -> None:
    """Nobody can see it again."""
    title = visit.say("keys.secret_of", name=made.key.name or made.key.id)
    once, kept = visit.say("keys.secret_once"), visit.say("webhook.secret_kept")
    show_secrets(visit, title, once, [("", made.secret.reveal())], kept=kept)


def ask_rotate(visit: Visit, key: VirtualKey, done: Callable[[], None]) -> None:
    made: list[MadeKey] = []

    def told() -> None:
        done()
        show_key(visit, made[-1])

    def act() -> None:
        made.append(visit.services.provision.rotate_key(key.id, actor=visit.actor))
        visit.services.settle()

    _ask(visit, "rotate", key, act=act, done=told)


def ask_revoke(visit: Visit, key: VirtualKey, done: Callable[[], None]) -> None:
    def act() -> None:
        visit.services.provision.revoke_key(key.id, actor=visit.actor)
        visit.services.settle()

    def told() -> None:
        toast(visit, visit.say("keys.revoked", name=key.name or key.id))
        done()

    _ask(visit, "revoke", key, act=act, done=told)


def _ask(visit: Visit, deed: str, key: VirtualKey, *, act: Callable[[], Any], done: Callable[[], None]) -> None:
    name = key.name or key.id
    question = Question(
        title=visit.name("key_ask", deed, name=name),
        sentence=visit.name("key_ask", f"{deed}_means"),
        changes=[
            Change(what=f"hr-{key.id}-…", was=visit.name("key_change", "was"), will=visit.name("key_change", deed))
        ],
        yes=visit.name("key_yes", deed),
        danger=deed == "revoke",
        reasoned=False,
    )
    confirm(visit, question, act=lambda _: act(), done=done)
