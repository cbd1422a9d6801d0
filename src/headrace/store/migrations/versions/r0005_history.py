"""The audit becomes the history: found by endpoint, model and release, sealed entry by entry, never changed.

And the tables of those who are told of it (webhooks), and of what waits for a second person (approvals).
"""

from __future__ import annotations

from hashlib import sha256

import msgspec
import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

COLUMNS = {"endpoint": "", "model": "", "release": "", "body": "{}", "sha256": ""}
REFUSED = "the history is never changed"


def upgrade() -> None:
    for name, default in COLUMNS.items():
        op.add_column("audit", sa.Column(name, sa.Text(), nullable=False, server_default=default))
    op.create_table(
        "webhook",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("hook", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("next_time", sa.Double(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("webhook_delivery_by_hook", "webhook_delivery", ["hook", "state", "id"], unique=False)
    op.create_table(
        "approval",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("deed", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("approval_by_deed", "approval", ["deed", "state"], unique=False)
    op.create_index("audit_by_endpoint", "audit", ["endpoint", "id"], unique=False)
    _seal(op.get_bind())
    _close(op.get_bind())


def _seal(conn: sa.Connection) -> None:
    """What is there already: which endpoint it is about, and its place in the chain."""
    audit = sa.table(
        "audit", *(sa.column(name) for name in ("id", "time", "actor", "action", "subject", "detail", *COLUMNS))
    )
    release = sa.table("release", sa.column("id"), sa.column("endpoint"))
    endpoints = {row.id: row.endpoint for row in conn.execute(sa.select(release))}
    before = ""
    for row in conn.execute(sa.select(audit).order_by(audit.c.id)).all():
        kind, _, name = row.subject.partition(":")
        found = {
            "endpoint": name if kind == "endpoint" else endpoints.get(name, "") if kind == "release" else "",
            "model": (name.rpartition("/")[0] or name) if kind == "model" else "",
            "release": name if kind == "release" else "",
        }
        told = [row.actor, row.action, row.subject, row.detail, *found.values(), "{}"]
        before = sha256(msgspec.json.encode([before, float(row.time).hex(), *told])).hexdigest()
        conn.execute(sa.update(audit).where(audit.c.id == row.id).values(**found, sha256=before))


def _close(conn: sa.Connection) -> None:
    if conn.dialect.name == "sqlite":
        for deed in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_no_{deed.lower()} BEFORE {deed} ON audit"
                f" BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION audit_closed() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{REFUSED}'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_closed BEFORE UPDATE OR DELETE OR TRUNCATE ON audit"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_closed()"
    )
