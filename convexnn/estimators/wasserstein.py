"""Linear models against Wasserstein balls of distributions, as scikit-learn estimators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import non_negative
from convexnn.driver.solve import solve
from convexnn.estimators.base import Certified
from convexnn.estimators.classifier import CertifiedClassifier, apart
from convexnn.estimators.regressor import CertifiedRegressor
from convexnn.problems.wasserstein.linear import WassersteinClassification, WassersteinRegression
from convexnn.workflows.one_vs_rest import one_vs_rest

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array

from sklearn.base import clone
from sklearn.model_selection import check_cv, cross_val_score
from sklearn.utils.validation import check_is_fitted

RADII = np.geomspace(1e-4, 1.0, 9)  # that "cv" chooses among
FOLDS = 5


class WassersteinEstimator(Certified):
    """What linear models for classes and for numbers share."""

    radius: Any
    norm: str
    loss: str
    order: float

    def _chosen(self, X: Array, y: Any, weights: Array, *, classes: bool) -> float:
        """Return the radius, by cross-validation if that is asked for."""
        if not (isinstance(self.radius, str) and self.radius == "cv"):
            if isinstance(self.radius, str):
                raise ValueError(f"radius must be a number >= 0 or 'cv', got {self.radius!r}")
            return non_negative("radius", self.radius)
        least = int(np.min(np.unique(y, return_counts=True)[1])) if classes else len(y)
        folds = min(FOLDS, least if classes else least // 2)  # R^2 takes two rows
        if folds < 2:
            needed = "two rows of each class" if classes else "four rows"
            raise ValueError(f"radius='cv' needs {needed}, got {least}")
        cv = check_cv(folds, y, classifier=classes)
        given = {"sample_weight": weights} if np.ptp(weights) > 0.0 else None
        run: dict[str, Any] = {"cv": cv, "params": given, "error_score": "raise"}
        fits = (clone(self).set_params(radius=float(r)) for r in RADII)
        scores = [np.mean(cross_val_score(fit, X, y, **run)) for fit in fits]
        best = len(RADII) - 1 - int(np.argmax(scores[::-1]))  # of equal scores the largest
        return float(RADII[best])

    def _ball(self) -> dict[str, Any]:
        return {
            "radius": self.radius_,
            "norm": self.norm,
            "loss": self.loss,
            "order": self.order,
            "intercept": self.fit_intercept,
        }


class WassersteinClassifier(CertifiedClassifier, WassersteinEstimator):
    """A linear classifier that is best for the worst distribution near that of the data.

    Minimises ``sup over W(Q, P) <= radius of E_Q l(y (x'w + c))`` by `WassersteinClassification`,
    with ``P`` the weighted rows. Of more than two classes each is held against the rest, by
    `one_vs_rest`.

    Parameters
    ----------
    radius : float or "cv", default 0.01
        Of the ball, >= 0, in standardised columns if `standardize`; "cv" chooses among nine from
        1e-4 to 1 by cross-validation.
    flip_cost : float, default inf
        Of a label that is flipped.
    norm : {"l2", "l1", "linf"}, default "l2"
        Ground norm on the columns.
    loss : {"logistic", "hinge"}, default "logistic"
    order : {1, 2, inf}, default 1
    standardize : bool, default True
        Train on columns of mean 0 and spread 1; `model_` takes raw ones.
    fit_intercept : bool, default True
    class_weight : dict or "balanced", optional
    tol : float, default 1e-4
        Certified relative gap to reach.
    time_limit : float, optional
        Seconds for each solve.
    random_state : int or RandomState, optional
        Of the engine; None is 0.
    verbose : int, default 0

    Attributes
    ----------
    classes_ : array of shape (k,)
    radius_ : float
    solution_ : Solution, or list of k
        Of each class against the rest, where there are more than two.
    certificate_ : Certificate, or list of k
    model_ : LinearModel, or list of k
        Takes raw X.
    n_features_in_ : int
    feature_names_in_ : array of shape (d,)
        Where X has names of columns.
    n_iter_ : int

    Raises
    ------
    ValueError
        From `fit`, if data or a parameter breaks its rule.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = [[-2.0], [-1.0], [1.0], [2.0]]
    >>> cx.WassersteinClassifier(0.1).fit(X, ["a", "a", "b", "b"]).predict([[0.5]]).tolist()
    ['b']
    """

    def __init__(
        self,
        radius: float | str = 0.01,
        *,
        flip_cost: float = np.inf,
        norm: str = "l2",
        loss: str = "logistic",
        order: float = 1,
        standardize: bool = True,
        fit_intercept: bool = True,
        class_weight: dict[object, float] | str | None = None,
        tol: float = 1e-4,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.radius = radius
        self.flip_cost = flip_cost
        self.norm = norm
        self.loss = loss
        self.order = order
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.tol = tol
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train the model.

        Parameters
        ----------
        X : array of shape (n, d)
        y : array of shape (n,)
            Labels of any type, two or more.
        sample_weight : array of shape (n,), optional
            >= 0; a weight of 2 is a row twice, of 0 no row.

        Returns
        -------
        self
        """
        X, y, weights = self._rows(X, y, sample_weight)
        checked = self._checked(X, y, weights)
        self.radius_ = self._chosen(X, y, weights, classes=True)
        rows, done = self._prepared(checked, target=False)
        fields = self._ball() | {"flip_cost": self.flip_cost, "weights": rows.counts()}
        if len(self.classes_) == 2:
            problem = WassersteinClassification(rows.X, np.where(rows.y == 1, 1, -1), **fields)
            self._keep(solve(problem, **self._run()), done)
            self._labelled()
            return self
        fits = []
        for solution in one_vs_rest(rows.X, rows.y, **fields, **self._run()).solutions:
            self._keep(solution, done)
            fits.append((self.solution_, self.model_, self.n_iter_))
        self.solution_, self.model_ = ([fit[i] for fit in fits] for i in (0, 1))
        self.n_iter_ = max(fit[2] for fit in fits)
        return self

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the model's output, of several classes each one's against the rest.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n,) for two classes, (n, k) for more
        """
        check_is_fitted(self, "model_")
        if not isinstance(self.model_, list):
            return super().decision_function(X)
        X = self._examples(X)
        return np.column_stack([model.decision_function(X) for model in self.model_])

    def _chances(self, output: Array) -> Array:
        """Return the probabilities of two classes, of several each model's, scaled to sum 1."""
        return super()._chances(output) if len(self.classes_) == 2 else apart(output)


class WassersteinRegressor(CertifiedRegressor, WassersteinEstimator):
    """A linear regression that is best for the worst distribution near that of the data.

    Minimises ``sup over W(Q, P) <= radius of E_Q l(x'w + c - y)`` by `WassersteinRegression`, on
    targets of mean 0 and spread 1 if `standardize`.

    Parameters
    ----------
    radius : float or "cv", default 0.01
        As in `WassersteinClassifier`.
    target_cost : float, default inf
        Of a unit by which a target is moved.
    norm : {"l2", "l1", "linf"}, default "l2"
    loss : {"squared", "absolute", "huber", "quantile"}, default "absolute"
    order : {1, 2, inf}, default 1
        The squared loss takes 2 and inf.
    quantile : float, default 0.5
    delta : float, default 1.0
        Residual at which the Huber loss turns linear.
    standardize, fit_intercept, tol, time_limit, random_state, verbose
        As in `WassersteinClassifier`.

    Attributes
    ----------
    radius_, solution_, certificate_, model_, n_features_in_, feature_names_in_, n_iter_
        As in `WassersteinClassifier` for two classes.

    Raises
    ------
    ValueError
        From `fit`, if data or a parameter breaks its rule.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = [[0.0], [1.0], [2.0], [3.0]]
    >>> model = cx.WassersteinRegressor(0.001).fit(X, [0.0, 2.0, 4.0, 6.0])
    >>> model.predict([[4.0]]).round(1).tolist()
    [8.0]
    """

    def __init__(
        self,
        radius: float | str = 0.01,
        *,
        target_cost: float = np.inf,
        norm: str = "l2",
        loss: str = "absolute",
        order: float = 1,
        quantile: float = 0.5,
        delta: float = 1.0,
        standardize: bool = True,
        fit_intercept: bool = True,
        tol: float = 1e-4,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.radius = radius
        self.target_cost = target_cost
        self.norm = norm
        self.loss = loss
        self.order = order
        self.quantile = quantile
        self.delta = delta
        self.standardize = standardize
        self.fit_intercept = fit_intercept
        self.tol = tol
        self.time_limit = time_limit
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> Self:
        """Train the model.

        Parameters
        ----------
        X : array of shape (n, d)
        y : array of shape (n,)
        sample_weight : array of shape (n,), optional
            >= 0; a weight of 2 is a row twice, of 0 no row.

        Returns
        -------
        self
        """
        X, y, weights = self._rows(X, y, sample_weight, y_numeric=True)
        self.radius_ = self._chosen(X, y, weights, classes=False)
        rows, done = self._prepared(self._checked(X, y, weights), target=True)
        problem = WassersteinRegression(
            rows.X,
            rows.y,
            target_cost=self.target_cost,
            quantile=self.quantile,
            delta=self.delta,
            weights=rows.counts(),
            **self._ball(),
        )
        self._keep(solve(problem, **self._run()), done)
        return self
