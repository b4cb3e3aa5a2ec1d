"""What holds between a parent and its worker: life, death, secrets and sockets."""

from __future__ import annotations

import gc
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from shoestring.engines.base import Sampling
from shoestring.engines.fake import Script, fake_model
from shoestring.errors import EngineError, UsageError, WorkerDiedError
from shoestring.planning.base import LlamaCppSettings
from shoestring.runtime.client import Worker
from shoestring.runtime.process import WorkerProcess

LINUX_ONLY = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SETTINGS = LlamaCppSettings(context=256, threads=2)


@pytest.fixture
def worker(home: Path) -> Iterator[Worker]:
    started = Worker(WorkerProcess("fake"))
    yield started
    started.close()


def load(worker: Worker, tmp_path: Path, script: Script = Script()) -> None:  # noqa: B008
    facts, plan = fake_model(tmp_path / "script", script)
    worker.load(facts.files, plan.settings)


def wait_until_gone(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


PARENT = """
import sys, time
from pathlib import Path
from shoestring.engines.fake import Script, fake_model
from shoestring.planning.base import LlamaCppSettings
from shoestring.runtime.client import Worker
from shoestring.runtime.process import WorkerProcess
worker = Worker(WorkerProcess(sys.argv[1]))
print(worker.pid, flush=True)
if sys.argv[1] == "fake":
    facts, plan = fake_model(Path(sys.argv[2]), Script())
    worker.load(facts.files, plan.settings)
else:
    while True: worker.load([Path(sys.argv[2])], LlamaCppSettings(context=8192, threads=2))
print("loaded", flush=True)
time.sleep(60)
"""


@LINUX_ONLY
@pytest.mark.parametrize("moment", ["loaded", "loading a real model"])
def test_a_killed_parents_worker_ends_within_two_seconds(
    moment: str, home: Path, tmp_path: Path, smollm2_files: tuple[Path, ...]
) -> None:
    arguments = (
        ["fake", str(tmp_path / "script")] if moment == "loaded" else ["llama_cpp", str(smollm2_files[0])]
    )
    parent = subprocess.Popen([sys.executable, "-c", PARENT, *arguments], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    if moment == "loaded":
        parent.stdout.readline()
    else:
        time.sleep(0.5)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(pid, within_s=2)


@LINUX_ONLY
def test_a_worker_volunteers_for_the_oom_killer(worker: Worker, tmp_path: Path) -> None:
    load(worker, tmp_path)
    assert Path(f"/proc/{worker.pid}/oom_score_adj").read_text().strip() == "1000"


@LINUX_ONLY
def test_secrets_stay_in_the_parent(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret_one")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret_two")
    worker = Worker(WorkerProcess("fake"))
    load(worker, tmp_path)
    environment = Path(f"/proc/{worker.pid}/environ").read_bytes()
    worker.close()
    assert b"secret_one" not in environment
    assert b"secret_two" not in environment


def test_the_private_folder_is_private_and_removed(worker: Worker, tmp_path: Path) -> None:
    load(worker, tmp_path)
    folder = worker.process._scratch
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    worker.close()
    assert not folder.exists()


def test_the_log_is_private(worker: Worker) -> None:
    assert stat.S_IMODE(worker.process.log_path.stat().st_mode) == 0o600


def test_only_the_newest_logs_are_kept(home: Path) -> None:
    folder = home / "state" / "logs"
    folder.mkdir(parents=True)
    for n in range(40):
        (folder / f"worker-{n:019}-1.log").touch()
    worker = Worker(WorkerProcess("fake"))
    worker.close()
    assert len(list(folder.glob("worker-*.log"))) == 20


LEAVES_A_FOLDER = """
import os
from shoestring.runtime.scratch import Scratch
print(Scratch().path, flush=True)
os._exit(0)
"""


def test_a_folder_left_by_a_killed_parent_is_swept(worker: Worker) -> None:
    left = subprocess.run([sys.executable, "-c", LEAVES_A_FOLDER], capture_output=True, text=True).stdout
    assert Path(left.strip()).is_dir()
    worker.close()
    assert not Path(left.strip()).exists()


def test_a_living_parents_folder_is_not_swept(worker: Worker, home: Path) -> None:
    other = Worker(WorkerProcess("fake"))
    worker.close()
    assert other.process._scratch.is_dir()
    other.close()


def test_a_users_own_folder_of_a_similar_name_is_not_swept(worker: Worker) -> None:
    own = worker.process._scratch.parent / f"shoestring-worker-{os.getpid()}-results"
    own.mkdir()
    worker.close()
    try:
        assert own.is_dir()
    finally:
        own.rmdir()


def test_unfinished_generations_in_garbage_do_not_block_anyone(worker: Worker, tmp_path: Path) -> None:
    load(worker, tmp_path, Script(reply="x" * 50, token_s=0.001))
    gc.set_threshold(5, 2, 2)
    try:

        def litter() -> None:
            for _ in range(40):
                cycle: list[object] = [worker.generate([[1]], Sampling())]
                next(cycle[0])  # type: ignore[call-overload]
                cycle.append(cycle)

        threads = [threading.Thread(target=litter, daemon=True) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
    finally:
        gc.set_threshold(700, 10, 10)


@pytest.mark.parametrize("prompt", [[1.5], ["a"], [2**80]], ids=str)
def test_a_request_that_is_none_is_refused_here_and_ends_no_worker(
    worker: Worker, tmp_path: Path, prompt: list[int]
) -> None:
    load(worker, tmp_path)
    with pytest.raises((UsageError, OverflowError)):
        list(worker.generate([prompt], Sampling()))
    assert list(worker.generate([[1]], Sampling(max_tokens=1)))


def test_a_module_lying_in_the_working_directory_is_not_imported(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "msgspec.py").write_text("raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    worker = Worker(WorkerProcess("fake"))
    load(worker, tmp_path)
    worker.close()


def test_a_request_before_a_load_is_refused(worker: Worker) -> None:
    with pytest.raises(EngineError, match="No model is loaded"):
        list(worker.generate([[1]], Sampling()))


def test_a_request_after_death_is_a_typed_error(worker: Worker, tmp_path: Path) -> None:
    load(worker, tmp_path)
    worker.kill()
    with pytest.raises(WorkerDiedError):
        list(worker.generate([[1]], Sampling()))


def test_an_unknown_engine_ends_the_worker_with_the_reason_in_its_log(home: Path) -> None:
    worker = Worker(WorkerProcess("no_such_engine"))
    with pytest.raises(WorkerDiedError) as caught:
        list(worker.generate([[1]], Sampling()))
    worker.close()
    assert "no_such_engine" in caught.value.log_tail


def test_ctrl_c_in_the_terminal_does_not_reach_the_worker(worker: Worker, tmp_path: Path) -> None:
    load(worker, tmp_path)
    assert os.getsid(worker.pid) != os.getsid(0)


@LINUX_ONLY
def test_llama_cpp_listens_on_no_network_port(home: Path, smollm2_files: tuple[Path, ...]) -> None:
    worker = Worker(WorkerProcess("llama_cpp"))
    worker.load(smollm2_files, SETTINGS)
    sockets = {str(link.readlink()) for link in Path(f"/proc/{worker.pid}/fd").iterdir() if link.is_symlink()}
    inodes = {name.removeprefix("socket:[").rstrip("]") for name in sockets if name.startswith("socket:")}
    listening = [
        line
        for table in ("tcp", "tcp6", "udp", "udp6")
        for line in Path(f"/proc/{worker.pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[9] in inodes
    ]
    worker.close()
    assert inodes, "the Unix socket must have been seen"
    assert listening == []


@LINUX_ONLY
def test_resident_memory_stays_flat_over_twenty_prompts(home: Path, smollm2_files: tuple[Path, ...]) -> None:
    from shoestring.runtime.process_memory import read_process_memory

    worker = Worker(WorkerProcess("llama_cpp"))
    worker.load(smollm2_files, LlamaCppSettings(context=256, threads=2))
    sampling = Sampling(temperature=0, max_tokens=8, ignore_eos=True)
    resident = []
    for n in range(21):
        list(worker.generate([[(n * 37 + k * 11) % 40_000 + 100 for k in range(120)]], sampling))
        memory = read_process_memory(worker.pid)
        assert memory is not None
        resident.append(memory.resident_bytes)
    worker.close()
    assert resident[-1] - resident[0] < 2 * 1024**2  # llama.cpp's own prompt cache would add 26 MiB each


def test_a_crash_is_named_by_its_signal(worker: Worker, tmp_path: Path) -> None:
    load(worker, tmp_path, Script(reply="x" * 1000, token_s=0.01))
    events = worker.generate([[1]], Sampling())
    next(events)
    os.kill(worker.pid, signal.SIGABRT)
    with pytest.raises(WorkerDiedError, match="SIGABRT"):
        list(events)
