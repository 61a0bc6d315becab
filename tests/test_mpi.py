"""The engines over a graph in several processes, started, killed and resumed for real."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Listener
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from jobs import LIMIT, gone, killed, open_mpi, procs, shell, workers_of
from jobs import library as library

import convexnn as cx
from convexnn.contract.clock import Clock
from convexnn.contract.system import processes
from convexnn.contract.system.processes import mpiexec
from convexnn.functions.terms import (
    Ball,
    Custom,
    Distance,
    HuberDistance,
    L1Distance,
    SquaredDistance,
    Term,
)
from convexnn.solvers import mpi


def problem(n: int = 30, d: int = 4) -> cx.DistributedMedian:
    rng = np.random.default_rng(0)
    weights = rng.uniform(0.5, 2.0, n)
    return cx.DistributedMedian(rng.random((n, d)), nx.cycle_graph(n), weights=weights)


@pytest.mark.parametrize(
    ("engine", "processes", "options"),
    [
        ("admm", 1, {}),
        ("admm", 4, {}),
        ("homotopy", 2, {}),
        ("homotopy", 4, {"scheme": "paper", "splitting": "laplacian"}),
        ("pg-extra", 3, {}),
        ("extra", 4, {"step": 0.2}),
        ("subgradient", 2, {}),
    ],
)
def test_iterates_do_not_depend_on_the_processes(
    engine: str, processes: int, options: dict[str, Any]
) -> None:
    alone = cx.solve(problem(), engine, tol=1e-8, max_iter=300, **options)
    spread = cx.solve(
        problem(), f"mpi:{engine}", tol=1e-8, max_iter=300, processes=processes, **options
    )
    assert spread.status is alone.status
    assert (spread.primal.X == alone.primal.X).all()
    assert (spread.dual.nu == alone.dual.nu).all()
    assert (spread.model.rounds, spread.model.messages) == (
        alone.model.rounds,
        alone.model.messages,
    )
    assert [s.objective for s in spread.history] == [s.objective for s in alone.history]
    assert spread.stages == alone.stages


def test_network_lasso_does_not_depend_on_the_processes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    b = rng.standard_normal((9, 2))
    kinds: list[Term] = [Distance(b[0]), L1Distance(b[1]), HuberDistance(b[2]), Ball(b[3], 0.5)]
    kinds += [SquaredDistance(row) for row in b[4:]]
    graph = nx.grid_2d_graph(3, 3)
    for k, (i, j) in enumerate(graph.edges):
        graph.edges[i, j]["weight"] = 1.0 + k / 4.0
    lasso = cx.NetworkLasso(kinds, graph, penalty=0.2)
    alone = cx.solve(lasso, "admm", tol=1e-14, max_iter=90)
    saved: dict[str, Any] = {"checkpoint": str(tmp_path / "state.npz"), "every": 20}
    cx.solve(lasso, "mpi:admm", tol=1e-14, max_iter=50, processes=2, **saved)
    spread = cx.solve(lasso, "mpi:admm", tol=1e-14, max_iter=90, processes=3, **saved)
    assert (spread.primal.X == alone.primal.X).all()
    assert (spread.dual.y == alone.dual.y).all()
    assert (spread.model.rounds, spread.model.messages) == (
        alone.model.rounds,
        alone.model.messages,
    )
    assert len(spread.history) < len(alone.history)
    own = Custom(2, lambda x: 0.0, lambda v, step: v)
    with pytest.raises(
        cx.BackendError, match="Custom cannot be sent: start the program under mpie"
    ):
        cx.solve(cx.NetworkLasso([own, *kinds[1:]], nx.cycle_graph(9), penalty=1.0), "mpi:admm")


def test_launcher_never_imports_mpi() -> None:
    code = (
        "import sys, convexnn as cx\n"
        "p = cx.DistributedMedian([[0.0], [1.0], [5.0]], [[0, 1], [1, 2]])\n"
        "assert cx.solve(p, 'mpi:admm').status is cx.Status.OPTIMAL\n"
        "print([m for m in sys.modules if m.startswith('mpi4py')])"
    )
    done = shell(sys.executable, "-W", "error", "-c", code)
    assert done.stdout.strip() == "[]", done.stderr


def test_command_under_mpiexec_speaks_once(tmp_path: Path) -> None:
    program = mpiexec()
    assert program is not None
    words = ["solve", "median", "--distributed", "--agents", "20", "--graph", "ring"]
    saved = tmp_path / "s.npz"
    under = [program, *mpi.as_root(), "-n", "4", sys.executable, "-m", "convexnn", *words]
    done = shell(*under, "--save", str(saved))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mpi:admm") == done.stdout.count("OPTIMAL") == 1
    rng = np.random.default_rng(0)
    ring = [(i, (i + 1) % 20) for i in range(20)]
    alone = cx.solve(cx.DistributedMedian(10.0 * rng.random((20, 10)), ring))
    assert (cx.load(saved).primal.X == alone.primal.X).all()


def test_command_launches_processes_itself() -> None:
    words = ["solve", "median", "--distributed", "--agents", "12", "--graph", "grid"]
    done = shell(sys.executable, "-m", "convexnn", *words, "--processes", "3")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mpi:admm") == done.stdout.count("OPTIMAL") == 1


# a shell that runs the tests in the background has Ctrl-C ignored
ENDLESS = """
import signal, sys, convexnn as cx, numpy as np
signal.signal(signal.SIGINT, signal.default_int_handler)
points = np.random.default_rng(0).random((40, 3))
ring = [(i, (i + 1) % 40) for i in range(40)]
def told(step):
    if step.iteration > 50:
        print("running", flush=True)
        if "raise" in sys.argv:
            raise RuntimeError("a callback of the user")
