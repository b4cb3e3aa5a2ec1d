"""The table of tasks, as it is now; `migrations/` says how it came to be."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sqlalchemy import JSON, Column, Date, DateTime, MetaData, SmallInteger, String, Table, Text
from sqlalchemy.engine import Dialect, RowMapping
from sqlalchemy.types import TypeDecorator
from tzlocal import reload_localzone

from shoestring.tasks.base import Priority, Status, Task

metadata = MetaData()


class UtcDateTime(TypeDecorator[datetime]):
    """A moment: with its zone in PostgreSQL, in UTC without one in SQLite, which keeps none."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC."""
        return None if value is None else value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """From UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


tasks = Table(
    "shoestring_tasks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("title", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("due_on", Date, index=True),  # on the user's calendar, also where a time is set
    Column("due_at", UtcDateTime),
    Column("due_zone", String(64)),  # by IANA's name, so that a recurrence keeps its place on the clock
    Column("recurrence", Text),
    Column("priority", SmallInteger, nullable=False),
    Column("tags", JSON, nullable=False),
    Column("questions", JSON, nullable=False),
    Column("said", Text, nullable=False),
    Column("status", String(8), nullable=False, index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("done_at", UtcDateTime),
)


def to_row(task: Task) -> dict[str, Any]:
    """A task as the values of a row."""
    timed = isinstance(task.due, datetime)
    return {
        "id": task.id,
        "title": storable(task.title),
        "description": storable(task.description),
        "due_on": task.due.date() if isinstance(task.due, datetime) else task.due,
        "due_at": task.due if timed else None,
        "due_zone": _zone_name(task.due.tzinfo) if isinstance(task.due, datetime) else None,
        "recurrence": task.recurrence,
        "priority": task.priority.rank,
        "tags": [storable(tag) for tag in task.tags],
        "questions": [storable(question) for question in task.questions],
        "said": storable(task.said),
        "status": task.status.value,
        "created_at": task.created_at,
        "updated_at": task.updated_at,
        "done_at": task.done_at,
    }


def storable(text: str) -> str:
    """A text without what no database takes: NUL is left out, half a surrogate pair becomes a question mark."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def to_task(row: RowMapping) -> Task:
    """A row as a task."""
    due: date | datetime | None = row["due_on"]
    if row["due_at"] is not None:
        due = row["due_at"].astimezone(_zone(row["due_zone"]))
    return Task(
        title=row["title"],
        description=row["description"],
        due=due,
        recurrence=row["recurrence"],
        priority=list(Priority)[row["priority"]],
        tags=tuple(row["tags"]),
        questions=tuple(row["questions"]),
        said=row["said"],
        id=row["id"],
        status=Status(row["status"]),
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        done_at=row["done_at"],
    )


def _zone_name(zone: tzinfo | None) -> str:
    """IANA's name, or the distance from UTC in minutes where a zone has no name."""
    key = getattr(zone, "key", None)
    if isinstance(key, str):
        return key
    offset = zone.utcoffset(None) if zone is not None else None
    return "UTC" if offset is None else f"{offset // timedelta(minutes=1):+d}"


def _zone(name: str) -> tzinfo:
    """The zone by its name; UTC where this machine does not know it: the moment stays the same."""
    if name == "local":  # what tzlocal calls a zone that the machine has as a file without a name
        return reload_localzone()
    if name[:1] in "+-":
        return timezone(timedelta(minutes=int(name)))
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return timezone.utc
