"""The table of the flywheel's turns."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "turn",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("endpoint", sa.Text(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    active = sa.text("active")
    op.create_index("turn_active", "turn", ["created"], unique=False, sqlite_where=active, postgresql_where=active)
    op.create_index("turn_by_endpoint", "turn", ["endpoint", "created"], unique=False)
