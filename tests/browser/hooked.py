"""Two receivers of the shop, one of which has been away for a while, and the log of what was sent to them."""

from __future__ import annotations

from headrace.store import webhooks
from headrace.store.db import Connection
from headrace.types.webhook import Delivery, DeliveryState, Webhook

CHAT, PIPELINE = "chat", "pipeline"


def furnish(conn: Connection, now: float, *, position: int) -> None:
    chat = Webhook(
        id="hook_chat", name=CHAT, url="https://chat.example.com/hooks/ml", events=("release.*",),
        endpoints=("digits",), created=now - 86_400, position=position,
    )  # fmt: skip
    pipeline = Webhook(
        id="hook_pipeline", name=PIPELINE, url="https://ci.example.com/hooks/headrace", secret_env="WEBHOOK_PIPELINE",
        created=now - 86_400, position=position,
    )  # fmt: skip
    for hook in (chat, pipeline):
        webhooks.put(conn, hook)
    for number, event in enumerate(("release.started", "release.step", "release.step", "release.rolled_back")):
        at = now - 2400 + 150 * number
        webhooks.add_delivery(
            conn,
            Delivery(
                id=0, hook=chat.id, entry=number + 1, event=event, state=DeliveryState.DELIVERED, created=at,
                time=at + 1, attempts=1, status=200, seconds=0.042,
            ),
        )  # fmt: skip
    away = {"attempts": 4, "error": "it answered 503: draining", "status": 503, "seconds": 0.2}
    for number, state in enumerate((DeliveryState.FAILED, DeliveryState.DUE)):
        at = now - 400 + 200 * number
        webhooks.add_delivery(
            conn,
            Delivery(
                id=0, hook=pipeline.id, entry=number + 1, event="endpoint.deploy", state=state, created=at,
                time=at + 30, next_time=now + 320, **away,
            ),
        )  # fmt: skip
