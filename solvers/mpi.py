"""Engines in several processes, over a graph or over the data: the launcher, and its backends.

Nothing here imports MPI. Started plainly, a backend writes the form to a folder of its own, starts
``mpiexec -n processes python -m convexnn.solvers.mpi_worker FOLDER`` and grades the points that
the first process sends through a socket, while the others wait. Started under mpiexec, every
process solves the same problem and takes its own block of the agents or of the data.
"""

from __future__ import annotations

import os
import pickle
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import Any

from convexnn.contract.backend import Capabilities, Options, Raw, Reporter
from convexnn.contract.checks import positive_int
from convexnn.contract.memory import Size
from convexnn.contract.problem import Problem
from convexnn.contract.processes import mpiexec, rank
from convexnn.functions.terms import SAVED
from convexnn.solvers.exchange import Serial
from convexnn.solvers.mpi_methods import METHODS
from convexnn.solvers.options import unpack
from convexnn.solvers.rounds import OWN

PATIENCE = 60.0  # seconds for the processes to come up
GRACE = 10.0  # seconds for the processes to leave


class Mpi:
    """One method in several processes, each with a block of the agents or of the data.

    The processes are started by the mpiexec that the environment variable ``CONVEXNN_MPIEXEC``
    names, else by that beside this Python, else by the first on the path; it must be of the MPI
    that mpi4py loads, MPICH or Open MPI.

    Options
    -------
    processes : int, default 2
        How many to start, one being this process; under mpiexec there are as many as it started.
    checkpoint : path, optional
        Where the state is kept, and resumed from by a run of the same problem and options.
    every : int, default 100
        Rounds between checkpoints.
    **options
        Those of the method; the iterates are the same for any number of processes, to the last
        bit.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.capabilities = Capabilities(forms=tuple(METHODS[name]), warm_start=True)

    def available(self) -> str | None:
        """Return what is missing of mpi4py and mpiexec."""
        from importlib.util import find_spec

        if find_spec("mpi4py") is None:
            return "mpi4py is not installed; it comes with: pip install 'convexnn[mpi]'"
        if rank() is None and mpiexec() is None:
            return "there is no mpiexec; it comes with: pip install 'convexnn[mpi]'"
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return why a term cannot go to processes that are started from here."""
        own = next(
            (t for t in getattr(problem, "terms", ()) if type(t) not in SAVED.values()), None
        )
        if own is None or rank() is not None:
            return None
        return f"a term {type(own).__name__} cannot be sent: start the program under mpiexec"

    def memory(self, size: Size) -> dict[str, float]:
        """Return 80 bytes a weight, and what two processes and the way there take for the data."""
        data = 8.0 * size.n * (size.d + size.patterns)
        return {"its blocks": 80.0 * size.weights, "copies of the data": 3.0 * data}

    def prepare(self, form: Any) -> None:
        """Compile the kernels, into the cache that the processes read."""
        METHODS[self.name][type(form)].prepare(form)

    def run(self, form: Any, options: Options, reporter: Reporter, start: Any = None) -> Raw:
        """Take part in the run under mpiexec, or start one."""
        method = METHODS[self.name][type(form)]
        chosen = unpack(self.name, options.extra, processes=2, **OWN, **method.defaults)
        positive_int("processes", chosen["processes"])
        if rank() is not None:
            from convexnn.solvers.mpi_worker import take_part

            return take_part(self.name, form, options, chosen, reporter, start)
        if chosen["processes"] == 1:
            edges, n, _ = method.crowd(form, chosen)
            return method.run(Serial(edges, n), form, chosen, options, reporter, start)
        return launch(self.name, form, options, chosen, reporter, start)


def backends() -> list[Mpi]:
    """Return the backends."""
    return [Mpi(name) for name in METHODS]


