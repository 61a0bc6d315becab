"""Is the default engine ever worse than local search? Real data, and the bound beside it.

``python bench/studies/global.py [--quick] [--data DIR] [--sets a,b] [--rows N] [--time-limit S]``
trains on each data set by L-BFGS and Adam from many starts, then by "cell-walk", and prints and
keeps one row a set. ``python bench/studies/global.py figure`` draws docs/global.png. See
bench/studies/README.md.
"""

from __future__ import annotations

import argparse
import csv
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from harness import FRACTION, HERE, NEURONS, Table, cpu_seconds
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.relu.forms import NetworkForm, Neurons
from convexnn.relu.pricing.cell_pricing import price

WIDTH = 50
STARTS = 20  # of L-BFGS
SEEDS = 5  # of Adam
REFERENCE_SEED = 1_000  # cell-walk's is 0
RATES = (0.003, 0.01, 0.03, 0.1)  # of Adam, of which the best after TRIED steps is taken
TRIED, CHECKED, MOST = 200, 200, 10_000  # steps: of a trial, between two checks, in all
FLAT = 1e-3  # relative gain between two checks under which the rate falls by DECAY
DECAY, DECAYS = 3.0, 5
ALLOWED = 10.0  # times the references' seconds
TOL = 1e-4
EQUAL, BETTER = 1e-6, 1e-4  # relative differences that count as none, and as a gain
LIVE = 1e-4  # share of the largest neuron's norm from which one is counted
ROWS, FULL = 1_000, 10_000
DATA = "CONVEXNN_BENCH_DATA"


class Source(NamedTuple):
    """A data set, its loss, and the classes that count as +1; None: the most frequent."""

    name: str
    loss: str = "squared"
    positive: tuple[int, ...] | None = None
    full: bool = False

    @property
    def label(self) -> str:
        """Return what the table calls it."""
        return self.name + "/full" * self.full


BUNDLED = (
    Source("linnerud"),
    Source("iris", "logistic", (1,)),
    Source("wine", "logistic", (0,)),
    Source("diabetes"),
    Source("breast_cancer", "logistic", (0,)),
    Source("digits", "logistic", (0, 2, 4, 6, 8)),
)
FILES = (
    *map(Source, ("servo", "automobile_price", "bodyfat", "yacht", "auto_mpg", "energy")),
    *map(Source, ("airfoil", "concrete", "kin8nm", "space_ga", "parkinsons_telemonitoring")),
    *(Source(name, "huber") for name in ("winequality_red", "abalone", "california_housing")),
    *(Source(name, "hinge") for name in ("uci_heart_hungarian", "ionosphere", "uci_glass")),
    *(
        Source(name, "logistic")
        for name in (
            *("uci_fertility", "uci_planning", "uci_parkinsons", "sonar", "uci_seeds"),
            *("uci_breast_cancer", "uci_vertebral_column_2clases", "uci_ecoli", "uci_monks_1"),
            *("uci_dermatology", "uci_ilpd_indian_liver", "uci_balance_scale", "uci_blood"),
            *("breast_cancer_wisconsin", "uci_credit_approval", "mammographic_masses"),
            *("uci_tic_tac_toe", "uci_statlog_german_credit", "uci_contrac", "uci_yeast"),
            *("uci_waveform", "uci_magic", "spambase", "a9a"),
        )
    ),
    Source("sml2010"),
    Source("space_ga", full=True),
    Source("uci_ringnorm", "logistic", full=True),
)
QUICK = ("linnerud", "iris", "diabetes")

COLUMNS = (
    *("set", "n", "d", "loss", "beta", "lbfgs_best", "lbfgs_median", "adam_best", "ours"),
    *("improvement", "bound", "gap", "neurons", "status", "lbfgs_s", "adam_s", "adam_steps"),
    *("first_s", "ours_s", "times_first", "times_total", "scope", "message"),
)


def load(source: Source, folder: Path | None, rows: int) -> tuple[Array, Array]:
    """Return standardised columns and targets of at most `rows` examples, drawn with seed 0."""
    if source in BUNDLED:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{source.name}")()
        X, y = np.asarray(bunch.data, np.float64), np.asarray(bunch.target)
        y = y[:, 0] if y.ndim == 2 else y
    else:
        if folder is None:
            raise FileNotFoundError(f"{source.name}.npz: give --data DIR or set {DATA}")
        with np.load(folder / f"{source.name}.npz", allow_pickle=False) as file:
            X, y = file["X"].astype(np.float64), file["y"]
    kept = np.sort(np.random.default_rng(0).permutation(len(y))[: FULL if source.full else rows])
    X, y = X[kept], y[kept]
    X = np.where(np.isnan(X), np.nanmedian(X, axis=0), X)
    X = X[:, np.ptp(X, axis=0) > 0.0]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    if source.loss in ("squared", "huber"):
        return X, (y - y.mean()) / y.std()
    kinds, counts = np.unique(y, return_counts=True)
    positive = source.positive or (int(kinds[np.argmax(counts)]),)
    return X, np.where(np.isin(y, positive), 1.0, -1.0)


