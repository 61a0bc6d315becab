"""Ten classes of MNIST, each against the rest, against linf perturbations of 0.1.

``python bench/studies/robust_classes.py DATA [--quick]`` with DATA an npz file of images X, pixels
up to 255, labels y and a mask of test rows, ``test_mask``. `one_vs_rest` trains a majorant over few
random patterns for each class, ADMM with a limit of time each; the network of ten outputs is then
judged by its largest one, within [0, 1] as it was trained. It prints a table and keeps it as a CSV.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from harness import Table
from threadpoolctl import threadpool_limits

import convexnn as cx

RADIUS = 0.1
PATTERNS = 4
BETA = 2.0
SECONDS = 60.0  # a class
COLUMNS = ("rows", "neurons", "beta", "seconds", "clean", "attacked", "certified", "gap")


def bench(path: Path, quick: bool, seconds: float) -> Table:
    """Train a network of ten outputs, and judge it on the test rows."""
    table = Table("classes", COLUMNS, quick, "robust")
    with np.load(path) as held:
        X, y, test = held["X"] / 255.0, held["y"], held["test_mask"]
    train = np.flatnonzero(~test)[:: 20 if quick else 1]
    start = time.process_time()
    fit = cx.one_vs_rest(
        *(X[train], y[train]),
        radius=RADIUS,
        model="network",
        beta=BETA,
        bias=True,
        patterns=PATTERNS,
        perturbed=np.ones(X.shape[1], np.bool_),
        box=(0.0, 1.0),
        backend="admm",
        tol=1e-2,
        time_limit=2.0 if quick else seconds,
    )
    took = time.process_time() - start
    judged = cx.robustness(
        fit.model, X[test], y[test], radius=RADIUS, restarts=2, steps=30, box=(0.0, 1.0)
    )
    table.add(
        rows=len(train),
        neurons=fit.model.U.shape[1],
        beta=BETA,
        seconds=f"{took:.0f}",
        clean=f"{1.0 - judged.clean:.3f}",
        attacked=f"{1.0 - judged.attacked:.3f}",
        certified=f"{1.0 - judged.certified:.3f}",
        gap=f"{fit.gap:.2f}",
    )
    return table


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="npz file of X, y and test_mask")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the rows")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="a class")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        bench(asked.data, asked.quick, asked.seconds).show()


if __name__ == "__main__":
    main()
