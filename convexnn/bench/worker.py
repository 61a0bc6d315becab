"""Runs of backends in a process of their own, which may hang or die without ending a sweep."""

from __future__ import annotations

import atexit
import subprocess
import sys
import time
from contextlib import suppress
from functools import cache, partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from convexnn.bench.cases.case import Case
from convexnn.bench.grading import failure
from convexnn.contract.backend import BackendError
from convexnn.contract.certificate import Step
from convexnn.contract.problem import Problem
from convexnn.driver.solution import Solution
from convexnn.driver.solve import compile

# The child finds what its parent does, the library of Python before what lies beside the user.
HERE = (
    "import sys, sysconfig; "
    "own = [path for path in sys.path if path.startswith(sysconfig.get_path('stdlib'))"
    " and '-packages' not in path]; "
    "sys.path[:] = own + [path for path in {!r} if path not in own]"
)
READY = "ready"
START_S = 60.0  # a new process may take to import the library
COMPILE_S = 10.0  # beyond its limit a run may take to compile its problem and to end
PROGRESS = 0.9  # a point on the way is kept if it lowers the least gap by this factor
WARM_TOL, WARM_S = 1e-3, 10.0
SHORT, RUNS, MOST = 0.2, 5, 1.0  # a run below SHORT seconds is done RUNS times, for MOST seconds

Point = dict[str, Any]


class Worker:
    """A process that solves what it is sent; a new one takes the place of one that was killed.

    It is a plain child process, because joblib's workers cannot start multiprocessing's. POSIX.

    Parameters
    ----------
    grace : float
        Seconds beyond the limit of a run after which the process is killed.
    """

    def __init__(self, grace: float = COMPILE_S) -> None:
        self.grace = grace
        self.warmed: set[Any] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None

    def solve(
        self, build: partial[Any], backend: str, tol: float, limit: float
    ) -> list[dict[str, Any]]:
        """Return the points of a run: certified steps, then the answer; or the failure.

        The process builds the problem anew for each run, so that none finds work done by others.

        Raises
        ------
        RuntimeError
            If there is no process: that is no fault of the backend, so it is no result.
        """
        pipe = self._ready()
        try:
            pipe.send((build, backend, tol, limit))
            if pipe.poll(limit + self.grace):
                points: list[Point] = pipe.recv()
                return points
            reason = f"killed {self.grace:g} s after its limit of {limit:g} s"
            self.kill()
            return [failure("TIMEOUT", reason)]
        except (EOFError, OSError):
            code = self.kill()
            how = f"by signal {-code}" if code < 0 else f"with exit {code}"
            return [failure("CRASHED", f"its process ended {how}")]

    def warm(self, backend: str, case: Case) -> None:
        """Solve a tiny instance of the same kind, once for each process, kind and backend."""
        kind = backend, case.kind
        if kind not in self.warmed:
            self.solve(case.tiny, backend, WARM_TOL, WARM_S)
            self.warmed.add(kind)

    def kill(self) -> int:
        """End the process, which may have ended by itself; return its exit code."""
        code = 0
        if self._pipe is not None:
            self._pipe.close()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.5)
            self._process.kill()
            code = self._process.wait()
        self._process = self._pipe = None
        self.warmed.clear()
        return code

    def _ready(self) -> Connection:
        if self._process is not None and self._process.poll() is not None:
            self.kill()
        if self._pipe is None:
            self._pipe, theirs = Pipe()
            fd = theirs.fileno()
            code = f"{HERE.format(sys.path)}; from convexnn.bench.worker import serve; serve({fd})"
            self._process = subprocess.Popen([sys.executable, "-c", code], pass_fds=[fd])
            theirs.close()
            try:
                ready = self._pipe.poll(START_S) and self._pipe.recv() == READY
                late = f"was not ready within {START_S:g} s"
            except (EOFError, OSError):
                ready, late = False, "ended at its start; its output says why"
            if not ready:
                self.kill()
                raise RuntimeError(f"the process that runs backends {late}")
        return self._pipe


@cache
def worker() -> Worker:
    """Return this process's worker."""
    made = Worker()
    atexit.register(made.kill)
    return made


def serve(fd: int) -> None:
    """Solve what comes through a pipe until the sweep closes it."""
    pipe = Connection(fd)
    pipe.send(READY)
    while True:
        try:
            asked = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(attempt(*asked))


def attempt(build: partial[Any], backend: str, tol: float, limit: float) -> list[Point]:
    """Return the points of a run, its failure where there is no answer."""
    try:
        return median_run(build, backend, tol, limit)
    except BackendError as error:
        return [failure("SKIPPED", str(error))]
    except Exception as error:  # whatever a backend raises is its failure, not the sweep's
        return [failure("CRASHED", f"{type(error).__name__}: {error}")]


def median_run(build: partial[Any], backend: str, tol: float, limit: float) -> list[Point]:
    """Return the median run, by processor seconds, of as many as are worth it.

    The problem is built and compiled anew for each, so that none finds work done by others.
    """
    begin = time.perf_counter()
    tries = [run(build(), backend, tol, limit)]
    while len(tries) < RUNS and tries[0][-1]["seconds"] < SHORT:
        if time.perf_counter() - begin > MOST:
            break
        tries.append(run(build(), backend, tol, limit))
    return sorted(tries, key=lambda points: float(points[-1]["cpu"]))[len(tries) // 2]


def run(problem: Problem[Any], backend: str, tol: float, limit: float) -> list[Point]:
    """Solve, and return the certified steps that made progress and the answer.

    Processor seconds are split between solving and certifying as the seconds of the clock are.
    """
    ready = compile(problem, backend)
    clocks: list[tuple[float, float]] = []
    start = time.perf_counter(), time.process_time()

    def watch(_: Step) -> None:
        clocks.append((time.perf_counter() - start[0], time.process_time() - start[1]))

    solution = ready.run(tol=tol, time_limit=limit, callback=watch)
    wall, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    chosen = f"chose {solution.backend}. " if backend == "auto" else ""
    compiled = {"compile": solution.timings["compile"]}
    points: list[Point] = []
    least, spent, graded = np.inf, 0.0, 0.0
    for step, (elapsed, used) in zip(solution.history, clocks, strict=True):
        error = max(abs(step.gap), step.violation)
        if points and not error < PROGRESS * least:
            continue
        least = min(least, error)
        spent = max(spent, used * step.seconds / max(elapsed, 1e-9))
        graded = min(max(graded, elapsed - step.seconds), solution.timings["certify"])
        points.append(
            {name: float(getattr(step, name)) for name in ("objective", "bound", "gap")}
            | {"violation": float(step.violation), "seconds": step.seconds, "cpu": spent}
            | {"certify": graded, "status": "", "message": ""}
            | compiled
        )
    spent = max(spent, cpu * solution.timings["solve"] / max(wall, 1e-9))
    return [*points, _answer(solution, spent, chosen) | compiled]


def _answer(solution: Solution, cpu: float, chosen: str) -> Point:
    return {
        "primal": solution.primal,
        "dual": solution.dual,
        "seconds": solution.timings["solve"],
        "cpu": cpu,
        "certify": solution.timings["certify"],
        "status": solution.status.name,
        "message": chosen + solution.message,
        "final": True,
    }
