"""Tasks, kept in SQLite or PostgreSQL; several processes may read and write at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime
from types import TracebackType

from sqlalchemy import Connection, Engine, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from shoestring.errors import TaskError, TaskNotFoundError, UsageError
from shoestring.tasks.base import ID_ALPHABET, Status, Task, id_as_typed, new_id, utc_now
from shoestring.tasks.database import errors_said, open_engine, writing
from shoestring.tasks.schema import tasks, to_row, to_task
from shoestring.tasks.when import checked, next_occurrence

_BATCH_ROWS = 200  # SQLite takes 32,766 values in one statement
_NAMED_MATCHES = 3


@dataclass(frozen=True)
class Completed:
    """A task that was done, and its next occurrence where it repeats."""

    task: Task
    following: Task | None


def open_store(url: str | None = None) -> TaskStore:
    """The user's tasks: at `url`, else at `SHOESTRING_TASKS_URL`, else in a SQLite file among the user's data.

    Raises:
        UsageError: the URL is none, or of another database than SQLite and PostgreSQL.
        TaskStoreError: the database cannot be opened, or a newer version has written it.
    """
    return TaskStore(open_engine(url))


class TaskStore:
    """Every method is one transaction, and raises TaskStoreError where the database fails."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __enter__(self) -> TaskStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def add(self, task: Task) -> Task:
        """Keep a task; see `add_many`."""
        return self.add_many([task])[0]

    def add_many(self, given: Iterable[Task]) -> tuple[Task, ...]:
        """Keep tasks, all or none. One that is kept already, by its id, stays as it is: a retry adds nothing twice.

        Returns:
            Them, as they are kept.

        Raises:
            TaskError: an id belongs to another task.
            UsageError: a recurrence is none, or a due time has no zone.
        """
        new = [_checked(task) for task in given]
        with self._errors(), writing(self._engine) as connection:
            for start in range(0, len(new), _BATCH_ROWS):
                self._insert(connection, new[start : start + _BATCH_ROWS])
            kept = self._by_id(connection, [task.id for task in new])
            for task in new:
                if kept[task.id].created_at != task.created_at:
                    raise TaskError(
                        f"The id {task.id} belongs to another task, {kept[task.id].title!r}.",
                        "Add it again under a new id. Nothing was added.",
                    )
        return tuple(kept[task.id] for task in new)

    def get(self, task_id: str) -> Task:
        """A task by its id, or by the beginning of it that no other task shares.

        Raises:
            TaskNotFoundError: there is none, or more than one.
        """
        with self._errors(), self._engine.begin() as connection:
            return self._get(connection, task_id)

    def list(
        self,
        *,
        status: Status | None = None,
        tag: str | None = None,
        due_before: date | None = None,
        text: str | None = None,
    ) -> tuple[Task, ...]:
        """Tasks: the earliest due first, those without a date last; then by priority, then the oldest first.

        Args:
            due_before: due on an earlier day, each on its own zone's calendar.
            text: stands in the title, the description or the message, whatever the case.
        """
        query = select(tasks)
        if status is not None:
            query = query.where(tasks.c.status == status.value)
        if due_before is not None:
            query = query.where(tasks.c.due_on < due_before)
        with self._errors(), self._engine.begin() as connection:
            found = [to_task(row) for row in connection.execute(query).mappings()]
        # Case, and what lies inside JSON, the databases see differently; a person's tasks are few.
        return tuple(sorted((task for task in found if _fits(task, tag, text)), key=_order))

    def change(self, task_id: str, changed: Callable[[Task], Task]) -> Task:
        """Replace a task by what `changed` makes of it; no other writer comes between.

        Raises:
            TaskNotFoundError: there is none by this id, or more than one.
            UsageError: the new recurrence is none, or the new due time has no zone.
        """
        with self._errors(), writing(self._engine) as connection:
            task = self._get(connection, task_id, lock=True)
            return self._write(connection, _checked(changed(task)), task)

    def done(self, task_id: str) -> Completed:
        """A task is done; one that repeats comes again, at the first occurrence that has not passed.

        Doing so twice changes nothing more.

        Raises:
            TaskNotFoundError: there is none by this id, or more than one.
        """
        with self._errors(), writing(self._engine) as connection:
            task = self._get(connection, task_id, lock=True)
            if task.status is Status.DONE:
                return Completed(task, None)
            now = utc_now()
            following = _following(task, now)
            kept = self._write(connection, replace(task, status=Status.DONE, done_at=now), task)
            if following is not None:
                self._insert(connection, [following])
            return Completed(kept, following)

    def remove(self, task_ids: Sequence[str]) -> tuple[Task, ...]:
        """Forget tasks, all or none.

        Returns:
            Them, as they were.

        Raises:
            TaskNotFoundError: there is none by one of these ids, or more than one.
        """
        with self._errors(), writing(self._engine) as connection:
            found = {task.id: task for task in (self._get(connection, given) for given in task_ids)}
            for task_id in found:
                connection.execute(delete(tasks).where(tasks.c.id == task_id))
        return tuple(found.values())

    def _errors(self) -> AbstractContextManager[None]:
        return errors_said(self._engine.url)

    def _insert(self, connection: Connection, new: Sequence[Task]) -> None:
        rows = [to_row(task) for task in new]
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        connection.execute(dialect.insert(tasks).values(rows).on_conflict_do_nothing(index_elements=["id"]))

    def _write(self, connection: Connection, task: Task, before: Task) -> Task:
        kept = replace(task, id=before.id, created_at=before.created_at, updated_at=utc_now())
        connection.execute(update(tasks).where(tasks.c.id == kept.id).values(to_row(kept)))
        return kept

    def _by_id(self, connection: Connection, ids: Sequence[str]) -> dict[str, Task]:
        found: dict[str, Task] = {}
        for start in range(0, len(ids), _BATCH_ROWS):
            query = select(tasks).where(tasks.c.id.in_(ids[start : start + _BATCH_ROWS]))
            found |= {row["id"]: to_task(row) for row in connection.execute(query).mappings()}
        return found

    def _get(self, connection: Connection, task_id: str, *, lock: bool = False) -> Task:
        typed = id_as_typed(task_id)
        if not typed or set(typed) - set(ID_ALPHABET):
            raise _not_found(task_id)
        query = select(tasks).where(tasks.c.id.like(f"{typed}%")).limit(_NAMED_MATCHES + 1)
        if lock and self._engine.dialect.name == "postgresql":
            query = query.with_for_update()
        matches = [to_task(row) for row in connection.execute(query).mappings()]
        exact = [task for task in matches if task.id == typed] or matches
        if not exact:
            raise _not_found(task_id)
        if len(exact) > 1:
            named = ", ".join(f"{task.id} ({task.title})" for task in exact[:_NAMED_MATCHES])
            raise TaskNotFoundError(
                f"Several tasks have an id that begins with {task_id!r}: {named}.", "Type more of the id."
            )
        return exact[0]


