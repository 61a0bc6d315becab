"""Networks whose penalty is chosen by cross-validation, along one warm path a fold."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.certificate import Status
from convexnn.driver.solution import Solution
from convexnn.driver.solve import compile, solve
from convexnn.estimators.base import Rows
from convexnn.estimators.relu import GATES, ReluClassifier, ReluEstimator, ReluRegressor
from convexnn.functions.norms import DUAL
from convexnn.functions.risks import Risk
from convexnn.workflows.path import path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array

from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv

RATIO = 1e-3  # of the last alpha to the first, at which the network has no neurons
NEWTON_ROWS = 1_500  # up to which a matrix of the examples costs less than steps without one
LEAST = 1e-12  # the first alpha where no neuron would pay


class CrossValidated(ReluEstimator):
    """What estimators share that choose alpha."""

    alphas: Any
    cv: Any
    scoring: Any

    def _plain(self) -> Any:
        """Return the estimator of one alpha with the same parameters."""
        raise NotImplementedError

    def _target(self) -> bool:
        """Tell whether the target is real."""
        raise NotImplementedError

    def _chosen(self, X: Array, y: Any, weights: Array, rows: Rows) -> None:
        """Choose alpha by held-out rows, then train on all; sets what is fitted."""
        begin = time.perf_counter()

        def left() -> float | None:
            if self.time_limit is None:
                return None
            return max(self.time_limit - (time.perf_counter() - begin), 1e-3)

        whole, done = self._prepared(rows, target=self._target())
        alphas = self._grid(whole)
        scorer = check_scoring(self._plain(), scoring=self.scoring)
        folds = check_cv(self.cv, y, classifier=not self._target())
        counts = self._counted(weights, y)
        scores: list[Array] = []
        asked, came = folds.get_n_splits(X, y), len(alphas)
        for train, test in folds.split(X, y):
            time_left = left()
            if time_left == 1e-3:
                break
            # each has an equal share of the time, and so has the path on all rows
            share = None if time_left is None else time_left / (asked - len(scores) + 1)
            found = self._fold(X[train], y[train], weights[train], alphas, share)
            row = np.full(len(alphas), np.nan)
            kept = {"sample_weight": counts[test]} if np.ptp(counts) > 0.0 else {}
            for k, fitted in enumerate(found):
                row[k] = scorer(fitted, X[test], y[test], **kept)
            scores.append(row)
            came = min(came, len(found))
        self.alphas_, self.scores_ = alphas, np.array(scores).reshape(-1, len(alphas)).T
        best = self._best(asked, came)
        self.path_ = self._along(self._problem(whole, alphas), alphas[: best + 1], whole, left())
        last = self.path_[-1]
        if len(self.path_) <= best:
            warnings.warn(
                f"time_limit ended the path on all rows at alpha "
                f"{float(last.problem.beta) / whole.total:.3g}, before the {alphas[best]:.3g} that "
                "was chosen",
                ConvergenceWarning,
                stacklevel=3,
            )
        if last.status not in (
            Status.OPTIMAL,
            Status.TIME_LIMIT,
        ):
            again = solve(last.problem, start=last, **{**self._run(), "time_limit": left()})
            self.path_[-1] = min(last, again, key=lambda one: one.gap)
        self._keep(self.path_[-1], done)
        self.alpha_ = float(self.path_[-1].problem.beta) / whole.total

    def _best(self, asked: int, came: int) -> int:
        """Return the index of the alpha with the best mean score; of equal ones the largest.

        Of the `came` first, which every fold begun came to, and of those the ones whose scores are
        numbers.
        """
        folds = self.scores_.shape[1]
        came = came if folds else 0
        tried = np.flatnonzero(np.isfinite(self.scores_[:came]).all(axis=1))
        if folds < asked or came < len(self.alphas_):
            warnings.warn(
                f"time_limit ended cross-validation early: alpha is chosen among the {came} "
                f"largest of {len(self.alphas_)}, by {folds} of {asked} folds"
                if came
                else "time_limit ended cross-validation before the first fold: the largest alpha "
                "is taken",
                ConvergenceWarning,
                stacklevel=4,
            )
        if came and not len(tried):
            raise ValueError("scoring must give a number in each fold for some alpha, it does not")
        if len(tried) < came:
            warnings.warn(
                f"scoring gives no number for {came - len(tried)} of {came} alphas in some fold: "
                "they are not chosen",
                UserWarning,
                stacklevel=4,
            )
        if not len(tried):
            return 0
        return int(tried[np.argmax(self.scores_[tried].mean(axis=1))])

    def _fold(
        self, X: Array, y: Any, weights: Array, alphas: Array, time_limit: float | None
    ) -> list[Any]:
        """Return estimators fitted to these rows alone, one for each alpha that was reached."""
        fitted = self._plain()
        rows = fitted._checked(X, y, weights)
        part, done = fitted._prepared(rows, target=self._target())
        solutions = self._along(fitted._problem(part, alphas), alphas, part, time_limit)
        result = []
        for solution in solutions:
            one = clone(fitted)
            one.__dict__.update(fitted.__dict__)
            one.solution_, one.model_ = solution, solution.for_raw_data(done).model
            result.append(one)
        return result

    def _along(
        self, problem: Any, alphas: Array, rows: Rows, time_limit: float | None
    ) -> list[Solution[Any]]:
        """Return solutions along alphas, each from the one before; at least the first."""
        betas = alphas * rows.total
        backend = "auto"
        risky = isinstance(self.risk, Risk)
        if self.activation == "gated" and np.isfinite(problem.loss.curvature) and not risky:
            # All patterns stay in play, where working sets are of no use.
            newton = len(rows.X) <= NEWTON_ROWS and self.penalty != "linf"
            backend = "semismooth" if newton else "fista"
        found = path(
            problem,
            betas,
            backend=backend,
            tol=self.tol,
            time_limit=time_limit,
        )
        if len(found):
            return list(found.solutions)
        first = problem.at(float(betas[0]))
        return [compile(first).run(time_limit=time_limit, tol=self.tol, seed=self._seed())]

    def _grid(self, rows: Rows) -> Array:
        """Return the alphas, decreasing; a number of them from where no neuron pays."""
        if not isinstance(self.alphas, (int, np.integer)) or isinstance(self.alphas, bool):
            if isinstance(self.alphas, bool):
                raise ValueError(
                    f"alphas must be a number of them or numbers > 0, got {self.alphas}"
                )
            try:
                given = np.sort(np.atleast_1d(np.asarray(self.alphas, dtype=np.float64)))[::-1]
            except (TypeError, ValueError):
                raise ValueError(
                    f"alphas must be a number of them or numbers > 0, got {self.alphas!r}"
                ) from None
            if given.ndim != 1 or not len(given) or not (given > 0.0).all():
                raise ValueError(f"alphas must be numbers > 0, got {self.alphas!r}")
            if not np.isfinite(given).all():
                raise ValueError(f"alphas must be finite, got {self.alphas!r}")
            twice = given[1:][given[1:] == given[:-1]]
            if len(twice):
                raise ValueError(f"alphas must differ, got {twice[0]:g} twice")
            return given
        if self.alphas < 1:
            raise ValueError(f"alphas must be a number of them >= 1, got {self.alphas!r}")
        top = max(first_alpha(self._drawn(rows, rows.total, GATES), rows), LEAST)
        grid: Array = np.geomspace(top, RATIO * top, int(self.alphas))
        return grid


def first_alpha(problem: Any, rows: Rows) -> float:
    """Return an alpha at which no neuron pays, nearly the least: from the constant's residuals."""
    targets = np.atleast_2d(problem.labels.targets.T).T
    share = rows.weights / rows.total
    if problem.loss.name == "logistic":
        targets = 0.5 * (targets + 1.0)
    residuals = share[:, None] * (targets - share @ targets)
    patterns = np.asarray(problem.patterns.matrix, dtype=np.float64)
    norm = DUAL[problem.penalty]
    best = 0.0
    for column in residuals.T:
        responses = (patterns * column[:, None]).T @ problem.data
        best = max(best, float(np.max(norm.value(responses), initial=0.0)))
    return best


