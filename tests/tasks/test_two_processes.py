"""Real processes that write at once, and one that is killed while it writes."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

from sqlalchemy import text

from shoestring.tasks.base import Task
from shoestring.tasks.database import open_engine
from shoestring.tasks.store import open_store

ADDER = Path(__file__).with_name("adder.py")


def adder(url: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, ADDER, url, *arguments], stdout=subprocess.PIPE, text=True)


def test_of_a_thousand_tasks_that_two_processes_add_none_is_lost_and_none_double(url: str) -> None:
    # Both find an empty database, so they make its table at once, too.
    processes = [adder(url, name, "500") for name in ("first", "second")]
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0]

    with open_store(url) as store:
        titles = [task.title for task in store.list()]
    assert len(titles) == 1000
    assert set(titles) == {f"{name} {number}" for name in ("first", "second") for number in range(500)}


def test_a_process_killed_while_it_writes_leaves_whole_batches(url: str) -> None:
    process = adder(url, "batch", "50", "batch")
    assert process.stdout is not None
    finished = [process.stdout.readline().strip() for _ in range(4)]
    process.kill()
    process.communicate()
    assert finished == ["ready", "batch", "batch", "batch"]

    with open_store(url) as store:
        count = len(store.list())
        assert count >= 150
        assert count % 50 == 0
        store.add_many([])  # and others can still write


def test_a_sqlite_file_is_whole_after_its_writer_was_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tasks.sqlite3"
    process = adder(url, "batch", "50", "batch")
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.communicate()

    engine = open_engine(url)
    with engine.connect() as connection:
        assert connection.scalar(text("PRAGMA integrity_check")) == "ok"
    engine.dispose()


def test_many_processes_may_make_the_table_at_once(url: str) -> None:
    processes = [adder(url, str(number), "1") for number in range(4)]
    for process in processes:
        process.communicate()

    assert [process.returncode for process in processes] == [0] * 4


def test_of_two_that_tick_off_a_repeating_task_at_once_one_makes_the_next(url: str) -> None:
    with open_store(url) as one, open_store(url) as other, ThreadPoolExecutor(2) as threads:
        for round_ in range(20):
            task = one.add(Task(f"round {round_}", due=date(2031, 1, 1), recurrence="FREQ=DAILY"))
            both = threads.map(lambda store, task_id=task.id: store.done(task_id).following, (one, other))
            assert sum(following is not None for following in both) == 1
