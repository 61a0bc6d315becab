"""Linear classification and regression against a Wasserstein ball of distributions."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import KW_ONLY
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.checks import (
    ProblemError,
    aligned,
    choice,
    flag,
    in_range,
    instance_of,
    non_negative,
    positive,
    positive_or_inf,
    probability,
    real,
    real_array,
    shown,
)
from convexnn.contract.features import Names, column_names
from convexnn.contract.fields import Converted, declaration, default, keep_names
from convexnn.contract.grading import Bound, Grade, Halves
from convexnn.contract.labels import Labels, known_labels, labels, raw_labels
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.scales import scaling
from convexnn.functions.losses import (
    Absolute,
    Hinge,
    Huber,
    Logistic,
    Quantile,
    ScalarLoss,
    Squared,
)
from convexnn.functions.norms import DUAL
from convexnn.functions.null_space import NullSpace
from convexnn.functions.risks import MEAN, only_mean
from convexnn.functions.weighted import checked_weights, in_use, rows_of
from convexnn.problems.wasserstein.linear_formula import formula
from convexnn.wasserstein.bound import lower_bound, null_space
from convexnn.wasserstein.coordinates import Coordinates, coordinates
from convexnn.wasserstein.forms import Linear, Slopes, WassersteinForm, constant_model
from convexnn.wasserstein.linear_model import LinearModel
from convexnn.wasserstein.table import ball, orders
from convexnn.wasserstein.worst_case import Atoms, WorstCase

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import LabelArray

LABELS: dict[str, ScalarLoss] = {"logistic": Logistic(), "hinge": Hinge()}
DEAD = 1e-9  # coefficients below this share of the largest may be dropped under an l1 norm


@declaration
class WassersteinLinear(Halves[LinearModel]):
    """What linear classification and regression share; see those two.

    Parameters
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
    radius : float
        In the units of the ground norm; >= 0.
    norm : {"l2", "l1", "linf"}
        Ground norm on the features.
    intercept : bool
    weights : array of shape (n,), optional
    risk : {"mean"}
        The ball is the risk: no other.
    """

    FORMS: ClassVar[dict[type, str]] = {WassersteinForm: "form"}
    classification: ClassVar[bool]

    X: Converted[ArrayLike, Array]
    y: Converted[ArrayLike, LabelArray]
    _: KW_ONLY
    radius: float
    norm: str = "l2"
    intercept: bool = True
    weights: Converted[ArrayLike | None, Array | None] = default(None)
    risk: str = MEAN
    feature_names: Converted[Iterable[str] | None, Names] = default(None)

    def __post_init__(self) -> None:
        only_mean(
            self.risk,
            "a Wasserstein ball",
            "the worst distribution of the ball is the risk; for the worst weights of examples "
            "train a network under it, as in cx.ReluTraining",
        )
        aligned("X", self.X, y=self.y, weights=self.weights)
        found = column_names("X", self.X)
        self._set("X", in_range("X", real_array("X", self.X, 2)))
        keep_names(self, self.X.shape[1], found)
        self._leave_out()
        self._set("radius", non_negative("radius", self.radius))
        self._set("norm", choice("norm", self.norm, list(DUAL)))
        self._set("intercept", flag("intercept", self.intercept))

    def _leave_out(self) -> None:
        """Check the weights, and leave out samples of weight 0."""
        if self.weights is None:
            return
        weights = checked_weights(self.weights, len(self.X), "row of X")
        self._set("weights", weights)
        kept, y = in_use(weights), raw_labels("y", self.y)
        if kept is not None and y.shape[:1] == kept.shape:  # else the check of y says so
            for name, array in (("X", self.X), ("y", y), ("weights", weights)):
                self._set(name, rows_of(array, kept))

    @cached_property
    def _masses(self) -> Array | None:
        """What samples weigh, of mean 1; None where all weigh the same."""
        weights = self.weights
        if weights is None or bool(np.all(weights == weights[0])):
            return None
        share = weights / np.max(weights)
        return share / np.mean(share)

    @cached_property
    def labels(self) -> Labels:
        """Targets as the losses want them."""
        return labels(
            "y",
            self.y,
            len(self.X),
            classification=self.classification,
            otherwise="; cx.one_vs_rest fits each against the rest",
        )

    @cached_property
    @abstractmethod
    def form(self) -> WassersteinForm:
        """The canonical form."""

    def _form(self, loss: ScalarLoss, order: float, flip: float, target: float) -> WassersteinForm:
        """Return the canonical form for the costs of a flip and of a unit of the target."""
        where = self.coordinates
        radius, flip, floor = self.radius / where.scale, flip / where.scale, where.scale / target
        row = ball(loss, order, radius, flip, floor, self._masses)
        return WassersteinForm(
            where.matrix, self.labels.targets, row, DUAL[self.norm], self.intercept
        )

    @cached_property
    def coordinates(self) -> Coordinates:
        """Centred and scaled data."""
        rotates, plain = DUAL[self.norm].rotates, self.radius == 0.0
        return coordinates(self.X, rotates, self.intercept, plain)

    def scaling(self) -> str:
        """Return a sentence on scales of columns, rows or targets that are far apart."""
        return scaling(self.X, self.labels.targets, self.feature_names)

    def needs(self) -> frozenset[str]:
        """Return the cones of the ball, and of the norm."""
        form = self.form
        return form.ball.cones | (form.norm.cones if form.ball.radius > 0.0 else frozenset())

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with variables b, c, z and lam in `coordinates`."""
        return formula(self.form, self.needs())

    @cached_property
    def _zero(self) -> tuple[Linear, Slopes]:
        point, slopes = constant_model(self.form)
        for array in point:
            frozen(array)  # its risk is known by the point itself
        return point, slopes

    def initial(self) -> tuple[Linear, Slopes]:
        """Return the best constant model, exact for a large radius, and its slopes."""
        return self._zero

    def grade(self, primal: Linear) -> Grade:
        """Return the worst case of the model over the ball."""
        risk = self._zero_risk if primal is self._zero[0] else self.form.risk(primal)
        return Grade(risk, scale=risk)

    def bound(self, primal: Linear, dual: Slopes, grade: Grade) -> Bound:
        """Return what slopes of a worst case prove."""
        value = lower_bound(self.form, dual, grade.objective, self._space)
        return Bound(value, "this ball")

    @cached_property
    def _space(self) -> NullSpace | None:
        """That of the data as given: their coordinates are rounded, which a free model may use."""
        return null_space(self.X, self.intercept) if self.radius == 0.0 else None

    @cached_property
    def _zero_risk(self) -> float:
        return self.form.risk(self._zero[0])

    def prune(self, primal: Linear, objective: float | None = None) -> Linear:
        """Return zeros if no risk is lost; under an l1 norm, drop what rounding left."""
        zero = self._zero[0]
        if self._zero_risk <= (self.objective(primal) if objective is None else objective):
            return zero
        if not self.form.norm.sparse or self.form.ball.radius == 0.0:
            return primal
        size = np.abs(primal.coef)
        return primal._replace(coef=np.where(size > DEAD * size.max(), primal.coef, 0.0))

    def build_model(self, primal: Linear, objective: float | None = None) -> LinearModel:
        """Return the model in the coordinates of the data, with its worst case."""
        coef = self.coordinates.coef(primal.coef)
        own = primal.intercept[0] if self.intercept else 0.0
        intercept = float(own - self.coordinates.mean @ coef)
        adversary = partial(self.worst_case, primal)
        classes = self.labels.classes
        return LinearModel(coef, intercept, classes, adversary, self.feature_names)

    def point_of(self, model: LinearModel) -> Linear:
        """Return the point whose model this is, for samples as they are in X.

        Raises
        ------
        ProblemError
            If the problem has no such model: other inputs or labels, or an intercept where the
            problem has none.
        """
        instance_of("model", model, LinearModel, "a LinearModel")
        if len(model.coef) != self.X.shape[1]:
            raise ProblemError(f"model must have {self.X.shape[1]} inputs, got {len(model.coef)}")
        classes = self.labels.classes
        if model.classes is not None and (
            classes is None or not np.array_equal(model.classes, classes)
        ):
            raise ProblemError(f"model must be for the labels of y, got {shown(model.classes)}")
        if model.intercept and not self.intercept:
            raise ProblemError("model must have no intercept, or intercept=True in the problem")
        where = self.coordinates
        coef: Array = where.scale * model.coef
        if where.basis is not None:
            coef = np.asarray(np.linalg.lstsq(where.basis, coef, rcond=None)[0], dtype=np.float64)
        own = float(model.intercept) + float(where.mean @ model.coef)
        return Linear(coef, np.array([own if self.intercept else 0.0]))

    def losses(self, model: LinearModel, X: ArrayLike, y: ArrayLike) -> Array:
        """Return a model's loss on each of some examples, without a worst case.

        Parameters
        ----------
        model : LinearModel
        X : array of shape (m, d)
        y : array of shape (m,)

        Returns
        -------
        array of shape (m,)

        Raises
        ------
        ProblemError
            If y has another length, or labels that the problem does not know.
        """
        instance_of("model", model, LinearModel)
        aligned("X", X, y=y)
        z = model.decision_function(X)
        form, classes = self.form, self.labels.classes
        if classes is None:
            target = labels("y", y, len(z), classification=False).targets
            return form.ball.values(z, target)
        found = known_labels("y", y, len(z), classes)
        return form.ball.values(z, np.where(found == classes[1], 1.0, -1.0))

    def holdout(
        self, model: LinearModel, X: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """Return the mean of `losses`, by weights where they are given."""
        aligned("X", X, weights=weights)
        losses = self.losses(model, X, y)
        if weights is None:
            return float(losses.mean())
        counts = checked_weights(weights, len(losses), "row of X")
        return float(counts @ losses) / float(counts.sum())

    def expected_loss(self, model: LinearModel, atoms: Atoms) -> float:
        """Return a model's expected loss under a distribution, for instance its worst case.

        This is the other side of the certificate: with ``model.worst_case.atoms``, whose
        ``transport(order)`` is within the radius, it is the objective again.
        """
        targets: Any = atoms.target
        return float(atoms.mass @ self.losses(model, atoms.location, targets))

    def worst_case(self, primal: Linear) -> WorstCase:
        """Return the worst distribution within the ball for a model.

        Parameters
        ----------
        primal : Linear

        Returns
        -------
        WorstCase
            Locations are rows of features; `Atoms.target` holds the labels or targets.
        """
        form, where = self.form, self.coordinates
        moves = form.moves(primal)
        v = form.norm.steepest(primal.coef)
        if where.basis is not None:
            v = where.basis @ v
        y = np.asarray(self.y)[moves.source]
        location, cost = self.X[moves.source], np.abs(moves.distance) * where.scale
        classes = self.labels.classes
        if classes is not None:
            target = np.where(moves.flipped, np.where(y == classes[0], classes[1], classes[0]), y)
            cost = cost + np.where(moves.flipped, self._flip_cost, 0.0)
        else:
            target = y.astype(np.float64)
        if form.ball.floor > form.length(primal):  # moving the target is the cheaper way
            target = target - moves.distance * form.ball.floor
        else:
            location = location + np.outer(moves.distance * where.scale, v)
        gradient, weights = form.envelope(primal)
        length = float(form.norm.value(where.coef(primal.coef)[None, :])[0]) * where.scale
        rate = form.ball.rate(form.predict(primal), form.y, length)
        return WorstCase(
            value=form.risk(primal),
            atoms=Atoms(moves.source, location, moves.mass, cost, target),
            weights=weights,
            gradient=gradient,
            multiplier=rate / where.scale**form.ball.power,
            attained=moves.attained,
            ray=None if moves.attained else v * np.sign(moves.distance[-1]),
        )

    @property
    def _flip_cost(self) -> float:
        return 0.0


@declaration
class WassersteinClassification(WassersteinLinear):
    """Minimise ``sup_Q E_Q[l(y (x'b + c))]`` over Q within `radius` of the samples.

    The transport cost between ``(x, y)`` and ``(x', y')`` is ``||x - x'|| + flip_cost 1[y != y']``;
    ``l`` is ``log(1 + exp(-m))`` or ``max(0, 1 - m)``; the distance is of Wasserstein order 1, 2
    (hinge) or inf. `convexnn.wasserstein` lists the programs.

    Parameters
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
        Two different values; for more, `one_vs_rest` fits each against the rest.
    radius : float
        In the units of the ground norm; 0 is plain risk minimisation.
    flip_cost : float, default inf
        Cost of one flipped label, > 0; ``inf`` keeps labels as they are. Finite of order 1 only.
    norm : {"l2", "l1", "linf"}, default "l2"
        Ground norm; the model is penalised in its dual.
    loss : {"logistic", "hinge"}, default "logistic"
    order : {1, 2, inf}, default 1
    intercept : bool, default True
        Never penalised.
    weights : array of shape (n,), optional
        Of the samples in the reference distribution, >= 0 and not all zero; scaled to sum 1. A
        weight of 2 is a row twice. Rows of weight 0 are left out: X, y and weights hold the others.
    risk : {"mean"}, default "mean"
        No other risk: the worst distribution of the ball is one.
    feature_names : sequence of str, optional
        Names of the columns of X; a frame brings its own. The model takes frames with these
        columns alone, in this order.

    Raises
    ------
    ProblemError
        If a field breaks its rule.

    Warns
    -----
    UserWarning
        If ``flip_cost <= 2 radius``: half of the labels can be flipped, and ``b = 0`` is optimal.

    References
    ----------
    Shafieezadeh-Abadeh, Mohajerin Esfahani & Kuhn 2015, "Distributionally robust logistic
    regression"; Shafieezadeh-Abadeh, Kuhn & Mohajerin Esfahani 2019, "Regularization via mass
    transportation", theorem 14 and corollary 15.

    Examples
    --------
    >>> import convexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 3))
    >>> y = np.where(X[:, 0] + 0.5 * rng.standard_normal(100) > 0, 1, -1)
    >>> solution = cx.solve(cx.WassersteinClassification(X, y, radius=0.1, flip_cost=1.0))
    >>> solution.status.name, bool(solution.objective < np.log(2))
    ('OPTIMAL', True)
    """

    classification: ClassVar[bool] = True

    _: KW_ONLY
    flip_cost: float = np.inf
    loss: str = "logistic"
    order: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("loss", choice("loss", self.loss, list(LABELS)))
        self._set("flip_cost", positive_or_inf("flip_cost", self.flip_cost))
        self._set("order", _order(self.order, orders(LABELS[self.loss])))
        assert self.labels.classes is not None  # validates
        raw = np.array(raw_labels("y", self.y))
        raw.setflags(write=False)
        self._set("y", raw)
        flips = orders(LABELS[self.loss], flips=True)
        if np.isfinite(self.flip_cost) and self.order not in flips:
            raise ProblemError(
                f"flip_cost must be inf for order {self.order:g}, got {self.flip_cost!r}"
            )
        if self.flip_cost <= 2.0 * self.radius:
            warnings.warn(
                f"flip_cost {self.flip_cost:g} <= 2 radius: half of the labels can be flipped, "
                "and the zero model is optimal",
                stacklevel=3,
            )

    @cached_property
    def form(self) -> WassersteinForm:
        """The canonical form."""
        return self._form(LABELS[self.loss], self.order, self.flip_cost, np.inf)

    @property
    def _flip_cost(self) -> float:
        return self.flip_cost if np.isfinite(self.flip_cost) else 0.0


@declaration
class WassersteinRegression(WassersteinLinear):
    """Minimise ``sup_Q E_Q[l(x'b + c - y)]`` over Q within `radius` of the samples.

    The transport cost between ``(x, y)`` and ``(x', y')`` is ``||x - x'|| + target_cost |y - y'|``;
    ``l`` is ``r^2`` (orders 2 and inf), or ``|r|``, the Huber or the pinball loss (order 1).
    `convexnn.wasserstein` lists the programs.

    Parameters
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
    radius : float
        In the units of the ground norm; 0 is plain risk minimisation.
    target_cost : float, default inf
        Cost of moving a target by one unit, > 0; ``inf`` keeps targets as they are.
    norm : {"l2", "l1", "linf"}, default "l2"
        Ground norm; the model is penalised in its dual.
    loss : {"squared", "absolute", "huber", "quantile"}, default "squared"
    order : {1, 2, inf}, optional
        2 for squared residuals, 1 for the others, if not given.
    quantile : float, default 0.5
        Level of the pinball loss, in (0, 1).
    delta : float, default 1.0
        Residual at which the Huber loss, ``r^2 / 2`` inside, turns linear; > 0.
    intercept : bool, default True
        Never penalised.
    weights : array of shape (n,), optional
        Of the samples in the reference distribution, >= 0 and not all zero; scaled to sum 1. A
        weight of 2 is a row twice. Rows of weight 0 are left out: X, y and weights hold the others.
    risk : {"mean"}, default "mean"
        No other risk: the worst distribution of the ball is one.
    feature_names : sequence of str, optional
        Names of the columns of X; a frame brings its own. The model takes frames with these
        columns alone, in this order.

    Raises
    ------
    ProblemError
        If a field breaks its rule; of order 1 the worst case of squared residuals is infinite.

    References
    ----------
    Shafieezadeh-Abadeh, Kuhn & Mohajerin Esfahani 2019, "Regularization via mass transportation",
    theorem 4; Blanchet, Kang & Murthy 2019, "Robust Wasserstein profile inference", proposition 2.

    Examples
    --------
    >>> import convexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((100, 3))
    >>> solution = cx.solve(cx.WassersteinRegression(X, X[:, 0] + 1.0, radius=0.1))
    >>> solution.status.name
    'OPTIMAL'
    """

    classification: ClassVar[bool] = False

    _: KW_ONLY
    target_cost: float = np.inf
    loss: str = "squared"
    order: float | None = None
    quantile: float = 0.5
    delta: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("loss", choice("loss", self.loss, list(RESIDUALS)))
        self._set("target_cost", positive_or_inf("target_cost", self.target_cost))
        self._set("quantile", probability("quantile", self.quantile))
        self._set("delta", positive("delta", self.delta))
        allowed = orders(self._loss)
        order = allowed[0] if self.order is None else self.order
        self._set("order", _order(order, allowed))
        self._set("y", in_range("y", self.labels.targets))

    @property
    def _loss(self) -> ScalarLoss:
        return RESIDUALS[self.loss](self)

    @cached_property
    def form(self) -> WassersteinForm:
        """The canonical form."""
        assert self.order is not None
        return self._form(self._loss, self.order, np.inf, self.target_cost)


RESIDUALS: dict[str, Callable[[WassersteinRegression], ScalarLoss]] = {
    "squared": lambda problem: Squared(),
    "absolute": lambda problem: Absolute(),
    "huber": lambda problem: Huber(problem.delta),
    "quantile": lambda problem: Quantile(problem.quantile),
}


def _order(value: float, allowed: tuple[float, ...]) -> float:
    rule = f"one of {', '.join(f'{order:g}' for order in allowed)} for this loss"
    order = real("order", value, rule)
    if order not in allowed:
        raise ProblemError(f"order must be {rule}, got {shown(value)}")
    return order
