"""The parent's side of the protocol: requests to a worker process, answers sorted by request."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import msgspec

from shoestring.engines.base import Event, Finished, Sampling, Segment
from shoestring.errors import EngineError, OutOfMemoryError, PromptTooLongError, UsageError, WorkerDiedError
from shoestring.planning.base import EngineSettings
from shoestring.runtime.framing import FrameError
from shoestring.runtime.process import WorkerProcess
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
    decode_reply,
    decode_request,
    encode,
)


class Worker:
    """A worker that loads, tokenises and generates. Thread-safe; serves many requests at once."""

    def __init__(self, process: WorkerProcess) -> None:
        self.process = process
        self.ready: Ready | None = None
        # No locks here: a garbage collector may finish a generation anywhere, also inside one of these methods.
        # Single operations on dicts, counters and SimpleQueues are atomic.
        self._replies: dict[int, queue.SimpleQueue[Reply | None]] = {}
        self._ids = itertools.count(1)
        self._gone = False
        self._cancels: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        threading.Thread(target=self._send_cancels, name="shoestring-cancel", daemon=True).start()
        process.attach(self._route)

    @property
    def pid(self) -> int:
        """Its process id. Raises as `WorkerProcess.pid`."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """False once it is known to be gone."""
        return self.process.alive

    def load(self, files: Sequence[Path], settings: EngineSettings) -> Loaded:
        """Load a model, and wait for it.

        Raises:
            EngineError: the engine could not load it.
            OutOfMemoryError: a device had no memory left for it.
            WorkerDiedError: the worker died.
        """
        encoded = msgspec.msgpack.encode(settings)
        paths = [os.fsencode(file.absolute()) for file in files]
        reply = self._ask(lambda request_id: Load(request_id, paths, encoded))
        if not isinstance(reply, Loaded):
            raise EngineError("The worker answered a load with something else.")
        return reply

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of the segments, concatenated. Raises as `load`."""
        reply = self._ask(lambda request_id: Tokenize(request_id, list(segments)))
        if not isinstance(reply, Tokens):
            raise EngineError("The worker answered a tokenisation with something else.")
        return reply.tokens

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling
    ) -> Generator[tuple[int, Event], None, None]:
        """Events as they come, with the index of their prompt; each prompt's last one is `Finished`.

        Closing the iterator cancels. Raises as `load`.
        """
        request_id, replies = self._open()
        running = len(prompts)
        try:
            self._send(Generate(request_id, [list(prompt) for prompt in prompts], sampling))
            while running:
                reply = self._check(replies.get())
                if not isinstance(reply, Emitted):
                    raise EngineError("The worker answered a generation with something else.")
                running -= isinstance(reply.event, Finished)
                yield reply.index, reply.event
        except (GeneratorExit, KeyboardInterrupt):  # Ctrl-C arrives here while waiting for the next event
            if running:
                self._cancels.put(request_id)
            raise
        finally:
            self._close(request_id)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()

    def close(self) -> None:
        """End it and give back every byte it held. Idempotent."""
        self.process.close()

    def _route(self, body: bytes | None) -> None:
        """On the reading thread: hand an answer to whoever waits for it; None to all when the worker is gone."""
        if body is None:
            self._gone = True
            for replies in list(self._replies.values()):
                replies.put(None)
            self._cancels.put(None)
            return
        reply = decode_reply(body)
        if isinstance(reply, Ready):
            self.ready = reply
            return
        waiting_for_it = self._replies.get(reply.id)
        if waiting_for_it is not None:  # else: a cancelled request's last words
            waiting_for_it.put(reply)

    def _open(self) -> tuple[int, queue.SimpleQueue[Reply | None]]:
        request_id, replies = next(self._ids), queue.SimpleQueue[Reply | None]()
        self._replies[request_id] = replies
        if self._gone:  # looked at after the queue can be found: one of the two sees the other
            replies.put(None)
        return request_id, replies

    def _close(self, request_id: int) -> None:
        self._replies.pop(request_id, None)

    def _send_cancels(self) -> None:
        """On a thread of its own, since writing takes locks that a finaliser must not wait for."""
        while (request_id := self._cancels.get()) is not None:
            with contextlib.suppress(WorkerDiedError):
                self._send(Cancel(request_id))

    def _ask(self, make: Callable[[int], Request]) -> Reply:
        request_id, replies = self._open()
        try:
            self._send(make(request_id))
            return self._check(replies.get())
        finally:
            self._close(request_id)

    def _send(self, request: Request) -> None:
        body = encode(request)
        try:
            decode_request(body)  # what the worker could not read would end it, and every answer it is giving
        except msgspec.ValidationError as error:
            raise UsageError(f"The request is not valid: {error}.") from error
        try:
            self.process.write(body)
        except FrameError as error:
            raise UsageError(f"The text cannot be sent to the worker: {error}.", "Shorten it.") from error

    def _check(self, reply: Reply | None) -> Reply:
        if reply is None:
            raise self.process.died()
        if isinstance(reply, Failed):
            raise self._failure(reply)
        return reply

    def _failure(self, failed: Failed) -> Exception:
        log = self.process.log_path
        if failed.kind == "prompt_too_long":
            return PromptTooLongError(failed.prompt_tokens, failed.context)
        if failed.kind == "out_of_memory":
            return OutOfMemoryError(failed.message)
        if failed.kind == "engine":
            return EngineError(failed.message, f"The engine's own log is {log}.")
        return EngineError(f"The worker failed inside: {failed.message}.", f"Its log is {log}.")
