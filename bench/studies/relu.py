"""Benchmarks of two-layer training: exact and gated programs, growth of cost, tuning of ADMM.

``python bench/studies/relu.py exact|cells|majorant|gated|growth|tuning [--quick]`` prints one
table and keeps it as a CSV in bench/studies/results. See bench/studies/README.md for the peers'
environments and what each column means.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from harness import (
    Instance,
    Size,
    Table,
    cpu_seconds,
    exact,
    gated,
    instance,
    repeated,
    slope,
    solve_peer,
)
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.bench.processes import PeerError
from convexnn.solvers.relu.admm import State

SMALL, MIDDLE, LARGE = Size(200, 10, 50), Size(1000, 20, 100), Size(5000, 50, 200)
REFERENCE_TOL = 1e-9
PEER_LIMIT_S = 300.0
TUNING_LIMIT_S = 20.0
FACTORS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
SIGMAS = (0.03, 0.3, 3.0)

Builder = Callable[[Instance], Any]

COLUMNS = (
    *("size", "solver", "target", "reached", "compile_s", "solve_s", "certify_s", "total_s"),
    *("iterations", "error", "violation", "times_ours", "times_total", "note"),
)


class Ours(NamedTuple):
    """Seconds of one of our runs, each a median where runs are short."""

    solution: cx.Solution
    compile_s: float
    solve_s: float
    certify_s: float

    @property
    def total_s(self) -> float:
        """Return what a user waits for."""
        return self.compile_s + self.solve_s + self.certify_s


def run_ours(build: Builder, data: Instance, backend: str, tol: float) -> Ours:
    """Compile and solve from the bare data, kernels loaded."""
    runs: list[Ours] = []

    def once() -> tuple[None, float]:
        ready, compile_s = cpu_seconds(lambda: cx.compile(build(data), backend))
        solution, run_s = cpu_seconds(lambda: ready.run(tol=tol))
        share = solution.timings["solve"] / (
            solution.timings["solve"] + solution.timings["certify"]
        )
        runs.append(Ours(solution, compile_s, share * run_s, (1.0 - share) * run_s))
        return None, runs[-1].total_s

    repeated(once)
    return sorted(runs, key=lambda run: run.total_s)[len(runs) // 2]


def add_ours(table: Table, size: Size, tol: float, ours: Ours, best: float, base: Ours) -> None:
    """Add a run of a backend of this package, and when a peer's oracle would have stopped it."""
    solution = ours.solution
    table.add(
        size=size,
        solver=solution.backend,
        target=tol,
        reached=solution.status.name,
        compile_s=ours.compile_s,
        solve_s=ours.solve_s,
        certify_s=ours.certify_s,
        total_s=ours.total_s,
        iterations=solution.history[-1].iteration,
        error=abs(solution.objective - best) / abs(best),
        violation=solution.violation,
        times_ours=ours.solve_s / base.solve_s,
        times_total=ours.total_s / base.total_s,
        note=f"certified gap {solution.gap:.1e}",
    )
    steps = [
        step
        for step in solution.history
        if abs(step.objective - best) <= tol * abs(best) and step.violation <= tol
    ]
    if not steps or solution.backend.startswith("cvxpy"):
        return
    solve_s = ours.solve_s * steps[0].seconds / solution.history[-1].seconds
    table.add(
        size=size,
        solver=solution.backend,
        target=tol,
        reached="yes",
        compile_s=ours.compile_s,
        solve_s=solve_s,
        iterations=steps[0].iteration,
        error=abs(steps[0].objective - best) / abs(best),
        violation=steps[0].violation,
        times_ours=solve_s / base.solve_s,
        note="oracle stop, as for peers",
    )


def add_peer(
    table: Table,
    size: Size,
    peer: str,
    problem: Any,
    tol: float,
    settings: Iterable[Sequence[str]],
    best: float,
    base: Ours,
) -> None:
    """Add a peer's first run whose delivered network has relative error and violation <= tol."""
    note = "no setting reached it"
    for asked in settings:
        try:
            found = solve_peer(peer, problem, asked, PEER_LIMIT_S)
        except PeerError as error:
            note = f"skipped: {error}"
            break
        error_ = abs(found.objective - best) / abs(best)
        passes = error_ <= tol and found.violation <= tol
        total_s = found.build_s + found.seconds
        table.add(
            size=size,
            solver=peer,
            target=tol,
            reached="yes" if passes else "no",
            compile_s=found.build_s,
            solve_s=found.seconds,
            total_s=total_s,
            error=error_,
            violation=found.violation,
            times_ours=found.seconds / base.solve_s,
            times_total=total_s / base.total_s,
            note=" ".join(asked),
        )
        if passes:
            return
    table.add(size=size, solver=peer, target=tol, reached="no", note=note)


