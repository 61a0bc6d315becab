"""Worst-case value against radius: what a model, or training, guarantees as the ball grows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from convexnn.contract.brief import shortened
from convexnn.contract.canvas import canvas
from convexnn.contract.certificate import Status
from convexnn.contract.checks import (
    ProblemError,
    instance_of,
    non_negative,
    real_array,
    several,
    shown,
    whole_number,
)
from convexnn.contract.labels import raw_labels
from convexnn.contract.problem import Scores
from convexnn.contract.system.interrupts import interruptible
from convexnn.contract.system.optional import need
from convexnn.driver.solution import Solution
from convexnn.driver.solve import solve
from convexnn.problems.wasserstein.linear import WassersteinLinear

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array
    from convexnn.problems.wasserstein.linear import WassersteinLinear
    from convexnn.wasserstein.linear_model import LinearModel


@runtime_checkable
class Radial(Scores, Protocol):
    """A problem whose model is trained within a radius."""

    radius: float


@dataclass(frozen=True, eq=False)
class CertificateCurve:
    """Guarantees along radii.

    Attributes
    ----------
    radii : array of shape (k,)
    worst : array of shape (k,)
        Worst-case value of the model trained at each radius, over the ball of that radius.
    bound : array of shape (k,)
        No linear model has a lower worst case there.
    fixed : array of shape (k,)
        Worst case, over the ball of each radius, of the one model trained at the first radius.
    holdout : array of shape (k,) or None
        Mean loss on held-out examples of the model trained at each radius.
    statuses : tuple of Status
    """

    radii: Array
    worst: Array
    bound: Array
    fixed: Array
    holdout: Array | None
    statuses: tuple[Status, ...]

    @property
    def frame(self) -> pd.DataFrame:
        """Return the table as a pandas data frame (extra: compare)."""
        columns: dict[str, Any] = {
            "radius": self.radii,
            "worst case": self.worst,
            "bound": self.bound,
            "first model": self.fixed,
            "status": [status.name for status in self.statuses],
        }
        if self.holdout is not None:
            columns["hold-out loss"] = self.holdout
        frame: pd.DataFrame = need("pandas", "compare").DataFrame(columns)
        return frame

    def __str__(self) -> str:
        return str(self.frame.to_string(index=False))

    def __repr__(self) -> str:
        return shortened(str(self))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw worst case, first model and hold-out loss against the radius (extra: plot).

        Parameters
        ----------
        ax : matplotlib axes, optional

        Returns
        -------
        matplotlib axes
        """
        ax = canvas(ax, 6.0, 4.0)
        ax.plot(self.radii, self.worst, marker="o", label="worst case, trained at each radius")
        ax.fill_between(self.radii, self.bound, self.worst, alpha=0.3)
        first = f"worst case, trained at {self.radii[0]:g}"
        ax.plot(self.radii, self.fixed, ls="--", label=first)
        if self.holdout is not None:
            ax.plot(self.radii, self.holdout, marker="s", label="hold-out loss")
        ax.set(xlabel="radius", ylabel="mean loss")
        if np.min(self.radii) > 0.0:
            ax.set_xscale("log")
        if np.max(self.fixed) > 10.0 * np.min(self.worst) > 0.0:
            ax.set_yscale("log")
        ax.grid(alpha=0.3)
        ax.legend()
        return ax


def certificate_curve(
    problem: WassersteinLinear,
    radii: ArrayLike,
    *,
    holdout: tuple[ArrayLike, ArrayLike] | None = None,
    backend: str = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
) -> CertificateCurve:
    """Train at each radius, starting from the last; certify each, and the first at all of them.

    Parameters
    ----------
    problem : WassersteinClassification or WassersteinRegression
        Gives everything but the radius.
    radii : sequence of float
        Increasing, >= 0.
    holdout : tuple (X, y), optional
        Held-out examples.
    backend : str, default "auto"
    tol : float, default 1e-6
    time_limit : float, optional
        Seconds for each radius.

    Returns
    -------
    CertificateCurve

    Raises
    ------
    ProblemError
        If the radii do not increase, or the problem has none.

    Examples
    --------
    >>> import convexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((80, 3))
    >>> y = np.where(X[:, 0] + rng.standard_normal(80) > 0, 1, -1)
    >>> problem = cx.WassersteinClassification(X, y, radius=0.0)
    >>> curve = cx.certificate_curve(problem, [0.0, 0.1, 0.2])
    >>> bool(np.all(np.diff(curve.worst) > 0) and np.all(curve.fixed >= curve.worst - 1e-6))
    True
    """
    _radial(problem)
    steps = real_array("radii", radii, 1)
    for radius in steps.tolist():
        non_negative("radii", radius)
    if holdout is not None:
        instance_of("holdout", holdout, tuple, "a pair (X, y)")
        if len(holdout) != 2:
            raise ProblemError(f"holdout must be a pair (X, y), got {len(holdout)} parts")
        real_array("holdout[0]", holdout[0], 2)
        raw_labels("holdout[1]", holdout[1])
    if np.any(np.diff(steps) <= 0.0):
        raise ProblemError(f"radii must increase, got {steps.tolist()}")
    solutions: list[Solution] = []
    with interruptible() as asked:
        for radius in steps:
            there = replace(problem, radius=float(radius))
            last = solutions[-1] if solutions else None
            solutions.append(solve(there, backend, tol=tol, time_limit=time_limit, start=last))
            if asked:  # what is done is returned; the last status says so
                break
    model = solutions[0].primal
    fixed = [s.problem.objective(model) for s in solutions]
    held = None
    if holdout is not None:
        held = np.array([problem.holdout(s.model, *holdout) for s in solutions])
    return CertificateCurve(
        radii=steps[: len(solutions)],
        worst=np.array([s.objective for s in solutions]),
        bound=np.array([s.bound for s in solutions]),
        fixed=np.array(fixed),
        holdout=held,
        statuses=tuple(s.status for s in solutions),
    )


