"""What the control groups of a process allow it, from files as the kernel writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from convexnn.contract.system.cgroups import least_limit

V2 = "29 23 0:26 {root} {mount} rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate"
V1 = "35 31 0:32 {root} {mount} rw,relatime - cgroup cgroup rw,memory"
OTHER = "36 31 0:33 / {mount}/cpu rw,relatime - cgroup cgroup rw,cpu"
UNLIMITED = "9223372036854771712"  # what version 1 writes where nothing is set


class Machine:
    """A folder with the files of a process and the hierarchies that it sees."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.process = folder, folder / "self"
        self.process.mkdir()
        (self.process / "cgroup").write_text("")
        (self.process / "mountinfo").write_text("22 1 8:1 / / rw - ext4 /dev/sda1 rw\n")

    def see(self, line: str, mount: str, root: str = "/") -> None:
        where = str(self.folder / mount).replace(" ", "\\040")
        with (self.process / "mountinfo").open("a") as file:
            file.write(line.format(root=root, mount=where) + "\n")

    def join(self, line: str) -> None:
        with (self.process / "cgroup").open("a") as file:
            file.write(line + "\n")

    def write(self, file: str, text: str) -> None:
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    @property
    def limit(self) -> float:
        return least_limit(self.process)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_process_without_groups_is_not_limited(machine: Machine, tmp_path: Path) -> None:
    assert machine.limit == np.inf
    assert least_limit(tmp_path / "nowhere") == np.inf


@pytest.mark.parametrize(
    ("own", "above", "limit"),
    [
        ("4096", "8192", 4096.0),
        ("max", "8192", 8192.0),
        ("16384", "8192", 8192.0),
        ("max", "max", np.inf),
    ],
)
def test_the_least_of_a_group_and_those_above_counts_in_version_2(
    machine: Machine, own: str, above: str, limit: float
) -> None:
    machine.see(V2, "unified")
    machine.join("0::/batch.slice/job.scope")
    machine.write("unified/batch.slice/job.scope/memory.max", own)
    machine.write("unified/batch.slice/memory.max", above)  # the topmost group has no such file
    machine.write("unified/other.slice/memory.max", "1")
    assert machine.limit == limit


@pytest.mark.parametrize(("own", "above", "limit"), [("4096", "8192", 4096), (UNLIMITED, "5", 5)])
def test_the_least_of_a_group_and_those_above_counts_in_version_1(
    machine: Machine, own: str, above: str, limit: int
) -> None:
    machine.see(OTHER, "cpu")
    machine.see(V1, "memory")
    machine.join("5:cpu,cpuacct:/elsewhere")
    machine.join("4:memory:/batch/job")
    machine.write("memory/batch/job/memory.limit_in_bytes", own)
    machine.write("memory/batch/memory.limit_in_bytes", above)
    machine.write("memory/memory.limit_in_bytes", UNLIMITED)
    machine.write("memory/elsewhere/memory.limit_in_bytes", "1")
    assert machine.limit == limit


def test_a_container_of_version_1_sees_its_own_group_as_the_topmost(machine: Machine) -> None:
    """Its path is that on the host, and so is the root of what is mounted."""
    machine.see(V1, "memory", root="/docker/4e20f9")
    machine.join("4:memory:/docker/4e20f9")
    machine.write("memory/memory.limit_in_bytes", "4096")
    assert machine.limit == 4096.0


@pytest.mark.parametrize("path", ["/", "/../sibling"])
def test_a_namespace_of_version_2_shows_what_it_is_in(machine: Machine, path: str) -> None:
    machine.see(V2, "cgroup")
    machine.join(f"0::{path}")
    machine.write("cgroup/memory.max", "4096")
    assert machine.limit == 4096.0


def test_both_versions_beside_each_other_count(machine: Machine) -> None:
    machine.see(V2, "unified")
    machine.see(V1, "memory")
    machine.join("0::/a")
    machine.join("4:memory:/b")
    machine.write("unified/a/memory.max", "8192")
    machine.write("memory/b/memory.limit_in_bytes", "4096")
    assert machine.limit == 4096.0


def test_a_mount_may_have_a_blank_in_its_name(machine: Machine) -> None:
    machine.see(V2, "control groups")
    machine.join("0::/a")
    machine.write("control groups/a/memory.max", "4096")
    assert machine.limit == 4096.0
