"""What leaving out a least cover of close pairs pays in robust training, on several tables.

``python bench/studies/robust_cover.py DATA:RADIUS ... [--quick]`` with each DATA an npz file of X
and of y with two values, as ``heart.npz:0.1``. Rows with missing values are left out and features
scaled to [0, 1], which the linf adversary does not leave. Of five splits four fifths of the rows
are for training, by the majorant over 30 random patterns, hinge loss: on all of them, and without
`robust_floor(...).cover`, a least set of rows on which no classifier is right together with the
others. It prints shares of wrong test labels and keeps them as a CSV in bench/studies/results.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from harness import Table
from robust_tables import read
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array

BETAS = (0.1, 1.0)
PATTERNS = 30
STEPS = 500
SECONDS = 60.0
COLUMNS = (
    "data",
    "n",
    "d",
    "radius",
    "rows",
    "beta",
    "left_out",
    "clean",
    "certified",
    "floor",
    "gap",
)


def errors(
    X: Array, y: Array, test: tuple[Array, Array], radius: float, beta: float
) -> tuple[float, float, float]:
    """Return the clean and the certified test error of a network, and the gap of its training."""
    box, every = (0.0, 1.0), np.ones(X.shape[1], np.bool_)
    problem = cx.RobustReluTraining(
        X, y, radius=radius, beta=beta, bias=True, patterns=PATTERNS, perturbed=every, box=box
    )
    solution = cx.solve(problem, "admm", tol=1e-2, max_iter=STEPS, time_limit=SECONDS)
    judged = cx.robustness(solution.model, *test, radius=radius, restarts=2, box=box)
    return 1.0 - judged.clean, 1.0 - judged.certified, solution.gap


def bench(given: list[tuple[Path, float]], quick: bool) -> Table:
    """Train on every split of every table, with and without the cover."""
    table = Table("cover", COLUMNS, quick, "robust")
    for path, radius in given:
        X, y = read(path)
        train = round(0.8 * len(X))
        found: dict[tuple[bool, float], list[tuple[float, ...]]] = {}
        for seed in range(1 if quick else 5):
            order = np.random.default_rng(seed).permutation(len(X))
            rows, test = order[:train], order[train:]
            least = cx.robust_floor(X[test], y[test], radius=radius).rate
            cover = cx.robust_floor(X[rows], y[rows], radius=radius).cover
            assert cover is not None
            for without, some in ((False, rows), (True, np.delete(rows, cover))):
                for beta in BETAS:
                    wrong = errors(X[some], y[some], (X[test], y[test]), radius, beta)
                    fewer = len(rows) - len(some)
                    found.setdefault((without, beta), []).append((*wrong, least, fewer))
        for (without, beta), each in found.items():
            clean, certified, gap, least, fewer = np.mean(each, axis=0)
            table.add(
                data=path.stem,
                n=len(X),
                d=X.shape[1],
                radius=radius,
                rows="without the cover" if without else "all",
                beta=beta,
                left_out=f"{fewer:.0f}",
                clean=f"{clean:.3f}",
                certified=f"{certified:.3f}",
                floor=f"{least:.3f}",
                gap=f"{gap:.2f}",
            )
    return table


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", nargs="+", help="npz file of X and y, and the radius: FILE:RADIUS")
    parser.add_argument("--quick", action="store_true", help="one split")
    asked = parser.parse_args()
    parts = [one.rpartition(":") for one in asked.data]
    given = [(Path(path), float(radius)) for path, _, radius in parts]
    with threadpool_limits(limits=1):
        bench(given, asked.quick).show()


if __name__ == "__main__":
    main()
