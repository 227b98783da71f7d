"""Alembic's environment: always run over the connection that ``bot.store.migrate`` opened and locked."""

from __future__ import annotations

from alembic import context

from bot.store.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("run migrations by `gatehouse db upgrade`; they need the connection it locks")
context.configure(
    connection=connection,
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, and our engine opens the transaction itself
    render_as_batch=connection.dialect.name == "sqlite",
    user_module_prefix="sqltypes.",
)
context.run_migrations()
