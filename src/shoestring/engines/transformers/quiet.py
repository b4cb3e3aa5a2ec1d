"""What the libraries say while they work, kept from the user and read by us.

In a worker stderr is a log file; in the user's own process their logging must be as it was before.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_LOGGERS = ("transformers", "accelerate", "bitsandbytes", "torch", "huggingface_hub")
_ERRORS_ONLY = ("bitsandbytes.autograd._functions",)
"""Says the same for every multiplication of 8-bit weights: not even made into a record."""
_MODULES = (
    r"(shoestring\.engines\.transformers|torch|transformers|accelerate|bitsandbytes|huggingface_hub)(\.|$)"
)
"""Where their warnings are counted to; ours, where they name their caller."""


@contextmanager
def quietly() -> Iterator[list[str]]:
    """Nothing of the libraries' logging, warnings and progress bars is shown; afterwards everything is as before.

    Yields what they log as a warning or worse, as it comes. May be entered on several threads at once: all then
    get what any of them causes.
    """
    said: list[str] = []
    _SILENCE.enter(said)
    try:
        yield said
    finally:
        _SILENCE.leave(said)


@dataclass
class _Before:
    """How one logger was set."""

    logger: logging.Logger
    level: int
    propagate: bool
    handlers: list[logging.Handler] = field(default_factory=list)


class _Silence(logging.Handler):
    """Takes the place of every handler. The first who enters saves what was, the last who leaves puts it back."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._changing = threading.Lock()
        self._listeners: list[list[str]] = []
        self._before: list[_Before] = []
        self._bars = False
        self._warnings = warnings.catch_warnings()

    def emit(self, record: logging.LogRecord) -> None:
        for said in self._listeners:
            said.append(record.getMessage())

    def enter(self, said: list[str]) -> None:
        with self._changing:
            if not self._listeners:
                self._silence()
            self._listeners.append(said)

    def leave(self, said: list[str]) -> None:
        with self._changing:
            self._listeners = [other for other in self._listeners if other is not said]
            if not self._listeners:
                self._restore()

    def _silence(self) -> None:
        from transformers.utils import logging as library

        self._bars = library.is_progress_bar_enabled()
        library.disable_progress_bar()
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.filterwarnings("ignore", module=_MODULES)
        for logger in map(logging.getLogger, (*_LOGGERS, *_ERRORS_ONLY)):
            self._before.append(_Before(logger, logger.level, logger.propagate, logger.handlers[:]))
            logger.setLevel(logging.ERROR if logger.name in _ERRORS_ONLY else logging.WARNING)
            logger.propagate = False
            logger.handlers[:] = [self]

    def _restore(self) -> None:
        from transformers.utils import logging as library

        for before in self._before:
            before.logger.setLevel(before.level)
            before.logger.propagate = before.propagate
            before.logger.handlers[:] = before.handlers
        self._before.clear()
        self._warnings.__exit__(None, None, None)
        if self._bars:
            library.enable_progress_bar()


_SILENCE = _Silence()