class ReluClassifierCV(CrossValidated, ReluClassifier):
    """A `ReluClassifier` whose alpha is chosen by cross-validation.

    Of the alphas it takes the one with the largest mean over the folds of

        score(argmin_f sum_i w_i l(f(x_i); y_i) / sum_i w_i + alpha / 2 (||U||_F^2 + ||A||^2))

    on the fold, i over the rows outside it, and trains with that alpha on all rows. Each fold has
    patterns, scaling and a warm path along the alphas of its own: nothing of a held-out row
    touches what it is scored by.

    Parameters
    ----------
    alphas : int or array, default 30
        How many, geometric from one at which the network has no neurons down to 1e-3 of it; or
        the alphas themselves.
    cv : int, splitter or iterable, default 5
    scoring : str or callable, optional
        Of scikit-learn; accuracy by default, by the weights of rows and classes. Of equal scores
        the largest alpha wins.
    activation, loss, patterns, penalty, monotone, risk, standardize, fit_intercept
        As in `ReluClassifier`.
    class_weight
        As in `ReluClassifier`.
    tol, random_state, verbose
        As in `ReluClassifier`.
    time_limit : float, optional
        Seconds for all, shared by the folds and the path on all rows: of the alphas that all folds
        came to one is chosen, and a warning says so.

    Attributes
    ----------
    alpha_ : float
    alphas_ : array of shape (k,)
        Decreasing.
    scores_ : array of shape (k, folds)
        NaN where time ran out.
    path_ : list of Solution
        On all rows, from the first alpha to the chosen one.
    classes_, solution_, certificate_, model_, n_features_in_, feature_names_in_, n_iter_
        As in `ReluClassifier`.

    Raises
    ------
    ValueError
        From `fit`, if data or a parameter breaks its rule.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((60, 2))
    >>> network = cx.ReluClassifierCV(5, cv=3, activation="gated").fit(X, X[:, 0] > 0.0)
    >>> bool(network.score(X, X[:, 0] > 0.0) > 0.9)
    True
    """

    def __init__(
        self,
        alphas: int | ArrayLike = 30,
        *,
        cv: Any = 5,
        scoring: Any = None,
        activation: str = "relu",
        loss: str = "logistic",
        patterns: int | None = None,
        penalty: str = "l2",
        monotone: ArrayLike | Mapping[str, int] | None = None,
        risk: str | Risk = "mean",
        standardize: bool = True,
        fit_intercept: bool = True,
        class_weight: dict[object, float] | str | None = None,
        tol: float = 1e-3,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.activation = activation
        self.loss = loss
        self.patterns = patterns
        self.penalty = penalty
        self.monotone = monotone
        self.risk = risk
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose alpha, then train on all rows.

        Parameters
        ----------
        X : array of shape (n, d)
        y : array of shape (n,)
            Labels of any type, two or more, each in every fold's training rows.
        sample_weight : array of shape (n,), optional
            >= 0; held-out rows are scored by it too.

        Returns
        -------
        self
        """
        X, y, weights = self._rows(X, y, sample_weight)
        rows = self._checked(X, y, weights)
        self._chosen(X, y, weights, rows)
        self._labelled()
        return self

    def _plain(self) -> Any:
        return _one_alpha(self, ReluClassifier)

    def _target(self) -> bool:
        return False


class ReluRegressorCV(CrossValidated, ReluRegressor):
    """A `ReluRegressor` whose alpha is chosen by cross-validation.

    It takes the alpha with the largest mean score on held-out folds, as `ReluClassifierCV` does,
    and trains with it on all rows.

    Parameters
    ----------
    alphas, cv, scoring, time_limit
        As in `ReluClassifierCV`; the score is R^2 by default.
    activation, loss, patterns, penalty, monotone, risk, standardize, fit_intercept
        As in `ReluRegressor`.
    tol, random_state, verbose
        As in `ReluRegressor`.

    Attributes
    ----------
    alpha_, alphas_, scores_, path_
        As in `ReluClassifierCV`.
    solution_, certificate_, model_, n_features_in_, feature_names_in_, n_iter_
        As in `ReluRegressor`.

    Raises
    ------
    ValueError
        From `fit`, if data or a parameter breaks its rule.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((60, 2))
    >>> network = cx.ReluRegressorCV(5, cv=3, activation="gated").fit(X, np.abs(X[:, 0]))
    >>> bool(network.score(X, np.abs(X[:, 0])) > 0.8)
    True
    """

    def __init__(
        self,
        alphas: int | ArrayLike = 30,
        *,
        cv: Any = 5,
        scoring: Any = None,
        activation: str = "relu",
        loss: str = "squared",
        patterns: int | None = None,
        penalty: str = "l2",
        monotone: ArrayLike | Mapping[str, int] | None = None,
        risk: str | Risk = "mean",
        standardize: bool = True,
        fit_intercept: bool = True,
        tol: float = 1e-3,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.alphas = alphas
        self.cv = cv
        self.scoring = scoring
        self.activation = activation
        self.loss = loss
        self.patterns = patterns
        self.penalty = penalty
        self.monotone = monotone
        self.risk = risk
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Choose alpha, then train on all rows.

        Parameters
        ----------
        X : array of shape (n, d)
        y : array of shape (n,) or (n, k)
        sample_weight : array of shape (n,), optional
            >= 0; held-out rows are scored by it too.

        Returns
        -------
        self
        """
        X, y, weights = self._rows(X, y, sample_weight, multi_output=True, y_numeric=True)
        self._chosen(X, y, weights, self._checked(X, y, weights))
        return self

    def _plain(self) -> Any:
        return _one_alpha(self, ReluRegressor)

    def _target(self) -> bool:
        return True


def _one_alpha(chooser: Any, kind: Any) -> Any:
    """Return the estimator of this kind with the chooser's parameters, silent."""
    given = chooser.get_params(deep=False)
    own = kind().get_params(deep=False)
    shared = {name: given[name] for name in own if name in given}
    shared["monotone"] = chooser._directions(chooser.n_features_in_)  # folds have no names
    return kind(**{**shared, "verbose": 0, "time_limit": None})
