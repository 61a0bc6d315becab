"""Certified test errors of robust training on a published table's data, beside the floor.

``python bench/studies/robust_tables.py DATA TRAINING [--quick]`` with DATA the Wisconsin breast
cancer data as an npz file of X, (699, 9) with missing values, and y. Rows with missing values are
left out and features scaled to [0, 1]; five splits of 546 rows for training and 137 for testing,
linf radius 0.3, hinge loss. It prints a table and keeps it as a CSV in bench/studies/results. The
adversary cannot leave [0, 1]; with ``--no-box`` it can. ``--published`` takes one split instead,
training on the first 546 complete rows in the file's order, as published tables of robust trees do.

"search" and "stumps" are the majorant, over the patterns of local search and over those of one
feature's threshold each. "increasing" are sums of increasing functions of one feature each, at
their worst where all features are 0.3 lower, or higher: a linear program. "trimmed" are those of
it where rows that are wrong by more than their margin are left out, and it is solved again until
no more is gained: the loss is then ``min(hinge, 2)``. "boosted" are scikit-learn's boosted trees,
increasing in every feature too, on the rows at their worst; the penalty is not theirs. "without
the cover" leaves out `robust_floor(...).cover`, a least set of training rows on which no
classifier is right together with the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from harness import Table
from scipy.optimize import linprog
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array, BoolArray

RADIUS = 0.3
TRAINING = 546
BETAS = (0.5, 1.0, 2.0)
SECONDS = 60.0  # of a network's training at most
STEPS = 1_000  # of ADMM over patterns of thresholds
LEVELS = 33  # at which an increasing function may bend
ROUNDS = 8  # of leaving out rows
LEAVES, TREES, RATE = 8, 30, 0.1
KINDS = ("standard", "search", "stumps", "increasing", "trimmed", "boosted")
COLUMNS = ("training", "rows", "beta", "clean", "certified", "floor", "worst", "best")


def read(path: Path) -> tuple[Array, Array]:
    """Return the rows that are complete, features in [0, 1], those that vary."""
    with np.load(path) as held:
        X, y = held["X"], held["y"]
    known = np.isfinite(X).all(axis=1)
    X, y = X[known], y[known]
    X = X[:, np.ptp(X, axis=0) > 0.0]
    return (X - X.min(axis=0)) / np.ptp(X, axis=0), y


def stumps(X: Array) -> BoolArray:
    """Return the patterns of all thresholds of single features, and the whole one."""
    columns = [np.ones(len(X), np.bool_)]
    for column in X.T:
        columns += [column >= value for value in np.unique(column)[1:]]
        columns += [column < value for value in np.unique(column)[1:]]
    return np.unique(np.array(columns), axis=0).T


def worst(X: Array, side: Array, box: bool) -> Array:
    """Return where a function that increases in every feature is at its worst for each row."""
    moved = X - RADIUS * side[:, None]
    return np.clip(moved, 0.0, 1.0) if box else moved


def increasing(
    X: Array, y: Array, beta: float, box: bool, counts: Array | None = None
) -> cx.TwoLayerNetwork:
    """Return the sum of increasing functions with the least hinge loss at the worst corners."""
    classes = np.unique(y)
    side, d = np.where(y == classes[1], 1.0, -1.0), X.shape[1]
    levels = np.tile(np.linspace(-RADIUS, 1.0 + RADIUS, LEVELS), d)
    U = np.repeat(np.eye(d), LEVELS, axis=1)
    U, bias = np.hstack([U, -U]), np.concatenate([-levels, levels])
    turn = np.repeat([1.0, -1.0], len(levels))
    rises = turn * np.maximum(worst(X, side, box) @ U + bias, 0.0)
    n, m = rises.shape
    rows = -np.hstack([side[:, None] * rises, side[:, None], np.eye(n)])
    cost = np.concatenate([np.full(m, beta), [0.0], np.ones(n) if counts is None else counts])
    bounds = [(0.0, None)] * m + [(None, None)] + [(0.0, None)] * n
    solved: Any = linprog(cost, rows, -np.ones(n), bounds=bounds, method="highs")
    found = solved.x
    alpha = (turn * found[:m])[:, None]
    return cx.TwoLayerNetwork(U, alpha, bias, skip_bias=float(found[m]), classes=classes)


def trimmed(X: Array, y: Array, beta: float, box: bool) -> cx.TwoLayerNetwork:
    """Return the sum of increasing functions, rows left out that are wrong by a margin."""
    side, counts, least = np.where(y == np.max(y), 1.0, -1.0), np.ones(len(y)), np.inf
    best = increasing(X, y, beta, box)
    for _ in range(ROUNDS):
        network = increasing(X, y, beta, box, counts)
        margins = side * network.decision_function(worst(X, side, box))
        slopes = np.abs(network.alpha[:, 0]).sum()
        value = np.minimum(np.maximum(1.0 - margins, 0.0), 2.0).sum() + beta * slopes
        if value >= least - 1e-9:
            break
        best, least, counts = network, value, (margins > -1.0).astype(np.float64)
    return best


def trained(
    X: Array, y: Array, kind: str, beta: float, seconds: float, box: bool
) -> cx.TwoLayerNetwork:
    """Train a network."""
    if kind in ("increasing", "trimmed"):
        return (increasing if kind == "increasing" else trimmed)(X, y, beta, box)
    common: dict[str, Any] = {"beta": beta, "loss": "hinge", "bias": True}
    if kind == "standard":
        problem: Any = cx.ReluTraining(X, y, **common)
    else:
        patterns = stumps(X) if kind == "stumps" else None
        common |= {"perturbed": np.ones(X.shape[1], np.bool_), "patterns": patterns}
        common |= {"box": (0.0, 1.0) if box else None}
        problem = cx.RobustReluTraining(X, y, radius=RADIUS, **common)
    asked: dict[str, Any] = {"tol": 1e-2, "time_limit": seconds}
    if kind == "stumps":
        asked |= {"backend": "admm", "max_iter": STEPS}
    network: cx.TwoLayerNetwork = cx.solve(problem, **asked).model
    return network


def errors(
    X: Array, y: Array, rows: Any, test: Any, kind: str, beta: float, seconds: float, box: bool
) -> tuple[float, float]:
    """Return the clean and the certified test error of what is trained on some rows."""
    if kind == "boosted":
        side = np.where(y == np.max(y), 1.0, -1.0)
        trees = HistGradientBoostingClassifier(
            learning_rate=RATE,
            max_iter=TREES,
            max_leaf_nodes=LEAVES,
            min_samples_leaf=5,
            monotonic_cst=[1] * X.shape[1],
        ).fit(worst(X[rows], side[rows], box), side[rows])
        at = worst(X[test], side[test], box)
        clean, certified = (np.mean(trees.predict(Z) != side[test]) for Z in (X[test], at))
        return float(clean), float(certified)
    network = trained(X[rows], y[rows], kind, beta, seconds, box)
    judged = cx.robustness(
        network, X[test], y[test], radius=RADIUS, restarts=2, box=(0.0, 1.0) if box else None
    )
    return 1.0 - judged.clean, 1.0 - judged.certified


def bench(path: Path, kind: str, quick: bool, box: bool, published: bool) -> Table:
    """Train on every split, and certify on its test rows."""
    name = f"tables-{kind}" + "-box" * box + "-published" * published
    table = Table(name, COLUMNS, quick, "robust")
    X, y = read(path)
    splits = [np.random.default_rng(seed).permutation(len(X)) for seed in range(1 if quick else 5)]
    if published:
        splits = [np.arange(len(X))]
    for without in (False, True):
        for beta in BETAS if kind != "boosted" else BETAS[:1]:
            found = []
            for order in splits:
                rows, test = order[:TRAINING], order[TRAINING:]
                if without:
                    cover = cx.robust_floor(X[rows], y[rows], radius=RADIUS).cover
                    rows = np.delete(rows, cover if cover is not None else [])
                limit = 2.0 if quick else SECONDS
                wrong = errors(X, y, rows, test, kind, beta, limit, box)
                floor = cx.robust_floor(X[test], y[test], radius=RADIUS)
                found.append((*wrong, floor.rate))
            clean, certified, least = np.mean(found, axis=0)
            each = [one[1] for one in found]
            table.add(
                training=kind,
                rows="without the cover" if without else "all",
                beta=beta,
                clean=f"{clean:.3f}",
                certified=f"{certified:.3f}",
                floor=f"{least:.3f}",
                worst=f"{max(each):.3f}",
                best=f"{min(each):.3f}",
            )
    return table


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="npz file of X and y")
    parser.add_argument("training", choices=KINDS)
    parser.add_argument("--quick", action="store_true", help="one split, two seconds a network")
    parser.add_argument("--no-box", action="store_true", help="the adversary may leave [0, 1]")
    parser.add_argument("--published", action="store_true", help="one split, in the file's order")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        bench(asked.data, asked.training, asked.quick, not asked.no_box, asked.published).show()


if __name__ == "__main__":
    main()
