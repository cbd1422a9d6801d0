"""Run by Alembic on the connection that `migrate` hands over; the transaction is the caller's."""

from __future__ import annotations

from alembic import context

from headrace.store.indexes import metadata
from headrace.store.tables import REVISION_TABLE

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=REVISION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
