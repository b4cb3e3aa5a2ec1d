"""The parent's side of a worker: starts it, talks to it, notices when it is gone."""

from __future__ import annotations

import os
import queue
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

import shoestring
from shoestring.engines.base import Event, Finished, Sampling, Segment
from shoestring.errors import EngineError, PromptTooLongError, WorkerDiedError
from shoestring.paths import state_dir
from shoestring.planning.base import EngineSettings
from shoestring.runtime.protocol import (
    Cancel,
    Emitted,
    Failed,
    FrameError,
    Generate,
    Load,
    Loaded,
    Ready,
    Reply,
    Request,
    Tokenize,
    Tokens,
    decode_reply,
    frame,
    read_frames,
)
from shoestring.runtime.scratch import make_scratch, remove_scratch

_SECRET = re.compile(r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY", re.IGNORECASE)
_LOGS_KEPT = 20
_GRACE_S = 2.0


class Worker:
    """A worker process with one engine. Thread-safe.

    The thread that reads its answers also starts it: on Linux the worker dies with the thread that
    started it (prctl(2), PR_SET_PDEATHSIG), so that thread must live exactly as long as the worker.
    """

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.ready: Ready | None = None
        self.exit_code: int | None = None
        self._scratch = make_scratch()
        self.log_path = _new_log()
        self._process: subprocess.Popen[bytes] | None = None
        self._start_error: OSError | None = None
        self._spawned = threading.Event()
        self._writing = threading.Lock()
        self._routing = threading.Lock()
        self._replies: dict[int, queue.SimpleQueue[Reply | None]] = {}
        self._next_id = 0
        self._reader = threading.Thread(target=self._run, name="shoestring-worker", daemon=True)
        self._reader.start()
        self._finalizer = weakref.finalize(self, remove_scratch, self._scratch)

    @property
    def pid(self) -> int:
        """The worker's process id.

        Raises:
            WorkerDiedError: the system could not start it.
        """
        return self._spawn().pid

    @property
    def alive(self) -> bool:
        """False once the worker is known to be gone."""
        return self._reader.is_alive()

    def load(self, files: Sequence[Path], settings: EngineSettings) -> Loaded:
        """Load a model, and wait for it.

        Raises:
            EngineError: the engine could not load it.
            WorkerDiedError: the worker died.
        """
        paths = [str(file.absolute()) for file in files]
        reply = self._ask(lambda request_id: Load(request_id, paths, settings))
        if not isinstance(reply, Loaded):
            raise EngineError("The worker answered a load with something else.")
        return reply

    def tokenize(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of the segments, concatenated. Raises as `load`."""
        reply = self._ask(lambda request_id: Tokenize(request_id, list(segments)))
        if not isinstance(reply, Tokens):
            raise EngineError("The worker answered a tokenisation with something else.")
        return reply.tokens

    def generate(self, prompt: Sequence[int], sampling: Sampling) -> Iterator[Event]:
        """Events as they come, the last one `Finished`. Closing the iterator cancels. Raises as `load`."""
        request_id, replies = self._open()
        finished = False
        try:
            self._send(Generate(request_id, list(prompt), sampling))
            while not finished:
                reply = self._check(replies.get())
                if not isinstance(reply, Emitted):
                    raise EngineError("The worker answered a generation with something else.")
                finished = isinstance(reply.event, Finished)
                yield reply.event
        except (GeneratorExit, KeyboardInterrupt):  # Ctrl-C arrives here while waiting for the next event
            if not finished and self.alive:
                self._send(Cancel(request_id))
            raise
        finally:
            self._close(request_id)

    def kill(self) -> None:
        """End the worker at once."""
        self._spawn().kill()

    def close(self) -> None:
        """End the worker and give back every byte it held. Idempotent."""
        try:
            process = self._spawn()
        except WorkerDiedError:
            self._finalizer()
            return
        if process.stdin is not None:
            with self._writing:
                process.stdin.close()
        self._reader.join(_GRACE_S)
        if self._reader.is_alive():
            process.kill()
            self._reader.join(_GRACE_S)
        self._finalizer()

    def log_tail(self, lines: int = 12) -> str:
        """The last lines the engine wrote."""
        try:
            text = self.log_path.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def _run(self) -> None:
        """The reader thread: start the process, route its answers, reap it."""
        try:
            process = self._start()
        except OSError as error:
            self._start_error = error
            return
        finally:
            self._spawned.set()
        output = process.stdout
        if output is None:
            raise AssertionError("the worker was started with a pipe")
        try:
            for body in read_frames(lambda n: os.read(output.fileno(), n)):
                self._route(decode_reply(body))
        except (FrameError, msgspec.MsgspecError):
            process.kill()  # whatever speaks there is not our worker any more
        self.exit_code = process.wait()
        output.close()
        with self._routing:
            waiting = list(self._replies.values())
        for replies in waiting:
            replies.put(None)

    def _start(self) -> subprocess.Popen[bytes]:
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "shoestring.runtime.worker",
                    self.engine,
                    str(os.getpid()),
                    str(self._scratch),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                cwd=self._scratch,  # `-m` puts the working directory on the import path: make it one of ours
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for the parent to answer
            )
        return self._process

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._spawned.wait()
        if self._process is None:
            raise WorkerDiedError(f"The system could not start a worker process: {self._start_error}.")
        return self._process

    def _route(self, reply: Reply) -> None:
        if isinstance(reply, Ready):
            self.ready = reply
            return
        with self._routing:
            replies = self._replies.get(reply.id)
        if replies is not None:  # else: a cancelled request's last words
            replies.put(reply)

    def _open(self) -> tuple[int, queue.SimpleQueue[Reply | None]]:
        replies: queue.SimpleQueue[Reply | None] = queue.SimpleQueue()
        with self._routing:
            self._next_id += 1
            self._replies[self._next_id] = replies
            return self._next_id, replies

    def _close(self, request_id: int) -> None:
        with self._routing:
            self._replies.pop(request_id, None)

    def _ask(self, make: Callable[[int], Request]) -> Reply:
        request_id, replies = self._open()
        try:
            self._send(make(request_id))
            return self._check(replies.get())
        finally:
            self._close(request_id)

    def _send(self, request: Request) -> None:
        process = self._spawn()
        data = memoryview(frame(request))
        try:
            with self._writing:
                if process.stdin is None or process.stdin.closed:
                    raise BrokenPipeError
                while data:
                    data = data[os.write(process.stdin.fileno(), data) :]
        except BrokenPipeError:
            self._reader.join(_GRACE_S)
            raise self._died() from None
        if not self._reader.is_alive():  # it died before our queue was there to be told
            raise self._died()

    def _check(self, reply: Reply | None) -> Reply:
        if reply is None:
            self._reader.join(_GRACE_S)
            raise self._died()
        if isinstance(reply, Failed):
            raise self._failure(reply)
        return reply

    def _failure(self, failed: Failed) -> Exception:
        if failed.kind == "prompt_too_long":
            return PromptTooLongError(failed.prompt_tokens, failed.context)
        if failed.kind == "engine":
            return EngineError(failed.message, f"The engine's own log is {self.log_path}.")
        return EngineError(f"The worker failed inside: {failed.message}.", f"Its log is {self.log_path}.")

    def _died(self) -> WorkerDiedError:
        return WorkerDiedError(
            f"The worker process {_how(self.exit_code)}.",
            "The next call starts a new one. "
            + (f"What the engine last wrote is in {self.log_path}." if self.log_tail() else ""),
            exit_code=self.exit_code,
            log_tail=self.log_tail(),
        )


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "is gone"
    if exit_code >= 0:
        return f"ended by itself with exit status {exit_code}"
    if exit_code == -9:
        return "was killed (SIGKILL: by someone, or by the kernel because memory ran out)"
    import signal

    return f"crashed ({signal.Signals(-exit_code).name})"


def _environment() -> dict[str, str]:
    """The parent's environment without its secrets, able to import what the parent imports."""
    environment = {key: value for key, value in os.environ.items() if not _SECRET.search(key)}
    package = str(Path(shoestring.__file__).parents[1])
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([inherited, package] if inherited else [package])
    environment["GGML_NO_BACKTRACE"] = "1"  # an abort would start a debugger on the worker, for seconds
    # llama.cpp's OpenMP threads spin at every barrier by default. Beside one busy process that costs not
    # half the speed but nearly all of it (docs/decisions/0004); sleeping threads share the cores.
    environment.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return environment


def _new_log() -> Path:
    """A log file of our own (0600); the oldest are removed."""
    folder = state_dir() / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    logs = sorted(folder.glob("worker-*.log"), key=lambda path: path.name)
    for old in logs[: -_LOGS_KEPT + 1]:
        old.unlink(missing_ok=True)
    import time

    path = folder / f"worker-{time.time_ns()}-{os.getpid()}.log"
    path.touch(mode=0o600)
    return path
