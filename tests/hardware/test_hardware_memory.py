"""What memory a new process may really take."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.hardware.base import Memory
from shoestring.hardware.memory import MemoryProbe, read_memory
from shoestring.units import GiB, MiB

Tree = Callable[[dict[str, str]], Path]

MEMINFO = "MemTotal:       16777216 kB\nMemFree:         1000 kB\nMemAvailable:    8388608 kB\nHugePages_Total:  0\n"
V1_UNLIMITED = 9223372036854771712


def v1(limit: int, usage: int = 0, stat: str = "") -> dict[str, str]:
    return {
        "memory.limit_in_bytes": f"{limit}\n",
        "memory.usage_in_bytes": f"{usage}\n",
        "memory.stat": stat,
    }


def v2(limit: int | str, usage: int = 0, stat: str = "", high: int | str = "max") -> dict[str, str]:
    return {
        "memory.max": f"{limit}\n",
        "memory.high": f"{high}\n",
        "memory.current": f"{usage}\n",
        "memory.stat": stat,
    }


def machine(version: int, group: str, folders: dict[str, dict[str, str]]) -> dict[str, str]:
    """16 GiB, half of it available, and the files of control groups by path (`""` is the top)."""
    line, kind, options = (
        (f"4:memory:{group}", "cgroup", "rw,memory") if version == 1 else (f"0::{group}", "cgroup2", "rw")
    )
    files = {
        "proc/meminfo": MEMINFO,
        "proc/self/cgroup": line + "\n",
        "proc/self/mountinfo": f"35 31 0:32 / /cg rw - {kind} none {options}\n",
    }
    for folder, contents in folders.items():
        files |= {f"cg/{folder}/{name}": text for name, text in contents.items()}
    return files


def test_without_a_limit_the_systems_figures_stand(tree: Tree) -> None:
    root = tree({"proc/meminfo": MEMINFO})

    assert read_memory(root) == Memory(total_bytes=16 * GiB, available_bytes=8 * GiB, limit_bytes=None)


@pytest.mark.parametrize(
    ("files", "limit", "available"),
    [
        pytest.param(machine(1, "/a", {"a": v1(4 * GiB, GiB)}), 4 * GiB, 3 * GiB, id="v1"),
        pytest.param(machine(2, "/a", {"a": v2(4 * GiB, GiB)}), 4 * GiB, 3 * GiB, id="v2"),
        pytest.param(machine(1, "/a", {"a": v1(V1_UNLIMITED, GiB)}), None, 8 * GiB, id="v1 unlimited"),
        pytest.param(machine(2, "/a", {"a": v2("max", GiB)}), None, 8 * GiB, id="v2 max"),
        pytest.param(machine(2, "/a", {"a": v2(64 * GiB, GiB)}), None, 8 * GiB, id="above the total"),
        pytest.param(machine(2, "/a", {"a": v2(12 * GiB, GiB)}), 12 * GiB, 8 * GiB, id="system is scarcer"),
        pytest.param(machine(2, "/a", {"a": v2("max", GiB, high=2 * GiB)}), 2 * GiB, GiB, id="throttled"),
        pytest.param(machine(2, "/a", {"a": v2(GiB, 2 * GiB)}), GiB, 0, id="over the limit"),
        pytest.param(
            machine(2, "/a/b", {"a/b": v2("max", GiB), "a": v2(4 * GiB, 2 * GiB)}),
            4 * GiB,
            2 * GiB,
            id="parent's",
        ),
        pytest.param(
            machine(2, "/a/b", {"a/b": v2(2 * GiB, 0), "a": v2(4 * GiB, 3 * GiB)}),
            2 * GiB,
            GiB,
            id="siblings",
        ),
        pytest.param(
            machine(2, "/not/seen", {"": v2(2 * GiB, GiB)}), 2 * GiB, GiB, id="namespaced: top of the mount"
        ),
        pytest.param(
            machine(1, "/", {"": v1(V1_UNLIMITED, GiB, f"hierarchical_memory_limit {3 * GiB}\n")}),
            3 * GiB,
            2 * GiB,
            id="v1 ancestor out of sight",
        ),
    ],
)
def test_the_smallest_limit_and_the_least_room_count(
    tree: Tree, files: dict[str, str], limit: int | None, available: int
) -> None:
    memory = read_memory(tree(files))

    assert (memory.limit_bytes, memory.available_bytes) == (limit, available)


def test_file_cache_under_a_limit_is_free_memory(tree: Tree) -> None:
    """A model that was just downloaded and verified fills the group with active file pages."""
    stat = f"anon {GiB}\ninactive_file {GiB}\nactive_file {2 * GiB}\n"
    root = tree(machine(2, "/a", {"a": v2(4 * GiB, 4 * GiB, stat)}))

    assert read_memory(root).available_bytes == 3 * GiB


def test_v1_counts_the_cache_of_the_whole_subtree(tree: Tree) -> None:
    stat = f"inactive_file 0\nactive_file 0\ntotal_inactive_file {GiB}\ntotal_active_file {GiB}\n"
    root = tree(machine(1, "/a", {"a": v1(4 * GiB, 3 * GiB, stat)}))

    assert read_memory(root).available_bytes == 3 * GiB


def test_a_limit_whose_usage_cannot_be_read_still_limits(tree: Tree) -> None:
    root = tree(machine(2, "/a", {"a": {"memory.max": f"{2 * GiB}\n"}}))

    assert read_memory(root).available_bytes == 2 * GiB


def test_a_probe_sees_limits_change(tree: Tree) -> None:
    root = tree(machine(2, "/a", {"a": v2("max")}))
    probe = MemoryProbe(root)

    (root / "cg/a/memory.max").write_text(f"{GiB}\n")

    assert probe.available_bytes() == GiB


def test_without_meminfo_the_system_is_asked_another_way(tmp_path: Path) -> None:
    assert read_memory(tmp_path).total_bytes == psutil.virtual_memory().total


@given(meminfo=st.binary(max_size=200), stat=st.binary(max_size=200), limit=st.binary(max_size=20))
def test_whatever_the_files_hold_available_is_within_bounds(
    tmp_path_factory: pytest.TempPathFactory, meminfo: bytes, stat: bytes, limit: bytes
) -> None:
    root = tmp_path_factory.mktemp("root")
    for name, text in machine(2, "/a", {"a": v2("max")}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "proc/meminfo").write_bytes(MEMINFO.encode() + meminfo.replace(b"Mem", b""))
    (root / "cg/a/memory.stat").write_bytes(stat)
    (root / "cg/a/memory.max").write_bytes(limit)

    memory = read_memory(root)

    assert 0 <= memory.available_bytes <= memory.total_bytes
    assert memory.limit_bytes is None or memory.limit_bytes < memory.total_bytes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="control groups are Linux's")
def test_a_real_limit_is_reported(memory_group: Path) -> None:
    """A child that moves itself into a 200 MiB group sees that limit and not the machine's memory."""
    child = (
        "import json, sys; from pathlib import Path\n"
        "Path(sys.argv[1], 'cgroup.procs').write_text('0')\n"
        "from shoestring.hardware.memory import read_memory\n"
        "m = read_memory(); print(json.dumps([m.limit_bytes, m.available_bytes]))"
    )

    done = subprocess.run(
        [sys.executable, "-c", child, str(memory_group)], capture_output=True, text=True, check=True
    )

    limit, available = json.loads(done.stdout)
    assert limit == 200 * MiB
    assert 100 * MiB < available <= 200 * MiB


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A fresh control group (v1 memory hierarchy) limited to 200 MiB; skipped where none may be made."""
    top = Path("/sys/fs/cgroup/memory")
    folder = top / f"shoestring-test-{uuid.uuid4().hex}"
    if not (top / "memory.limit_in_bytes").exists():
        pytest.skip("no v1 memory hierarchy is mounted here")
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(200 * MiB))
    except OSError as error:
        pytest.skip(f"this user may not make a control group: {error}")
    yield folder
    folder.rmdir()
