"""Benchmarks of Wasserstein problems: linear models, worst-case margins, growth of cost.

``python bench/studies/wasserstein.py linear|follower|growth [--quick]`` prints one table and
keeps it as a CSV in bench/studies/results. See bench/studies/README.md for the peers'
environments and what each column means.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from harness import Table, slope
from racing import CLARABEL, REPEATS, Race, race, ready_for
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.bench import peers
from convexnn.bench.processes import Answer, PeerError
from convexnn.bench.translation import primal, refuses, task
from convexnn.contract.arrays import Array

RATES = ("0.1", "0.01", "0.001")
PEERS: dict[str, tuple[str, tuple[tuple[str, ...], ...]]] = {  # of the settings, the best counts
    "dro": ("dro", ((),)),
    "skwdro dedicated": ("skwdro", ((),)),
    "skwdro entropic": (
        "skwdro-entropic",
        tuple(("--effort", rate) for rate in RATES),
    ),
}
PEER_LIMIT_S = 120.0
ENGINES = ("newton", "admm", CLARABEL)
TARGETS = (1e-4, 1e-6)
FINEST = 1e-9  # certified gap of the optimum that objectives are held against
RADIUS = 0.01
FLIPPED = 0.1  # share of labels

Problem = cx.WassersteinClassification | cx.WassersteinRegression


class Case(NamedTuple):
    """An instance: its size, its loss, the cost of a flip or of a unit of the target."""

    n: int
    d: int
    loss: str
    cost: float = np.inf
    norm: str = "l2"

    @property
    def classifies(self) -> bool:
        """Tell whether targets are labels."""
        return self.loss in ("logistic", "hinge")

    @property
    def order(self) -> float:
        """Return the order of the Wasserstein distance."""
        return 2.0 if self.loss == "squared" else 1.0


def draw(case: Case, seed: int = 0) -> tuple[Array, Array]:
    """Draw Gaussian rows and a linear teacher's targets, a tenth of them spoilt.

    A spoilt label is flipped; the noise on a target, 0.5, is tenfold on a spoilt one.
    """
    g = np.random.default_rng(seed)
    X, teacher = g.standard_normal((case.n, case.d)), g.standard_normal(case.d)
    z, spoilt = X @ teacher / np.sqrt(case.d), g.random(case.n) < FLIPPED
    if case.classifies:
        return X, np.where(z > 0.0, 1.0, -1.0) * np.where(spoilt, -1.0, 1.0)
    return X, z + 0.5 * np.where(spoilt, 10.0, 1.0) * g.standard_normal(case.n)


def declare(case: Case) -> Problem:
    """Return the problem of a case."""
    X, y = draw(case)
    if case.classifies:
        return cx.WassersteinClassification(
            X, y, radius=RADIUS, flip_cost=case.cost, norm=case.norm, loss=case.loss
        )
    return cx.WassersteinRegression(
        X, y, radius=RADIUS, target_cost=case.cost, norm=case.norm, loss=case.loss
    )


def warm_up(cases: Sequence[Case], engines: Sequence[str]) -> None:
    """Load the kernels that the cases need on small instances."""
    for case in dict.fromkeys(case._replace(n=60, d=3) for case in cases):
        problem = declare(case)
        for engine in able(problem, engines):
            cx.solve(problem, engine, tol=1e-4)


def able(problem: Problem, engines: Sequence[str]) -> list[str]:
    """Return those backends that take a problem."""
    ready = cx.backends(problem).names
    return [engine for engine in engines if engine in ready]


LINEAR = (
    *("loss", "n", "d", "norm", "cost", "solver", "target", "reached", "compile_s", "wall_s"),
    *("cpu_s", "certify_s", "inner_s", "steps", "certified", "gap", "excess", "times_newton"),
    *("clarabel_times", "runs", "note"),
)


def cases(quick: bool) -> list[Case]:
    """Return the instances of the first table."""
    sizes = [(500, 20), (2000, 50)]
    sizes += [] if quick else [(10_000, 20), (10_000, 100)]
    found = [
        Case(n, d, loss, cost)
        for n, d in sizes
        for loss in ("logistic", "hinge")
        for cost in (1.0, np.inf)
    ]
    n, d = (500, 20) if quick else (2000, 50)
    found += [Case(n, d, "logistic", 1.0, "l1"), Case(n, d, "hinge", 1.0, "linf")]
    found += [Case(n, d, loss) for loss in ("absolute", "huber", "squared")]
    return found


def bench_linear(quick: bool) -> Table:
    """Time linear models to certified gaps, against Clarabel, dro and skwdro."""
    table = Table("linear", LINEAR, quick, "wasserstein")
    todo = cases(quick)
    warm_up(todo, ENGINES)
    gave_up: dict[tuple[str, str], str] = {}
    for case in todo:
        problem = declare(case)
        forms = {name: ready_for(partial(declare, case), name) for name in able(problem, ENGINES)}
        ready = {name: form for name, (form, _) in forms.items()}
        best = cx.solve(problem, "newton", tol=FINEST).objective
        named = case._asdict()
        newton: dict[float, Race] = {}
        clarabel_s = np.nan
        for tol in TARGETS:
            runs = race(ready, tol)
            newton[tol] = runs["newton"]
            clarabel_s = runs[CLARABEL].cpu_s
            for name, run in runs.items():
                solution = run.solution
                table.add(
                    **named,
                    solver=name,
                    target=tol,
                    reached=solution.status.name,
                    compile_s=forms[name][1],
                    wall_s=run.wall_s,
                    cpu_s=run.cpu_s,
                    certify_s=run.certify_s,
                    inner_s=run.inner_s if name == CLARABEL else "",
                    steps=solution.history[-1].iteration,
                    certified=len(solution.history),
                    gap=solution.gap,
                    excess=excess(solution.objective, best),
                    times_newton=run.cpu_s / newton[tol].cpu_s,
                    clarabel_times=clarabel_s / run.cpu_s,
                    runs=run.runs,
                )
        for label in PEERS:
            key = (label, case.loss)
            try:
                if key in gave_up:
                    raise PeerError("timeout", gave_up[key])
                add_peer(table, problem, case, label, best, newton)
            except PeerError as error:
                table.add(**named, solver=label, reached="no", note=f"skipped: {error}")
                if str(error).startswith("not done"):  # a larger one would not be, either
                    gave_up[key] = f"{error}, at a smaller size"
    return table


def add_peer(
    table: Table, problem: Problem, case: Case, label: str, best: float, newton: dict[float, Race]
) -> None:
    """Add the best of a peer's runs by our objective; it stops when it thinks it is done."""
    peer, choices = PEERS[label]
    reason = refuses(peers.PEERS[peer], problem)
    if reason is not None:
        raise PeerError("missing", reason)
    runs: list[tuple[float, int, Answer]] = []
    for k, settings in enumerate(choices):
        found = peers.run(peer, task(problem), ("--repeats", str(REPEATS), *settings), PEER_LIMIT_S)
        value = problem.objective(primal(problem, found.arrays))
        runs.append((excess(value, best), k, found))
    above, chosen, found = min(runs, key=lambda one: one[0])
    met = [tol for tol in TARGETS if above <= tol]
    target = min(met, default=max(TARGETS))
    table.add(
        **case._asdict(),
        solver=label,
        target=target,
        reached="yes" if met else "no",
        compile_s=found.build,
        wall_s=found.seconds,
        cpu_s=found.cpu,
        excess=above,
        times_newton=found.cpu / newton[target].cpu_s,
        note=" ".join(choices[chosen]),
    )


