"""What the tests of several processes share: the MPI to run them with, and the jobs themselves."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexnn.contract.system.processes import mpi_missing

LIMIT = 120.0  # seconds for any job


procs = pytest.mark.skipif(not Path("/proc").is_dir(), reason="there is no /proc to look into")


def open_mpi() -> Path | None:
    """The prefix of an Open MPI: from CONVEXNN_OPENMPI, else of an mpiexec.openmpi or ompi_info."""
    if "CONVEXNN_OPENMPI" in os.environ:
        return Path(os.environ["CONVEXNN_OPENMPI"])
    found = shutil.which("mpiexec.openmpi") or shutil.which("ompi_info")
    return None if found is None else Path(found).parent.parent


@pytest.fixture(autouse=True, params=["default", "openmpi"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run everything with the MPI that is found, and with an Open MPI if there is one."""
    name = str(request.param)
    if name == "openmpi":
        prefix = open_mpi()
        if prefix is None:
            pytest.skip("there is no Open MPI; CONVEXNN_OPENMPI names the prefix of one")
        named = prefix / "bin" / "mpiexec.openmpi"
        program = named if named.exists() else prefix / "bin" / "mpiexec"
        monkeypatch.setenv("CONVEXNN_MPIEXEC", str(program))
        monkeypatch.setenv("MPI4PY_MPIABI", "openmpi")
        paths = [str(prefix / "lib"), os.environ.get("LD_LIBRARY_PATH", "")]
        monkeypatch.setenv("LD_LIBRARY_PATH", os.pathsep.join(filter(None, paths)))
    missing = mpi_missing()
    if missing is not None:
        pytest.skip(missing)
    return name


def shell(*words: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words, capture_output=True, text=True, timeout=LIMIT, check=False, **options
    )


def workers_of(parent: int) -> list[int]:
    """The MPI worker processes that descend from a process of ours."""
    above, found = {}, []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            status = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        above[int(entry.name)] = int(status[1])
        if (
            b"convexnn.solvers.mpi_worker" in command
            and b"python" in Path(os.fsdecode(command[0])).name.encode()
        ):
            found.append(int(entry.name))

    def ours(pid: int) -> bool:
        while pid in above:
            if pid == parent:
                return True
            pid = above[pid]
        return False

    return [pid for pid in found if ours(pid)]


def gone(pids: list[int], seconds: float = 20.0) -> bool:
    """Wait until the processes have ended; one that only waits to be counted has."""
    until = time.monotonic() + seconds
    while any(map(alive, pids)):
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def killed(words: list[str], state: Path, processes: int, every: int) -> tuple[int, int]:
    """Start an endless job and kill a process once there is a checkpoint; check what is left.

    Returns the exit code and the iteration from which the job may be resumed.
    """
    job = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + LIMIT
        while not state.exists() and time.monotonic() < until:
            assert job.poll() is None, job.communicate()
            time.sleep(0.02)
        workers = workers_of(job.pid)
        assert len(workers) == processes
        os.kill(workers[processes // 2], signal.SIGKILL)
        out, err = job.communicate(timeout=LIMIT)
    finally:
        if job.poll() is None:
            job.kill()
            job.communicate()
    assert f"A process of the {processes} died and the MPI job ended with exit code" in out, err
    assert f"The same call resumes from {state}" in out
    assert gone(workers)
    with np.load(state, allow_pickle=False) as file:
        reached = int(str(file["meta"]).partition('"iteration": ')[2].partition(",")[0])
    assert reached > 0
    assert reached % every == 0
    return job.returncode, reached
