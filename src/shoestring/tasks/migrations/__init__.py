"""How the table of tasks came to be, one step a file; alembic takes a database from any step to the last."""
