"""Linear classification and regression against a Wasserstein ball of distributions."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.certificate import Certificate
from convexnn.contract.checks import (
    Labels,
    ProblemError,
    choice,
    flag,
    given_labels,
    labels,
    non_negative,
    positive,
    positive_or_inf,
    probability,
    real_array,
)
from convexnn.contract.problem import Builder
from convexnn.contract.program import CvxpyProgram
from convexnn.functions.losses import Absolute, Hinge, Huber, Logistic, Loss, Quantile, Squared
from convexnn.functions.norms import DUAL
from convexnn.problems.wasserstein.linear_formula import formula
from convexnn.wasserstein.bound import lower_bound
from convexnn.wasserstein.coordinates import Coordinates, coordinates
from convexnn.wasserstein.forms import Linear, Slopes, WassersteinForm, constant_model
from convexnn.wasserstein.linear_model import LinearModel
from convexnn.wasserstein.worst_case import Atoms, WorstCase
from convexnn.wasserstein.worst_moves import envelope, rate, steepest, worst_moves

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DEAD = 1e-9  # coefficients below this share of the largest may be dropped under an l1 norm
ORDERS = (1.0, 2.0, np.inf)


@dataclass(frozen=True, eq=False)
class WassersteinLinear(Builder):
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
    """

    FORMS: ClassVar[dict[type, str]] = {WassersteinForm: "form"}
    classification: ClassVar[bool]

    X: Array
    y: Any
    _: KW_ONLY
    radius: float
    norm: str = "l2"
    intercept: bool = True

    def __post_init__(self) -> None:
        self._set("X", real_array("X", self.X, 2))
        self._set("radius", non_negative("radius", self.radius))
        self._set("norm", choice("norm", self.norm, list(DUAL)))
        self._set("intercept", flag("intercept", self.intercept))

    @cached_property
    def labels(self) -> Labels:
        """Targets as the losses want them."""
        return labels("y", self.y, len(self.X), classification=self.classification)

    @property
    @abstractmethod
    def form(self) -> WassersteinForm:
        """The canonical form."""

    @cached_property
    def coordinates(self) -> Coordinates:
        """Centred and scaled data."""
        rotates, plain = DUAL[self.norm].rotates, self.radius == 0.0
        return coordinates(self.X, rotates, self.intercept, plain)

    def needs(self) -> frozenset[str]:
        """Return the cones of the loss, and of the norm."""
        form = self.form
        cones: frozenset[str] = form.loss.cones
        if form.radius == 0.0:
            return cones
        if form.order == 2.0 or form.norm.name == "l2":
            cones = cones | {"soc"}
        return cones

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with variables b, c, z and lam in `coordinates`."""
        return formula(self.form, self.needs())

    @cached_property
    def _zero(self) -> tuple[Linear, Slopes]:
        return constant_model(self.form)

    def initial(self) -> tuple[Linear, Slopes]:
        """Return the best constant model, exact for a large radius, and its slopes."""
        return self._zero

    def objective(self, primal: Linear) -> float:
        """Return the worst case of the model over the ball."""
        return self.form.risk(primal)

    def certify(self, primal: Linear, dual: Slopes) -> Certificate:
        """Grade a model and slopes of its worst case."""
        risk = self.form.risk(primal)
        return Certificate(risk, lower_bound(self.form, dual, primal, risk), 0.0, "this ball")

    def prune(self, primal: Linear) -> Linear:
        """Return zeros if no risk is lost; under an l1 norm, drop what rounding left."""
        zero = self._zero[0]
        if self.form.risk(zero) <= self.form.risk(primal):
            return zero
        if self.form.norm.name != "l1" or self.form.radius == 0.0:
            return primal
        size = np.abs(primal.coef)
        return primal._replace(coef=np.where(size > DEAD * size.max(), primal.coef, 0.0))

    def build_model(self, primal: Linear) -> LinearModel:
        """Return the model in the coordinates of the data, with its worst case."""
        coef = self.coordinates.coef(primal.coef)
        own = primal.intercept[0] if self.intercept else 0.0
        intercept = float(own - self.coordinates.mean @ coef)
        adversary = partial(self.worst_case, primal)
        return LinearModel(coef, intercept, self.labels.classes, adversary)

    def losses(self, model: LinearModel, X: ArrayLike, y: Any) -> Array:
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
        z = model.decision_function(X)
        form, classes = self.form, self.labels.classes
        if classes is None:
            target = labels("y", y, len(z), classification=False).targets
            return (2.0 if form.squared else 1.0) * form.loss.value(z, target)
        found = np.asarray(y)
        if found.shape != z.shape or not np.isin(found, classes).all():
            raise ProblemError(f"y must hold {len(z)} labels, each {classes[0]} or {classes[1]}")
        return form.loss.value(z, np.where(found == classes[1], 1.0, -1.0))

    def holdout(self, model: LinearModel, X: ArrayLike, y: Any) -> float:
        """Return the mean of `losses`."""
        return float(self.losses(model, X, y).mean())

    def expected_loss(self, model: LinearModel, atoms: Atoms) -> float:
        """Return a model's expected loss under a distribution, for instance its worst case.

        This is the other side of the certificate: with ``model.worst_case.atoms``, whose
        ``transport(order)`` is within the radius, it is the objective again.
        """
        return float(atoms.mass @ self.losses(model, atoms.location, atoms.target))

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
        moves = worst_moves(form, primal)
        v = steepest(form.norm, primal.coef)
        if where.basis is not None:
            v = where.basis @ v
        y = np.asarray(self.y)[moves.source]
        location, cost = self.X[moves.source], np.abs(moves.distance) * where.scale
        if form.loss.classification:
            classes = self.labels.classes
            assert classes is not None
            target = np.where(moves.flipped, np.where(y == classes[0], classes[1], classes[0]), y)
            cost = cost + np.where(moves.flipped, self._flip_cost, 0.0)
        else:
            target = y.astype(np.float64)
        if form.floor > form.length(primal):  # moving the target is the cheaper way
            target = target - moves.distance * form.floor
        else:
            location = location + np.outer(moves.distance * where.scale, v)
        gradient, weights = envelope(form, primal)
        length = float(form.norm.value(where.coef(primal.coef)[None, :])[0]) * where.scale
        power = form.order if np.isfinite(form.order) else 1.0
        return WorstCase(
            value=form.risk(primal),
            atoms=Atoms(moves.source, location, moves.mass, cost, target),
            weights=weights,
            gradient=gradient,
            multiplier=rate(form, primal, length) / where.scale**power,
            attained=moves.attained,
            ray=None if moves.attained else v * np.sign(moves.distance[-1]),
        )

    @property
    def _flip_cost(self) -> float:
        return 0.0


@dataclass(frozen=True, eq=False)
class WassersteinClassification(WassersteinLinear):
    """Minimise ``sup_Q E_Q[l(y (x'b + c))]`` over Q within `radius` of the samples.

    The transport cost between ``(x, y)`` and ``(x', y')`` is ``||x - x'|| + flip_cost 1[y != y']``;
    ``l`` is ``log(1 + exp(-m))`` or ``max(0, 1 - m)``; the distance is of Wasserstein order 1, 2
    (hinge) or inf. `convexnn.wasserstein` lists the programs.

    Parameters
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
        Two different values.
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
        self._set("loss", choice("loss", self.loss, ["logistic", "hinge"]))
        self._set("flip_cost", positive_or_inf("flip_cost", self.flip_cost))
        self._set("order", _order(self.order, (1.0, np.inf) if self.loss == "logistic" else ORDERS))
        assert self.labels.classes is not None  # validates
        raw = np.array(given_labels(self.y))
        raw.setflags(write=False)
        self._set("y", raw)
        if np.isfinite(self.flip_cost) and self.order != 1.0:
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
        where = self.coordinates
        loss: Loss = Logistic() if self.loss == "logistic" else Hinge()
        return WassersteinForm(
            X=where.matrix,
            y=self.labels.targets,
            loss=loss,
            lipschitz=1.0,
            norm=DUAL[self.norm],
            radius=self.radius / where.scale,
            order=self.order,
            flip=self.flip_cost / where.scale,
            floor=0.0,
            intercept=self.intercept,
        )

    @property
    def _flip_cost(self) -> float:
        return self.flip_cost if np.isfinite(self.flip_cost) else 0.0


@dataclass(frozen=True, eq=False)
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
        self._set("loss", choice("loss", self.loss, ["squared", "absolute", "huber", "quantile"]))
        self._set("target_cost", positive_or_inf("target_cost", self.target_cost))
        self._set("quantile", probability("quantile", self.quantile))
        self._set("delta", positive("delta", self.delta))
        squared = self.loss == "squared"
        allowed = (2.0, np.inf) if squared else (1.0,)
        order = allowed[0] if self.order is None else self.order
        self._set("order", _order(order, allowed))
        self._set("y", self.labels.targets)

    @cached_property
    def form(self) -> WassersteinForm:
        """The canonical form."""
        where = self.coordinates
        losses: dict[str, tuple[Loss, float]] = {
            "squared": (Squared(), np.inf),
            "absolute": (Absolute(), 1.0),
            "huber": (Huber(self.delta), self.delta),
            "quantile": (Quantile(self.quantile), max(self.quantile, 1.0 - self.quantile)),
        }
        loss, lipschitz = losses[self.loss]
        assert self.order is not None
        return WassersteinForm(
            X=where.matrix,
            y=self.labels.targets,
            loss=loss,
            lipschitz=lipschitz,
            norm=DUAL[self.norm],
            radius=self.radius / where.scale,
            order=self.order,
            flip=np.inf,
            floor=where.scale / self.target_cost,
            intercept=self.intercept,
        )


def _order(value: float, allowed: tuple[float, ...]) -> float:
    if isinstance(value, (bool, str)) or value not in allowed:
        rule = ", ".join(f"{order:g}" for order in allowed)
        raise ProblemError(f"order must be one of {rule} for this loss, got {value!r}")
    return float(value)