def largest_beta(X: Array, y: Array, loss: str, bias: bool) -> float:
    """Return about the smallest beta at which no neuron pays."""
    problem = cx.ReluTraining(X, y, beta=1.0, loss=loss, bias=bias)
    form = problem.canonical(NetworkForm)
    mu = -form.loss.gradient(np.zeros(len(form.y)), form.y)
    starts = np.random.default_rng(0).standard_normal((50, form.X.shape[1]))
    worth = [float(price(form, side, starts).worth.max(initial=0.0)) for side in (mu, -mu)]
    return float(max(worth) / form.beta)


def declare(X: Array, y: Array, loss: str, fraction: float = FRACTION) -> cx.ReluTraining:
    """Return the problem of every two-layer network, beta a share of its largest."""
    bias = loss not in ("squared", "huber")
    beta = float(f"{fraction * largest_beta(X, y, loss, bias):.3g}")
    return cx.ReluTraining(X, y, beta=beta, loss=loss, bias=bias)


class Reference(NamedTuple):
    """The objectives that local search reached, its processor seconds, and Adam's steps."""

    objectives: list[float]
    seconds: float
    steps: int = 0

    @property
    def best(self) -> float:
        """Return the lowest objective."""
        return min(self.objectives)


def run_lbfgs(problem: cx.ReluTraining) -> Reference:
    """Train by L-BFGS from random starts; the time to certify its networks is not counted."""
    solution, run_s = cpu_seconds(
        lambda: cx.solve(
            problem, "lbfgs", tol=1e-12, seed=REFERENCE_SEED, starts=STARTS, width=WIDTH
        )
    )
    solve_s, certify_s = solution.timings["solve"], solution.timings["certify"]
    objectives = [step.objective for step in solution.history[1:]]
    share = solve_s / (solve_s + certify_s + solution.timings["compile"])
    return Reference(objectives, share * run_s)


def run_adam(problem: cx.ReluTraining) -> Reference:
    """Train by full-batch Adam, its seeds side by side; choosing its rate is not counted."""
    rate = min(RATES, key=lambda r: adam(problem, r, 1, TRIED)[0][0])
    (objectives, steps), seconds = cpu_seconds(lambda: adam(problem, rate, SEEDS, MOST))
    return Reference(objectives, seconds, steps)


def adam(problem: cx.ReluTraining, rate: float, seeds: int, most: int) -> tuple[list[float], int]:
    """Return the objective of each seed's network, and the steps after which they were flat."""
    import torch

    X, y = (torch.tensor(a) for a in (problem.data, problem.labels.targets))
    n, d = X.shape
    beta, loss = problem.beta, problem.loss.name
    g = np.random.default_rng(REFERENCE_SEED)
    U = torch.tensor(g.standard_normal((seeds, d, WIDTH)) / np.sqrt(d), requires_grad=True)
    a = torch.tensor(g.standard_normal((seeds, WIDTH, 1)) / np.sqrt(WIDTH), requires_grad=True)
    optimiser = torch.optim.Adam([U, a], lr=rate)
    best, checked, decays = np.inf, np.inf, 0
    kept = U.detach().clone(), a.detach().clone()
    steps = 0
    for steps in range(1, most + 1):
        optimiser.zero_grad()
        z = (torch.relu(X @ U) @ a)[..., 0]
        if loss == "squared":
            fit = 0.5 * ((z - y) ** 2).sum()
        elif loss == "huber":
            fit = torch.nn.functional.huber_loss(z, y.expand(seeds, n), reduction="sum")
        elif loss == "logistic":
            fit = torch.nn.functional.softplus(-y * z).sum()
        else:
            fit = torch.relu(1.0 - y * z).sum()
        total = fit + 0.5 * beta * ((U**2).sum() + (a**2).sum())
        value = total.item()
        if value < best:
            best, kept = value, (U.detach().clone(), a.detach().clone())
        total.backward()
        optimiser.step()
        if steps % CHECKED == 0:
            if best > (1.0 - FLAT) * checked:
                decays += 1
                optimiser.param_groups[0]["lr"] /= DECAY
            checked = best
            if decays > DECAYS:
                break
    pairs = zip(kept[0].numpy(), kept[1].numpy(), strict=True)
    return [problem.objective(merged(problem, u, v[:, 0])) for u, v in pairs], steps


def merged(problem: cx.ReluTraining, U: Array, a: Array) -> Neurons:
    """Return the layers ``(U, a)`` in the problem's own coordinates."""
    design = problem.design
    weights = design.scale * U * np.abs(a)
    weights = weights if design.basis is None else design.basis.T @ weights
    return Neurons(weights[:, a > 0.0], weights[:, a < 0.0], np.zeros(len(weights)))


