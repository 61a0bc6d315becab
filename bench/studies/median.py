"""Benchmarks of medians: against peers, one pass over the data, growth, rounds and processes.

``python bench/studies/median.py central|pass|growth|rounds|mpi [--quick]`` prints one table and
keeps it as a CSV in bench/studies/results. See bench/studies/README.md for the peer's environment
and what each column means.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from harness import HERE, Table, cpu_seconds, slope
from numba import njit
from racing import REPEATS, race, ready_for, take_turns, timed
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.bench import peers
from convexnn.bench.processes import PeerError
from convexnn.bench.translation import task
from convexnn.contract.arrays import Array
from convexnn.contract.system.processes import mpi_missing, mpiexec
from convexnn.median.consensus import ConsensusForm
from convexnn.median.forms import MedianForm, view
from convexnn.solvers.exchange import Serial
from convexnn.solvers.median import admm as distributed_admm
from convexnn.solvers.median import homotopy as median_homotopy
from convexnn.solvers.median.extra import Extra
from convexnn.solvers.median.pg_extra import PgExtra
from convexnn.solvers.median.subgradient import Subgradient
from convexnn.solvers.mpi import as_root

PEER_LIMIT_S = 300.0
TORCH_MOST = 10_000  # points from which its tensors, one a point, are hopeless
TARGET = 1e-6
FINEST = 1e-12  # certified gap of the optimum that objectives are held against
SIZES = ((1_000, 10), (10_000, 100), (100_000, 20), (1_000_000, 3), (50, 400_000))
OUTLIERS = 5  # one point in so many


class Reached(Exception):
    """The target of an oracle."""


def draw(n: int, d: int, seed: int = 0) -> Array:
    """Draw a stretched Gaussian cloud, a fifth of it moved far off."""
    g = np.random.default_rng(seed)
    points = g.standard_normal((n, d)) * np.logspace(0.0, -1.0, d)
    points[: n // OUTLIERS] = 10.0 + 5.0 * g.standard_normal((n // OUTLIERS, d))
    mixed: Array = g.permutation(points)
    return mixed


def slow(points: Array) -> Callable[[Array], tuple[float, Array]]:
    """Return objective and gradient as they are written in NumPy."""

    def both(x: Array) -> tuple[float, Array]:
        away = points - x
        r = np.sqrt(np.einsum("ij,ij->i", away, away))
        return float(r.sum()), -((1.0 / r) @ away)

    return both


def fast(form: MedianForm) -> Callable[[Array], tuple[float, Array]]:
    """Return objective and gradient by our own pass over the points."""

    def both(x: Array) -> tuple[float, Array]:
        seen = view(form, x)
        return seen.value, -seen.pull

    return both


class Run(NamedTuple):
    """One run to the target.

    Attributes
    ----------
    cpu_s, certify_s : float
        In the solver, and certifying, which an oracle does not.
    steps : int
        Iterations, or passes over the data of L-BFGS.
    objective : float
    reached : str
    """

    cpu_s: float
    certify_s: float
    steps: int
    objective: float
    reached: str


def ours(ready: cx.Compiled) -> tuple[Run, float]:
    """Run to the certified target; return also the seconds by the clock, as `lbfgs` does."""
    run = timed(ready, TARGET)
    found = run.solution
    steps = found.history[-1].iteration
    return Run(run.cpu_s, run.certify_s, steps, found.objective, found.status.name), run.wall_s


def lbfgs(
    both: Callable[[Array], tuple[float, Array]], start: Array, target: float
) -> tuple[Run, float]:
    """Run L-BFGS until its objective is at the target."""
    passes, least = 0, np.inf

    def watched(x: Array) -> tuple[float, Array]:
        nonlocal passes, least
        value, gradient = both(x)
        passes, least = passes + 1, min(least, value)
        if value <= target:
            raise Reached
        return value, gradient

    options: Any = {"maxiter": 2_000, "ftol": 0.0, "gtol": 0.0}
    wall, cpu = time.perf_counter(), time.process_time()
    with suppress(Reached):
        minimize(watched, start, jac=True, method="L-BFGS-B", options=options)
    seconds = time.process_time() - cpu
    reached = "yes" if least <= target else "no"
    return Run(seconds, 0.0, passes, least, reached), time.perf_counter() - wall


CENTRAL = (
    *("n", "d", "solver", "reached", "compile_s", "cpu_s", "certify_s", "steps", "excess"),
    *("times_ours", "runs", "note"),
)


def bench_central(quick: bool) -> Table:
    """Time geometric medians to a certified gap of 1e-6, against geom_median and L-BFGS."""
    table = Table("central", CENTRAL, quick, "median")
    for n, d in SIZES[:2] if quick else SIZES:
        points = draw(n, d)
        ready, compile_s = ready_for(partial(cx.GeometricMedian, points), "newton")
        best = ready.run(tol=FINEST).objective
        target = best * (1.0 + TARGET)
        mean = points.mean(axis=0)
        found = take_turns(
            {
                "newton": partial(ours, ready),
                "L-BFGS, NumPy": partial(lbfgs, slow(points), mean, target),
                "L-BFGS, our pass": partial(lbfgs, fast(ready.form), mean, target),
            }
        )
        ours_s = statistics.median(run.cpu_s for run in found["newton"])
        for label, runs in found.items():
            cpu_s = statistics.median(run.cpu_s for run in runs)
            certify_s = statistics.median(run.certify_s for run in runs)
            table.add(
                n=n,
                d=d,
                solver=label,
                reached=runs[-1].reached,
                compile_s=compile_s if label == "newton" else 0.0,
                cpu_s=cpu_s,
                certify_s=certify_s,
                steps=runs[-1].steps,
                excess=runs[-1].objective / best - 1.0,
                times_ours=cpu_s / ours_s,
                runs=len(runs),
            )
        for backend in ("numpy", "torch"):
            add_peer(table, points, backend, best, ours_s)
    return table


def add_peer(table: Table, points: Array, backend: str, best: float, ours_s: float) -> None:
    """Add geom_median's run to the target, by our objective."""
    (n, d), label = points.shape, f"geom_median, {backend}"
    try:
        if backend == "torch" and n > TORCH_MOST:
            raise PeerError("missing", f"not tried above {TORCH_MOST} points")
        given = task(cx.GeometricMedian(points)) | {"target": best * (1.0 + TARGET)}
        settings = ("--backend", backend, "--repeats", str(REPEATS))
        found = peers.run("geom_median", given, settings, PEER_LIMIT_S)
    except PeerError as error:
        table.add(n=n, d=d, solver=label, reached="no", note=f"skipped: {error}")
        return
    excess = slow(points)(found.arrays["point"])[0] / best - 1.0
    table.add(
        n=n,
        d=d,
        solver=label,
        reached="yes" if excess <= 1.01 * TARGET else "no",
        cpu_s=found.cpu,
        steps=int(found.arrays["steps"]),
        excess=excess,
        times_ours=found.cpu / ours_s,
    )


