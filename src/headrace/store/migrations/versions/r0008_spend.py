"""What calls to language models used and cost, by the hour."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_LABELS = ("workspace", "team", "user", "key", "endpoint", "variant", "provider", "model")
_SUMS = ("calls", "failed", "cached", "input", "cache_read", "cache_write", "output", "reasoning", "audio")


def upgrade() -> None:
    op.create_table(
        "spend",
        sa.Column("hour", _NUMBER, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in _LABELS),
        *(sa.Column(name, _NUMBER, nullable=False) for name in _SUMS),
        sa.Column("cost", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("hour", *_LABELS),
    )
    op.create_table(
        "spend_call",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("trace_id"),
    )
