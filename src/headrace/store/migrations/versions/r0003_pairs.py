"""The table of pairs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "release_pair",
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("severity", sa.Double(), nullable=False),
        sa.Column("draw", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("release", "trace_id"),
    )
    op.create_index("release_pair_by_severity", "release_pair", ["release", "severity"], unique=False)
    op.create_index("release_pair_by_draw", "release_pair", ["release", "draw"], unique=False)