class Ours(NamedTuple):
    """A run of the default engine; its processor seconds in all, and until a level."""

    solution: cx.Solution
    seconds: float
    first_s: float


def run_ours(problem: cx.ReluTraining, level: float, time_limit: float) -> Ours:
    """Solve, and note when the objective is first at or under the level."""
    begin, first = time.process_time(), np.inf

    def watch(step: cx.Step) -> None:
        nonlocal first
        if step.objective <= level and first == np.inf:
            first = time.process_time() - begin

    solution = cx.solve(problem, "cell-walk", tol=TOL, time_limit=time_limit, callback=watch)
    return Ours(solution, time.process_time() - begin, first)


def alive(model: cx.TwoLayerNetwork) -> int:
    """Return the number of neurons that are no negligible share of the largest."""
    size = np.square(model.alpha[:, 0])  # layers are balanced
    return int((size > LIVE * size.max(initial=0.0)).sum())


def row(source: Source, X: Array, y: Array, time_limit: float) -> dict[str, Any]:
    """Run all three on one data set."""
    problem = declare(X, y, source.loss)
    lbfgs, adams = run_lbfgs(problem), run_adam(problem)
    best, spent = min(lbfgs.best, adams.best), lbfgs.seconds + adams.seconds
    ours = run_ours(problem, best * (1.0 + EQUAL), min(ALLOWED * spent, time_limit))
    solution = ours.solution
    return {
        "set": source.label,
        "n": len(X),
        "d": X.shape[1],
        "loss": source.loss,
        "beta": problem.beta,
        "lbfgs_best": f"{lbfgs.best:.9g}",
        "lbfgs_median": f"{statistics.median(lbfgs.objectives):.9g}",
        "adam_best": f"{adams.best:.9g}",
        "ours": f"{solution.objective:.9g}",
        "improvement": (best - solution.objective) / abs(best),
        "bound": f"{solution.bound:.9g}",
        "gap": solution.gap,
        "neurons": alive(solution.model),
        "status": solution.status.name,
        "lbfgs_s": lbfgs.seconds,
        "adam_s": adams.seconds,
        "adam_steps": adams.steps,
        "first_s": ours.first_s,
        "ours_s": ours.seconds,
        "times_first": ours.first_s / spent,
        "times_total": ours.seconds / spent,
        "scope": solution.certificate.scope,
        "message": solution.message,
    }


def kept_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of an earlier run's table."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def run_table(chosen: Sequence[Source], options: argparse.Namespace) -> None:
    """Fill the table set by set; one that cannot be read is named and left out."""
    table = Table("global", COLUMNS, options.quick)
    rows = kept_rows(table.path) if options.resume else []
    for old in rows:
        table.add(**old)
    warm = np.random.default_rng(0).standard_normal((20, 3))
    for loss in ("squared", "hinge"):  # loads every kernel
        run_ours(declare(warm, np.sign(warm[:, 0]), loss), -np.inf, 1.0)
    for source in chosen:
        if any(old["set"] == source.label for old in rows):
            continue
        try:
            X, y = load(source, options.data, options.rows)
        except OSError as error:
            print(f"skipped: {error}")
            continue
        rows.append(row(source, X, y, options.time_limit))
        table.add(**rows[-1])
        print(", ".join(f"{k} {v}" for k, v in zip(COLUMNS, table.rows[-1], strict=True)))
    table.show()
    print("\n".join(summary(rows)))


