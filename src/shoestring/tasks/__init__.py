"""Plain language in, a task out, kept in a database. Needs the extra `tasks`.

    from shoestring.tasks import PlainExtractor, open_store

    with open_store() as store:
        store.add_many(PlainExtractor().extract("Call the dentist on Friday at 3 pm", now))

Everything here is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shoestring.tasks.base import Draft, Priority, Status, Task

__all__ = ["Draft", "Priority", "Status", "Task"]

_HOMES = {
    "Draft": "shoestring.tasks.base",
    "Priority": "shoestring.tasks.base",
    "Status": "shoestring.tasks.base",
    "Task": "shoestring.tasks.base",
}


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
