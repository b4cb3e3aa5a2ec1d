"""The worker: one process, one engine, one model. Started as `python -m shoestring.runtime.worker`.

It reads requests on stdin and answers on the pipe that was its stdout; whatever the engine prints goes
to stderr, which the parent points at a log. It volunteers as the kernel's first OOM victim and ends with
its parent: on Linux by a signal that no busy engine can delay, everywhere by the end of stdin.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from shoestring.engines.base import Engine, Event, LoadedModel
from shoestring.engines.registry import get_engine
from shoestring.errors import EngineError, OutOfMemoryError, PromptTooLongError
from shoestring.runtime.framing import frame, read_frames
from shoestring.runtime.protocol import (
    Cancel,
    Emitted,
    Failed,
    Generate,
    Load,
    Loaded,
    Ready,
    Reply,
    Request,
    Tokenize,
    Tokens,
    decode_request,
    encode,
)

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: Sequence[str]) -> None:
    """Serve until stdin ends. `arguments`: engine name, parent's process id, private folder."""
    engine_name, parent, scratch = arguments
    replies = os.dup(1)
    os.dup2(2, 1)  # native code that prints to stdout must not corrupt the frames
    _volunteer_for_oom()
    _die_with(int(parent))
    engine = get_engine(engine_name)
    engine.preload()
    worker = _Worker(engine, Path(scratch), replies)
    worker.send(Ready(engine.version()))
    for body in read_frames(lambda n: os.read(0, n)):
        worker.handle(decode_request(body))
    os._exit(0)  # the parent is done with us: no destructor is worth waiting for


class _Worker:
    """Runs every request on a thread of its own; writes whole frames under a lock."""

    def __init__(self, engine: Engine, scratch: Path, replies: int) -> None:
        self._engine = engine
        self._scratch = scratch
        self._replies = replies
        self._writing = threading.Lock()
        self._model: LoadedModel | None = None
        self._cancelled: dict[int, threading.Event] = {}

    def send(self, message: Reply) -> None:
        data = memoryview(frame(encode(message)))
        with self._writing:
            while data:
                data = data[os.write(self._replies, data) :]

    def handle(self, request: Request) -> None:
        if isinstance(request, Cancel):
            if event := self._cancelled.get(request.id):
                event.set()
        elif isinstance(request, Load):
            self._attempt(request)  # on this thread: nothing else can be asked before it is done
        else:
            if isinstance(request, Generate):
                self._cancelled[request.id] = threading.Event()
            threading.Thread(target=self._attempt, args=(request,), daemon=True).start()

    def _attempt(self, request: Load | Tokenize | Generate) -> None:
        try:
            if isinstance(request, Load):
                self._load(request)
            elif isinstance(request, Tokenize):
                self.send(Tokens(request.id, self._loaded().tokenize(request.segments)))
            else:
                self._generate(request)
        except PromptTooLongError as error:
            self.send(
                Failed(request.id, "prompt_too_long", error.message, error.prompt_tokens, error.context)
            )
        except EngineError as error:
            kind: Literal["engine", "out_of_memory"] = (
                "out_of_memory" if isinstance(error, OutOfMemoryError) else "engine"
            )
            self.send(Failed(request.id, kind, error.message))
        except Exception as error:  # noqa: BLE001  (a request must never take the worker down silently)
            self.send(Failed(request.id, "internal", f"{type(error).__name__}: {error}"))

    def _load(self, request: Load) -> None:
        start = time.perf_counter()
        files = [Path(os.fsdecode(file)) for file in request.files]
        settings: Any = msgspec.msgpack.decode(request.settings, type=self._engine.settings_type)
        self._model = model = self._engine.load(files, settings, self._scratch)
        self.send(Loaded(request.id, time.perf_counter() - start, model.report))

    def _generate(self, request: Generate) -> None:
        def emit(index: int, event: Event) -> None:
            self.send(Emitted(request.id, event, index))

        try:
            cancelled = self._cancelled[request.id].is_set
            self._loaded().generate(request.prompts, request.sampling, emit, cancelled)
        finally:
            del self._cancelled[request.id]

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            raise EngineError("No model is loaded.")
        return self._model


def _volunteer_for_oom() -> None:
    """Ask the kernel to kill this process first when memory runs out (proc(5), oom_score_adj)."""
    with contextlib.suppress(OSError):  # not Linux, or a container that forbids it
        Path("/proc/self/oom_score_adj").write_text("1000")


def _die_with(parent: int) -> None:
    """Let the kernel end this process when the parent's spawning thread ends (prctl(2), PR_SET_PDEATHSIG).

    The end of stdin does the same a moment later, but is not seen while an engine holds the interpreter.
    """
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
