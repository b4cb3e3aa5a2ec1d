"""The kernel's own OOM kill takes the worker, not the parent: with the guard off, inside a real memory cgroup.

    sudo python benchmarks/oom_kill.py [--rounds 50]

Makes a memory cgroup (v1 or v2; needs root), puts a parent into it, and lets that parent's worker grow past
the limit, again and again. Every round must end with the worker killed by the kernel and the parent alive.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LIMIT_BYTES = 300 * 1024**2

PARENT = """
import os, signal, sys
from pathlib import Path
from shoestring.engines.base import Sampling
from shoestring.engines.fake import Script, fake_model
from shoestring.errors import WorkerDiedError
from shoestring.runtime.session import open_session
rounds, folder = int(sys.argv[1]), Path(sys.argv[2])
facts, plan = fake_model(folder / "script", Script(reply="x" * 4000, bytes_per_token=16 * 1024**2))
ballast = bytearray(64 * 1024**2)  # a parent worth killing
killed = 0
with open_session(facts, plan, guard=False) as session:
    for n in range(rounds):
        try:
            for event in session.generate([1], Sampling()):
                pass
        except WorkerDiedError as error:
            killed += error.exit_code == -signal.SIGKILL
print(killed, flush=True)
"""


@contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[Path]:
    """A memory cgroup with a limit and no swap; yields its folder, removes it afterwards.

    Raises:
        OSError: no memory controller here, or no permission.
    """
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    root, limit = (v1, "memory.limit_in_bytes") if v1.is_dir() else (v2, "memory.max")
    folder = root / f"shoestring-oom-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / limit).write_text(str(limit_bytes))
        yield folder
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Remove a cgroup; the kernel says busy for a moment after its last process has ended."""
    for _ in range(100):
        try:
            return folder.rmdir()
        except OSError:
            time.sleep(0.05)
    return folder.rmdir()


def run_in_cgroup(command: list[str], cgroup: Path) -> subprocess.CompletedProcess[str]:
    """Run a command inside the cgroup from its first instruction on."""
    enter = f'echo $$ > "{cgroup}/cgroup.procs" && exec "$@"'
    return subprocess.run(["sh", "-c", enter, "sh", *command], capture_output=True, text=True, check=False)


def kernel_kills(cgroup: Path) -> int:
    """How often the kernel's OOM killer struck in the cgroup (`oom_kill` of memory.oom_control or memory.events)."""
    for name in ("memory.oom_control", "memory.events"):
        if (cgroup / name).exists():
            fields = dict(line.split() for line in (cgroup / name).read_text().splitlines())
            return int(fields["oom_kill"])
    raise OSError("this kernel does not count OOM kills")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=50)
    rounds = parser.parse_args().rounds
    with memory_cgroup(LIMIT_BYTES) as cgroup, tempfile.TemporaryDirectory() as folder:
        done = run_in_cgroup([sys.executable, "-c", PARENT, str(rounds), folder], cgroup)
        kills = kernel_kills(cgroup)
    if done.returncode != 0:
        print(f"the parent ended with {done.returncode}:\n{done.stderr}")
        return 1
    seen = int(done.stdout)
    print(
        f"{rounds} rounds: the kernel counts {kills} OOM kills, the parent saw {seen} workers killed and lived"
    )
    return 0 if kills == seen == rounds else 1


if __name__ == "__main__":
    sys.exit(main())