def first_call(table: Table, build: Builder, backends: Sequence[str]) -> None:
    """Load the kernels on a tiny instance, and report what that cost."""
    tiny = instance(Size(40, 3, 10))
    for backend in backends:
        begin = time.process_time()
        cx.solve(build(tiny), backend, tol=1e-3)
        seconds = time.process_time() - begin
        table.add(size=Size(40, 3, 10), solver=backend, total_s=seconds, note="first call")


def bench_exact(quick: bool) -> Table:
    """Time the exact program to certified gaps, against Clarabel and scnn's AL method."""
    table = Table("exact", COLUMNS, quick)
    engines = ("admm", "ipm", "fista", "cvxpy:clarabel")
    first_call(table, exact, engines)
    for size in (SMALL,) if quick else (SMALL, MIDDLE):
        data = instance(size)
        best = cx.solve(exact(data), "admm", tol=REFERENCE_TOL).objective
        for tol in (1e-3, 1e-6, 1e-8):
            base = run_ours(exact, data, "admm", tol)
            for backend in engines:
                ours = base if backend == "admm" else run_ours(exact, data, backend, tol)
                add_ours(table, size, tol, ours, best, base)
            if tol == 1e-3:
                loose = ("1e-2", "1e-3", "1e-4", "1e-5", "1e-6")
                settings = [("--effort", own) for own in loose]
                add_peer(table, size, "scnn", exact(data), tol, settings, best, base)
    if not quick:
        data, tol = instance(LARGE), 1e-4
        runs = {backend: run_ours(exact, data, backend, tol) for backend in ("fista", "admm")}
        best = min(run.solution.objective for run in runs.values())
        for run in runs.values():
            add_ours(table, LARGE, tol, run, best, runs["fista"])
    return table


def bench_cells(quick: bool) -> Table:
    """Time the program over all patterns to 1e-6, against the same written out for Clarabel."""
    table = Table("cells", COLUMNS, quick)
    first_call(table, everything, ("cell-walk",))
    tol = 1e-6
    for size in (Size(30, 4, 50),) if quick else (Size(30, 4, 50), Size(100, 3, 50)):
        data = instance(size)
        cells, listing_s = cpu_seconds(partial(cx.enumerate_patterns, data.X))
        named = Size(size.n, size.d, len(cells))
        listed = data._replace(patterns=cells)
        base = run_ours(everything, data, "cell-walk", tol)
        best = base.solution.objective
        add_ours(table, named, tol, base, best, base)
        for backend in ("ipm", "cvxpy:clarabel"):
            run = run_ours(exact, listed, backend, tol)
            run = run._replace(compile_s=run.compile_s + listing_s)
            add_ours(table, named, tol, run, best, base)
    return table


def bench_majorant(quick: bool) -> Table:
    """Compare the majorant with cones over the same patterns, and its refreshes with cell-walk."""
    table = Table("majorant", COLUMNS, quick)
    first_call(table, everything, ("convex-concave",))
    tol = 1e-4
    for size in (SMALL,) if quick else (SMALL, MIDDLE):
        data = instance(size)
        runs = {
            "over P random patterns, cones": run_ours(exact, data, "admm", tol),
            "over P random patterns, majorant": run_ours(majorised, data, "admm", tol),
            "local search": run_ours(everything, data, "lbfgs", tol),
            "refreshed from local search": run_ours(everything, data, "convex-concave", tol),
            "hybrid": run_ours(everything, data, "cell-walk", tol),
        }
        base = runs["hybrid"]
        for name, run in runs.items():
            network = everything(data).objective(run.solution.primal)
            table.add(
                size=size,
                solver=run.solution.backend,
                target=tol,
                reached=run.solution.status.name,
                solve_s=run.solve_s,
                total_s=run.total_s,
                iterations=run.solution.history[-1].iteration,
                error=network / base.solution.objective - 1.0,
                times_ours=run.solve_s / base.solve_s,
                note=f"{name}: objective {run.solution.objective:.6g}, network {network:.6g}",
            )
    return table


