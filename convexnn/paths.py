"""Regularisation paths: a problem with a penalty solved along beta, each point certified."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.backend import Backend, obstacle, registry
from convexnn.extras import need
from convexnn.forms import Dual, GroupForm, Neurons, PooledForm
from convexnn.problem import ProblemError, positive, positive_int, seed_of
from convexnn.screening import Critical, critical
from convexnn.selection import part_of, split
from convexnn.solution import Solution, Status, Step
from convexnn.solving import INTERRUPTED, Compiled, automatic, compile
from convexnn.working_set import WorkingSet

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from convexnn.arrays import Array
    from convexnn.monitor import Callback

ENGINES = ("semismooth", "admm", "fista")  # of "auto", for smooth losses: the first that can
VANISHED = 1e-8  # slope of the loss at the free part's fit, relative to that at zero
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
    """What held-out folds say of each beta.

    Attributes
    ----------
    losses : array of shape (points, folds)
        Mean loss of each held-out fold, without the penalty.
    accuracies : array of shape (points, folds) or None
        Of a classification loss.
    gaps : array of shape (points, folds)
        Certified gap of each fit.
    """

    losses: Array
    accuracies: Array | None
    gaps: Array

    @property
    def mean(self) -> Array:
        """Return the mean over the folds."""
        mean: Array = self.losses.mean(axis=1)
        return mean

    @property
    def error(self) -> Array:
        """Return the standard error of that mean."""
        folds = self.losses.shape[1]
        error: Array = self.losses.std(axis=1, ddof=1) / np.sqrt(folds)
        return error


@dataclass(frozen=True, eq=False)
class Path:
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
        Of the first points where cross-validation was stopped; None without folds.
    message : str
        What there is to say of the path as a whole.
    """

    betas: Array
    solutions: tuple[Solution, ...]
    counts: tuple[Counts, ...]
    seconds: Array
    validation: Validation | None
    message: str

    def __len__(self) -> int:
        return len(self.solutions)

    def __getitem__(self, k: int) -> Solution:
        return self.solutions[k]

    @property
    def _validated(self) -> Validation:
        if self.validation is None or not len(self.validation.losses):
            raise ValueError("nothing was held out: give folds, and the time for them")
        return self.validation

    @property
    def best(self) -> Solution:
        """Return the solution of least mean validation loss.

        Raises
        ------
        ValueError
            If there was no cross-validation.
        """
        return self.solutions[int(np.argmin(self._validated.mean))]

    @property
    def simplest(self) -> Solution:
        """Return that of the largest beta within one standard error of the least validation loss.

        Raises
        ------
        ValueError
            If there was no cross-validation.
        """
        held = self._validated
        least = int(np.argmin(held.mean))
        return self.solutions[int(np.argmax(held.mean <= held.mean[least] + held.error[least]))]

    @property
    def neurons(self) -> NDArray[np.intp]:
        """Return the number of neurons of each network."""
        return np.array([len(s.model) for s in self.solutions], dtype=np.intp)

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
            missing = np.full(len(self) - len(self.validation.losses), np.nan)
            columns["validation"] = np.append(self.validation.mean, missing)
            columns["error"] = np.append(self.validation.error, missing)
            if self.validation.accuracies is not None:
                accuracy = self.validation.accuracies.mean(axis=1)
                columns["accuracy"] = np.append(accuracy, missing)
        frame: pd.DataFrame = need("pandas", "compare").DataFrame(columns)
        return frame

    def __str__(self) -> str:
        frame = self.frame
        for name, form in COLUMNS.items():
            if name in frame:
                frame[name] = frame[name].map(form.format)
        return f"{frame.to_string(index=False)}\n{self.message}".rstrip()

    __repr__ = __str__

    def plot(self, ax: Any = None) -> Any:
        """Draw neurons, and validation loss or else the norm, against beta (extra: plot).

        Parameters
        ----------
        ax : matplotlib axes, optional

        Returns
        -------
        matplotlib axes
            Of the neurons; the others share its beta.
        """
        if ax is None:
            ax = need("matplotlib.pyplot", "plot").subplots(figsize=(6.5, 4))[1]
        ax.step(self.betas, self.neurons, where="mid", color="tab:blue", label="neurons")
        ax.set(xscale="log", xlabel="beta", ylabel="neurons")
        ax.invert_xaxis()
        ax.grid(alpha=0.3)
        other = ax.twinx()
        if self.validation is not None and len(self.validation.losses):
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
        ax.legend(lines, [line.get_label() for line in lines], loc="upper left")
        return ax


