"""An engine in the caller's own process, for those who want its objects: no worker, guard or isolation."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path

from shoestring.engines.base import Event, Finished, LoadedModel, Sampling, Segment
from shoestring.engines.registry import get_engine
from shoestring.errors import EngineError
from shoestring.planning.base import EngineSettings
from shoestring.runtime.protocol import Loaded, Ready
from shoestring.runtime.scratch import Scratch


class InProcess:
    """Answers as a `Worker` does. A native crash here takes the caller with it."""

    alive = True
    pid = None
    exit_code = None

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self._engine = get_engine(engine)
        self.ready: Ready | None = Ready(self._engine.version())
        self._scratch = Scratch()
        self.model: LoadedModel | None = None
        self._closed = False

    def load(self, files: Sequence[Path], settings: EngineSettings) -> Loaded:
        """Load a model here. Raises as the engine's `load`."""
        start = time.perf_counter()
        self.model = self._engine.load(files, settings, self._scratch.path)
        return Loaded(0, time.perf_counter() - start, self.model.report)

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of the segments, concatenated."""
        return self._loaded().tokenize(segments)

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> Generator[tuple[int, Event], None, None]:
        """Events as they come, with the index of their prompt. Closing the iterator cancels."""
        model = self._loaded()
        events: queue.SimpleQueue[tuple[int, Event] | Exception] = queue.SimpleQueue()
        cancelled = threading.Event()

        def emit(index: int, event: Event) -> None:
            events.put((index, event))

        def produce() -> None:
            try:
                model.generate(prompts, sampling, emit, cancelled.is_set)
            except Exception as error:  # noqa: BLE001  (raised again in the caller's thread)
                events.put(error)

        producer = threading.Thread(target=produce, name="shoestring-generate", daemon=True)
        producer.start()
        running = len(prompts)
        try:
            while running:
                found = events.get()
                if isinstance(found, Exception):
                    raise found
                running -= isinstance(found[1], Finished)
                yield found
        finally:
            cancelled.set()
            producer.join()

    def kill(self) -> None:
        """Nothing: an engine in this process cannot be interrupted."""

    def close(self) -> None:
        """Free what the engine can free. Its library keeps the rest until this process ends."""
        if self.model is not None:
            self.model.close()
            self.model = None
        if not self._closed:
            self._closed = True
            self._scratch.remove()

    def _loaded(self) -> LoadedModel:
        if self.model is None:
            raise EngineError("No model is loaded.")
        return self.model
