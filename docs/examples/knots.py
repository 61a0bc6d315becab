"""Training on a line as sparse signal processing: spikes, the network they make, along beta.

A network of one input is a sum of features at fixed places, and training picks few of them: a
lasso. Of a noisy signal with four bends (and one of three jumps for the threshold) the figure has

- above, data and fit at one beta, and a spike for each knot of the network: the change of its
  slope there, for the threshold its jump;
- below, where the knots are as beta falls, the larger the spike the larger the dot. The dashed
  lines are the knots of the true signal.

Two relu layers bend at data points. Three add ramps, which pay less for a slope that ends. Three
layers of absolute values also fold at mirror images of data points, outside the data as well.
Every fit is certified: its objective is within 1e-6 of the least over all networks of its kind.

Run it (extra: plot; half a minute, --quick a few seconds)::

    python docs/examples/knots.py --out knots.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import convexnn as cx

KINDS = (("relu", 2), ("relu", 3), ("abs", 3), ("threshold", 2))
BENDS = np.array([-1.2, -0.3, 0.5, 1.3])
JUMPS = np.array([-1.0, 0.2, 1.1])
NOISE = 0.1
SHOWN = 0.3  # beta of the fits, about
TOL = 1e-6
LEAST = 3e-3  # spikes below which a knot is not counted


class Spikes(NamedTuple):
    """Knots of a network and the change of slope, or the jump, at each."""

    at: Any
    size: Any


def signal(x: Any, activation: str) -> Any:
    """Return the true signal at each point."""
    if activation == "threshold":
        return (x[:, None] >= JUMPS) @ np.array([1.0, -1.5, 0.8])
    return np.maximum(x[:, None] - BENDS, 0.0) @ np.array([1.5, -3.0, 2.5, -2.0])


def instance(n: int, activation: str) -> tuple[Any, Any]:
    """Return points in [-2, 2] and noisy targets."""
    rng = np.random.default_rng(7)
    x = np.sort(rng.uniform(-2.0, 2.0, n))
    return x, signal(x, activation) + NOISE * rng.standard_normal(n)


def spikes(model: cx.NarrowNetwork) -> Spikes:
    """Read the spikes off a network's outputs around its knots."""
    at = model.knots
    if len(at) == 0:
        return Spikes(at, at)
    step = 0.1 * np.min(np.diff(at), initial=1.0)
    left, right = model.predict(at - step), model.predict(at + step)
    if model.activation == "threshold":
        size = right - left
    else:
        size = (left + right - 2.0 * model.predict(at)) / step
    large = np.abs(size) >= LEAST
    return Spikes(at[large], size[large])


def path(n: int, activation: str, layers: int, betas: Any) -> list[cx.Solution]:
    """Solve along beta."""
    x, y = instance(n, activation)
    return [
        cx.solve(
            cx.UnivariateReluTraining(x, y, beta=beta, activation=activation, layers=layers),
            tol=TOL,
        )
        for beta in betas
    ]


def draw(found: dict[tuple[str, int], list[cx.Solution]], betas: Any, out: Path) -> None:
    """Save the figure: a column for each kind."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, len(found), figsize=(4 * len(found), 6), sharex="col")
    nearest = int(np.argmin(np.abs(np.log(betas / SHOWN))))
    for (above, below), ((activation, layers), solutions) in zip(
        axes.T, found.items(), strict=True
    ):
        problem, model = solutions[nearest].problem, solutions[nearest].model
        grid = np.linspace(-3.0, 3.0, 1_201)
        above.plot(problem.x, problem.y, ".", color="0.6", ms=5)
        above.plot(grid, model.predict(grid), color="C0", lw=1.8)
        seen = spikes(model)
        above.vlines(seen.at, 0.0, seen.size, color="C3", lw=1.5)
        above.plot(seen.at, seen.size, "o", color="C3", ms=4)
        above.set_title(f"{activation}, {layers} layers, beta = {betas[nearest]:.2g}", fontsize=10)
        above.grid(alpha=0.3)
        for beta, solution in zip(betas, solutions, strict=True):
            at, size = spikes(solution.model)
            share = np.abs(size) / np.max(np.abs(size), initial=1e-300)
            below.scatter(at, np.full_like(at, beta), s=40.0 * share, color="C3", lw=0)
        for true in JUMPS if activation == "threshold" else BENDS:
            below.axvline(true, color="0.3", ls="--", lw=0.8)
        below.set(yscale="log", xlabel="knots", xlim=(-3.0, 3.0))
        below.grid(alpha=0.3)
    axes[0, 0].set_ylabel("fit, spikes")
    axes[1, 0].set_ylabel("beta")
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def main() -> None:
    """Print the table and save the figure."""
    parser = argparse.ArgumentParser(description="Knots of networks of one input along beta.")
    parser.add_argument("--quick", action="store_true", help="few points, few betas")
    parser.add_argument("--out", type=Path, help="figure")
    asked = parser.parse_args()
    n, count = (20, 4) if asked.quick else (50, 22)
    betas = np.logspace(1.0, -2.0, count)
    found = {kind: path(n, *kind, betas) for kind in KINDS}
    print("kind, layers, beta, objective, gap, knots")
    for (activation, layers), solutions in found.items():
        for beta, solution in zip(betas, solutions, strict=True):
            knots = len(spikes(solution.model).at)
            numbers = f"{beta:.3g}, {solution.objective:.6f}, {solution.gap:.0e}, {knots}"
            print(f"{activation}, {layers}, {numbers}")
    if asked.out:
        draw(found, betas, asked.out)


if __name__ == "__main__":
    main()
