"""Training on a line as sparse signal processing: spikes, the network they make, along beta.

A network of one input is a sum of features at fixed places, and training picks few of them: a
lasso. Of a noisy signal with four bends (and one of three jumps for the threshold) the figure has,
from above,

- data, the true signal and the fit at one beta;
- a spike for each knot of the fit: the change of its slope there, for the threshold its jump;
  rings are those of the true signal;
- the features in use, times their coefficients: the network's chains of neurons, whose sum is
  the fit but for a constant;
- where the knots are as beta falls, the larger the spike the larger the dot. Dashed lines are the
  knots of the true signal, the dotted one is the beta of the rows above.

Two relu layers bend at data points. Three add ramps, which pay less for a slope that ends. Three
layers of absolute values also fold at mirror images of data points, outside the data as well.
Every fit is certified: its objective is within 1e-6 of the least over all networks of its kind.

Run it (extra: plot; half a minute, --quick a few seconds)::

    python docs/examples/knots.py --out knots.png
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import convexnn as cx

KINDS = (("relu", 2), ("relu", 3), ("abs", 3), ("threshold", 2))
NOISE = 0.1
SHOWN = 0.3  # beta of the fits, about
TOL = 1e-6
LEAST = 3e-3  # spikes below which a knot is not counted
UP, DOWN = "C3", "C0"  # colours of spikes


class Spikes(NamedTuple):
    """Knots of a network and the change of slope, or the jump, at each."""

    at: Any
    size: Any


TRUE_JUMPS = Spikes(np.array([-1.0, 0.2, 1.1]), np.array([1.0, -1.5, 0.8]))
TRUE_BENDS = Spikes(np.array([-1.2, -0.3, 0.5, 1.3]), np.array([1.5, -3.0, 2.5, -2.0]))


def true_spikes(activation: str) -> Spikes:
    """Return the knots of the true signal."""
    return TRUE_JUMPS if activation == "threshold" else TRUE_BENDS


def signal(x: Any, activation: str) -> Any:
    """Return the true signal at each point."""
    at, size = true_spikes(activation)
    apart = x[:, None] - at
    return (apart >= 0.0 if activation == "threshold" else np.maximum(apart, 0.0)) @ size


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


def features(model: cx.NarrowNetwork) -> list[cx.NarrowNetwork]:
    """Return each chain of a network as one of its own, without the offset."""
    amplitude = model.amplitude
    return [
        replace(
            model,
            weights=model.weights[:, [k]],
            biases=model.biases[:, [k]],
            amplitude=None if amplitude is None else amplitude[[k]],
            offset=0.0,
        )
        for k in range(len(model))
    ]


def stems(axis: Any, found: Spikes, true: Spikes) -> None:
    """Draw a network's spikes, and rings where those of the true signal are."""
    colors = np.where(found.size > 0.0, UP, DOWN)
    axis.axhline(0.0, color="0.3", lw=0.8)
    axis.vlines(found.at, 0.0, found.size, colors=colors, lw=1.6)
    axis.scatter(found.at, found.size, s=18, c=colors, zorder=3)
    axis.scatter(true.at, true.size, s=60, facecolors="none", edgecolors="0.3", label="true")


def draw(found: dict[tuple[str, int], list[cx.Solution]], betas: Any, out: Path) -> None:
    """Save the figure: a column for each kind."""
    import matplotlib.pyplot as plt

    ratios = {"height_ratios": [1.2, 0.9, 0.9, 1.3]}
    size = (3.5 * len(found), 9.5)
    figure, axes = plt.subplots(4, len(found), figsize=size, sharex="col", gridspec_kw=ratios)
    nearest = int(np.argmin(np.abs(np.log(betas / SHOWN))))
    grid = np.linspace(-2.6, 2.6, 1_041)
    for (fit, spiky, parts, below), ((activation, layers), solutions) in zip(
        axes.T, found.items(), strict=True
    ):
        problem, model = solutions[nearest].problem, solutions[nearest].model
        true = true_spikes(activation)
        fit.plot(problem.x, problem.y, ".", color="0.6", ms=5, label="data")
        fit.plot(grid, signal(grid, activation), "k--", lw=0.9, label="true signal")
        fit.plot(grid, model.predict(grid), color="C2", lw=1.8, label="fit")
        fit.set_title(f"{activation}, {layers} layers", fontsize=11)
        stems(spiky, spikes(model), true)
        chains = features(model)
        for chain in chains:
            parts.plot(grid, chain.predict(grid), lw=1.2)
        parts.set_title(f"{len(chains)} features in use", fontsize=9)
        for beta, solution in zip(betas, solutions, strict=True):
            at, size_of = spikes(solution.model)
            share = np.abs(size_of) / np.max(np.abs(size_of), initial=1e-300)
            colors = np.where(size_of > 0.0, UP, DOWN)
            below.scatter(at, np.full_like(at, beta), s=40.0 * share, c=colors, lw=0)
        for place in true.at:
            below.axvline(place, color="0.3", ls="--", lw=0.8)
        below.axhline(betas[nearest], color="0.3", ls=":", lw=1.2)
        below.set(
            yscale="log", ylim=(0.7 * betas[-1], 1.4 * betas[0]), xlabel="x", xlim=(-2.6, 2.6)
        )
        for axis in (fit, spiky, parts, below):
            axis.grid(alpha=0.3)
    rows = ("fit", "spikes", "features", "beta, knots")
    for axis, label in zip(axes[:, 0], rows, strict=True):
        axis.set_ylabel(label, fontsize=9)
    axes[0, 0].legend(fontsize=8, loc="upper left")
    axes[1, 0].legend(fontsize=8, loc="lower right")
    figure.align_ylabels(axes[:, 0])
    figure.suptitle(f"Fits, spikes and features at beta = {betas[nearest]:.2g}", fontsize=12)
    figure.tight_layout()
    figure.savefig(out, dpi=100)


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
