"""What the estimators share: how data become a problem, and a model takes raw data again."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.certificate import Status
from convexnn.contract.checks import ProblemError, flag, positive, seconds, shown, tolerance
from convexnn.contract.preparation import Preparation

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.contract.certificate import Certificate
    from convexnn.driver.solution import Solution

from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

CONSTANT = 1e-12  # a column whose spread is below this share of its size does not vary
DENSE = 100_000_000  # numbers, .8 GB, of the largest sparse X that is made dense


class Rows(NamedTuple):
    """Examples that differ from one another, with how much each counts.

    A row twice and a row of weight 2 are the same here, to the last bit, and so is any order.

    Attributes
    ----------
    X : array of shape (n, d)
    y : array of shape (n,) or (n, k)
    weights : array of shape (n,)
        > 0.
    """

    X: Array
    y: Any
    weights: Array

    @classmethod
    def of(cls, X: Array, y: Any, weights: Array) -> Rows:
        """Return the rows of positive weight, equal ones together, in an order of their own.

        Raises
        ------
        ValueError
            If weights are negative, or all zero.
        """
        if np.any(weights < 0.0):
            raise ValueError(f"sample_weight must be >= 0, got {float(np.min(weights))!r}")
        kept = weights > 0.0
        if not kept.any():
            raise ValueError("sample_weight must not be all zero")
        X, y, weights = X[kept], y[kept], weights[kept]
        _, first, where = np.unique(
            np.column_stack([X, y]), axis=0, return_index=True, return_inverse=True
        )
        return cls(X[first], y[first], np.bincount(where.ravel(), weights).astype(np.float64))

    @property
    def total(self) -> float:
        """Return the sum of the weights."""
        return float(np.sum(self.weights))

    def counts(self) -> Array | None:
        """Return the weights, None where all are 1."""
        return None if bool(np.all(self.weights == 1.0)) else self.weights


def preparation(
    rows: Rows, *, centre: bool, standardize: bool, target: bool = False
) -> Preparation:
    """Return the means and spreads by which the rows become those of a problem.

    Parameters
    ----------
    rows : Rows
    centre : bool
        Whether there is a constant that takes the means.
    standardize : bool
    target : bool
        Whether y is real and is scaled as well, each column by itself.
    """
    d = rows.X.shape[1]
    mean, spread = np.zeros(d), np.ones(d)
    target_mean: float | Array = 0.0
    target_spread: float | Array = 1.0
    if standardize:
        mean, spread = moments(rows.X, rows.weights, centre)
        if target:
            middle, sizes = moments(np.column_stack([rows.y]), rows.weights, centre)
            target_mean, target_spread = middle, sizes
            if rows.y.ndim == 1:
                target_mean, target_spread = float(middle[0]), float(sizes[0])
    if not ((rows.X - mean) / spread).any():
        mean[0] -= spread[0]  # nothing varies: a column of ones
    return Preparation(mean, spread, target_mean, target_spread, (), {}, (), None)


def moments(columns: Array, weights: Array, centre: bool) -> tuple[Array, Array]:
    """Return means, zero unless `centre`, and spreads about them, one where nothing varies."""
    share = weights / weights.sum()
    size = np.sqrt(share @ np.square(columns))
    mean = share @ columns if centre else np.zeros(columns.shape[1])
    spread = np.sqrt(share @ np.square(columns - mean))
    still = spread <= CONSTANT * size
    mean = np.where(still & centre, columns[0], mean)  # so that a constant becomes zero exactly
    return mean, np.where(still, np.where(size > 0.0, size, 1.0) if not centre else 1.0, spread)


class Certified(BaseEstimator):  # type: ignore[misc]
    """An estimator whose fit ends with a certificate.

    Attributes
    ----------
    solution_ : Solution
        In standardised columns, if `standardize`.
    certificate_ : Certificate
    model_ : TwoLayerNetwork or LinearModel
        Takes raw, unscaled X.
    n_iter_ : int
        Of the engine.
    """

    solution_: Any
    model_: Any
    standardize: bool
    fit_intercept: bool
    tol: float
    random_state: Any
    time_limit: float | None
    verbose: int

    @property
    def certificate_(self) -> Certificate | list[Certificate]:
        """The certificate of the solution, of each where there are several."""
        check_is_fitted(self, "solution_")
        if isinstance(self.solution_, list):
            return [solution.certificate for solution in self.solution_]
        found: Certificate = self.solution_.certificate
        return found

    def _rows(self, X: Any, y: Any, sample_weight: Any, **checks: Any) -> tuple[Array, Any, Array]:
        """Return checked data; remembers the columns. Parameters are checked before."""
        flag("standardize", self.standardize)
        flag("fit_intercept", self.fit_intercept)
        tolerance("tol", self.tol)
        if self.time_limit is not None:
            seconds("time_limit", self.time_limit)
        if not isinstance(self.verbose, (int, np.integer)):
            raise ProblemError(f"verbose must be a whole number, got {shown(self.verbose)}")
        self._seed()
        _only_numbers(X)
        checks = {**checks, "accept_sparse": "csr", "ensure_min_samples": 2}
        X, y = validate_data(self, X, y, dtype=np.float64, **checks)
        X = _dense(X)
        return X, y, _check_sample_weight(sample_weight, X, dtype=np.float64)

    def _examples(self, X: Any) -> Array:
        """Return checked examples for a model that is fitted."""
        check_is_fitted(self, "model_")
        return _dense(validate_data(self, X, dtype=np.float64, accept_sparse="csr", reset=False))

    def _prepared(self, rows: Rows, *, target: bool) -> tuple[Rows, Preparation]:
        """Return rows as a problem takes them, and what was done to them."""
        done = preparation(
            rows, centre=self.fit_intercept, standardize=self.standardize, target=target
        )
        X = (rows.X - done.mean) / done.spread
        y = (rows.y - done.target_mean) / done.target_spread if target else rows.y
        return Rows(X, y, rows.weights), done

    def _counted(self, weights: Array, y: Any) -> Array:
        """Return what rows count: their weights."""
        return weights

    def _seed(self) -> int:
        """Return the seed of the engines: 0 for None, so that fits are the same each time."""
        state = self.random_state
        if state is None:
            return 0
        if isinstance(state, (int, np.integer)):
            if state < 0:
                raise ProblemError(f"random_state must be an integer >= 0, got {state}")
            return int(state)
        return int(check_random_state(state).randint(2**31 - 1))

    def _run(self) -> dict[str, Any]:
        """Return what is asked of a run."""
        return {
            "tol": self.tol,
            "time_limit": self.time_limit,
            "seed": self._seed(),
            "progress": bool(self.verbose),
        }

    def _keep(self, solution: Solution[Any], done: Preparation) -> None:
        """Take a solution for what was fitted, or raise if there is none."""
        if solution.status in (Status.FAILED, Status.INFEASIBLE) or not np.isfinite(
            solution.objective
        ):
            solution.raise_for_status()
        if solution.status is not Status.OPTIMAL:
            warnings.warn(
                f"{solution.status.name} with a certified gap of {solution.gap:.1e}, more than "
                f"tol={self.tol:g}: {solution.message}",
                ConvergenceWarning,
                stacklevel=3,
            )
        self.solution_ = solution
        self.model_ = solution.for_raw_data(done).model
        self.n_iter_ = max(1, solution.history[-1].iteration if solution.history else 1)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.non_deterministic = False
        tags.input_tags.sparse = True
        return tags


def _dense(X: Any) -> Array:
    """Return an array, of a sparse matrix one of all its numbers if they are not too many."""
    sparse: bool = issparse(X)
    if not sparse:
        return np.asarray(X)
    n, d = X.shape
    if n * d > DENSE:
        raise ValueError(
            f"X is sparse, and {n:,} x {d:,} numbers are more than the {DENSE:,} that are made "
            "dense: take fewer rows, or fewer columns, for example by SelectKBest in a Pipeline"
        )
    dense: Array = X.toarray()
    return dense


def _only_numbers(X: Any) -> None:
    """Raise `ValueError` where a column of a frame holds what is no number, naming it."""
    if not (hasattr(X, "columns") and hasattr(X, "dtypes") and hasattr(X, "select_dtypes")):
        return
    for k, (name, kind) in enumerate(zip(X.columns, X.dtypes, strict=True)):
        if getattr(kind, "kind", "O") not in "OSUTmM":
            continue
        try:
            if getattr(kind, "kind", "O") in "mM":
                raise TypeError
            np.asarray(X.iloc[:, k], dtype=np.float64)
        except (TypeError, ValueError):
            raise ValueError(
                f"column {name!r} of X holds what is no number ({kind}): leave it out or encode "
                "it, for example by OneHotEncoder in a Pipeline"
            ) from None


def checked_alpha(alpha: Any) -> float:
    """Return alpha, or raise `ValueError` unless it is > 0."""
    return positive("alpha", alpha)
