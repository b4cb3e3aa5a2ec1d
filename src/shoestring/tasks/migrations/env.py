"""Run by alembic for each migration: on the connection that `database.py` hands it, inside its transaction."""

from __future__ import annotations

from alembic import context

from shoestring.tasks.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table="shoestring_tasks_version",
)
context.run_migrations()
