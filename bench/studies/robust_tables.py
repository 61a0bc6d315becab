"""Certified test errors of robust training on a published table's data, beside the floor.

``python bench/studies/robust_tables.py DATA TRAINING [--quick]`` with DATA the Wisconsin breast
cancer data as an npz file of X, (699, 9) with missing values, and y. Rows with missing values are
left out and features scaled to [0, 1]; five splits of 546 rows for training and 137 for testing,
linf radius 0.3, hinge loss. It prints a table and keeps it as a CSV in bench/studies/results.

"search" and "stumps" are the majorant, over the patterns of local search and over those of one
feature's threshold each. "increasing" are sums of increasing functions of one feature each, at
their worst where all features are 0.3 lower, or higher: a linear program. "without the cover"
leaves out `robust_floor(...).cover`, a least set of training rows on which no classifier is right
together with the others.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from harness import Table
from scipy.optimize import linprog
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array, BoolArray

RADIUS = 0.3
TRAINING = 546
BETAS = (0.05, 0.5)
SECONDS = 6.0  # of a network's training at most
LEVELS = 33  # at which an increasing function may bend
KINDS = ("standard", "search", "stumps", "increasing")
COLUMNS = ("training", "rows", "beta", "clean", "certified", "floor", "worst", "best")


def read(path: Path) -> tuple[Array, Array]:
    """Return the rows that are complete, features in [0, 1]."""
    with np.load(path) as held:
        X, y = held["X"], held["y"]
    known = np.isfinite(X).all(axis=1)
    X, y = X[known], y[known]
    return (X - X.min(axis=0)) / np.ptp(X, axis=0), y


def stumps(X: Array) -> BoolArray:
    """Return the patterns of all thresholds of single features, and the whole one."""
    columns = [np.ones(len(X), np.bool_)]
    for column in X.T:
        columns += [column >= value for value in np.unique(column)[1:]]
        columns += [column < value for value in np.unique(column)[1:]]
    return np.unique(np.array(columns), axis=0).T


def increasing(X: Array, y: Array, beta: float) -> cx.TwoLayerNetwork:
    """Return the sum of increasing functions with the least hinge loss at the worst corners."""
    classes = np.unique(y)
    side, d = np.where(y == classes[1], 1.0, -1.0), X.shape[1]
    levels = np.tile(np.linspace(-RADIUS, 1.0 + RADIUS, LEVELS), d)
    U = np.repeat(np.eye(d), LEVELS, axis=1)
    U, bias = np.hstack([U, -U]), np.concatenate([-levels, levels])
    turn = np.repeat([1.0, -1.0], len(levels))
    rises = turn * np.maximum((X - RADIUS * side[:, None]) @ U + bias, 0.0)
    n, m = rises.shape
    rows = -np.hstack([side[:, None] * rises, side[:, None], np.eye(n)])
    cost = np.concatenate([np.full(m, beta), [0.0], np.ones(n)])
    bounds = [(0.0, None)] * m + [(None, None)] + [(0.0, None)] * n
    solved: Any = linprog(cost, rows, -np.ones(n), bounds=bounds, method="highs")
    found = solved.x
    alpha = (turn * found[:m])[:, None]
    return cx.TwoLayerNetwork(U, alpha, bias, skip_bias=float(found[m]), classes=classes)


def trained(X: Array, y: Array, kind: str, beta: float, seconds: float) -> cx.TwoLayerNetwork:
    """Train a network."""
    if kind == "increasing":
        return increasing(X, y, beta)
    common: dict[str, Any] = {"beta": beta, "loss": "hinge", "bias": True}
    if kind == "standard":
        problem: Any = cx.ReluTraining(X, y, **common)
    else:
        patterns = stumps(X) if kind == "stumps" else None
        common |= {"perturbed": np.ones(X.shape[1], np.bool_), "patterns": patterns}
        problem = cx.RobustReluTraining(X, y, radius=RADIUS, **common)
    network: cx.TwoLayerNetwork = cx.solve(problem, tol=1e-2, time_limit=seconds).model
    return network


def bench(path: Path, kind: str, quick: bool) -> Table:
    """Train on every split, and certify on its test rows."""
    table = Table(f"tables-{kind}", COLUMNS, quick, "robust")
    X, y = read(path)
    splits = [np.random.default_rng(seed).permutation(len(X)) for seed in range(1 if quick else 5)]
    for without in (False, True):
        for beta in BETAS:
            found = []
            for order in splits:
                rows, test = order[:TRAINING], order[TRAINING:]
                if without:
                    cover = cx.robust_floor(X[rows], y[rows], radius=RADIUS).cover
                    rows = np.delete(rows, cover if cover is not None else [])
                network = trained(X[rows], y[rows], kind, beta, 2.0 if quick else SECONDS)
                judged = cx.robustness(network, X[test], y[test], radius=RADIUS, restarts=2)
                floor = cx.robust_floor(X[test], y[test], radius=RADIUS)
                found.append((1.0 - judged.clean, 1.0 - judged.certified, floor.rate))
            clean, certified, least = np.mean(found, axis=0)
            errors = [one[1] for one in found]
            table.add(
                training=kind,
                rows="without the cover" if without else "all",
                beta=beta,
                clean=f"{clean:.3f}",
                certified=f"{certified:.3f}",
                floor=f"{least:.3f}",
                worst=f"{max(errors):.3f}",
                best=f"{min(errors):.3f}",
            )
    return table


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="npz file of X and y")
    parser.add_argument("training", choices=KINDS)
    parser.add_argument("--quick", action="store_true", help="one split, two seconds a network")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        bench(asked.data, asked.training, asked.quick).show()


if __name__ == "__main__":
    main()
