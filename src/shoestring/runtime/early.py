"""A worker that starts before anyone knows for sure that it is needed, so that its imports cost no time."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from shoestring.errors import WorkerDiedError

if TYPE_CHECKING:
    from shoestring.runtime.process import WorkerProcess


class EarlyWorker:
    """Holds at most one. Whoever takes it owns it; one that nobody takes is ended with the `with` block.

    Args:
        worker: one that was started already.
    """

    def __init__(self, worker: WorkerProcess | None = None) -> None:
        self._worker = worker

    def __enter__(self) -> EarlyWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, engine: str = "llama_cpp") -> None:
        """Start one for an engine; one for this engine is kept, one for another ended."""
        if self._worker is not None and self._worker.engine == engine:
            return
        from shoestring.runtime.process import prestart

        self.close()
        self._worker = prestart(engine)

    def take(self) -> WorkerProcess | None:
        """The worker, if there is one; it is the caller's now."""
        worker, self._worker = self._worker, None
        return worker

    def close(self) -> None:
        """End it, unless it was taken. Idempotent."""
        if self._worker is not None:
            with suppress(WorkerDiedError):
                self._worker.kill()  # it may be importing for seconds, and would hear of nothing else meanwhile
            self._worker.close()
            self._worker = None
