"""`quiet`: huggingface_hub's own log kept off the terminal; what needs action is raised, and said by us."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Inside the block the library logs errors only. Its log is the process's: what else it does now is quiet, too."""
    from huggingface_hub.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)
