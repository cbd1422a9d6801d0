"""Run by Alembic on the connection that `migrate` hands over; the transaction is the caller's."""

from __future__ import annotations

from alembic import context

from headrace.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
