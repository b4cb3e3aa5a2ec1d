"""The kernel's own OOM kill takes the worker, not the parent: with the guard off, inside a real memory cgroup.

    sudo python benchmarks/oom_kill.py [--rounds 50]

Makes a memory cgroup (v1 or v2; needs root), puts a parent into it, and lets that parent's worker grow past
the limit, again and again. Every round must end with the worker killed by the kernel and the parent alive.
"""

from __future__ import annotations

import argparse
import sys
import tempfile

from memory_cgroup import kernel_kills, memory_cgroup, run_in_cgroup

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
