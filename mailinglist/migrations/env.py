"""Alembic's environment. Always run by `mailinglist.migrate`, which hands in the connection."""

from alembic import context

from mailinglist.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transaction_per_migration=True,
    # SQLite can't alter tables in place. A batch migration rebuilds them and so drops their triggers: one that
    # touches the ledger, texts or chain_heads has to make the triggers again.
    render_as_batch=connection.dialect.name == "sqlite",
)
with context.begin_transaction():
    context.run_migrations()
connection.commit()
