"""Which control group limits this process, on the layouts that exist."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoestring.hardware.cgroup import cgroup_of, read_int

Tree = Callable[[dict[str, str]], Path]

V2_MOUNT = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
V1_MEMORY = "35 31 0:32 {subtree} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
V1_CPU = "36 31 0:33 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
EMPTY_V2_MOUNT = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"


def levels(root: Path, controller: str = "memory") -> list[str] | None:
    found = cgroup_of(controller, root)  # type: ignore[arg-type]
    return None if found is None else [path.relative_to(root).as_posix() for path in found.levels]


def test_v2_lists_the_group_and_every_ancestor(tree: Tree) -> None:
    root = tree(
        {
            "proc/self/cgroup": "0::/user.slice/run.scope\n",
            "proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + V2_MOUNT,
            "sys/fs/cgroup/user.slice/run.scope/memory.max": "max\n",
        }
    )

    assert levels(root) == ["sys/fs/cgroup/user.slice/run.scope", "sys/fs/cgroup/user.slice", "sys/fs/cgroup"]


def test_hybrid_takes_the_hierarchy_that_has_the_controller(tree: Tree) -> None:
    root = tree(
        {
            "proc/self/cgroup": "4:memory:/job\n1:cpu,cpuacct:/\n0::/\n",
            "proc/self/mountinfo": EMPTY_V2_MOUNT + V1_CPU + V1_MEMORY.format(subtree="/"),
            "sys/fs/cgroup/memory/job/memory.limit_in_bytes": "1\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/unified/cgroup.procs": "",
        }
    )

    assert levels(root, "memory") == ["sys/fs/cgroup/memory/job", "sys/fs/cgroup/memory"]
    assert levels(root, "cpu") == ["sys/fs/cgroup/cpu,cpuacct"]


def test_a_container_sees_its_own_group_at_the_top_of_the_mount(tree: Tree) -> None:
    """Docker on v1 without a cgroup namespace: the mount shows only `/docker/abc`, and calls it so."""
    root = tree(
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n",
            "proc/self/mountinfo": V1_MEMORY.format(subtree="/docker/abc"),
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "1\n",
        }
    )

    assert levels(root) == ["sys/fs/cgroup/memory"]


@pytest.mark.parametrize("group", ["/kubepods/pod7/abc", "/../../other", "/"])
def test_a_path_outside_the_mount_falls_back_to_its_top(tree: Tree, group: str) -> None:
    root = tree(
        {
            "proc/self/cgroup": f"0::{group}\n",
            "proc/self/mountinfo": V2_MOUNT,
            "sys/fs/cgroup/memory.max": "1\n",
        }
    )

    assert levels(root) == ["sys/fs/cgroup"]


def test_a_mount_point_with_a_space_is_found(tree: Tree) -> None:
    root = tree(
        {
            "proc/self/cgroup": "0::/\n",
            "proc/self/mountinfo": "30 23 0:26 / /mnt/control\\040groups rw - cgroup2 none rw\n",
            "mnt/control groups/memory.max": "1\n",
        }
    )

    assert levels(root) == ["mnt/control groups"]


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n"},
        {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"},
        {"proc/self/cgroup": "0::/\n", "proc/self/mountinfo": V2_MOUNT},
        {"proc/self/cgroup": "4:memory:/\n0::/\n", "proc/self/mountinfo": EMPTY_V2_MOUNT},
    ],
    ids=["no proc", "no mountinfo", "no cgroup mount", "mount point gone", "only the other version mounted"],
)
def test_nothing_to_see_is_none(tree: Tree, files: dict[str, str]) -> None:
    assert levels(tree(files)) is None


@given(cgroup=st.binary(max_size=200), mountinfo=st.binary(max_size=400))
def test_any_bytes_are_read_without_error(
    tmp_path_factory: pytest.TempPathFactory, cgroup: bytes, mountinfo: bytes
) -> None:
    root = tmp_path_factory.mktemp("root")
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_bytes(b"4:memory:/x\n0::/" + cgroup)
    (root / "proc/self/mountinfo").write_bytes(b"1 1 0:1 / /a\\040b rw - cgroup2 c rw\n" + mountinfo)

    cgroup_of("memory", root)


@pytest.mark.parametrize(
    ("text", "number"),
    [("4096\n", 4096), ("max\n", None), ("-1\n", None), ("", None), ("12 34", None), ("²", None)],
)
def test_a_file_of_one_number(tree: Tree, text: str, number: int | None) -> None:
    assert read_int(tree({"file": text}) / "file") == number


def test_an_unreadable_file_holds_no_number(tmp_path: Path) -> None:
    assert read_int(tmp_path) is None
