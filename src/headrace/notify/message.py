"""An entry of the history as a message: for whom it is, and how it looks. Pure.

Called by deliver.py and hooks.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec

from headrace.types.history import AuditEntry
from headrace.types.webhook import Webhook

TEST = "webhook.test"


def wanted(hook: Webhook, entry: AuditEntry) -> bool:
    if hook.endpoints and entry.about.endpoint not in hook.endpoints:
        return False
    return any(fits(pattern, entry.action) for pattern in hook.events)


def fits(pattern: str, action: str) -> bool:
    return action.startswith(pattern[:-1]) if pattern.endswith("*") else action == pattern


def body_of(entry: AuditEntry) -> bytes:
    """The entry as GET /api/v1/history has it, with its type and time where Standard Webhooks has them."""
    return _written(entry.action, entry.time, msgspec.to_builtins(entry))


def test_body(hook: Webhook, now: float, actor: str) -> bytes:
    return _written(TEST, now, {"webhook": hook.name, "actor": actor})


def _written(kind: str, at: float, data: dict[str, Any]) -> bytes:
    time = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return msgspec.json.encode({"type": kind, "timestamp": time, "data": data})