def _checked(task: Task) -> Task:
    if isinstance(task.due, datetime) and task.due.tzinfo is None:
        raise UsageError(f"The due time of {task.title!r} has no time zone.", "Give it the user's.")
    if task.recurrence is None:
        return task
    return replace(task, recurrence=checked(task.recurrence, task.due))


def _not_found(task_id: str) -> TaskNotFoundError:
    return TaskNotFoundError(f"No task has the id {task_id!r}.", "List the tasks to see their ids.")


def _fits(task: Task, tag: str | None, text: str | None) -> bool:
    if tag is not None and tag.casefold() not in {own.casefold() for own in task.tags}:
        return False
    said = f"{task.title}\n{task.description}\n{task.said}".casefold()
    return text is None or text.casefold() in said


def _order(task: Task) -> tuple[date, datetime, int, datetime]:
    """Within a day, a task without a time comes at its end."""
    day = task.due.date() if isinstance(task.due, datetime) else task.due
    latest = datetime.max.replace(tzinfo=task.created_at.tzinfo)
    moment = task.due if isinstance(task.due, datetime) else latest
    return day or date.max, moment, -task.priority.rank, task.created_at


def _following(task: Task, now: datetime) -> Task | None:
    """The next occurrence of a task that repeats; those that have passed since are left out."""
    due, recurrence = task.due, task.recurrence
    while due is not None and recurrence is not None:
        found = next_occurrence(recurrence, due)
        if found is None:
            return None
        due, recurrence = found
        ahead = due >= now if isinstance(due, datetime) else due >= now.astimezone().date()
        if ahead:
            return replace(
                task,
                id=new_id(),
                due=due,
                recurrence=recurrence,
                created_at=now,
                updated_at=now,
                done_at=None,
            )
    return None