def launch(
    engine: str,
    form: Any,
    options: Options,
    chosen: dict[str, Any],
    reporter: Reporter,
    start: Any = None,
) -> Raw:
    """Run an engine in processes of its own; a process that dies ends the run as "failed".

    Parameters
    ----------
    engine : str
        A name from `METHODS`.
    form : ConsensusForm, LassoForm or GroupForm
    options : Options
    chosen : dict
        Every option of the engine.
    reporter : Reporter
    start : tuple of a primal and a dual point, optional

    Returns
    -------
    Raw
    """
    with tempfile.TemporaryDirectory(prefix="convexnn-") as name:
        folder = Path(name)
        key = secrets.token_hex(16)
        told = (engine, form, options, chosen, start, key)
        (folder / "job").write_bytes(pickle.dumps(told))
        command = [mpiexec() or "mpiexec", *as_root(), "-n", str(chosen["processes"])]
        command += [sys.executable, "-m", "convexnn.solvers.mpi_worker", name]
        with (
            Listener(str(folder / "socket"), "AF_UNIX", authkey=key.encode()) as door,
            (folder / "log").open("wb") as log,
        ):
            job = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
            try:
                return _attend(job, door, folder / "log", chosen, reporter)
            finally:
                _end(job)


def as_root() -> list[str]:
    """Return what Open MPI wants to hear from root, and to run more processes than cores."""
    program = mpiexec()
    if program is None:
        return []
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    if "Open MPI" not in said.stdout:
        return []
    root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
    return [*root, "--oversubscribe"]


def _attend(
    job: subprocess.Popen[bytes],
    door: Listener,
    log: Path,
    chosen: dict[str, Any],
    reporter: Reporter,
) -> Raw:
    line = _accept(job, door)
    if line is None:
        return _lost(job, log, chosen)
    with line:
        try:
            while True:
                if not line.poll(0.5):
                    if job.poll() is not None:
                        return _lost(job, log, chosen)
                    continue
                kind, *rest = line.recv()
                if kind == "report":
                    line.send(reporter.report(*rest))
                elif kind == "expired":
                    line.send(reporter.expired())
                elif kind == "error":
                    raise ValueError(rest[0])
                else:
                    return Raw(*rest)
        except (EOFError, ConnectionError):
            return _lost(job, log, chosen)


def _accept(job: subprocess.Popen[bytes], door: Listener) -> Connection | None:
    """Wait for the first process to call; None if the job ends or does not come up."""
    inner: Any = door
    inner._listener._socket.settimeout(0.5)
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            line: Connection = door.accept()
        except TimeoutError:
            if job.poll() is not None:
                return None
        else:
            return line
    return None


def _lost(job: subprocess.Popen[bytes], log: Path, chosen: dict[str, Any]) -> Raw:
    try:
        code: int | None = job.wait(GRACE)
    except subprocess.TimeoutExpired:
        code = None
    said = [text.strip() for text in log.read_text(errors="replace").splitlines()]
    words = [text for text in said if any(map(str.isalnum, text))]
    telling = (r"^[\w.]*(Error|Exception)\b", "(?i)error|signal|abort", "")
    found = ([text for text in words if re.search(sign, text)] for sign in telling)
    last = f" Last words: {next(filter(None, found))[-1][:200]}" if words else ""
    again = ""
    if chosen["checkpoint"] is not None and Path(chosen["checkpoint"]).exists():
        again = f" The same call resumes from {chosen['checkpoint']}."
    ended = "does not answer" if code is None else f"ended with exit code {code}"
    return Raw(
        "failed",
        f"A process of the {chosen['processes']} died and the MPI job {ended}.{again}{last}",
    )


def _end(job: subprocess.Popen[bytes]) -> None:
    """See the job out, and put an end to it if it does not leave."""
    for signum in (None, signal.SIGTERM, signal.SIGKILL):
        if signum is not None and job.poll() is None:
            os.killpg(job.pid, signum)
        try:
            job.wait(GRACE if signum is not signal.SIGTERM else 2.0)
        except subprocess.TimeoutExpired:
            continue
        return
