"""Which of several processes this is, by what mpiexec says."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

from convexnn.contract.system.optional import comes_with

RANKS = ("PMI_RANK", "PMIX_RANK", "OMPI_COMM_WORLD_RANK")  # set by MPICH and by Open MPI
SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")


def rank() -> int | None:
    """Return this process's number under mpiexec, None outside of it."""
    found = (os.environ[name] for name in RANKS if name in os.environ)
    return next((int(value) for value in found), None)


def world() -> int | None:
    """Return how many processes mpiexec started; None if it does not say."""
    found = (os.environ[name] for name in SIZES if name in os.environ)
    return next((int(value) for value in found), None)


def mpiexec() -> str | None:
    """Return the path of mpiexec: the one asked for, or beside this Python, or first found."""
    asked = os.environ.get("CONVEXNN_MPIEXEC")
    if asked:
        return shutil.which(asked)
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def mpi_missing() -> str | None:
    """Return what several processes lack of mpi4py and mpiexec, None if nothing."""
    if find_spec("mpi4py") is None:
        return f"mpi4py is not installed; {comes_with('mpi')}"
    if rank() is None and mpiexec() is None:
        return f"there is no mpiexec; {comes_with('mpi')}"
    return None
