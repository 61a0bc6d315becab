"""compare(): one problem, every capable backend, graded alike."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.backend import Backend
from convexnn.extras import need
from convexnn.problem import Problem
from convexnn.solution import Solution
from convexnn.solving import backends as list_backends
from convexnn.solving import compile

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = {
    "objective": "{:.7g}",
    "bound": "{:.7g}",
    "gap": "{:.1e}",
    "violation": "{:.1e}",
    "compile": "{:.2f}",
    "solve": "{:.3f}",
    "certify": "{:.3f}",
    "score": "{:.3f}",
}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Solutions of one problem, side by side.

    Attributes
    ----------
    solutions : tuple of Solution
        The last repeat of each backend.
    seconds : tuple of float
        Median over the repeats of the time in the solver.
    scores : tuple of float or None
        What `score` made of each model.
    skipped : dict of str to str
        Backends that cannot take the problem, and why.
    """

    solutions: tuple[Solution, ...]
    seconds: tuple[float, ...]
    scores: tuple[float, ...] | None
    skipped: dict[str, str]

    @property
    def frame(self) -> pd.DataFrame:
        """Return the table as a pandas data frame (extra: compare)."""
        rows = []
        for i, s in enumerate(self.solutions):
            row: dict[str, Any] = {
                "backend": s.backend,
                "status": s.status.name,
                "objective": s.objective,
                "bound": s.bound,
                "gap": s.gap,
                "violation": s.violation,
                "compile": s.timings["compile"],
                "solve": self.seconds[i],
                "certify": s.timings["certify"],
                "scope": s.certificate.scope,
            }
            if self.scores is not None:
                row["score"] = self.scores[i]
            rows.append(row)
        frame: pd.DataFrame = need("pandas", "compare").DataFrame(rows)
        return frame

    def __str__(self) -> str:
        frame = self.frame
        for name, form in COLUMNS.items():
            if name in frame:
                frame[name] = frame[name].map(form.format)
        return str(frame.to_string(index=False))

    __repr__ = __str__

    def agree(self, tol: float) -> bool:
        """Tell whether all objectives of certified answers agree.

        Two answers to one problem agree if they differ by no more than their certified gaps
        together allow, plus `tol`, relative to the larger objective.

        Parameters
        ----------
        tol : float

        Returns
        -------
        bool
        """
        graded = [s for s in self.solutions if np.isfinite(s.bound)]
        for i, a in enumerate(graded):
            for b in graded[:i]:
                if a.certificate.covers != b.certificate.covers:
                    continue
                size = max(1.0, abs(a.objective), abs(b.objective))
                room = (max(a.gap, b.gap, 0.0) + tol) * size
                if abs(a.objective - b.objective) > room:
                    return False
        return True

    def plot(self, ax: Any = None) -> Any:
        """Draw each backend's certified gap against time (extra: plot).

        Parameters
        ----------
        ax : matplotlib axes, optional

        Returns
        -------
        matplotlib axes
        """
        if ax is None:
            ax = need("matplotlib.pyplot", "plot").subplots(figsize=(7, 4.5))[1]
        for s in self.solutions:
            steps = [h for h in s.history if h.seconds > 0.0 and np.isfinite(h.gap)]
            if not steps:
                continue
            best = np.minimum.accumulate([max(abs(h.gap), 1e-12) for h in steps])
            ax.step(
                [h.seconds for h in steps], best, where="post", marker="o", ms=3, label=s.backend
            )
        ax.set(xscale="log", yscale="log", xlabel="seconds in the solver", ylabel="certified gap")
        ax.grid(alpha=0.3)
        if ax.lines:
            ax.legend()
        return ax


def compare(
    problem: Problem[Any],
    backends: Sequence[str | Backend] | None = None,
    *,
    tol: float = 1e-6,
    repeats: int = 1,
    time_limit: float | None = None,
    progress: bool = False,
    score: Callable[[Any], float] | None = None,
    reference: Sequence[Solution] = (),
) -> Comparison:
    """Solve a problem with several backends and grade them by the same certificate.

    Parameters
    ----------
    problem : Problem
    backends : sequence of str or Backend, optional
        All that can take the problem if None.
    tol : float, default 1e-6
    repeats : int, default 1
        Runs of each; the table shows the median time in the solver.
    time_limit : float, optional
        Seconds for each run.
    progress : bool, default False
        Show a live line (extra: cli).
    score : callable, optional
        Applied to each model, for example its accuracy on held-out data.
    reference : sequence of Solution, default ()
        Further answers to show above the others.

    Returns
    -------
    Comparison

    Raises
    ------
    BackendError
        If a named backend does not exist or cannot take the problem.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((30, 2))
    >>> problem = cx.ReluTraining(X, X[:, 0], beta=0.1, patterns=20)
    >>> cx.compare(problem, ["admm", "cvxpy:clarabel"]).agree(1e-6)
    True
    """
    if isinstance(repeats, bool) or not isinstance(repeats, int) or repeats < 1:
        raise ValueError(f"repeats must be an integer >= 1, got {repeats!r}")
    table = list_backends(problem)
    chosen = table.names if backends is None else backends
    skipped = {} if backends is not None else {n: r for n, r in table.reasons.items() if r}
    ready = [compile(problem, backend) for backend in chosen]
    solutions, seconds = list(reference), [s.timings["solve"] for s in reference]
    for compiled in ready:
        runs = [
            compiled.run(tol=tol, time_limit=time_limit, progress=progress) for _ in range(repeats)
        ]
        solutions.append(runs[-1])
        seconds.append(statistics.median(run.timings["solve"] for run in runs))
    scores = None if score is None else tuple(score(s.model) for s in solutions)
    return Comparison(tuple(solutions), tuple(seconds), scores, skipped)