READ_BYTES = 1 << 28  # more than any cache


@njit(error_model="numpy", fastmath=True)  # type: ignore[untyped-decorator]
def total(values: Array) -> float:
    """Sum an array: what reading memory once costs at least."""
    found = 0.0
    for i in range(len(values)):
        found += values[i]
    return found


def bench_pass(quick: bool) -> Table:
    """Measure bytes a second of one pass for value and gradient, beside those of a plain sum."""
    columns = ("n", "d", "pass_ms", "pass_gb_s", "sum_gb_s", "times_sum")
    table = Table("pass", columns, quick, "median")
    plain = np.ones(READ_BYTES // 8)
    total(plain)
    for n, d in ((100_000, 20),) if quick else ((1_000_000, 3), (100_000, 20), (10_000, 100)):
        form: MedianForm = cx.GeometricMedian(draw(n, d)).canonical(MedianForm)
        view(form, form.mean)
        pass_s, sum_s = [], []
        for _ in range(40):  # best of several: others share the memory
            pass_s.append(cpu_seconds(partial(view, form, form.mean))[1])
            sum_s.append(cpu_seconds(partial(total, plain))[1])
        ours = form.points.nbytes / min(pass_s) / 1e9
        theirs = plain.nbytes / min(sum_s) / 1e9
        table.add(
            n=n,
            d=d,
            pass_ms=1e3 * min(pass_s),
            pass_gb_s=ours,
            sum_gb_s=theirs,
            times_sum=theirs / ours,
        )
    return table


def bench_growth(quick: bool) -> Table:
    """Measure newton's seconds to a certified gap of 1e-6 against n and d."""
    columns = ("against", "n", "d", "cpu_s", "steps", "reached", "exponent")
    table = Table("growth", columns, quick, "median")
    sweeps = {
        "n": [(n, 10) for n in (10_000, 30_000, 100_000, 300_000, 1_000_000)[: 5 - 2 * quick]],
        "d": [(10_000, d) for d in (3, 10, 30, 100, 300)[: 5 - 2 * quick]],
    }
    for against, sizes in sweeps.items():
        ready = {f"{n} {d}": cx.compile(cx.GeometricMedian(draw(n, d))) for n, d in sizes}
        runs = race(ready, TARGET)
        for (n, d), run in zip(sizes, runs.values(), strict=True):
            table.add(
                against=against,
                n=n,
                d=d,
                cpu_s=run.cpu_s,
                steps=run.solution.history[-1].iteration,
                reached=run.solution.status.name,
            )
        axis = [float(size["nd".index(against)]) for size in sizes]
        table.add(against=against, exponent=slope(axis, [run.cpu_s for run in runs.values()]))
    return table


ERRORS = (1e-2, 1e-4, 1e-6, 1e-8)
CAP = 6_000  # rounds
ENGINES: dict[str, Any] = {
    "admm": partial(distributed_admm.DecentralisedAdmm, chosen=distributed_admm.DEFAULTS),
    "homotopy": partial(median_homotopy.MedianHomotopy, chosen=median_homotopy.DEFAULTS),
    "homotopy, paper": partial(
        median_homotopy.MedianHomotopy, chosen=median_homotopy.DEFAULTS | {"scheme": "paper"}
    ),
    "pg-extra": partial(PgExtra, chosen={"step": None}),
    "extra": partial(Extra, chosen={"step": None}),
    "subgradient": partial(Subgradient, chosen={"step": None}),
}


class Setting(NamedTuple):
    """Agents with data uniform on [0, 10]^d, and their graph."""

    name: str
    n: int
    d: int
    edges: int
    equal: int = 0  # agents with the same data

    def form(self, seed: int) -> ConsensusForm:
        """Draw data and graph; a graph of n edges is the ring, others are random and connected."""
        points = 10.0 * np.random.default_rng(seed).random((self.n, self.d))
        points[: self.equal] = points[0]
        graph = nx.cycle_graph(self.n)
        for k in range(1000):
            if self.edges == self.n:
                break
            graph = nx.gnm_random_graph(self.n, self.edges, seed=1000 * seed + k)
            if nx.is_connected(graph):
                break
        form: ConsensusForm = cx.DistributedMedian(points, graph).canonical(ConsensusForm)
        return form


SETTINGS = (
    Setting("random", 20, 10, 28),
    Setting("random", 50, 100, 159),
    Setting("random", 100, 100, 495),
    Setting("ring", 50, 20, 50),
    Setting("half equal", 50, 100, 159, equal=25),
)


def rounds_to(form: ConsensusForm, engine: str, best: Array) -> list[float]:
    """Return the exchanges after which the error, relative to that of the data, is that small."""
    talk = Serial(form.edges, form.agents)
    method = ENGINES[engine](form, talk.block)
    state = method.start(talk, None)
    first = np.linalg.norm(form.points - best)
    found: list[float] = []
    while len(found) < len(ERRORS) and talk.rounds < CAP:
        method.step(talk, state)
        error = float(np.linalg.norm(state["X"] - best) / first)
        found += [talk.rounds for target in ERRORS[len(found) :] if error <= target]
    return found + [np.inf] * (len(ERRORS) - len(found))


def bench_rounds(quick: bool) -> Table:
    """Count exchanges to relative errors of all agents' points: medians over seeds."""
    columns = ("graph", "n", "d", "edges", "engine", *(f"to {error:g}" for error in ERRORS))
    table = Table("rounds", (*columns, "seeds"), quick, "median")
    seeds = 1 if quick else 5
    for setting in SETTINGS[:1] if quick else SETTINGS:
        forms = [setting.form(seed) for seed in range(seeds)]
        exact = [cx.solve(cx.GeometricMedian(form.points), tol=1e-15) for form in forms]
        for engine in ENGINES:
            counts = [
                rounds_to(form, engine, solution.model.point)
                for form, solution in zip(forms, exact, strict=True)
            ]
            middle = np.median(counts, axis=0)
            cells: dict[str, object] = {
                f"to {error:g}": int(count) if np.isfinite(count) else "-"
                for error, count in zip(ERRORS, middle, strict=True)
            }
            table.add(
                graph=setting.name,
                n=setting.n,
                d=setting.d,
                edges=setting.edges,
                engine=engine,
                seeds=seeds,
                **cells,
            )
    return table


PROCESSES = (1, 2, 4)
TURNS = 3


def bench_mpi(quick: bool) -> Table:
    """Measure rounds a second of admm in several processes, and the share spent exchanging."""
    columns = ("agents", "d", "edges", "processes", "rounds_s", "exchange", "times_serial", "note")
    table = Table("mpi", columns, quick, "median")
    missing = mpi_missing() or _fails()
    for n, d, edges, rounds in ((50, 100, 159, 4_000), (400, 1_000, 1_600, 100))[: 2 - quick]:
        rates: dict[int, list[tuple[float, float]]] = {count: [] for count in PROCESSES}
        for _ in range(TURNS):
            for count in PROCESSES:
                if count == 1 or missing is None:
                    rates[count].append(_rate(count, n, d, edges, rounds))
        for count, found in rates.items():
            cells: dict[str, object] = {"note": f"skipped: {missing}"}
            if found:
                rate, share = (statistics.median(values) for values in zip(*found, strict=True))
                serial = statistics.median(value for value, _ in rates[1])
                cells = {"rounds_s": rate, "exchange": share, "times_serial": rate / serial}
            table.add(agents=n, d=d, edges=edges, processes=count, **cells)
    return table


def _fails() -> str | None:
    """Return what mpi4py says where it does not load."""
    load = [sys.executable, "-c", "from mpi4py import MPI"]
    done = subprocess.run(load, capture_output=True, text=True, check=False)
    return done.stderr.strip().splitlines()[-1] if done.returncode else None


def _rate(processes: int, *sizes: int) -> tuple[float, float]:
    command = [sys.executable, str(HERE / "mpi_rounds.py"), *map(str, sizes)]
    if processes > 1:
        command = [mpiexec() or "mpiexec", *as_root(), "-n", str(processes), *command]
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | single, timeout=300.0
    )
    rate, share = map(float, done.stdout.split())
    return rate, share


BENCHES = {
    "central": bench_central,
    "pass": bench_pass,
    "growth": bench_growth,
    "rounds": bench_rounds,
    "mpi": bench_mpi,
}


def main() -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", choices=tuple(BENCHES))
    parser.add_argument("--quick", action="store_true", help="the smallest sizes only")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        BENCHES[asked.bench](asked.quick).show()


if __name__ == "__main__":
    main()
