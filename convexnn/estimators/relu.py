"""Two-layer ReLU and gated networks as scikit-learn estimators."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import choice, positive_int
from convexnn.driver.solve import solve
from convexnn.estimators.base import Certified, Rows, checked_alpha
from convexnn.estimators.classifier import CertifiedClassifier
from convexnn.estimators.regressor import CertifiedRegressor
from convexnn.functions.risks import Risk, WorstGroup
from convexnn.problems.relu.gated import GatedReluTraining
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.cells.sampling import sample_patterns
from convexnn.relu.directions import directions
from convexnn.relu.patterns import Patterns
from convexnn.workflows.local_patterns import local_patterns

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array
    from convexnn.contract.preparation import Preparation

ACTIVATIONS = {"relu": ReluTraining, "gated": GatedReluTraining}
GATES = 100  # random gates unless a number is given
SEARCH = {
    "starts": 2,
    "width": 20,
    "max_iter": 100,
}  # of local search for the patterns of a network


class ReluEstimator(Certified):
    """What networks for classes and for numbers share."""

    alpha: float
    activation: str
    loss: str
    patterns: int | None
    penalty: str
    monotone: Any
    risk: str | Risk

    def _problem(self, rows: Rows, alphas: Array) -> Any:
        """Return the convex program at the first alpha, over patterns found on these rows.

        Where networks of many alphas are asked for, patterns are those that local search finds
        at several of them.
        """
        betas = [float(alpha) * rows.total for alpha in alphas]
        if self.patterns is not None or self.activation != "relu":
            count = GATES if self.patterns is None else positive_int("patterns", self.patterns)
            return self._drawn(rows, betas[0], count)
        problem = self._declared(rows, betas[0], 1)
        return self._declared(rows, betas[0], self._searched(problem, betas))

    def _drawn(self, rows: Rows, beta: float, count: int) -> Any:
        """Return the convex program over so many random patterns."""
        data = self._declared(rows, beta, 1).data
        drawn = sample_patterns(data, count, seed=self._seed(), active=True)
        return self._declared(rows, beta, drawn)

    def _declared(self, rows: Rows, beta: float, patterns: Patterns | int) -> Any:
        """Return the convex program over patterns."""
        kind = ACTIVATIONS[choice("activation", self.activation, tuple(ACTIVATIONS))]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of patterns that are drawn twice
            return kind(
                rows.X,
                rows.y,
                beta=beta,
                **self._loss(),
                penalty=self.penalty,
                monotone=self._directions(rows.X.shape[1]),
                risk=self._risk(),
                bias=self.fit_intercept,
                intercept=self.fit_intercept,
                weights=rows.counts(),
                patterns=patterns,
            )

    def _risk(self) -> str | Risk:
        """Return the risk, which must not be one of given rows."""
        if isinstance(self.risk, WorstGroup):
            raise ValueError(
                "risk must not be a WorstGroup here: its groups are of rows, which a fit sorts and "
                "joins; train a cx.ReluTraining or cx.GatedReluTraining"
            )
        return self.risk

    def _searched(self, problem: Any, betas: list[float]) -> Patterns:
        """Return the patterns of the networks that local search finds at some of the betas."""
        some = betas if len(betas) == 1 else [betas[len(betas) // 3], betas[2 * len(betas) // 3]]
        parts = [
            local_patterns(problem.at(beta), seed=self._seed(), **SEARCH).generators
            for beta in some
        ]
        generators = [part for part in parts if part is not None]
        return Patterns.generated(problem.data, np.hstack(generators))

    def _directions(self, count: int) -> Any:
        """Return how the output is to go in each column, by the names of the fit's frame."""
        if self.monotone is None or self.activation == "gated":
            return self.monotone  # gates refuse it
        names = getattr(self, "feature_names_in_", None)
        known = None if names is None else tuple(map(str, names))
        return directions(self.monotone, known, count)

    def _loss(self) -> dict[str, Any]:
        """Return the parameters of the problem that say what the loss is."""
        raise NotImplementedError

    def _solved(self, rows: Rows, done: Preparation) -> None:
        problem = self._problem(rows, np.array([checked_alpha(self.alpha)]))
        self._keep(solve(problem, **self._run()), done)
        self.alpha_ = float(self.alpha)


