"""How often the radius of the profile covers the truth, and what the hold-out rule's bound covers.

``python bench/studies/radius.py [--quick]`` prints a table, keeps it in bench/studies/results, and
draws docs/radius.png. Of simulated least squares in the norm l2 it counts how often some
distribution in the ball has the true parameters for its best ones: the profile at the truth b,

    R = min { W_2(P, P_n)^2 : E_P (y - b'x) x = 0 }
      = max_u - mean_i (e_i u'x_i + g_i' (I + (b u' + u b') / 2)^-1 g_i / 4)

with ``g_i = e_i u - (u'x_i) b``,

is concave in u, and small where it is covered: R <= radius^2. Of simulated logistic data it counts
how often the hold-out statement is true of its model on 100,000 new examples.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from harness import Table
from scipy.optimize import minimize

import convexnn as cx
from convexnn.contract.arrays import Array

D, CONFIDENCE = 3, 0.95
TRUE = np.array([1.0, -0.5, 0.0])
COLUMNS = ("rule", "errors", "n", "runs", "covered", "median_radius", "note")
FIGURE = Path(__file__).resolve().parents[2] / "docs" / "radius.png"
FRESH = 100_000  # new examples on which a statement is judged


def profile(X: Array, e: Array, b: Array) -> float:
    """Return the squared distance to a distribution of which b is the least-squares fit."""

    def negative(u: Array) -> float:
        M = np.eye(len(b)) + 0.5 * (np.outer(b, u) + np.outer(u, b))
        size, turn = np.linalg.eigh(M)
        if size[0] <= 1e-9:
            return 1e9
        g = (e[:, None] * u - (X @ u)[:, None] * b) @ turn
        return float(np.mean(e * (X @ u) + 0.25 * (g * g / size).sum(axis=1)))

    found = minimize(negative, np.zeros(len(b)), method="BFGS", options={"gtol": 1e-7})
    return -float(found.fun)


def drawn(rng: np.random.Generator, errors: str, n: int) -> Array:
    """Return errors of variance 1."""
    if errors == "normal":
        return rng.standard_normal(n)
    if errors == "uniform":
        return rng.uniform(-np.sqrt(3.0), np.sqrt(3.0), n)
    return rng.laplace(scale=np.sqrt(0.5), size=n)


def squares(errors: str, n: int, runs: int, kind: str) -> dict[str, Any]:
    """Count how often the truth of least squares is covered."""
    covered, radii = 0, []
    for run in range(runs):
        rng = np.random.default_rng([n, run])
        X, e = rng.standard_normal((n, D)), drawn(rng, errors, n)
        problem = cx.WassersteinRegression(X, X @ TRUE + e, radius=0.1, order=2, intercept=False)
        chosen: dict[str, Any] = {"limit": kind} if kind == "fitted" else {"errors": kind}
        radius = cx.radius(problem, confidence=CONFIDENCE, draws=4_000, **chosen).value
        covered += profile(X, e, TRUE) <= radius**2
        radii.append(radius)
    return {"covered": covered / runs, "median_radius": float(np.median(radii))}


def labels(n: int, runs: int) -> dict[str, Any]:
    """Count how often the hold-out statement is true of its own model."""
    covered, radii, silent = 0, [], 0
    for run in range(runs):
        rng = np.random.default_rng([n, run, 1])
        X = rng.standard_normal((n + FRESH, D))
        y = np.where(3.0 * X @ TRUE + rng.logistic(size=len(X)) > 0.0, 1, -1)
        problem = cx.WassersteinClassification(X[:n], y[:n], radius=0.1)
        try:
            found = cx.radius(problem, confidence=CONFIDENCE, rule="holdout", seed=run)
        except cx.ProblemError:
            silent += 1
            continue
        assert found.solution is not None
        wrong = float(np.mean(found.solution.model.predict(X[n:]) != y[n:]))
        covered += wrong <= found.table[-1][2]
        radii.append(found.value)
    spoke = runs - silent
    return {
        "covered": covered / spoke,
        "median_radius": float(np.median(radii)),
        "note": f"no radius passed in {silent} runs" if silent else "",
    }


def draw(rows: list[dict[str, Any]]) -> None:
    """Save the figure: coverage and radius by the number of rows."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4))
    for rule in dict.fromkeys((row["rule"], row["errors"]) for row in rows):
        own = [row for row in rows if (row["rule"], row["errors"]) == rule]
        n, name = [row["n"] for row in own], ", ".join(filter(None, rule))
        left.plot(n, [row["covered"] for row in own], marker="o", label=name)
        right.plot(n, [row["median_radius"] for row in own], marker="o", label=name)
    left.axhline(CONFIDENCE, color="black", lw=1.0, ls="--")
    left.set(xscale="log", xlabel="rows", ylabel="covered")
    right.set(xscale="log", yscale="log", xlabel="rows", ylabel="median radius")
    left.legend(fontsize=8)
    for ax in (left, right):
        ax.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(FIGURE, dpi=150)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few runs, no figure")
    quick = parser.parse_args().quick
    table, rows = Table("radius", COLUMNS, quick, "wasserstein"), []
    sizes, runs = ((50,), 20) if quick else ((20, 50, 200, 1000), 200)
    for errors, kind in (
        *(("normal", "normal"), ("laplace", "normal"), ("uniform", "normal")),
        *(("uniform", "residuals"), ("normal", "fitted"), ("uniform", "fitted")),
    ):
        for n in sizes:
            found = {"rule": f"profile, {kind}", "errors": errors, "n": n, "runs": runs}
            rows.append(found | squares(errors, n, runs, kind))
            table.add(**rows[-1])
    for n in (200,) if quick else (100, 300, 1000):
        found = {"rule": "holdout", "errors": "", "n": n, "runs": runs // 2}
        rows.append(found | labels(n, runs // 2))
        table.add(**rows[-1])
    table.show()
    if not quick:
        draw(rows)


if __name__ == "__main__":
    main()