def beta_max(problem: Any) -> float:
    """Return the smallest beta at which a network without neurons is optimal.

    With ``mu`` minus the slope of the loss at the fit of the free part alone (at zero, where there
    is none), it is the largest response over the program's blocks,

        max_b max {(F_b' mu)'w : w in K_b, ||w|| <= 1},

    ``||Proj_{K_p}(+-X' S_p mu)||`` with cones and l2 neurons: below it some neuron pays.

    Parameters
    ----------
    problem : ReluTraining, GatedReluTraining or SampledReluTraining
        Over given patterns, or few enough to be listed; its beta plays no part.

    Returns
    -------
    float
        From above, exact up to rounding.

    Raises
    ------
    ProblemError
        If the problem is no program over listed patterns, or a majorant; if a free linear part
        comes with a loss with kinks, or fits the examples perfectly by itself.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.array([[1.0], [2.0], [-1.0]])
    >>> problem = cx.ReluTraining(X, [1.0, 2.0, 0.0], beta=1.0, patterns=[[1], [1], [0]])
    >>> round(cx.beta_max(problem), 9)
    5.0
    """
    return _critical(problem).beta * float(problem.design.scale)


def path(
    problem: Any,
    betas: Sequence[float] | None = None,
    *,
    count: int = 50,
    ratio: float = 1e-2,
    backend: str | Backend = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    folds: int | None = None,
    seed: int = 0,
    screen: bool = True,
    callback: Callback | None = None,
    threads: int = 1,
    **options: Any,
) -> Path:
    """Solve a problem along decreasing beta, each point from the ones before.

    A point starts where the two before it lead, over the patterns that the last one makes likely
    (`convexnn.working_set`); its certificate is that of the problem over all patterns. Ctrl-C, a
    callback or the time limit ends the path; what is done is returned.

    Parameters
    ----------
    problem : ReluTraining, GatedReluTraining, SampledReluTraining or RobustReluTraining
        Over given patterns, or few enough to be listed. Its own beta plays no part.
    betas : sequence of float, optional
        Strictly decreasing, > 0. By default `count` of them, geometric from `beta_max` down to
        `ratio` times that.
    count : int, default 50
    ratio : float, default 1e-2
        In (0, 1).
    backend : str or Backend, default "auto"
        "auto" is "semismooth" for smooth losses.
    tol : float, default 1e-6
    time_limit : float, optional
        Seconds for the whole path with its folds.
    folds : int, optional
        Also solve the path on the rest of each of so many folds, stratified for classification,
        and measure the mean loss on the fold.
    seed : int, default 0
        Of the folds.
    screen : bool, default True
        Leave patterns out while solving. For losses with kinks none can be proved to be zero
        beforehand, and none is left out.
    callback : callable, optional
        Called with each certified `Step`; a true answer stops the path.
    threads : int, default 1
    **options
        The engine's own.

    Returns
    -------
    Path

    Raises
    ------
    ProblemError
        If betas are not strictly decreasing and > 0, if there is no path in this problem, or
        `beta_max` does not know where to begin.
    BackendError
        If the backend cannot take the problem.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> problem = cx.ReluTraining(X, np.abs(X[:, 0]), beta=1.0, patterns=20)
    >>> found = cx.path(problem, count=10)
    >>> [s.status.name for s in found.solutions] == 10 * ["OPTIMAL"]
    True
    >>> len(found[0].model), len(found[-1].model) > 2
    (0, True)
    """
    if not hasattr(problem, "at"):
        raise ProblemError(f"problem must have a beta, got a {type(problem).__name__}")
    seed_of(seed)
    if betas is not None:
        asked = checked_betas(betas)
    else:
        asked = _geometric(beta_max(problem), count, ratio)
    if time_limit is not None:
        positive("time_limit", time_limit)
    rows = split(problem, positive_int("folds", folds), seed) if folds is not None else []
    begin = time.perf_counter()
    run = {"tol": tol, "callback": _Watch(callback), "threads": threads, **options}
    done = _trace(problem, asked, backend, screen, run, time_limit)
    held: Validation | None = None
    if folds is not None:
        parts = []
        for train, test in rows if done.whole else []:
            left = None
            if time_limit is not None:
                left = max(time_limit - (time.perf_counter() - begin), 1e-3)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # said once, of all examples
                part = part_of(problem, train, {})
            parts.append((_trace(part, asked, backend, screen, run, left), test))
            if not parts[-1][0].whole:
                break
        held = _validated(problem, parts, folds, len(done.solutions))
    solutions = tuple(done.solutions)
    return Path(
        asked[: len(solutions)],
        solutions,
        tuple(done.counts),
        np.array(done.seconds),
        held,
        done.message,
    )