more = {"tol": 1e-300, "max_iter": 10**9, "callback": told, "processes": 3}
print(cx.solve(cx.DistributedMedian(points, ring), "mpi:homotopy", **more).status.name)
"""


@procs
@pytest.mark.parametrize("way", ["interrupt", "kill", "raise"])
def test_no_process_outlives_the_launcher(way: str) -> None:
    words = [sys.executable, "-c", ENDLESS, way]
    job = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    workers: list[int] = []
    try:
        until = time.monotonic() + LIMIT
        while len(workers) < 3 and time.monotonic() < until:
            workers = workers_of(job.pid)
            time.sleep(0.02)
        assert len(workers) == 3
        assert job.stdout is not None
        assert job.stdout.readline() == "running\n"
        if way != "raise":
            job.send_signal(signal.SIGINT if way == "interrupt" else signal.SIGKILL)
        out, err = job.communicate(timeout=LIMIT)
    finally:
        if job.poll() is None:
            job.kill()
            job.communicate()
    assert gone(workers), (out, err)
    if way == "interrupt":
        assert out.endswith("STOPPED\n"), (out, err)
    if way == "raise":
        assert "RuntimeError: a callback of the user" in err


def test_a_job_that_ends_before_it_calls_is_not_waited_for(tmp_path: Path) -> None:
    job, before = subprocess.Popen([sys.executable, "-c", ""]), threading.active_count()
    with Listener(str(tmp_path / "socket"), "AF_UNIX", authkey=b"key") as door:
        assert mpi._accept(job, door, Deadline(60.0)) is None
    assert job.poll() == 0
    assert threading.active_count() == before


class Deadline:
    """A reporter of a run that ends after so many seconds."""

    def __init__(self, limit: float) -> None:
        self.clock = Clock(limit)

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        return self.expired()

    def expired(self) -> bool:
        return self.clock.expired()

    def remaining(self) -> float | None:
        return self.clock.remaining()


def test_a_job_that_takes_long_to_come_up_is_left_when_the_run_is_over(tmp_path: Path) -> None:
    sleeping = [sys.executable, "-c", "import time; time.sleep(60)"]
    job, begin = subprocess.Popen(sleeping, start_new_session=True), time.perf_counter()
    own: dict[str, Any] = {"processes": 2, "checkpoint": None}
    with Listener(str(tmp_path / "socket"), "AF_UNIX", authkey=b"key") as door:
        raw = mpi._attend(job, door, tmp_path / "log", own, Deadline(0.3))
    assert raw.outcome is cx.Outcome.TIME_LIMIT
    assert "was left" in raw.message
    mpi._end(job)
    assert job.poll() is not None
    assert time.perf_counter() - begin < 10.0


def test_exception_in_one_process_ends_the_job() -> None:
    program = mpiexec()
    assert program is not None
    code = ENDLESS.replace('"raise" in sys.argv', "rank() == 1").replace(
        "import signal", "from convexnn.contract.system.processes import rank\nimport signal"
    )
    done = shell(program, *mpi.as_root(), "-n", "3", sys.executable, "-c", code)
    assert done.returncode != 0
    assert "RuntimeError: a callback of the user" in done.stderr


def test_mpiexec_of_another_library_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if library == "openmpi" or open_mpi() is None:
        pytest.skip("it takes both libraries")
    monkeypatch.setenv("MPI4PY_MPIABI", "openmpi")
    monkeypatch.setenv("LD_LIBRARY_PATH", str((open_mpi() or Path()) / "lib"))
    with pytest.raises(ValueError, match="started 2 processes, and each finds 1"):
        cx.solve(problem(), "mpi:admm", processes=2)


@procs
def test_killed_process_ends_the_job_and_a_restart_reaches_the_same_answer(tmp_path: Path) -> None:
    state, saved = tmp_path / "state.npz", tmp_path / "s.npz"
    common = ["--agents", "60", "--dimension", "5", "--graph", "ring", "--backend", "homotopy"]
    common += ["--processes", "4", "--checkpoint", str(state), "--every", "50"]
    words = [sys.executable, "-m", "convexnn", "solve", "median", "--distributed", *common]
    endless = [*words, "--tol", "1e-300", "--max-iter", "100000000", "--time-limit", "100"]
    code, reached = killed(endless, state, 4, 50)
    assert code == 1
    goal = reached + 75
    again = shell(*words, "--tol", "1e-300", "--max-iter", str(goal), "--save", str(saved))
    assert again.returncode == 0, again.stderr
    rng = np.random.default_rng(0)
    ring = [(i, (i + 1) % 60) for i in range(60)]
    whole = cx.DistributedMedian(10.0 * rng.random((60, 5)), ring)
    alone = cx.solve(whole, "homotopy", tol=1e-300, max_iter=goal)
    resumed = cx.load(saved)
    assert resumed.history[-1].iteration == goal
    assert resumed.history[-1].objective == alone.history[-1].objective
    assert resumed.history[-1].violation == alone.history[-1].violation


def test_mistakes_are_named_and_nothing_is_left_running() -> None:
    with pytest.raises(ValueError, match="no option 'rho'; it has: processes, checkpoint, every"):
        cx.solve(problem(), "mpi:admm", rho=1.0)
    with pytest.raises(cx.ProblemError, match="processes must be an integer >= 1"):
        cx.solve(problem(), "mpi:admm", processes=0)
    small = cx.DistributedMedian([[0.0], [1.0], [5.0]], [[0, 1], [1, 2]])
    with pytest.raises(ValueError, match="processes must be at most the number of agents 3"):
        cx.solve(small, "mpi:admm", processes=4)
    with pytest.raises(ValueError, match="scheme must be one of"):
        cx.solve(problem(), "mpi:homotopy", scheme="fast")


def test_callback_and_time_limit_stop_all_processes() -> None:
    stopped = cx.solve(problem(), "mpi:admm", tol=1e-14, callback=lambda s: s.iteration > 20)
    assert stopped.status is cx.Status.STOPPED
    late = cx.solve(problem(), "mpi:homotopy", tol=1e-300, time_limit=2.0, max_iter=10**8)
    assert late.status is cx.Status.TIME_LIMIT


def test_absent_mpiexec_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "mpiexec", lambda: None)
    assert "there is no mpiexec" in cx.backends(problem()).reasons["mpi:admm"]  # type: ignore[operator]
