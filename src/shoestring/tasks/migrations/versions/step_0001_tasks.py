"""Make the table."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None


def upgrade() -> None:
    """From nothing to a table of tasks."""
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "shoestring_tasks",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text, nullable=False),
        sa.Column("due_on", sa.Date),
        sa.Column("due_at", moment),
        sa.Column("due_zone", sa.String(64)),
        sa.Column("recurrence", sa.Text),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("tags", sa.JSON, nullable=False),
        sa.Column("questions", sa.JSON, nullable=False),
        sa.Column("said", sa.Text, nullable=False),
        sa.Column("status", sa.String(8), nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("updated_at", moment, nullable=False),
        sa.Column("done_at", moment),
    )
    op.create_index("ix_shoestring_tasks_due_on", "shoestring_tasks", ["due_on"])
    op.create_index("ix_shoestring_tasks_status", "shoestring_tasks", ["status"])
