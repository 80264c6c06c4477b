"""Run by alembic: migrates the connection that `smtpplus.store.migrate` hands over."""

from __future__ import annotations

from alembic import context

from smtpplus.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