def _radial(problem: object) -> None:
    if isinstance(problem, type) or not isinstance(problem, Radial):
        raise ProblemError(f"problem must be trained within a radius, got {type(problem).__name__}")


def plot_worst_case(
    solution: Solution[LinearModel], columns: tuple[int, int] = (0, 1), ax: Axes | None = None
) -> Axes:
    """Draw how the adversary moves the samples of a linear model and which labels it flips.

    Parameters
    ----------
    solution : Solution
        Of a `WassersteinClassification` or `WassersteinRegression`.
    columns : tuple of two ints, default (0, 1)
        Features on the axes; one feature against the target for data of one column.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes
        Samples as dots in the colour of their label or target, an arrow from each sample to each
        place that some of its mass goes to, as opaque as the mass, and a ring around flips.

    Examples
    --------
    >>> import convexnn as cx
    >>> import matplotlib
    >>> matplotlib.use("Agg")
    >>> X = [[0.0, 1.0], [1.0, 0.0], [2.0, 1.0]]
    >>> solution = cx.solve(cx.WassersteinClassification(X, [0, 1, 1], radius=0.2, loss="hinge"))
    >>> cx.plot_worst_case(solution).get_xlabel()
    'feature 0'
    """
    if not isinstance(solution, Solution):
        raise ProblemError(f"solution must be a Solution, got {shown(solution)}")
    if not isinstance(solution.problem, WassersteinLinear):
        raise ProblemError(
            f"solution must be of a linear problem, got {type(solution.problem).__name__}"
        )
    chosen = tuple(whole_number("columns", j, 0) for j in several("columns", columns, "two ints"))
    if len(chosen) != 2:
        raise ProblemError(f"columns must be two ints, got {shown(columns)}")
    columns = chosen[0], chosen[1]
    ax = canvas(ax, 6.0, 5.0)
    X, y = solution.problem.X, solution.problem.y
    d = X.shape[1]
    if any(not 0 <= j < d for j in columns) and d > 1:
        raise ProblemError(f"columns must be in [0, {d - 1}], got {columns}")
    atoms = solution.model.worst_case.atoms
    targets = np.asarray(y)
    flat = d == 1
    classes = solution.model.classes
    moved_to: Any = atoms.target
    codes = targets if classes is None else (targets == classes[1]).astype(np.float64)
    new = moved_to if classes is None else (moved_to == classes[1]).astype(np.float64)
    start = np.column_stack([X[:, 0], codes]) if flat else X[:, list(columns)]
    end = atoms.location[:, list(columns)] if not flat else atoms.location
    end = np.column_stack([atoms.location[:, 0], new]) if flat else end
    ax.scatter(start[:, 0], start[:, 1], c=codes, cmap="coolwarm", s=14, zorder=2)
    share = atoms.mass * len(X)
    shift = end - start[atoms.source]
    reach = 3.0 * float(np.ptp(start)) + 1e-300  # what is carried off to infinity is left out
    moved = (np.abs(shift).max(axis=1) > 0.0) & (np.abs(shift).max(axis=1) <= reach)
    if moved.any():
        ax.quiver(
            *start[atoms.source[moved]].T,
            *shift[moved].T,
            angles="xy",
            scale_units="xy",
            scale=1,
            width=0.003,
            alpha=np.clip(share[moved], 0.05, 1.0),
        )
    if classes is not None:
        flipped = moved_to != targets[atoms.source]
        ring = start[atoms.source[flipped]]
        ax.scatter(
            ring[:, 0],
            ring[:, 1],
            s=70,
            facecolors="none",
            edgecolors="black",
            label="flipped",
            zorder=3,
        )
        if flipped.any():
            ax.legend()
    names = ("feature 0", "target") if flat else tuple(f"feature {j}" for j in columns)
    ax.set(xlabel=names[0], ylabel=names[1])
    return ax
