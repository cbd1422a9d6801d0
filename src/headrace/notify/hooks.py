"""The receivers: made, changed, tried and removed by people or by a file.

Called by the admin API, the console, and at the start of a control plane that has a file of them. Decides what a
receiver may look like. Every change is in the history; the secret is shown once, and is kept nowhere (sender.py).
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec
import yaml

from headrace.base.clock import Clock
from headrace.base.ids import new_id
from headrace.client.signature import secret_text
from headrace.compute.upstream import parse_url
from headrace.notify.deliver import message_id, settled
from headrace.notify.message import TEST, test_body
from headrace.notify.sender import Sender, check_variable
from headrace.store import audit, webhooks
from headrace.store.db import Connection, Database
from headrace.types.errors import BadInput, Conflict, NotFound
from headrace.types.webhook import EVENTS, Delivery, DeliveryState, Webhook

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_EVENT = re.compile(r"(\*|[a-z]+\.(\*|[a-z_]+))")
FILE_ACTOR = "system:webhooks"


class Described(msgspec.Struct, forbid_unknown_fields=True):
    """A receiver as a person writes it, in a file or to the API."""

    name: str
    url: str
    events: list[str] = msgspec.field(default_factory=lambda: list(EVENTS))
    endpoints: list[str] = []
    secret_env: str = ""
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """`secret`: to be shown once; empty when it is in the environment."""

    hook: Webhook
    secret: str


class Hooks:
    def __init__(self, *, database: Database, sender: Sender, clock: Clock) -> None:
        self._database, self._sender, self._clock = database, sender, clock

    def create(self, given: dict[str, Any], *, actor: str) -> Made:
        """Told of what happens from now on. Raises BadInput, and Conflict for a name that is taken."""
        told = read_described(given)
        with self._database.write() as conn:
            if webhooks.get(conn, told.name) is not None:
                raise Conflict(f"there is a webhook {told.name!r} already", field="name")
            return self._create(conn, told, actor)

    def change(self, name: str, changes: dict[str, Any], *, actor: str) -> Webhook:
        """What is given changes, the rest stays. One that is switched on again is told of what happens from then on."""
        with self._database.write() as conn:
            before = _known(conn, name)
            if changes.get("name", name) != name:
                raise BadInput(f"the name of webhook {name!r} stays; make another one", field="name")
            told = read_described(_description(before) | changes)
            return self._change(conn, before, told, actor)

    def remove(self, name: str, *, actor: str) -> None:
        with self._database.write() as conn:
            hook = _known(conn, name)
            webhooks.remove(conn, hook.id)
            self._note(conn, hook, "remove", actor, "removed")

    def rotate(self, name: str, *, actor: str) -> Made:
        """A new secret; the one before it signs too for a day."""
        with self._database.write() as conn:
            hook = _known(conn, name)
            if hook.secret_env:
                raise Conflict(f"the secret of webhook {name!r} is in {hook.secret_env}: change it there", field="name")
            turned = replace(hook, generation=hook.generation + 1, rotated=self._clock.now())
            webhooks.put(conn, turned)
            self._note(conn, turned, "rotate", actor, f"secret {turned.generation}")
        return self._made(turned)

    def test(self, name: str, *, actor: str) -> Delivery:
        """A message sent now, once; what became of it."""
        now = self._clock.now()
        delivery = Delivery(id=0, hook="", entry=0, event=TEST, state=DeliveryState.DUE, created=now, next_time=now)
        with self._database.write() as conn:
            hook = _known(conn, name)
            # Never due: the turn would send it a second time.
            delivery = replace(delivery, hook=hook.id, state=DeliveryState.FAILED, error="it was not sent")
            delivery = replace(delivery, id=webhooks.add_delivery(conn, delivery))
        outcome = asyncio.run(self._sender.send(hook, message_id(delivery), test_body(hook, now, actor)))
        done = settled(delivery, outcome, now=self._clock.now(), random=0.0)
        done = done if outcome.arrived else replace(done, state=DeliveryState.FAILED)
        with self._database.write() as conn:
            webhooks.put_delivery(conn, done)
        return done

    def retry(self, name: str, delivery_id: int) -> Delivery:
        """Due again at once, with all its attempts."""
        with self._database.write() as conn:
            hook = _known(conn, name)
            found = webhooks.delivery(conn, hook.id, delivery_id)
            if found is None or not found.entry:
                raise NotFound(f"webhook {name!r} has no delivery {delivery_id} to send again", field="delivery")
            again = replace(found, state=DeliveryState.DUE, attempts=0, next_time=self._clock.now(), error="")
            webhooks.put_delivery(conn, again)
        return again

    def apply(self, listed: Sequence[Any], *, actor: str, prune: bool = False) -> dict[str, tuple[Made | Webhook, ...]]:
        """What the list says is so afterwards; `prune`: what it does not name is removed."""
        wanted = {told.name: told for told in map(read_described, listed)}
        if len(wanted) != len(listed):
            raise BadInput("two webhooks of one name", field="webhooks")
        created: list[Made] = []
        changed: list[Webhook] = []
        removed: list[Webhook] = []
        with self._database.write() as conn:
            there = {hook.name: hook for hook in webhooks.all(conn)}
            for name, told in wanted.items():
                if name not in there:
                    created.append(self._create(conn, told, actor))
                elif _description(there[name]) != msgspec.to_builtins(told):
                    changed.append(self._change(conn, there[name], told, actor))
            for name in sorted(there.keys() - wanted.keys()) if prune else ():
                webhooks.remove(conn, there[name].id)
                self._note(conn, there[name], "remove", actor, "not in the list")
                removed.append(there[name])
        return {"created": tuple(created), "changed": tuple(changed), "removed": tuple(removed)}

    def apply_file(self, file: Path) -> None:
        """At the start. Raises BadInput."""
        self.apply(read_file(file), actor=FILE_ACTOR)

    def _create(self, conn: Connection, told: Described, actor: str) -> Made:
        hook = Webhook(
            id=new_id("hook"),
            name=told.name,
            url=told.url,
            events=tuple(told.events),
            endpoints=tuple(told.endpoints),
            secret_env=told.secret_env,
            active=told.active,
            created=self._clock.now(),
            position=audit.newest_id(conn),
        )
        webhooks.put(conn, hook)
        self._note(conn, hook, "create", actor, f"{_host(hook)} is told of {', '.join(hook.events)}")
        return self._made(hook)

    def _change(self, conn: Connection, before: Webhook, told: Described, actor: str) -> Webhook:
        after = replace(
            before,
            url=told.url,
            events=tuple(told.events),
            endpoints=tuple(told.endpoints),
            secret_env=told.secret_env,
            active=told.active,
            why_off="" if told.active else f"by {actor}",
            position=audit.newest_id(conn) if told.active and not before.active else before.position,
        )
        webhooks.put(conn, after)
        was, now = _description(before), _description(after)
        self._note(conn, after, "change", actor, ", ".join(name for name in now if now[name] != was[name]))
        return after

    def _made(self, hook: Webhook) -> Made:
        shown = "" if hook.secret_env else secret_text(self._sender.secret(hook, hook.generation))
        return Made(hook=hook, secret=shown)

    def _note(self, conn: Connection, hook: Webhook, deed: str, actor: str, detail: str) -> None:
        """Without the address: those of chat services are secrets."""
        subject, now = f"webhook:{hook.name}", self._clock.now()
        audit.append(conn, actor=actor, action=f"webhook.{deed}", subject=subject, detail=detail, now=now)


def read_file(file: Path) -> list[Any]:
    """`webhooks:` and a list of them. Raises BadInput."""
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"{str(file)!r} cannot be read: {error}", field="webhooks") from error
    listed = content.get("webhooks") if isinstance(content, dict) else content
    if not isinstance(listed, list):
        raise BadInput(f"{str(file)!r} holds no list of webhooks", field="webhooks", hint="see docs/webhooks.md")
    return listed


def read_described(given: Any) -> Described:
    """Raises BadInput naming the part."""
    try:
        told = msgspec.convert(given, Described)
    except msgspec.ValidationError as error:
        raise BadInput(f"the description of a webhook: {error}".replace("`", "'"), field="webhook") from error
    if not _NAME.fullmatch(told.name):
        raise BadInput(f"name is {told.name!r}; allowed: 1 to 100 letters, digits, '.', '_' and '-'", field="name")
    parse_url(told.url)
    if not told.events:
        raise BadInput("events is empty, so it would never be told of anything", field="events")
    if odd := [event for event in told.events if not _EVENT.fullmatch(event)]:
        raise BadInput(f"{odd[0]!r} is no event; such as release.promoted, release.* or *", field="events")
    if told.secret_env:
        check_variable(told.secret_env)
    return told


def _known(conn: Connection, name: str) -> Webhook:
    found = webhooks.get(conn, name)
    if found is None:
        there = ", ".join(hook.name for hook in webhooks.all(conn)) or "none yet"
        raise NotFound(f"there is no webhook {name!r}; there are: {there}", field="name")
    return found


def _description(hook: Webhook) -> dict[str, Any]:
    return {
        "name": hook.name,
        "url": hook.url,
        "events": list(hook.events),
        "endpoints": list(hook.endpoints),
        "secret_env": hook.secret_env,
        "active": hook.active,
    }


def _host(hook: Webhook) -> str:
    return urlsplit(hook.url).hostname or ""