class _Watch:
    """A callback that remembers whether it asked to stop."""

    def __init__(self, callback: Callback | None) -> None:
        self.callback, self.stopped = callback, False

    def __call__(self, step: Step) -> bool:
        self.stopped = self.stopped or bool(self.callback is not None and self.callback(step))
        return self.stopped


def checked_betas(betas: Sequence[float]) -> Array:
    """Return strictly decreasing positive numbers as an array, or raise `ProblemError`.

    Examples
    --------
    >>> checked_betas([2, 1.0])
    array([2., 1.])
    """
    if isinstance(betas, str) or np.ndim(betas) != 1 or len(betas) == 0:
        raise ProblemError(f"betas must be a sequence of numbers > 0, got {betas!r}")
    values = np.array([positive(f"betas[{k}]", beta) for k, beta in enumerate(betas)])
    rises = np.flatnonzero(np.diff(values) >= 0.0)
    if len(rises):
        k = int(rises[0])
        raise ProblemError(
            f"betas must be strictly decreasing, got {values[k]:g}, then {values[k + 1]:g} "
            f"at index {k + 1}"
        )
    return values


def _geometric(top: float, count: int, ratio: float) -> Array:
    positive_int("count", count)
    if not positive("ratio", ratio) < 1.0:
        raise ProblemError(f"ratio must be in (0, 1), got {ratio!r}")
    spaced: Array = top * np.power(ratio, np.arange(count) / max(count - 1, 1))
    return spaced


def _critical(problem: Any) -> Critical:
    form = _group_form(problem)
    if form is None:
        raise ProblemError(
            f"beta_max is known for programs over listed patterns with cones or gates, not for "
            f"this {type(problem).__name__}: give betas"
        )
    kinks = not np.isfinite(form.loss.curvature)
    if kinks and form.skip:
        raise ProblemError(
            f"beta_max is not known for the {form.loss.name} loss with skip=True: give betas"
        )
    found = critical(form, float(problem.design.slack))
    first = float(np.linalg.norm(form.loss.gradient(np.zeros(len(form.y)), form.y)))
    if float(np.linalg.norm(found.mu)) <= VANISHED * first or found.beta <= 0.0:
        raise ProblemError(
            "beta_max is 0, the network has no neurons at any beta: without them the loss is "
            "already at its least"
        )
    return found


def _group_form(problem: Any) -> GroupForm | None:
    if not hasattr(problem, "forms") or not hasattr(problem, "at"):
        raise ProblemError(f"problem must have a beta, got a {type(problem).__name__}")
    for kind in (GroupForm, PooledForm):
        if kind in problem.forms():
            form: GroupForm = problem.canonical(kind)
            if form.outputs > 1:
                raise ProblemError(f"problem must have one output, got {form.outputs}")
            return form
    reason = problem.withholds(GroupForm) if hasattr(problem, "withholds") else None
    if problem.patterns is None and reason:
        raise ProblemError(str(reason))
    return None


class _Trace(NamedTuple):
    """Points along beta, and whether all were reached."""

    solutions: list[Solution]
    counts: list[Counts]
    seconds: list[float]
    whole: bool
    message: str


def _trace(
    problem: Any,
    betas: Array,
    backend: str | Backend,
    screen: bool,
    run: dict[str, Any],
    time_limit: float | None,
) -> _Trace:
    """Solve along betas until the last, the time limit or an interruption."""
    begin = time.perf_counter()
    first = problem.at(float(betas[0]))
    ready = compile(first, _engine(first, backend))
    warm = ready.backend.capabilities.warm_start
    smooth = isinstance(ready.form, GroupForm) and np.isfinite(ready.form.loss.curvature)
    narrow: WorkingSet | None = None
    if screen and smooth:
        narrow = WorkingSet(ready.backend, ready.form, first.design.slack)
    message = ""
    if screen and narrow is None:
        message = "No pattern was screened: that takes a smooth loss, and cones or gates."
    done = _Trace([], [], [], True, message)
    for beta in betas:
        spent = time.perf_counter() - begin
        left = None if time_limit is None else time_limit - spent
        if left is not None and left <= 0.0:
            return done._replace(whole=False, message=_ended(message, "the time limit", done))
        point = problem.at(float(beta))
        form = point.canonical(type(ready.form))
        engine: Backend = ready.backend if narrow is None else narrow
        if narrow is not None:
            narrow.solved = 0
        start = _ahead(done.solutions, float(beta)) if warm else None
        if isinstance(form, GroupForm) and start is not None and not _fits(form, start[0]):
            start = None
        compile_s = 0.0 if done.solutions else ready.compile_s
        compiled = Compiled(point, engine, form, compile_s, trivial=start is None)
        try:
            solution = compiled.run(start=start, time_limit=left, **run)
        except KeyboardInterrupt:
            return done._replace(whole=False, message=_ended(message, "an interruption", done))
        if solution.status in (Status.STOPPED, Status.TIME_LIMIT):  # nor is its point done
            why = "the time limit" if solution.status is Status.TIME_LIMIT else "an interruption"
            return done._replace(whole=False, message=_ended(message, why, done))
        done.solutions.append(solution)
        done.seconds.append(time.perf_counter() - begin - spent)
        done.counts.append(_counts(narrow, form, solution))
        if run["callback"].stopped or INTERRUPTED in solution.message:
            return done._replace(whole=False, message=_ended(message, "an interruption", done))
    return done


