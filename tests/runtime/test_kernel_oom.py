"""A slice of `benchmarks/oom_kill.py`: a real kernel OOM kill takes the worker, not the parent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from memory_cgroup import may_limit_memory

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "oom_kill.py"


@pytest.mark.skipif(not may_limit_memory(), reason="making a memory cgroup needs root on Linux")
def test_the_kernels_oom_kill_takes_the_worker_and_not_the_parent() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARK), "--rounds", "3"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the parent saw 3 workers killed and lived" in done.stdout