def excess(objective: float, best: float) -> float:
    """Return how far an objective is above the optimum, in the units of a certified gap."""
    return (objective - best) / max(1.0, abs(best))


FOLLOWER = (
    *("n", "solver", "pieces", "group", "reached", "compile_s", "wall_s", "cpu_s", "certify_s"),
    *("total_s", "gap", "value", "lost", "times_greedy", "exponent", "runs", "note"),
)
WINDOW = (-5.0, 7.0)
LITERAL = (6, 20, 100)  # pieces
GROUP = 100
LOSSY = 10_000  # margins at which the loss of value is measured
FROM = 10_000  # margins from which the exponent is fitted: below, fixed costs rule


def margins(n: int, pieces: int | None = None, group: int | None = None) -> cx.WorstCaseMargins:
    """Return the follower for Gaussian margins around 1."""
    xi = 1.0 + np.random.default_rng(0).standard_normal(n)
    return cx.WorstCaseMargins(xi, radius=RADIUS, window=WINDOW, pieces=pieces, group=group)


def bench_follower(quick: bool) -> Table:
    """Time the exact follower against the literal program; measure what pieces and groups lose."""
    table = Table("follower", FOLLOWER, quick, "wasserstein")
    cx.solve(margins(100), "greedy")
    cx.solve(margins(100, pieces=6), CLARABEL)
    sizes = [1_000, 10_000, 100_000] + ([] if quick else [300_000, 1_000_000])
    exact: dict[int, Race] = {}
    totals: list[float] = []
    for n in sizes:
        ready, compile_s = ready_for(partial(margins, n), "greedy")
        exact[n] = race({"greedy": ready}, 1e-9)["greedy"]
        totals.append(_add_follower(table, n, "greedy", compile_s, exact[n]))
    fitted = [n for n in sizes if n >= FROM]
    scale = [n * np.log(n) for n in fitted]
    for name, seconds in (
        ("cpu_s", [exact[n].cpu_s for n in fitted]),
        ("total_s", totals[-len(fitted) :]),
    ):
        table.add(
            n=f"{fitted[0]}..{fitted[-1]}",
            solver="greedy",
            exponent=slope(scale, seconds),
            note=f"{name} against n log n",
        )
    for n in (1_000,) if quick else (1_000, 10_000):
        ready, compile_s = ready_for(partial(margins, n, pieces=6), CLARABEL)
        run = race({CLARABEL: ready}, 1e-6)[CLARABEL]
        _add_follower(table, n, CLARABEL, compile_s, run, pieces=6, exact=exact[n])
    choices: list[tuple[int | None, int | None]] = [(pieces, None) for pieces in LITERAL]
    for pieces, group in [*choices, (None, GROUP), (LITERAL[0], GROUP)]:
        ready, compile_s = ready_for(partial(margins, LOSSY, pieces, group), "greedy")
        run = race({"greedy": ready}, 1e-9)["greedy"]
        _add_follower(table, LOSSY, "greedy", compile_s, run, pieces, group, exact[LOSSY])
    return table