def summary(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say how often it is no worse and better, by how much, at what cost, and how far the bound."""
    column = {k: np.array([float(r[k]) for r in rows]) for k in ("improvement", "gap", "d", "n")}
    gain, gap, d, n = (column[k] for k in ("improvement", "gap", "d", "n"))
    first, total = (np.array([float(r[k]) for r in rows]) for k in ("times_first", "times_total"))
    fine, better = gain >= -EQUAL, gain > BETTER
    lines = [
        f"at or below the best reference on {fine.sum()} of {len(rows)} sets, within "
        f"{ALLOWED:.0f} times its seconds on {(fine & (first <= ALLOWED)).sum()}",
        f"better by more than {BETTER:.0e} on {better.sum()}",
        f"improvement: median {np.median(gain):.2%}, mean {gain.mean():.2%}, largest "
        f"{gain.max():.2%}, smallest {gain.min():.2%}",
        f"seconds over the references': median {np.median(total):.2g} in all, "
        f"{np.median(first):.2g} until no worse (largest {first.max():.2g})",
    ]
    worse = ", ".join(f"{r['set']} ({g:.1e})" for r, g in zip(rows, gain, strict=True) if g < 0.0)
    if worse:
        lines.append(f"above the best reference: {worse}")
    for low, high in ((0, 5), (6, 12), (13, 30), (31, 10**6)):
        some = (d >= low) & (d <= high)
        if some.any():
            lines.append(
                f"gap, d from {low} to {min(high, int(d.max()))}: median {np.median(gap[some]):.1e}"
                f", {(gap[some] <= TOL).sum()} of {some.sum()} closed"
            )
    for low, high in ((0, 300), (301, 999), (1000, 10**6)):
        some = (n >= low) & (n <= high)
        if some.any():
            lines.append(
                f"gap, n from {low} to {min(high, int(n.max()))}: median {np.median(gap[some]):.1e}"
                f", {(gap[some] <= TOL).sum()} of {some.sum()} closed"
            )
    return lines


class Curve(NamedTuple):
    """Best objective and bound over wall-clock seconds."""

    seconds: list[float]
    objective: list[float]
    bound: list[float]


def curve(problem: cx.ReluTraining, time_limit: float) -> Curve:
    """Solve and record the interval."""
    found = Curve([], [], [])
    ready = cx.compile(problem, "cell-walk")
    begin = time.perf_counter()

    def watch(step: cx.Step) -> None:
        found.seconds.append(time.perf_counter() - begin)
        found.objective.append(min([step.objective, *found.objective[-1:]]))
        found.bound.append(step.bound)

    ready.run(tol=TOL, time_limit=time_limit, callback=watch)
    found.seconds.append(time.perf_counter() - begin)
    found.objective.append(found.objective[-1])
    found.bound.append(found.bound[-1])
    return found


def figure(path: Path, time_limit: float) -> None:
    """Draw the interval closing on a low-rank instance, and on diabetes beside local search."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    run_ours(declare(np.eye(3), np.ones(3), "squared"), -np.inf, 1.0)  # loads every kernel
    n, d = 400, 5
    g = np.random.default_rng(0)
    X, teacher = g.standard_normal((n, d)), g.standard_normal((d, NEURONS))
    y = np.maximum(X @ teacher, 0.0) @ g.standard_normal(NEURONS) + 0.1 * g.standard_normal(n)
    low = declare(X, y, "squared")
    real = cx.ReluTraining(*load(Source("diabetes"), None, ROWS), beta=2.0)
    panels = (
        (f"teacher network, n = {n}, d = {d}", low),
        ("diabetes, n = 442, d = 10, beta = 2", real),
    )
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    drawing, axes = plt.subplots(1, 2, figsize=(8.0, 3.2), dpi=100, layout="constrained")
    for ax, (title, problem) in zip(axes, panels, strict=True):
        found, local = curve(problem, time_limit), run_lbfgs(problem)
        last = found.objective[-1]
        ax.fill_between(found.seconds, found.bound, found.objective, step="post", alpha=0.15)
        for values, style, name in (
            (found.objective, "C0-", "network received"),
            (found.bound, "C2-", "bound on every network"),
        ):
            ax.plot(found.seconds, values, style, drawstyle="steps-post", lw=1.8, label=name)
        ax.axhline(local.best, color="C3", ls="--", lw=1.2, label=f"best of {STARTS} L-BFGS runs")
        ax.set(title=title, xscale="log", xlabel="seconds", xlim=(0.1, found.seconds[-1]))
        ax.set_ylim(0.0, 1.45 * last)
        ax.xaxis.set_major_formatter("{x:g}")
        ax.xaxis.set_minor_formatter("")
        gap = (last - found.bound[-1]) / max(1.0, abs(last))
        ax.annotate(
            f"gap {gap:.1e}", (0.98, 0.04), xycoords="axes fraction", ha="right", color="0.3"
        )
    axes[0].set_ylabel("objective")
    axes[1].legend(frameon=False, loc="upper right", fontsize=8)
    drawing.savefig(path)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", default="table", choices=("table", "figure"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=os.environ.get(DATA), metavar="DIR")
    parser.add_argument("--sets", default="", help="names, separated by commas")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--time-limit", type=float, default=60.0, metavar="S")
    parser.add_argument("--resume", action="store_true", help="keep the rows of today's table")
    options = parser.parse_args()
    options.data = None if options.data is None else Path(options.data)
    known = {source.label: source for source in (*BUNDLED, *FILES)}
    default = QUICK if options.quick else known
    names = [name for name in options.sets.split(",") if name] or list(default)
    unknown = [name for name in names if name not in known]
    if unknown:
        parser.error(f"no such sets: {', '.join(unknown)}; there are {', '.join(known)}")
    with threadpool_limits(limits=1):
        import torch

        torch.set_num_threads(1)
        if options.what == "figure":
            figure(HERE.parents[1] / "docs" / "global.png", options.time_limit)
        else:
            run_table([known[name] for name in names], options)


if __name__ == "__main__":
    main()