class ReluClassifier(CertifiedClassifier, ReluEstimator):
    """A two-layer network for classes, trained to a certified optimum.

    Minimises, over networks ``f`` with a hidden layer of ReLUs,

        sum_i w_i l(f(x_i); y_i) / sum_i w_i + alpha / 2 (||U||_F^2 + ||A||^2)

    by convex programs (`ReluTraining`, `GatedReluTraining`) with ``beta = alpha sum_i w_i``.

    Parameters
    ----------
    alpha : float, default 1e-3
        Weight of the penalty per unit of mean loss, > 0: its meaning does not change with the
        number of rows.
    activation : {"relu", "gated"}, default "relu"
        "gated" trains ``1[h'x >= 0] u'x`` with fixed gates h: faster.
    loss : {"logistic", "hinge"}, default "logistic"
        Of more than two classes "logistic" is the cross-entropy of one output a class, "hinge" is
        one class against the rest.
    patterns : int, optional
        Activation patterns (or gates) drawn at random. By default those of the networks that local
        search finds, and 100 random gates; both on the rows of the fit alone.
    penalty : {"l2", "l1"}, default "l2"
        Norm of a neuron's first layer.
    monotone : array of shape (d,) or dict of str to int, optional
        Of 1 where the output never falls in a column of X, -1 where it never rises, 0 where it is
        free; or by the names of columns. For all x, by signs of the weights: `ReluTraining`. For
        "relu" and two classes, of which the output stands for the second.
    risk : {"mean"} or Risk, default "mean"
        What is taken of the examples' losses: `Cvar`, `Entropic`, `ChiSquare` or `TotalVariation`
        in the place of their mean. `WorstGroup` is for problems: a fit sorts its rows.
    standardize : bool, default True
        Train on columns of mean 0 and spread 1; `model_` takes raw ones.
    fit_intercept : bool, default True
        Offsets of the neurons, penalised, and a free constant.
    class_weight : dict or "balanced", optional
    tol : float, default 1e-3
        Certified relative gap to reach.
    time_limit : float, optional
        Seconds.
    random_state : int or RandomState, optional
        Of patterns and searches; None is 0, so that fits are the same each time.
    verbose : int, default 0
        Whether to show progress.

    Attributes
    ----------
    classes_ : array of shape (k,)
    solution_ : Solution
        Of the convex program, in standardised columns if `standardize`.
    certificate_ : Certificate
    model_ : TwoLayerNetwork
        Takes raw, unscaled X.
    alpha_ : float
    n_features_in_ : int
    feature_names_in_ : array of shape (d,)
        Where X has names of columns.
    n_iter_ : int

    Raises
    ------
    ValueError
        From `fit`, if data or a parameter breaks its rule.

    References
    ----------
    Pilanci & Ergen 2020, "Neural networks are convex regularizers", theorem 1.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = [[-2.0], [-1.0], [0.0], [1.0], [2.0]]
    >>> network = cx.ReluClassifier().fit(X, ["far", "near", "near", "near", "far"])
    >>> network.predict([[-3.0], [0.2]]).tolist()
    ['far', 'near']
    >>> bool(network.certificate_.gap <= 1e-3)
    True
    """

    def __init__(
        self,
        alpha: float = 1e-3,
        *,
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
        self.alpha = alpha
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
        """Train the network.

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
        rows, done = self._prepared(self._checked(*self._rows(X, y, sample_weight)), target=False)
        self._solved(rows, done)
        self._labelled()
        return self

    def _loss(self) -> dict[str, Any]:
        loss = choice("loss", self.loss, ("logistic", "hinge"))
        if len(self.classes_) == 2:
            return {"loss": loss}
        joint = loss == "logistic"
        return {"loss": "softmax"} if joint else {"loss": loss, "multiclass": "one-vs-rest"}


class ReluRegressor(CertifiedRegressor, ReluEstimator):
    """A two-layer network for one or several real targets, trained to a certified optimum.

    Minimises, over networks ``f`` with a hidden layer of ReLUs,

        sum_i w_i l(f(x_i); y_i) / sum_i w_i + alpha / 2 (||U||_F^2 + ||A||^2)

    by convex programs (`ReluTraining`, `GatedReluTraining`) with ``beta = alpha sum_i w_i``, on
    targets of mean 0 and spread 1 if `standardize`.

    Parameters
    ----------
    alpha : float, default 1e-3
        Weight of the penalty per unit of mean loss, > 0.
    activation : {"relu", "gated"}, default "relu"
    loss : {"squared", "huber"}, default "squared"
        ``(z - y)^2 / 2``; Huber's turns linear at a residual of 1, of standardised targets.
    patterns, penalty, risk, standardize, fit_intercept, tol, time_limit, random_state, verbose
        As in `ReluClassifier`.
    monotone
        As in `ReluClassifier`, for one target.

    Attributes
    ----------
    solution_, certificate_, model_, alpha_, n_features_in_, feature_names_in_, n_iter_
        As in `ReluClassifier`.

    Raises
    ------
    ValueError
        From `fit`, if data or a parameter breaks its rule.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = [[-2.0], [-1.0], [0.0], [1.0], [2.0]]
    >>> network = cx.ReluRegressor(alpha=1e-4).fit(X, [2.0, 1.0, 0.0, 1.0, 2.0])
    >>> network.predict([[-1.5]]).round(1).tolist()
    [1.5]
    """

    def __init__(
        self,
        alpha: float = 1e-3,
        *,
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
        self.alpha = alpha
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
        """Train the network.

        Parameters
        ----------
        X : array of shape (n, d)
        y : array of shape (n,) or (n, k)
        sample_weight : array of shape (n,), optional
            >= 0; a weight of 2 is a row twice, of 0 no row.

        Returns
        -------
        self
        """
        X, y, weights = self._rows(X, y, sample_weight, multi_output=True, y_numeric=True)
        rows, done = self._prepared(self._checked(X, y, weights), target=True)
        self._solved(rows, done)
        return self

    def _loss(self) -> dict[str, Any]:
        return {"loss": choice("loss", self.loss, ("squared", "huber"))}

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
