"""What a store of tasks promises, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from shoestring.errors import TaskError, TaskNotFoundError, UsageError
from shoestring.tasks.base import Priority, Status, Task
from shoestring.tasks.store import TaskStore

BERLIN = ZoneInfo("Europe/Berlin")
FULL = Task(
    title="Ring the dentist ☎",
    description="Two lines,\n'quoted'; --",
    due=datetime(2031, 3, 30, 9, 0, tzinfo=BERLIN),
    recurrence="FREQ=WEEKLY;BYDAY=SU",
    priority=Priority.HIGH,
    tags=("health", "Zähne"),
    questions=("Which one?",),
    said="ring the dentist every Sunday at 9",
)


def test_a_task_comes_back_as_it_was_given(store: TaskStore) -> None:
    store.add(FULL)

    assert store.get(FULL.id) == FULL


def test_a_due_time_comes_back_in_its_zone(store: TaskStore) -> None:
    store.add(FULL)

    due = store.get(FULL.id).due
    assert isinstance(due, datetime)
    assert due.tzinfo == BERLIN


def test_a_zone_without_a_name_keeps_its_distance_from_utc(store: TaskStore) -> None:
    due = datetime(2031, 3, 30, 9, 0, tzinfo=timezone(timedelta(hours=-3, minutes=-30)))

    kept = store.add(Task("x", due=due)).due

    assert isinstance(kept, datetime)
    assert (kept, kept.utcoffset()) == (due, timedelta(hours=-3, minutes=-30))


def test_a_due_date_stays_a_date(store: TaskStore) -> None:
    assert store.add(Task("x", due=date(2031, 1, 2))).due == date(2031, 1, 2)


def test_adding_twice_is_adding_once(store: TaskStore) -> None:
    store.add_many([FULL, FULL])
    store.add(FULL)

    assert store.list() == (FULL,)


def test_a_retry_does_not_undo_an_edit(store: TaskStore) -> None:
    store.add(FULL)
    store.change(FULL.id, lambda task: replace(task, title="Edited"))

    assert store.add(FULL).title == "Edited"


def test_an_id_of_another_task_is_refused_and_nothing_added(store: TaskStore) -> None:
    store.add(FULL)
    later = replace(FULL, title="Another", created_at=FULL.created_at + timedelta(seconds=1))

    with pytest.raises(TaskError, match="belongs to another"):
        store.add_many([Task("New"), later])
    assert [task.title for task in store.list()] == [FULL.title]


def test_a_thousand_tasks_are_added_at_once(store: TaskStore) -> None:
    assert len(store.add_many(Task(f"task {n}") for n in range(1000))) == 1000
    assert len(store.list()) == 1000


def test_the_beginning_of_an_id_is_enough(store: TaskStore) -> None:
    store.add(replace(FULL, id="0a1bcdefghjk"))

    assert store.get("OAI").id == "0a1bcdefghjk"


def test_a_beginning_that_two_ids_share_is_refused_by_name(store: TaskStore) -> None:
    store.add_many([Task("One", id="abc111111111"), Task("Two", id="abc222222222")])

    with pytest.raises(TaskNotFoundError, match=r"One.*Two"):
        store.get("abc")


@pytest.mark.parametrize("unknown", ["zzz", "", "%", "_", "a'; DROP TABLE shoestring_tasks; --", "ü"])
def test_an_id_that_is_none_finds_nothing(store: TaskStore, unknown: str) -> None:
    store.add(FULL)

    with pytest.raises(TaskNotFoundError):
        store.get(unknown)


def test_the_list_begins_with_what_is_due_first(store: TaskStore) -> None:
    store.add_many(
        [
            Task("some day"),
            Task("that evening", due=datetime(2031, 1, 2, 20, tzinfo=BERLIN)),
            Task("next day, low", due=date(2031, 1, 3), priority=Priority.LOW),
            Task("next day, urgent", due=date(2031, 1, 3), priority=Priority.URGENT),
            Task("that day", due=date(2031, 1, 2)),
        ]
    )

    titles = [task.title for task in store.list()]
    assert titles == ["that evening", "that day", "next day, urgent", "next day, low", "some day"]


def test_the_list_can_be_narrowed(store: TaskStore) -> None:
    store.add_many([FULL, Task("Other", due=date(2031, 1, 1)), Task("Done", status=Status.DONE)])

    assert [task.title for task in store.list(status=Status.DONE)] == ["Done"]
    assert [task.title for task in store.list(tag="ZÄHNE")] == [FULL.title]
    assert [task.title for task in store.list(due_before=date(2031, 1, 2))] == ["Other"]
    assert [task.title for task in store.list(text="DENTIST")] == [FULL.title]


def test_a_change_keeps_id_and_creation_and_is_dated(store: TaskStore) -> None:
    store.add(FULL)

    changed = store.change(FULL.id, lambda task: replace(task, title="New", id="zzz"))

    assert (changed.id, changed.title, changed.created_at) == (FULL.id, "New", FULL.created_at)
    assert changed.updated_at > FULL.updated_at
    assert store.list() == (changed,)


def test_a_change_that_fails_changes_nothing(store: TaskStore) -> None:
    store.add(FULL)

    with pytest.raises(ZeroDivisionError):
        store.change(FULL.id, lambda task: replace(task, title=str(1 / 0)))
    assert store.get(FULL.id) == FULL


def test_a_task_that_is_done_is_done_once(store: TaskStore) -> None:
    task = store.add(Task("x"))

    first, second = store.done(task.id), store.done(task.id)

    assert first.task.status is Status.DONE
    assert second.task.done_at == first.task.done_at


def test_a_repeating_task_comes_again_at_its_hour_across_a_change_of_the_clock(store: TaskStore) -> None:
    store.add(replace(FULL, due=datetime(2031, 3, 23, 9, 0, tzinfo=BERLIN)))

    following = store.done(FULL.id).following

    assert following is not None
    assert following.due == datetime(2031, 3, 30, 9, 0, tzinfo=BERLIN)
    assert following.due.utcoffset() == timedelta(hours=2)
    assert store.list(status=Status.OPEN) == (following,)


def test_done_twice_a_repeating_task_comes_again_once(store: TaskStore) -> None:
    store.add(FULL)
    store.done(FULL.id)

    assert store.done(FULL.id).following is None
    assert len(store.list()) == 2


def test_occurrences_that_have_passed_do_not_come_again(store: TaskStore) -> None:
    task = store.add(Task("pills", due=date(2020, 1, 1), recurrence="FREQ=DAILY"))

    following = store.done(task.id).following

    assert following is not None
    assert isinstance(following.due, date)
    assert abs(following.due - datetime.now().astimezone().date()) <= timedelta(days=1)  # midnight may pass


def test_a_count_runs_out(store: TaskStore) -> None:
    task = store.add(Task("twice", due=date(2031, 1, 1), recurrence="FREQ=DAILY;COUNT=2"))

    second = store.done(task.id).following

    assert second is not None
    assert second.recurrence == "FREQ=DAILY;COUNT=1"
    assert store.done(second.id).following is None


def test_removing_is_all_or_nothing(store: TaskStore) -> None:
    first, second = store.add_many([Task("One"), Task("Two")])

    with pytest.raises(TaskNotFoundError):
        store.remove([first.id, "zzz"])
    assert len(store.list()) == 2
    assert {task.title for task in store.remove([first.id, second.id])} == {"One", "Two"}
    assert store.list() == ()


@pytest.mark.parametrize(
    "wrong",
    [
        Task("x", due=date(2031, 1, 1), recurrence="every now and then"),
        Task("x", due=date(2031, 1, 1), recurrence="FREQ=SECONDLY"),
        Task("x", due=datetime(2031, 1, 1, 9, 0)),
    ],
)
def test_a_recurrence_that_is_none_and_a_time_without_a_zone_are_refused(
    store: TaskStore, wrong: Task
) -> None:
    with pytest.raises(UsageError):
        store.add_many([Task("fine"), wrong])
    assert store.list() == ()


def test_what_no_database_takes_is_left_out_of_texts(store: TaskStore) -> None:
    task = store.add(Task("a\0b \ud800"))

    assert store.get(task.id).title == "ab ?"