def majorised(data: Instance) -> cx.ReluTraining:
    """Declare the program without cones."""
    return replace(exact(data), formulation="majorant")


def everything(data: Instance) -> cx.ReluTraining:
    """Declare the network's own problem, over all patterns."""
    return cx.ReluTraining(data.X, data.y, beta=data.beta)


def bench_gated(quick: bool) -> Table:
    """Time the gated program to 1e-6, against scnn's R-FISTA and adelie."""
    table = Table("gated", COLUMNS, quick)
    tol = 1e-6
    first_call(table, gated, ("admm", "fista"))
    for size in (MIDDLE,) if quick else (MIDDLE, LARGE):
        data = instance(size)
        best = cx.solve(gated(data), "fista", tol=REFERENCE_TOL).objective
        runs = [run_ours(gated, data, backend, tol) for backend in ("admm", "fista")]
        base = min(runs, key=lambda run: run.solve_s)
        for ours in runs:
            add_ours(table, size, tol, ours, best, base)
        counts = (100, 140, 200, 280, 400, 560, 800)
        steps = [("--effort", str(count)) for count in counts]
        add_peer(table, size, "scnn", gated(data), tol, steps, best, base)
        for path in ("1", "10"):
            own = ("1e-8", "1e-9", "1e-10", "1e-11", "1e-12", "1e-13")
            sharper = [("--path", path, "--effort", t) for t in own]
            add_peer(table, size, "adelie", gated(data), tol, sharper, best, base)
    return table


class Cost(NamedTuple):
    """Seconds of an iteration and MiB that a solve adds to the process at its peak."""

    iteration_s: float
    peak_mib: float


def bench_growth(quick: bool) -> Table:
    """Measure seconds per iteration and peak memory against n, P and d, each in a fresh process."""
    columns = ("engine", "against", "size", "iteration_ms", "peak_mib", "exponent", "mib_exponent")
    table = Table("growth", columns, quick)
    examples = (80, 160, 400, 800, 1600) if quick else (80, 160, 400, 800, 1600, 4000, 8000)
    sweeps = {
        "n": [Size(n, 20, 200) for n in examples],
        "P": [Size(1000, 20, P) for P in (25, 50, 100, 200, 400)],
        "d": [Size(1000, d, 50) for d in (5, 10, 20, 40, 80)],
    }
    context = multiprocessing.get_context("spawn")
    for engine in ("admm", "fista"):
        for against, sizes in sweeps.items():
            costs: list[Cost] = []
            for size in sizes:
                with ProcessPoolExecutor(1, mp_context=context) as pool:
                    costs.append(pool.submit(iteration_cost, engine, size).result())
            for size, cost in zip(sizes, costs, strict=True):
                table.add(
                    engine=engine,
                    against=against,
                    size=size,
                    iteration_ms=1e3 * cost.iteration_s,
                    peak_mib=cost.peak_mib,
                )
            axis = [float(getattr(size, against)) for size in sizes]
            table.add(
                engine=engine,
                against=against,
                size=f"{against} = {axis[0]:.0f}..{axis[-1]:.0f}",
                exponent=slope(axis, [cost.iteration_s for cost in costs]),
                mib_exponent=slope(axis, [max(cost.peak_mib, 0.1) for cost in costs]),
            )
    return table


def iteration_cost(engine: str, size: Size) -> Cost:
    """Run a fixed number of iterations on an exact program with fixed penalties.

    The time of an iteration is the slope between two checks of one run, so that neither the
    factor nor certification is in it.
    """
    first, last = 20, 60
    with threadpool_limits(limits=1):
        cx.solve(exact(instance(Size(40, 3, 10))), engine, tol=1e-3)
        before = peak_mib()
        ready = cx.compile(exact(instance(size)), engine)
        options: dict[str, Any] = default_penalties(ready) if engine == "admm" else {}

        def once() -> tuple[None, float]:
            solution, run_s = cpu_seconds(lambda: ready.run(tol=1e-15, max_iter=last, **options))
            history = solution.history
            begin = next(step for step in history if step.iteration >= first)
            done = history[-1].iteration - begin.iteration
            busy = run_s / (solution.timings["solve"] + solution.timings["certify"])
            return None, busy * (history[-1].seconds - begin.seconds) / done

        _, seconds = repeated(once)
    return Cost(seconds, peak_mib() - before)