def _add_follower(
    table: Table,
    n: int,
    name: str,
    compile_s: float,
    run: Race,
    pieces: int | None = None,
    group: int | None = None,
    exact: Race | None = None,
) -> float:
    """Add a row; return the seconds from the bare margins to the certified value."""
    total_s = compile_s + run.wall_s + run.certify_s
    value = run.solution.objective
    others: dict[str, object] = {}
    if exact is not None:
        best = exact.solution.objective
        others = {"lost": (best - value) / best, "times_greedy": run.cpu_s / exact.cpu_s}
    table.add(
        n=n,
        solver=name,
        pieces=pieces or "",
        group=group or "",
        reached=run.solution.status.name,
        compile_s=compile_s,
        wall_s=run.wall_s,
        cpu_s=run.cpu_s,
        certify_s=run.certify_s,
        total_s=total_s,
        gap=run.solution.gap,
        value=f"{value:.7g}",
        runs=run.runs,
        **others,
    )
    return total_s


def bench_growth(quick: bool) -> Table:
    """Measure newton's seconds, in all and a step, against n and d."""
    columns = ("loss", "against", "n", "d", "wall_s", "cpu_s", "steps", "step_ms", "reached")
    table = Table("growth", (*columns, "exponent", "step_exponent"), quick, "wasserstein")
    examples = (1_000, 3_000, 10_000) if quick else (1_000, 3_000, 10_000, 30_000, 100_000)
    features = (10, 20, 50) if quick else (10, 20, 50, 100, 200)
    for loss in ("logistic", "hinge"):
        sweeps = {
            "n": [Case(n, 20, loss, 1.0) for n in examples],
            "d": [Case(2_000, d, loss, 1.0) for d in features],
        }
        warm_up(sweeps["n"], ("newton",))
        for against, swept in sweeps.items():
            ready = {str(k): cx.compile(declare(case), "newton") for k, case in enumerate(swept)}
            runs = list(race(ready, 1e-6).values())
            steps = [run.solution.history[-1].iteration for run in runs]
            each = [run.cpu_s / count for run, count in zip(runs, steps, strict=True)]
            for case, run, count, step_s in zip(swept, runs, steps, each, strict=True):
                table.add(
                    loss=loss,
                    against=against,
                    n=case.n,
                    d=case.d,
                    wall_s=run.wall_s,
                    cpu_s=run.cpu_s,
                    steps=count,
                    step_ms=1e3 * step_s,
                    reached=run.solution.status.name,
                )
            axis = [float(getattr(case, against)) for case in swept]
            table.add(
                loss=loss,
                against=against,
                exponent=slope(axis, [run.cpu_s for run in runs]),
                step_exponent=slope(axis, each),
            )
    return table


BENCHES = {"linear": bench_linear, "follower": bench_follower, "growth": bench_growth}


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
