"""Networks trained against perturbations, as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import choice
from convexnn.contract.preparation import for_raw_data
from convexnn.driver.solve import solve
from convexnn.estimators.base import checked_alpha
from convexnn.estimators.classifier import apart
from convexnn.estimators.relu import ReluClassifier
from convexnn.problems.robust.training import RobustReluTraining
from convexnn.robust.regions import checked_box
from convexnn.workflows.one_vs_rest import one_vs_rest

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array
    from convexnn.contract.preparation import Preparation
    from convexnn.estimators.base import Rows

DRAWN = 50  # random patterns unless a number is given


class RobustReluClassifier(ReluClassifier):
    """A two-layer ReLU network for classes, trained against every perturbation of the inputs.

    Minimises a bound on ``sum_i w_i max over ||delta|| <= radius of l(f(x_i + delta); y_i) /
    sum_i w_i + alpha / 2 (||U||_F^2 + ||A||^2)`` by `RobustReluTraining`. Of more than two classes
    each is held against the rest, by `one_vs_rest`.

    Parameters
    ----------
    alpha : float, default 1e-3
        Weight of the penalty per unit of mean loss, > 0.
    radius : float, default 0.1
        Of the perturbations, >= 0: in units of the columns, of their spread if `standardize`.
    norm : {"linf", "l2", "l1"}, default "linf"
        Of the perturbations.
    loss : {"hinge", "logistic"}, default "hinge"
    patterns : int, optional
        Activation patterns drawn at random, 50 by default.
    formulation : {"majorant", "cones"}, default "majorant"
    box : pair of floats or arrays of shape (d,), optional
        Range ``(low, high)`` of the columns that the adversary cannot leave, in the units of X, in
        the norm linf; the training examples must lie in it.
    standardize : bool, default False
        The radius is then in standardised columns.
    fit_intercept : bool, default True
        Offsets of the neurons, penalised.
    time_limit : float, optional
        Seconds for each solve.
    class_weight, tol, random_state, verbose
        As in `ReluClassifier`.

    Attributes
    ----------
    solution_ : Solution, or list of k
        Of each class against the rest, where there are more than two.
    certificate_ : Certificate, or list of k
    model_ : TwoLayerNetwork
        Takes raw, unscaled X. Of more than two classes it has the neurons of all of them and an
        output for each, whose `robustness` is that of the largest output.
    classes_, alpha_, n_features_in_, feature_names_in_, n_iter_
        As in `ReluClassifier`.

    Raises
    ------
    ValueError
        From `fit`, if data or a parameter breaks its rule.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = [[-2.0], [-1.0], [1.0], [2.0]]
    >>> network = cx.RobustReluClassifier(radius=0.5).fit(X, ["low", "low", "high", "high"])
    >>> found = cx.robustness(network.model_, X, network.classes_[[1, 1, 0, 0]], radius=0.5)
    >>> found.certified
    1.0
    """

    def __init__(
        self,
        alpha: float = 1e-3,
        *,
        radius: float = 0.1,
        norm: str = "linf",
        loss: str = "hinge",
        patterns: int | None = None,
        formulation: str = "majorant",
        box: tuple[ArrayLike, ArrayLike] | None = None,
        standardize: bool = False,
        fit_intercept: bool = True,
        class_weight: dict[object, float] | str | None = None,
        tol: float = 1e-3,
        time_limit: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.alpha = alpha
        self.radius = radius
        self.norm = norm
        self.loss = loss
        self.patterns = patterns
        self.formulation = formulation
        self.box = box
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
        checked = self._checked(*self._rows(X, y, sample_weight))
        names = getattr(self, "feature_names_in_", None)
        box = checked_box(self.box, checked.X, None if names is None else list(names))
        rows, done = self._shifted(*self._prepared(checked, target=False))
        fields: dict[str, Any] = {
            "beta": checked_alpha(self.alpha) * rows.total,
            "radius": self.radius,
            "norm": self.norm,
            **self._loss(),
            "patterns": DRAWN if self.patterns is None else self.patterns,
            "bias": self.fit_intercept,
            "formulation": self.formulation,
            "box": None if box is None else [(end - done.mean) / done.spread for end in box],
            "weights": rows.counts(),
        }
        self.alpha_ = float(self.alpha)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of patterns that are drawn twice
            if len(self.classes_) == 2:
                solutions = [solve(RobustReluTraining(rows.X, rows.y, **fields), **self._run())]
            else:
                fit = one_vs_rest(rows.X, rows.y, model="network", **fields, **self._run())
                solutions = list(fit.solutions)
        steps = []
        for solution in solutions:
            self._keep(solution, done)
            steps.append(self.n_iter_)
        if len(solutions) > 1:
            self.solution_ = solutions
            self.model_ = for_raw_data(fit.model, done)
            self.n_iter_ = max(steps)
        self._labelled()
        return self

    def _loss(self) -> dict[str, Any]:
        return {"loss": choice("loss", self.loss, ("hinge", "logistic"))}

    def _chances(self, output: Array) -> Array:
        """Return the probabilities of two classes, of several each output's, scaled to sum 1."""
        return super()._chances(output) if len(self.classes_) == 2 else apart(output)

    def _shifted(self, rows: Rows, done: Preparation) -> tuple[Rows, Preparation]:
        """Count constant columns from their value on: the offsets make up for it.

        The adversary moves them as any other; a constant among the examples would be an offset
        that is moved, which is a mistake in data of one's own making.
        """
        first = rows.X[0]
        still = (first == rows.X).all(axis=0) & (first != 0.0)
        if not still.any() or self.radius == 0:
            return rows, done
        if not self.fit_intercept:
            j = int(np.argmax(still))
            name = getattr(self, "feature_names_in_", range(len(first)))[j]
            raise ValueError(
                f"column {name!r} of X is constant, and an adversary would move it: "
                "leave it out and set fit_intercept=True"
            )
        if not (first != rows.X).any():
            raise ValueError("no column of X varies")
        shift = np.where(still, first, 0.0)
        moved = done._replace(mean=done.mean + done.spread * shift)
        return rows._replace(X=rows.X - shift), moved
