"""Tasks as people see them: a table, or all of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from shoestring.tasks.base import Priority, Status
from shoestring.tasks.wording import due_in_words, is_overdue, recurrence_in_words

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from shoestring.tasks.base import Task

_LEAST_TITLE, _LEAST_FACTS = 24, 10  # columns; narrower, and words are cut


def added(found: Sequence[Task], names: Mapping[str, str], now: datetime) -> Iterator[RenderableType]:
    """What is kept now, one line a task."""
    from rich.text import Text

    for task in found:
        line = Text.assemble((names[task.id], "bold"), "  ", task.title)
        if facts := [fact for fact in (_due(task, now).plain, *_facts(task)) if fact]:
            line.append(f"  ({', '.join(facts)})")
        yield line


def listed(found: Sequence[Task], names: Mapping[str, str], now: datetime) -> Iterator[RenderableType]:
    """The table, or one line a task where it has no room; nothing where there is no task."""
    from rich.console import Group

    from shoestring.cli._screen import Fitting

    if found:
        yield Fitting(_table(found, names, now), otherwise=Group(*added(found, names, now)))


def _table(found: Sequence[Task], names: Mapping[str, str], now: datetime) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("id", no_wrap=True)
    table.add_column("due", no_wrap=True)
    table.add_column("task", overflow="fold", min_width=_LEAST_TITLE)
    table.add_column("", overflow="fold", min_width=_LEAST_FACTS)
    for task in found:
        title = Text(f"✓ {task.title}" if task.status is Status.DONE else task.title)
        asks = " ?" if task.questions else ""
        table.add_row(
            names[task.id], _due(task, now), title.append(asks, style="bold yellow"), ", ".join(_facts(task))
        )
    return table


def whole(task: Task, now: datetime) -> Iterator[RenderableType]:
    """Everything about a task."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(task, now):
        if value:
            table.add_row(name, value)
    yield table


def _rows(task: Task, now: datetime) -> Iterator[tuple[str, str | Text]]:
    yield "id", task.id
    yield "task", task.title
    yield "description", task.description
    if task.due is not None:
        yield "due", _due(task, now).append(f"  ({_exactly(task)})", style="dim")
    yield "repeats", recurrence_in_words(task.recurrence) if task.recurrence else ""
    yield "priority", task.priority.value
    yield "tags", ", ".join(task.tags)
    yield "status", task.status.value
    yield "question", "\n".join(task.questions)
    yield "said", task.said if task.said != task.title else ""
    yield "added", f"{task.created_at.astimezone(now.tzinfo):%Y-%m-%d %H:%M}"
    if task.done_at is not None:
        yield "done", f"{task.done_at.astimezone(now.tzinfo):%Y-%m-%d %H:%M}"


def _exactly(task: Task) -> str:
    if isinstance(task.due, datetime):
        return f"{task.due:%Y-%m-%d %H:%M} {task.due.tzinfo}"
    return f"{task.due}"


def _due(task: Task, now: datetime) -> Text:
    from rich.text import Text

    if task.due is None:
        return Text()
    words = due_in_words(task.due, now)
    return Text(f"! {words}", style="bold red") if is_overdue(task, now) else Text(words)


def _facts(task: Task) -> list[str]:
    repeats = [recurrence_in_words(task.recurrence)] if task.recurrence else []
    matters = [task.priority.value] if task.priority is not Priority.NORMAL else []
    return [*repeats, *matters, *(f"#{tag}" for tag in task.tags)]
