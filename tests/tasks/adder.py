"""A process of its own that adds tasks, as `test_two_processes.py` starts it.

python adder.py URL NAME COUNT         adds COUNT tasks one by one, each one twice
python adder.py URL NAME COUNT batch   adds batches of COUNT tasks until it is killed
"""

from __future__ import annotations

import sys

from shoestring.tasks.base import Task
from shoestring.tasks.store import open_store


def main(url: str, name: str, count: int, batches: bool) -> None:
    with open_store(url) as store:
        print("ready", flush=True)
        while batches:
            store.add_many(Task(f"{name} {number}") for number in range(count))
            print("batch", flush=True)
        for number in range(count):
            task = Task(f"{name} {number}")
            store.add(task)
            store.add(task)  # as after a connection that broke before the answer came


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:] == ["batch"])
