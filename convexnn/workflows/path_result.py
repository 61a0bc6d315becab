"""The result of a path: its solutions, what held-out folds say of them, a table, a figure."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import numpy as np

from convexnn.contract.brief import shortened
from convexnn.contract.canvas import canvas
from convexnn.contract.problem import Model
from convexnn.contract.system.optional import need
from convexnn.driver.solution import Solution

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array, BoolArray

COLUMNS = {
    "beta": "{:.4g}",
    "objective": "{:.7g}",
    "bound": "{:.7g}",
    "gap": "{:.1e}",
    "norm": "{:.4g}",
    "seconds": "{:.3f}",
    "validation": "{:.4g}",
    "error": "{:.2g}",
    "accuracy": "{:.3f}",
    "r2": "{:.3f}",
}


class Counts(NamedTuple):
    """Patterns at a point of a path.

    Attributes
    ----------
    kept, dropped : int
        Not proved, and proved, to be zero in every solution.
    solved : int
        In the last program that the engine saw.
    """

    kept: int
    dropped: int
    solved: int


class Validation(NamedTuple):
    """What held-out folds say of each beta; NaN where time ran out before a fold came to it.

    Attributes
    ----------
    losses : array of shape (points, folds)
        Mean loss of each held-out fold, without the penalty: the log-loss, for the logistic and
        the softmax loss. Of the folds that were begun.
    accuracies : array of shape (points, folds) or None
        Of a classification loss.
    gaps : array of shape (points, folds)
        Certified gap of each fit.
    r2 : array of shape (points, folds) or None
        Share of the targets' variance explained, the mean over the outputs, of real targets.
    """

    losses: Array
    accuracies: Array | None
    gaps: Array
    r2: Array | None = None

    @property
    def mean(self) -> Array:
        """Return the mean over the folds that came to the end, where none did of the one begun."""
        return self.averaged(self.losses)

    @property
    def error(self) -> Array:
        """Return the standard error of that mean, 0 of a single fold."""
        losses = self.losses[:, self._counted]
        folds = losses.shape[1]
        if folds < 2:
            return np.zeros(len(losses))
        error: Array = losses.std(axis=1, ddof=1) / np.sqrt(folds)
        return error

    def averaged(self, scores: Array) -> Array:
        """Return the mean of scores over the same folds."""
        if not self.losses.size:
            return np.zeros(len(self.losses))
        mean: Array = scores[:, self._counted].mean(axis=1)
        return mean

    @property
    def _counted(self) -> BoolArray:
        """Which folds count."""
        done: BoolArray = np.all(np.isfinite(self.losses), axis=0)
        return done if done.any() else ~done


@dataclass(frozen=True, eq=False)
class Path(Generic[Model]):
    """Solutions along decreasing beta.

    Attributes
    ----------
    betas : array of shape (k,)
        Of the points reached; fewer than asked for where the path was stopped.
    solutions : tuple of Solution
        Each with the certificate of its problem over all patterns.
    counts : tuple of Counts
    seconds : array of shape (k,)
    validation : Validation or None
        Of the folds begun; None without folds.
    message : str
        What there is to say of the path as a whole.
    """

    betas: Array
    solutions: tuple[Solution[Model], ...]
    counts: tuple[Counts, ...]
    seconds: Array
    validation: Validation | None
    message: str

    def __len__(self) -> int:
        return len(self.solutions)

    def __getitem__(self, k: int) -> Solution[Model]:
        return self.solutions[k]

    @property
    def _validated(self) -> Validation:
        if self.validation is None or not self.validation.losses.size:
            raise ValueError("nothing was held out: give folds, and the time for them")
        return self.validation

    @property
    def best(self) -> Solution[Model]:
        """Return the solution of least mean validation loss.

        Raises
        ------
        ValueError
            If there was no cross-validation.
        """
        return self.solutions[int(np.nanargmin(self._validated.mean))]

    @property
    def simplest(self) -> Solution[Model]:
        """Return that of the largest beta within one standard error of the least validation loss.

        Raises
        ------
        ValueError
            If there was no cross-validation.
        """
        held = self._validated
        least = int(np.nanargmin(held.mean))
        return self.solutions[int(np.argmax(held.mean <= held.mean[least] + held.error[least]))]

    @property
    def neurons(self) -> NDArray[np.intp]:
        """Return the number of neurons of each network."""
        networks: list[Any] = [s.model for s in self.solutions]
        return np.array([len(network) for network in networks], dtype=np.intp)

    @property
    def norms(self) -> Array:
        """Return the penalty of each network without its beta."""
        return np.array([_norm(s) for s in self.solutions])

    @property
    def frame(self) -> pd.DataFrame:
        """Return the table as a pandas data frame (extra: compare)."""
        columns: dict[str, Any] = {
            "beta": self.betas,
            "status": [s.status.name for s in self.solutions],
            "objective": [s.objective for s in self.solutions],
            "bound": [s.bound for s in self.solutions],
            "gap": [s.gap for s in self.solutions],
            "neurons": self.neurons,
            "norm": self.norms,
            "kept": [c.kept for c in self.counts],
            "dropped": [c.dropped for c in self.counts],
            "solved": [c.solved for c in self.counts],
            "seconds": self.seconds,
        }
        if self.validation is not None:
            held = self.validation
            missing = np.full(len(self) - len(held.losses), np.nan)
            columns["validation"] = np.append(held.mean, missing)
            columns["error"] = np.append(held.error, missing)
            for name, scores in (("accuracy", held.accuracies), ("r2", held.r2)):
                if scores is not None:
                    columns[name] = np.append(held.averaged(scores), missing)
        frame: pd.DataFrame = need("pandas", "compare").DataFrame(columns)
        return frame

    def __str__(self) -> str:
        if not len(self):
            return self.message
        frame = self.frame
        for name, form in COLUMNS.items():
            if name in frame:
                frame[name] = frame[name].map(form.format)
        return f"{frame.to_string(index=False)}\n{self.message}".rstrip()

    def __repr__(self) -> str:
        return shortened(str(self))

    def _repr_html_(self) -> str:
        table = self.frame.to_html(index=False, border=0, float_format="{:.4g}".format)
        return f"{table if len(self) else ''}<p>{escape(self.message)}</p>"

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw neurons, and validation loss or else the norm, against beta (extra: plot).

        Parameters
        ----------
        ax : matplotlib axes, optional

        Returns
        -------
        matplotlib axes
            Of the neurons; the others share its beta.
        """
        ax = canvas(ax, 6.5, 4.0)
        ax.step(self.betas, self.neurons, where="mid", color="tab:blue", label="neurons")
        ax.set(xscale="log", xlabel="beta", ylabel="neurons")
        ax.invert_xaxis()
        ax.grid(alpha=0.3)
        other = ax.twinx()
        if self.validation is not None and self.validation.losses.size:
            held = self.validation
            betas = self.betas[: len(held.losses)]
            other.plot(betas, held.mean, color="tab:red", label="validation loss")
            other.fill_between(
                betas, held.mean - held.error, held.mean + held.error, color="tab:red", alpha=0.2
            )
            for chosen, style in ((self.best, "-"), (self.simplest, ":")):
                ax.axvline(chosen.problem.beta, color="tab:red", ls=style, lw=1.0)
            other.set_ylabel("validation loss")
        else:
            other.plot(self.betas, self.norms, color="tab:green", label="norm of the weights")
            other.set_ylabel("norm of the weights")
        lines = [*ax.get_lines()[:1], *other.get_lines()]
        ax.legend(lines, [line.get_label() for line in lines], loc="upper center")
        return ax


def _norm(solution: Solution) -> float:
    """Return the penalty over beta: the sum of the neurons' norms."""
    model, penalty = solution.model, getattr(solution.problem, "penalty", "l2")
    first = np.vstack([model.U, model.bias])
    size = np.abs(first).sum(axis=0) if penalty == "l1" else np.linalg.norm(first, axis=0)
    return float(np.sum(size * np.abs(model.alpha).sum(axis=1)))
