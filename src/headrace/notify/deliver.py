"""One turn of the webhooks: what is new in the history becomes deliveries, and what is due is sent.

Called by the control plane's clock. A control plane that is killed anywhere in here loses no message: the history was
written with the deed, the deliveries are written with the hook's place in it, and one whose outcome was not written is
sent again with the same `webhook-id`. Messages may arrive twice, and after a failure out of order: `data.id` counts up.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Sequence
from dataclasses import replace

from headrace.base.clock import Clock
from headrace.base.log import fields
from headrace.notify.message import body_of, wanted
from headrace.notify.retry import ATTEMPTS, GONE, wait_after
from headrace.notify.sender import Outcome, Sender
from headrace.store import audit, webhooks
from headrace.store.db import Connection, Database
from headrace.types.history import AuditEntry, Wanted
from headrace.types.webhook import Delivery, DeliveryState, Webhook

BATCH = 500  # entries of the history in one turn
EACH = 20  # messages to one receiver in one turn
LOG = 1_000  # deliveries that are done, kept for each hook
TURN_SECONDS = 5.0  # that one receiver may take of a turn; the others are served meanwhile

log = logging.getLogger("headrace.notify")

Task = tuple[Delivery, AuditEntry]


class Deliveries:
    def __init__(self, *, database: Database, sender: Sender, clock: Clock) -> None:
        self._database, self._sender, self._clock = database, sender, clock

    def turn(self) -> bool:
        """True when there is more to do at once."""
        with self._database.read() as conn:
            hooks = [hook for hook in webhooks.all(conn) if hook.active]
            newest = audit.newest_id(conn) if hooks else 0
        more = False
        if behind := [hook for hook in hooks if hook.position < newest]:
            more = self._collect(behind)
        tasks = self._due(hooks)
        if tasks:
            asyncio.run(self._send(hooks, tasks))
        return more

    def _collect(self, behind: Sequence[Webhook]) -> bool:
        """What each has not been told of yet, up to BATCH entries."""
        more = False
        with self._database.write() as conn:
            current = {hook.id: hook for hook in webhooks.all(conn)}
            for hook in (current[h.id] for h in behind if h.id in current):
                entries = audit.search(conn, Wanted(after=hook.position), limit=BATCH, oldest_first=True)
                for entry in entries:
                    if wanted(hook, entry):
                        webhooks.add_delivery(conn, _delivery(hook, entry, self._clock.now()))
                if entries:
                    webhooks.put(conn, replace(hook, position=entries[-1].id))
                more = more or len(entries) == BATCH
        return more

    def _due(self, hooks: Sequence[Webhook]) -> list[Task]:
        with self._database.read() as conn:
            due = webhooks.due(conn, now=self._clock.now(), hooks=[hook.id for hook in hooks], limit=EACH)
            return [(one, entry) for one in due if (entry := audit.get(conn, one.entry)) is not None]

    async def _send(self, hooks: Sequence[Webhook], tasks: Sequence[Task]) -> None:
        await asyncio.gather(
            *(self._send_to(hook, [task for task in tasks if task[0].hook == hook.id]) for hook in hooks)
        )

    async def _send_to(self, hook: Webhook, tasks: Sequence[Task]) -> None:
        """In order, until one fails or its time is up: what is left is due in the next turn."""
        began = self._clock.steady()
        for delivery, entry in tasks:
            outcome = await self._sender.send(hook, message_id(delivery), body_of(entry))
            self._keep(hook, delivery, outcome)
            if not outcome.arrived or self._clock.steady() - began > TURN_SECONDS:
                return

    def _keep(self, hook: Webhook, delivery: Delivery, outcome: Outcome) -> None:
        done = settled(delivery, outcome, now=self._clock.now(), random=random.random())  # noqa: S311 - a spread
        if done.state is DeliveryState.FAILED:
            said = fields(webhook=hook.name, delivery=done.id, attempts=done.attempts, error=done.error)
            log.warning("a webhook was given up", extra=said)
        with self._database.write() as conn:
            webhooks.put_delivery(conn, done)
            webhooks.prune(conn, hook.id, keep=LOG)
            if outcome.status == GONE:
                self._switch_off(conn, hook)

    def _switch_off(self, conn: Connection, hook: Webhook) -> None:
        current = webhooks.get(conn, hook.name)
        if current is None or not current.active:
            return
        why = f"it answered {GONE}: gone"
        webhooks.put(conn, replace(current, active=False, why_off=why))
        subject, now = f"webhook:{hook.name}", self._clock.now()
        audit.append(conn, actor="system:webhooks", action="webhook.off", subject=subject, detail=why, now=now)


def message_id(delivery: Delivery) -> str:
    """The same for every attempt, so that a receiver knows what it has seen."""
    return f"msg_{delivery.hook.removeprefix('hook_')}_{delivery.id}"


def settled(delivery: Delivery, outcome: Outcome, *, now: float, random: float) -> Delivery:
    """Pure. What an attempt makes of a delivery: arrived, to be tried again, or given up."""
    tried = replace(
        delivery,
        attempts=delivery.attempts + 1,
        time=now,
        status=outcome.status,
        seconds=outcome.seconds,
        error=outcome.error,
    )
    if outcome.arrived:
        return replace(tried, state=DeliveryState.DELIVERED)
    if tried.attempts >= ATTEMPTS or outcome.status == GONE:
        return replace(tried, state=DeliveryState.FAILED)
    wait = wait_after(tried.attempts, random=random, retry_after=outcome.retry_after)
    return replace(tried, next_time=now + wait)


def _delivery(hook: Webhook, entry: AuditEntry, now: float) -> Delivery:
    return Delivery(
        id=0, hook=hook.id, entry=entry.id, event=entry.action, state=DeliveryState.DUE, created=now, next_time=now
    )
