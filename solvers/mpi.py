"""Engines in several processes, over a graph or over the data: the launcher.

Nothing here imports MPI. Started plainly, an engine writes the form to a folder of its own, starts
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
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache, partial
from importlib import import_module
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import positive_int
from convexnn.contract.system.memory import Size
from convexnn.contract.system.processes import mpiexec, rank
from convexnn.functions.terms import SAVED
from convexnn.solvers.engine import Method
from convexnn.solvers.exchange import Exchange, Serial

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PATIENCE = 60.0  # seconds for the processes to come up
GRACE = 10.0  # seconds for the processes to leave
LOOK = 0.2  # seconds between two looks at the job and at the clock
SILENCE = 1.0  # seconds without a word after which a job is left whose run is over


@runtime_checkable
class Termed(Protocol):
    """A form of terms, which a user may have written."""

    @property
    def terms(self) -> Iterable[object]:
        """Return the terms."""
        ...


class Shareable(Protocol):
    """A module whose engine runs in several processes, each with a part of the problem."""

    DEFAULTS: dict[str, Any]

    def warm_up(self, form: Any) -> None:
        """Compile the kernels, into the cache that the processes read."""

    def crowd(self, form: Any, own: dict[str, Any]) -> tuple[NDArray[np.int64], int, str]:
        """Return the edges between the parts, how many parts there are, and their name."""

    def share(
        self,
        talk: Exchange,
        form: Any,
        own: dict[str, Any],
        options: Options,
        reporter: Reporter,
        start: Any,
    ) -> Raw:
        """Run this process's part."""


@cache
def spread(module: str) -> Method:
    """Return what runs a module's engine in several processes.

    The processes are started by the mpiexec that the environment variable ``CONVEXNN_MPIEXEC``
    names, else by that beside this Python, else by the first on the path; it must be of the MPI
    that mpi4py loads, MPICH or Open MPI. To the engine's options, with which the iterates are the
    same for any number of processes, to the last bit, comes

    Options
    -------
    processes : int, default 2
        How many to start, one being this process; under mpiexec there are as many as it started.
    """
    engine: Shareable = import_module(module)
    return Method(
        run=partial(run, module),
        warm_up=engine.warm_up,
        refusal=partial(refusal, module),
        memory=memory,
        DEFAULTS={"processes": 2, **engine.DEFAULTS},
    )


def refusal(module: str, form: Any) -> str | None:
    """Return why the engine refuses a form, or why a term cannot go to processes started here."""
    alone: Callable[[Any], str | None] | None = getattr(import_module(module), "refusal", None)
    said: str | None = None if alone is None else alone(form)
    if said is not None:
        return said
    if rank() is not None or not isinstance(form, Termed):
        return None
    own = next((term for term in form.terms if type(term) not in SAVED.values()), None)
    if own is None:
        return None
    return f"a term {type(own).__name__} cannot be sent: start the program under mpiexec"


def memory(size: Size) -> dict[str, float]:
    """Return 80 bytes a weight, and what two processes and the way there take for the data."""
    data = 8.0 * size.n * (size.d + size.patterns)
    return {"its blocks": 80.0 * size.weights, "copies of the data": 3.0 * data}


def run(
    module: str, form: Any, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Take part in the run under mpiexec, or start one."""
    positive_int("processes", own["processes"])
    if rank() is not None:
        from convexnn.solvers.mpi_worker import take_part

        return take_part(module, form, own, options, reporter, start)
    if own["processes"] == 1:
        engine: Shareable = import_module(module)
        edges, n, _ = engine.crowd(form, own)
        return engine.share(Serial(edges, n), form, own, options, reporter, start)
    return launch(module, form, own, options, reporter, start)


def launch(
    module: str,
    form: Any,
    own: dict[str, Any],
    options: Options,
    reporter: Reporter,
    start: Any = None,
) -> Raw:
    """Run an engine in processes of its own; a process that dies ends the run as failed.

    Parameters
    ----------
    module : str
        Of the engine, `Shareable`.
    form : NamedTuple
    own : dict
        Every option of the engine.
    options : Options
    reporter : Reporter
    start : tuple of a primal and a dual point, optional

    Returns
    -------
    Raw
    """
    with tempfile.TemporaryDirectory(prefix="convexnn-") as name:
        folder = Path(name)
        key = secrets.token_hex(16)
        told = (module, form, own, options, start, key)
        (folder / "job").write_bytes(pickle.dumps(told))
        command = [mpiexec() or "mpiexec", *as_root(), "-n", str(own["processes"])]
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
                return _attend(job, door, folder / "log", own, reporter)
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
    own: dict[str, Any],
    reporter: Reporter,
) -> Raw:
    line = _accept(job, door, reporter)
    if line is None:
        return _left(job) if reporter.expired() else _lost(job, log, own)
    with line:
        silent = 0
        try:
            while True:
                if not line.poll(LOOK):
                    if job.poll() is not None:
                        return _lost(job, log, own)
                    silent += 1  # it may be compiling, or send no word to a process that waits
                    if silent * LOOK >= SILENCE and reporter.expired():
                        return _left(job)
                    continue
                silent = 0
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
            return _lost(job, log, own)


def _left(job: subprocess.Popen[bytes]) -> Raw:
    """Leave a job that does not hear that the run is over."""
    os.killpg(job.pid, signal.SIGTERM)
    return Raw(Outcome.TIME_LIMIT, "The MPI job was left before it had ended.")


def _accept(job: subprocess.Popen[bytes], door: Listener, reporter: Reporter) -> Connection | None:
    """Wait for the first process to call; None if the job ends, or the run does before."""
    until = time.monotonic() + PATIENCE
    with ThreadPoolExecutor(1) as waiting:
        call = waiting.submit(door.accept)  # which has no timeout
        try:
            while not wait([call], LOOK).done and job.poll() is None:
                if time.monotonic() >= until or reporter.expired():
                    break
            return call.result() if call.done() else None
        finally:
            if not call.done():  # nobody calls any more: we do, for the thread to end
                with socket.socket(socket.AF_UNIX) as knock, suppress(OSError):
                    knock.connect(door.address)


def _lost(job: subprocess.Popen[bytes], log: Path, own: dict[str, Any]) -> Raw:
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
    if own["checkpoint"] is not None and Path(own["checkpoint"]).exists():
        again = f" The same call resumes from {own['checkpoint']}."
    ended = "does not answer" if code is None else f"ended with exit code {code}"
    return Raw(
        Outcome.FAILED,
        f"A process of the {own['processes']} died and the MPI job {ended}.{again}{last}",
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