def _ended(message: str, why: str, done: _Trace) -> str:
    return f"{message} Ended by {why} after {len(done.solutions)} points.".strip()


def _engine(problem: Any, backend: str | Backend) -> str | Backend:
    form = _group_form(problem)
    if backend != "auto" or form is None:
        return backend
    if not np.isfinite(form.loss.curvature):
        name = automatic(problem)
        return name if name in ("ipm", "admm", "fista") else "ipm"
    found = registry()
    able = (name for name in ENGINES if obstacle(found[name], problem) is None)
    return next(able, ENGINES[-1])


def _counts(narrow: WorkingSet | None, form: Any, solution: Solution) -> Counts:
    total = form.slopes.shape[1] if hasattr(form, "slopes") else 0
    if narrow is None:
        return Counts(total, 0, total)
    if narrow.known is None:  # the zero network was good enough
        narrow.origin(form)
    dropped = int(narrow.dropped.sum())
    return Counts(total - dropped, dropped, narrow.solved)


def _fits(form: GroupForm, primal: Neurons) -> bool:
    return bool(primal.V.shape[1] + primal.W.shape[1] == form.blocks)


def _ahead(solutions: list[Solution], beta: float) -> Any:
    """Return where the line through the last two points leads, neurons in use at both only."""
    if not solutions:
        return None
    last = solutions[-1]
    if len(solutions) < 2 or not isinstance(last.dual, Dual):
        return (last.primal, last.dual)
    before = solutions[-2]
    share = (beta - last.problem.beta) / (last.problem.beta - before.problem.beta)

    def beyond(new: Array, old: Array) -> Array:
        both = new.any(axis=0) & old.any(axis=0)
        return np.where(both, new + share * (new - old), new)

    new, old = last.primal, before.primal
    if new.V.shape != old.V.shape or new.W.shape != old.W.shape:
        return (new, last.dual)
    skip = new.skip + share * (new.skip - old.skip)
    primal = Neurons(beyond(new.V, old.V), beyond(new.W, old.W), skip)
    mu = last.dual.mu + share * (last.dual.mu - before.dual.mu)
    return primal, last.dual._replace(mu=mu)


def _validated(
    problem: Any, parts: list[tuple[_Trace, Any]], folds: int, reached: int
) -> Validation:
    """Grade every fit on its fold, as far as all folds came."""
    k = min([reached, *(len(trace.solutions) for trace, _ in parts)])
    k = k if len(parts) == folds else 0
    classes = problem.labels.classes is not None
    losses, gaps, hits = np.zeros((k, folds)), np.zeros((k, folds)), np.zeros((k, folds))
    for f, (trace, test) in enumerate(parts if k else []):
        X, y = problem.X[test], problem.y[test]
        for i, solution in enumerate(trace.solutions[:k]):
            losses[i, f] = problem.holdout(solution.model, X, y)
            gaps[i, f] = solution.gap
            hits[i, f] = np.mean(solution.model.predict(X) == y) if classes else 0.0
    return Validation(losses, hits if classes else None, gaps)


def _norm(solution: Solution) -> float:
    """Return the penalty over beta: the sum of the neurons' norms."""
    model, penalty = solution.model, getattr(solution.problem, "penalty", "l2")
    first = np.vstack([model.U, model.bias])
    size = np.abs(first).sum(axis=0) if penalty == "l1" else np.linalg.norm(first, axis=0)
    return float(np.sum(size * np.abs(model.alpha).sum(axis=1)))
