"""Webhooks, and the log of what was sent to them. What is to be sent is the history itself (store/audit.py).

Called by the notify room and, to read, by the admin API and the console. A hook keeps its place in the history; a
message becomes a delivery in the transaction that moves this place on, so none is lost and none is made twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from headrace.store.tables import pack, unpack, webhook, webhook_delivery
from headrace.types.webhook import Delivery, DeliveryState, Webhook


def all(conn: Connection) -> tuple[Webhook, ...]:  # noqa: A001 - read as webhooks.all(conn)
    """By name."""
    return tuple(unpack(body, Webhook) for body in conn.scalars(select(webhook.c.body).order_by(webhook.c.name)))


def get(conn: Connection, name: str) -> Webhook | None:
    body = conn.scalar(select(webhook.c.body).where(webhook.c.name == name))
    return unpack(body, Webhook) if body else None


def put(conn: Connection, item: Webhook) -> None:
    values = {"name": item.name, "body": pack(item)}
    if not conn.execute(update(webhook).where(webhook.c.id == item.id).values(**values)).rowcount:
        conn.execute(insert(webhook).values(id=item.id, **values))


def remove(conn: Connection, hook_id: str) -> None:
    """With its log."""
    conn.execute(delete(webhook_delivery).where(webhook_delivery.c.hook == hook_id))
    conn.execute(delete(webhook).where(webhook.c.id == hook_id))


def add_delivery(conn: Connection, item: Delivery) -> int:
    """Its id; the one in `item` does not count."""
    made = conn.execute(insert(webhook_delivery).values(**_columns(item)).returning(webhook_delivery.c.id))
    return int(made.scalar_one())


def put_delivery(conn: Connection, item: Delivery) -> None:
    conn.execute(update(webhook_delivery).where(webhook_delivery.c.id == item.id).values(**_columns(item)))


def due(conn: Connection, *, now: float, hooks: Iterable[str], limit: int) -> tuple[Delivery, ...]:
    """Oldest first, at most `limit` for each hook."""
    found: list[Delivery] = []
    for hook in hooks:
        query = select(webhook_delivery).where(
            webhook_delivery.c.hook == hook,
            webhook_delivery.c.state == DeliveryState.DUE.value,
            webhook_delivery.c.next_time <= now,
        )
        found += [_delivery(row) for row in conn.execute(query.order_by(webhook_delivery.c.id).limit(limit))]
    return tuple(found)


def deliveries(conn: Connection, hook_id: str, *, limit: int = 50) -> tuple[Delivery, ...]:
    """Newest first."""
    query = select(webhook_delivery).where(webhook_delivery.c.hook == hook_id)
    return tuple(_delivery(row) for row in conn.execute(query.order_by(webhook_delivery.c.id.desc()).limit(limit)))


def delivery(conn: Connection, hook_id: str, delivery_id: int) -> Delivery | None:
    here = (webhook_delivery.c.hook == hook_id) & (webhook_delivery.c.id == delivery_id)
    row = conn.execute(select(webhook_delivery).where(here)).one_or_none()
    return _delivery(row) if row is not None else None


def prune(conn: Connection, hook_id: str, *, keep: int) -> None:
    """Of what is done, the newest `keep`; what is due stays."""
    here = (webhook_delivery.c.hook == hook_id) & (webhook_delivery.c.state != DeliveryState.DUE.value)
    newest = select(webhook_delivery.c.id).where(here).order_by(webhook_delivery.c.id.desc())
    oldest = conn.scalar(newest.offset(keep).limit(1))
    if oldest is not None:
        conn.execute(delete(webhook_delivery).where(here, webhook_delivery.c.id <= oldest))


def _columns(item: Delivery) -> dict[str, object]:
    return {"hook": item.hook, "state": item.state.value, "next_time": item.next_time, "body": pack(item)}


def _delivery(row: Row[Any]) -> Delivery:
    """The body was written before the database had given the id."""
    return replace(unpack(row.body, Delivery), id=row.id)