def default_penalties(ready: cx.Compiled) -> dict[str, Any]:
    """Return the penalties that ADMM starts from; given explicitly, they are kept."""
    state = State.begin(ready.form, None, None, None)
    penalties = {"rho": state.rho}
    return penalties if state.direct else penalties | {"sigma": state.sigma}


def peak_mib() -> float:
    """Return the largest resident size of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kib = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(kib) / 1024.0


class Reach(NamedTuple):
    """Iterations and seconds until a certified gap; infinite where it was not reached."""

    iterations: float
    seconds: float


def bench_tuning(quick: bool) -> Table:
    """Compare ADMM's automatic penalties with the best of a grid of fixed ones."""
    columns = (
        *("program", "loss", "size", "target", "auto_iterations", "best_iterations"),
        *("ratio_iterations", "auto_s", "best_s", "ratio_s", "best_penalties"),
    )
    table = Table("tuning", columns, quick)
    programs: dict[str, Builder] = {"exact": exact, "gated": gated}
    for name, build in programs.items():
        for loss in ("squared", "logistic"):
            for size in (SMALL,) if quick else (SMALL, MIDDLE):
                ready = cx.compile(build(instance(size, loss)), "admm")
                tols = (1e-3, 1e-6)
                auto = reach(ready, tols, {}, TUNING_LIMIT_S)
                limit_s = max(3.0 * auto[-1].seconds, 1.0)
                grid = [
                    (reach(ready, tols, penalties, min(limit_s, TUNING_LIMIT_S)), label)
                    for penalties, label in penalty_grid(ready)
                ]
                for j, tol in enumerate(tols):
                    runs, label = min(grid, key=lambda entry: entry[0][j].iterations)
                    table.add(
                        program=name,
                        loss=loss,
                        size=size,
                        target=tol,
                        auto_iterations=auto[j].iterations,
                        best_iterations=runs[j].iterations,
                        ratio_iterations=auto[j].iterations / runs[j].iterations,
                        auto_s=auto[j].seconds,
                        best_s=min(entry[0][j].seconds for entry in grid),
                        ratio_s=auto[j].seconds / min(entry[0][j].seconds for entry in grid),
                        best_penalties=label,
                    )
    return table


def penalty_grid(ready: cx.Compiled) -> Iterable[tuple[dict[str, Any], str]]:
    """Yield penalties around the default start: rho, and sigma where the loss uses it."""
    start = default_penalties(ready)
    for rho in FACTORS:
        if "sigma" not in start:
            yield {"rho": start["rho"] * rho}, f"rho x {rho}"
            continue
        for sigma in SIGMAS:
            scaled = {"rho": start["rho"] * rho, "sigma": start["sigma"] * sigma}
            yield scaled, f"rho x {rho}, sigma x {sigma}"


def reach(
    ready: cx.Compiled, tols: Sequence[float], penalties: dict[str, Any], limit_s: float
) -> list[Reach]:
    """Return when a run first had each certified gap; seconds exclude certification."""

    def once() -> tuple[list[Reach], float]:
        solution, run_s = cpu_seconds(
            lambda: ready.run(tol=min(tols), time_limit=limit_s, **penalties)
        )
        history = solution.history
        busy = run_s / (solution.timings["solve"] + solution.timings["certify"])
        found = []
        for tol in tols:
            steps = [s for s in history if abs(s.gap) <= tol and s.violation <= tol]
            found.append(
                Reach(steps[0].iteration, busy * steps[0].seconds)
                if steps
                else Reach(float("inf"), float("inf"))
            )
        return found, run_s

    runs: list[list[Reach]] = []

    def kept() -> tuple[None, float]:
        found, seconds = once()
        runs.append(found)
        return None, seconds

    repeated(kept)
    by_time = [sorted(run[j].seconds for run in runs) for j in range(len(tols))]
    middle = len(runs) // 2
    return [Reach(runs[0][j].iterations, by_time[j][middle]) for j in range(len(tols))]


BENCHES = {
    "exact": bench_exact,
    "cells": bench_cells,
    "majorant": bench_majorant,
    "gated": bench_gated,
    "growth": bench_growth,
    "tuning": bench_tuning,
}


def main() -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bench", choices=tuple(BENCHES))
    parser.add_argument("--quick", action="store_true", help="the smallest sizes only")
    asked = parser.parse_args()
    os.environ["RAYON_NUM_THREADS"] = "1"
    with threadpool_limits(limits=1):
        BENCHES[asked.bench](asked.quick).show()


if __name__ == "__main__":
    main()
