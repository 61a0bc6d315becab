"""Fronts of clean against certified errors, along the radius and the penalty trained with.

``python bench/studies/robust_fronts.py [DATA] [--quick]`` with DATA an npz file of images X, pixels
up to 255, and labels y of two kinds; scikit-learn's digits 3 and 8 without one. Half of the rows
(at most 500 in all) are for training. The adversary moves every pixel within [0, 1] by at most
0.1. It prints a table and keeps it as a CSV in bench/studies/results: each training at each radius
and beta, and whether it is on its front, no other of that training being as good in both errors.

"standard" is `ReluTraining` over all patterns; "majorant" and "cones" are `RobustReluTraining` over
random patterns, "search" the majorant over all of them. With ``--torch`` "PGD" and "CROWN-IBP" of
torch (`torch_training.py`), with as many neurons as the majorant, are trained in their place.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from harness import Table
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array

RADIUS = 0.1  # at which networks are judged
ROWS = 500
PATTERNS = 30
SECONDS = 60.0  # of a network's training at most
STEPS = 1_000  # of ADMM over random patterns
ROUNDS = 2  # of the search
RADII = (0.05, 0.1, 0.15)  # trained for
BETAS = (0.1, 0.5, 2.0)
PEERS = ("PGD", "CROWN-IBP")
KINDS = ("standard", "majorant", "cones", "search")
COLUMNS = ("training", "radius", "beta", "clean", "attacked", "certified", "front")


def images(path: Path | None) -> tuple[Array, Any]:
    """Return pixels in [0, 1] and labels of two kinds, in random order."""
    if path is None:
        X, y = load_digits(return_X_y=True)
        kept = np.isin(y, [3, 8])
        X, y = X[kept] / 16.0, y[kept]
    else:
        with np.load(path) as held:
            X, y = held["X"] / 255.0, held["y"]
    order = np.random.default_rng(0).permutation(len(X))[:ROWS]
    return X[order], y[order]


def trained(
    X: Array, y: Any, kind: str, radius: float, beta: float, seconds: float
) -> cx.TwoLayerNetwork:
    """Train a network."""
    if kind in PEERS:
        peer = import_module("torch_training").train
        found: cx.TwoLayerNetwork = peer(X, y, kind, radius=radius, beta=beta, width=2 * PATTERNS)
        return found
    common: dict[str, Any] = {"beta": beta, "loss": "hinge", "bias": True}
    if kind == "standard":
        problem: Any = cx.ReluTraining(X, y, **common)
    else:
        common |= {"box": (0.0, 1.0), "perturbed": np.ones(X.shape[1], np.bool_)}
        common["patterns"] = None if kind == "search" else PATTERNS
        common["formulation"] = "cones" if kind == "cones" else "majorant"
        problem = cx.RobustReluTraining(X, y, radius=radius, **common)
    asked: dict[str, Any] = {"tol": 1e-2, "time_limit": seconds}
    if kind == "search":
        asked["max_iter"] = ROUNDS
    elif kind != "standard":
        asked |= {"backend": "admm", "max_iter": STEPS}
    network: cx.TwoLayerNetwork = cx.solve(problem, **asked).model
    return network


def bench(path: Path | None, quick: bool, kinds: tuple[str, ...]) -> Table:
    """Train with every radius and beta, judge on the other half, and mark the fronts."""
    name = "digits" if path is None else path.stem.replace("_", "-")
    name += "-torch" if kinds == PEERS else ""
    table = Table(f"fronts-{name}", COLUMNS, quick, "robust")
    X, y = images(path)
    half = len(X) // 2
    for kind in kinds:
        radii = (0.0,) if kind == "standard" else RADII
        grid = list(product(radii, BETAS))[:: 4 if quick else 1]
        found = []
        for radius, beta in grid:
            limit = 2.0 if quick else SECONDS
            network = trained(X[:half], y[:half], kind, radius, beta, limit)
            judged = cx.robustness(
                network, X[half:], y[half:], radius=RADIUS, restarts=2, box=(0.0, 1.0)
            )
            found.append((1.0 - judged.clean, 1.0 - judged.attacked, 1.0 - judged.certified))
        for (radius, beta), (clean, attacked, certified) in zip(grid, found, strict=True):
            better = (
                a <= clean and c <= certified and (a < clean or c < certified) for a, _, c in found
            )
            table.add(
                training=kind,
                radius=radius,
                beta=beta,
                clean=f"{clean:.3f}",
                attacked=f"{attacked:.3f}",
                certified=f"{certified:.3f}",
                front="" if any(better) else "*",
            )
    return table


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, nargs="?", help="npz file of X and y")
    parser.add_argument("--quick", action="store_true", help="few networks, two seconds each")
    parser.add_argument("--torch", action="store_true", help="what is trained in torch")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        bench(asked.data, asked.quick, PEERS if asked.torch else KINDS).show()


if __name__ == "__main__":
    main()
