"""A network along beta on diabetes: how many neurons to pay for, and what screening saves.

From the smallest beta at which the network has no neurons, `cx.path` follows the optimum down.
The figure has

- on the left, the neurons, and the loss on held-out folds with its standard error: the full line
  is the beta of the least, the dotted one the largest beta within a standard error of it;
- on the right, of all patterns, those that are used, those the engine saw, and those that the gap
  safe sphere could not prove to be zero. All of them stand behind the certificate of each point.

Run it (extras: data, compare, plot; half a minute, --quick a few seconds)::

    python docs/examples/path.py --out path.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes

import convexnn as cx

TOL = 1e-6


def instance(patterns: int) -> cx.ReluTraining:
    """Return training on diabetes, its columns standardised."""
    X, y = load_diabetes(return_X_y=True)
    X, y = (X - X.mean(axis=0)) / X.std(axis=0), (y - y.mean()) / y.std()
    return cx.ReluTraining(X, y, beta=1.0, bias=True, patterns=patterns)


def draw(found: cx.Path, out: Path) -> None:
    """Save the figure."""
    import matplotlib.pyplot as plt

    used = [np.sum(s.primal.V.any(axis=0) | s.primal.W.any(axis=0)) for s in found.solutions]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    found.plot(left)
    for label, count, colour in (
        ("not proved to be zero", [c.kept for c in found.counts], "0.6"),
        ("seen by the engine", [c.solved for c in found.counts], "tab:orange"),
        ("used", used, "tab:blue"),
    ):
        right.step(found.betas, count, where="mid", color=colour, label=label)
    right.set(xscale="log", xlabel="beta", ylabel="patterns")
    right.invert_xaxis()
    right.grid(alpha=0.3)
    right.legend(loc="upper left")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> None:
    """Print the table and save the figure."""
    parser = argparse.ArgumentParser(description="A network along beta on diabetes.")
    parser.add_argument("--quick", action="store_true", help="few patterns, few betas")
    parser.add_argument("--out", type=Path, help="figure")
    asked = parser.parse_args()
    patterns, count, folds = (30, 8, 3) if asked.quick else (200, 50, 5)
    problem = instance(patterns)
    found = cx.path(problem, count=count, folds=folds, tol=TOL)
    print(found)
    hardest = max(cx.solve(problem.at(beta), tol=TOL).timings["solve"] for beta in found.betas[-3:])
    widest = max(s.gap for s in found.solutions)
    print(f"beta_max {cx.beta_max(problem):.6g}, largest gap {widest:.1e}")
    print(f"beta by folds {found.best.problem.beta:.4g}, {found.simplest.problem.beta:.4g}")
    print(f"seconds of the path over those of a cold solve: {found.seconds.sum() / hardest:.1f}")
    if asked.out:
        draw(found, asked.out)


if __name__ == "__main__":
    main()
