"""Plain language in, a task out, kept in a database. Needs the extra `tasks`.

    from shoestring import tasks

    now = tasks.now_here()
    drafts = tasks.PlainExtractor().extract("Call the dentist on Friday at 3 pm", now)
    with tasks.open_store() as store:
        store.add_many(tasks.Task.of(draft) for draft in drafts)

Everything here is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoestring.errors import TaskError

if TYPE_CHECKING:
    from shoestring.tasks.base import Draft, Priority, Status, Task
    from shoestring.tasks.extract import Extractor, PlainExtractor, dated, due_in, now_here
    from shoestring.tasks.store import Completed, TaskStore, open_store
    from shoestring.tasks.when import When, find, find_all

__all__ = [
    "Completed",
    "Draft",
    "Extractor",
    "PlainExtractor",
    "Priority",
    "Status",
    "Task",
    "TaskStore",
    "When",
    "dated",
    "due_in",
    "find",
    "find_all",
    "now_here",
    "open_store",
]

_HOMES = {
    "shoestring.tasks.base": ("Draft", "Priority", "Status", "Task"),
    "shoestring.tasks.extract": ("Extractor", "PlainExtractor", "dated", "due_in", "now_here"),
    "shoestring.tasks.store": ("Completed", "TaskStore", "open_store"),
    "shoestring.tasks.when": ("When", "find", "find_all"),
}
_EXTRA = {"alembic", "dateutil", "psycopg", "sqlalchemy", "tzlocal"}


def __getattr__(name: str) -> object:
    from importlib import import_module

    home = next((module for module, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(home), name)
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise TaskError(
            f"Tasks need {error.name}, which is not installed.", "Install it: pip install 'shoestring[tasks]'"
        ) from error


def __dir__() -> list[str]:
    return sorted(__all__)
