"""The indexes, and with them the rule that an endpoint has at most one active release.

Called by migrations and their test alone; processes that only read and write rows do not need them.
"""

from __future__ import annotations

from sqlalchemy import Index, text

from headrace.store.tables import (
    approval,
    audit,
    dataset,
    feedback,
    feedback_history,
    job,
    metadata,
    package,
    release,
    release_pair,
    review,
    turn,
    webhook_delivery,
)

__all__ = ["metadata"]  # complete once this module is loaded

Index("release_by_endpoint", release.c.endpoint, release.c.created)
Index(
    "release_one_active",
    release.c.endpoint,
    unique=True,
    sqlite_where=text("active"),
    postgresql_where=text("active"),
)
Index("release_pair_by_severity", release_pair.c.release, release_pair.c.severity)
Index("release_pair_by_draw", release_pair.c.release, release_pair.c.draw)
Index("approval_by_deed", approval.c.deed, approval.c.state)
Index("audit_by_subject", audit.c.subject, audit.c.id)
Index("audit_by_endpoint", audit.c.endpoint, audit.c.id)
Index("feedback_by_trace", feedback.c.trace_id)
Index("feedback_by_time", feedback.c.time)
Index(
    "feedback_unsent",
    feedback.c.time,
    sqlite_where=feedback.c.sent.is_(None),
    postgresql_where=feedback.c.sent.is_(None),
)
Index("feedback_history_by_trace", feedback_history.c.trace_id)
Index("dataset_by_name", dataset.c.name, dataset.c.number, unique=True)
Index("review_by_place", review.c.state, review.c.endpoint, review.c.place)
Index("job_by_time", job.c.created)
Index("turn_active", turn.c.created, sqlite_where=text("active"), postgresql_where=text("active"))
Index("turn_by_endpoint", turn.c.endpoint, turn.c.created)
Index("webhook_delivery_by_hook", webhook_delivery.c.hook, webhook_delivery.c.state, webhook_delivery.c.id)
Index("package_by_version", package.c.model, package.c.version)
