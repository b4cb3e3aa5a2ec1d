"""A worker's process and its pipes: started, read, written to, ended. What the frames mean is `client.py`'s.

Nothing heavier than the standard library is imported here, so that a worker can be started in the first moments of a
program and import its engine while the program does the same.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path

import shoestring
from shoestring.engines import environments
from shoestring.errors import WorkerDiedError
from shoestring.paths import state_dir
from shoestring.runtime.framing import FrameError, frame, read_frames
from shoestring.runtime.scratch import Scratch

_SECRET = re.compile(
    r"TOKEN|SECRET|PASSW|CREDENTIAL|API_?KEY|ACCESS_?KEY|PRIVATE_?KEY|(^|_)PAT$|^PIP_", re.IGNORECASE
)
_SECRET_VALUE = re.compile(r"://[^/\s]*@")  # user:password in an address
_LOGS_KEPT = 20
_GRACE_S = 2.0

Deliver = Callable[[bytes | None], None]
"""Takes each frame's body on the reading thread, then None once, when the process is gone."""


def prestart(engine: str = "llama_cpp") -> WorkerProcess:
    """Start a worker before there is a plan, so that its imports overlap with planning."""
    return WorkerProcess(engine)


class WorkerProcess:
    """A worker process with one engine. Thread-safe.

    The thread that reads its answers also starts it: on Linux the worker dies with the thread that
    started it (prctl(2), PR_SET_PDEATHSIG), so that thread must live exactly as long as the worker.

    Attributes:
        exit_code: its exit status once it is gone, negative for a signal.
        log_path: where whatever its engine prints goes.
    """

    def __init__(self, engine: str) -> None:
        self.engine = engine
        self.exit_code: int | None = None
        scratch = Scratch()
        self._scratch = scratch.path
        self.log_path = _new_log(self._scratch)
        self._process: subprocess.Popen[bytes] | None = None
        self._start_error: OSError | None = None
        self._broken = False
        self._spawned = threading.Event()
        self._writing = threading.Lock()
        self._delivering = threading.Lock()
        self._deliver: Deliver | None = None
        self._undelivered: list[bytes | None] = []
        self._finalizer = weakref.finalize(self, scratch.remove)
        self._reader = threading.Thread(target=self._run, name="shoestring-worker", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """Its process id.

        Raises:
            WorkerDiedError: the system could not start it.
        """
        return self._spawn().pid

    @property
    def alive(self) -> bool:
        """False once it is known to be gone."""
        return self._reader.is_alive()

    def attach(self, deliver: Deliver) -> None:
        """Have all frames delivered, those that came before included."""
        with self._delivering:
            for body in self._undelivered:
                deliver(body)
            self._undelivered.clear()
            self._deliver = deliver

    def write(self, body: bytes) -> None:
        """Send one frame.

        Raises:
            WorkerDiedError: it is gone.
        """
        process = self._spawn()
        data = memoryview(frame(body))
        try:
            with self._writing:
                if process.stdin is None or process.stdin.closed:
                    raise BrokenPipeError
                while data:
                    data = data[os.write(process.stdin.fileno(), data) :]
        except BrokenPipeError:
            raise self.died() from None
        if not self._reader.is_alive():  # it died before anyone waited for its answer
            raise self.died()

    def kill(self) -> None:
        """End it at once."""
        self._spawn().kill()

    def close(self) -> None:
        """End it and give back every byte it held. Idempotent."""
        try:
            process = self._spawn()
        except WorkerDiedError:
            self._finalizer()
            return
        if process.stdin is not None:
            with self._writing:
                process.stdin.close()
        self._wait()
        if self._reader.is_alive():
            process.kill()
            self._wait()
        self._finalizer()

    def log_tail(self, lines: int = 12) -> str:
        """The last lines the engine wrote."""
        try:
            text = self.log_path.read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def died(self) -> WorkerDiedError:
        """The error that says how it ended; waits a moment for the system to tell."""
        self._wait()
        tail = self.log_tail()
        hint = "The next call starts a new one."
        if tail:
            hint += f" What the engine last wrote is in {self.log_path}."
        how = "sent something else than answers and was ended" if self._broken else _how(self.exit_code)
        return WorkerDiedError(f"The worker process {how}.", hint, exit_code=self.exit_code, log_tail=tail)

    def _wait(self) -> None:
        """Wait a moment for the end. (A garbage collector may close on the reading thread itself.)"""
        if threading.current_thread() is not self._reader:
            self._reader.join(_GRACE_S)

    def _run(self) -> None:
        """The reader thread: start the process, pass its frames on, reap it."""
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
                self._pass_on(body)
        except (FrameError, ValueError):  # msgspec's decoding errors are ValueErrors
            self._broken = True  # whatever speaks there is not our worker any more
            process.kill()
        try:
            self.exit_code = process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:  # it closed its pipe and lives on
            process.kill()
            self.exit_code = process.wait()
        output.close()
        self._pass_on(None)

    def _pass_on(self, body: bytes | None) -> None:
        with self._delivering:
            if self._deliver is None:
                self._undelivered.append(body)
            else:
                self._deliver(body)

    def _start(self) -> subprocess.Popen[bytes]:
        module = "shoestring.runtime.worker"
        arguments = [sys.executable, "-m", module, self.engine, str(os.getpid()), str(self._scratch)]
        with self.log_path.open("wb") as log:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                cwd=self._scratch,  # `-m` puts the working directory on the import path: make it one of ours
                env=_environment(self.engine),
                start_new_session=True,  # Ctrl-C in a terminal is for the parent to answer
            )
        return self._process

    def _spawn(self) -> subprocess.Popen[bytes]:
        self._spawned.wait()
        if self._process is None:
            raise WorkerDiedError(f"The system could not start a worker process: {self._start_error}.")
        return self._process


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "is gone"
    if exit_code >= 0:
        return f"ended by itself with exit status {exit_code}"
    if exit_code == -9:
        return "was killed (SIGKILL: by someone, or by the kernel because memory ran out)"
    import signal

    return f"crashed ({signal.Signals(-exit_code).name})"


def _environment(engine: str) -> dict[str, str]:
    """The parent's environment without its secrets, able to import what the parent imports, set for the engine."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not (_SECRET.search(key) or _SECRET_VALUE.search(value))
    }
    package = str(Path(shoestring.__file__).parents[1])
    inherited = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join([inherited, package] if inherited else [package])
    environment["GGML_NO_BACKTRACE"] = "1"  # an abort would start a debugger on the worker, for seconds
    # llama.cpp's OpenMP threads spin at every barrier by default. Beside busy processes that costs not
    # a share of the speed but nearly all of it: spin briefly, then sleep (docs/decisions/0004).
    environment.setdefault("GOMP_SPINCOUNT", "1000")
    environment.update(environments.environment(engine))
    return environment


def _new_log(scratch: Path) -> Path:
    """A log file of our own (0600), the oldest removed; in `scratch` where the state folder cannot be written."""
    folder = state_dir() / "logs"
    path = folder / f"worker-{time.time_ns()}-{os.getpid()}.log"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for old in sorted(folder.glob("worker-*.log"))[: -_LOGS_KEPT + 1]:
            old.unlink(missing_ok=True)
        path.touch(mode=0o600)
    except OSError:
        path = scratch / "worker.log"
        path.touch(mode=0o600)
    return path
