"""Training of deep and narrow networks of one input as a lasso over an explicit dictionary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import KW_ONLY
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from convexnn.contract.arrays import Array, BoolArray, LabelArray, taken
from convexnn.contract.checks import ProblemError, aligned, choice, in_range, positive, positive_int
from convexnn.contract.clock import look
from convexnn.contract.features import Names, column_names
from convexnn.contract.fields import Converted, declaration, default, keep_names
from convexnn.contract.grading import Bound, Grade, Halves
from convexnn.contract.labels import Labels, labels, raw_labels
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.scales import scaling
from convexnn.contract.system.memory import Size
from convexnn.functions.losses import Loss
from convexnn.functions.norms import L1
from convexnn.functions.risked import risked
from convexnn.functions.risks import MEAN, Risk, checked_risk
from convexnn.functions.weighted import checked_weights, in_use, rows_of
from convexnn.problems.relu.formulas import group_lasso_formula
from convexnn.problems.relu.training import (
    affordable,
    checked_loss,
    checked_targets,
    without_dead,
    without_spare,
)
from convexnn.relu.bound import feasible, grounded, limit, nothing, scaled_value
from convexnn.relu.forms import Dual, GroupForm, Neurons
from convexnn.relu.free_part import FreePart
from convexnn.relu.narrow.dictionaries import Dictionary, Shaped, Steps, dictionary, folds_bound
from convexnn.relu.narrow.network import ACTIVATIONS, STEPS, NarrowNetwork, points_of

ENTRIES = 1 << 20  # features that are listed between two looks at the clock
GRADING = 17.0  # bytes an entry of the features takes while they are listed, measured
COEFFICIENT = 26.0  # bytes a coefficient takes where they are not listed, measured
SPARSE = 15  # non-zeros for each example of the formula in the values of the fit, measured
MOST_FOLDS = 2_000_000  # candidates for features of an absolute value network that are looked at
NEARLY = 1e-8  # share of the objective that coefficients may cost which are left out
LOST = 1e-14  # beta as a share of that of a constant network, below which rounding hides it
TOO_DEEP = 6  # layers of absolute values that have more for two points already


@declaration
class UnivariateReluTraining(Halves[NarrowNetwork]):
    """Train networks of one input, chains of single neurons side by side, to global optimality.

    Over any number m of chains, with L layers each and offsets that cost nothing,

        minimise  sum_i l(f(x_i); y_i) + beta / L sum_k sum_{l <= L} |w_lk|^L,
        f(x) = b + sum_k w_Lk act(w_L-1,k act(... act(w_1k x + b_1k) ...) + b_L-1,k)

    For the steps ("threshold", "sign"; L = 2), which do not see the size of ``w_1k``, neurons have
    an amplitude ``s_k`` and the penalty is ``beta / 2 sum_k (s_k^2 + w_2k^2)``. Balancing the
    layers of each chain makes the penalty ``beta`` times the product of its weights, and the
    program the lasso

        minimise  sum_i l(z_i; y_i) + beta ||c||_1,   z = b + A c

    over the features of `convexnn.relu.narrow.dictionaries`: bends at data points; from three
    layers on ramps between two of them (relu), or folds at their mirror images (abs). The optimum
    is that of all networks of this kind, however wide.

    Parameters
    ----------
    x : array of shape (n,) or (n, 1)
        Inputs in any order; equal ones are allowed, at least two must differ.
    y : array of shape (n,)
        Targets, or labels of two classes for a classification loss.
    beta : float
        Weight of the penalty, > 0.
    loss : {"squared", "logistic", "hinge", "huber"} or Loss, default "squared"
        ``1/2 (z - y)^2`` for "squared"; summed over the examples.
    layers : int, default 2
        L, the output layer included. Steps have 2: a chain of steps is a step. More than 3 relu
        layers are accepted and change nothing. The absolute value's features grow like
        ``n^(L-1)``, and at most 2,000,000 candidates are looked at.
    activation : {"relu", "abs", "threshold", "sign"}, default "relu"
        ``max(t, 0)``, ``|t|``, ``1[t >= 0]``, or 1 and -1.
    weights, risk
        As in `ReluTraining`.
    feature_names : sequence of one str, optional
        Name of the input, as in `ReluTraining`.

    Raises
    ------
    ProblemError
        If a field breaks its rule.

    Notes
    -----
    But for "abs" with three layers or more, the least norm of the coefficients is known from the
    fit's values alone: CVXPY's solvers get a formula with O(n) entries, and n = 5,000 points need
    no matrix. The other engines list the features: n columns, 2 n (relu, 2 layers) or n^2 / 2
    (relu, 3 layers or more), with 3 layers of "abs" 3 n^2 / 2.

    Beyond the data every optimal network is a choice: ramps are delivered, which end flat.

    References
    ----------
    Zeger, Wang, Mishkin, Ergen, Candes & Pilanci 2024, "A library of mirrors: deep neural nets in
    low dimensions are convex lasso models with reflection features" (arXiv 2403.01046).

    Examples
    --------
    >>> import convexnn as cx
    >>> x = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    >>> solution = cx.solve(cx.UnivariateReluTraining(x, np.abs(x - 2.0), beta=0.01))
    >>> solution.certificate.scope, solution.model.knots
    ('all networks', array([2.]))
    """

    FORMS: ClassVar[dict[type, str]] = {GroupForm: "_group_form"}
    x: Converted[ArrayLike, Array]
    y: Converted[ArrayLike, LabelArray]
    _: KW_ONLY
    beta: float
    loss: Converted[str | Loss, Loss] = default("squared")
    layers: int = 2
    activation: str = "relu"
    weights: Converted[ArrayLike | None, Array | None] = default(None)
    risk: str | Risk = MEAN
    feature_names: Converted[Iterable[str] | None, Names] = default(None)

    def __post_init__(self) -> None:
        aligned("x", self.x, y=self.y, weights=self.weights)
        found = column_names("x", self.x)
        self._set("x", in_range("x", points_of("x", self.x)))
        keep_names(self, 1, found)
        self._set("beta", positive("beta", self.beta))
        self._set("layers", positive_int("layers", self.layers))
        choice("activation", self.activation, ACTIVATIONS)
        self._set("loss", checked_loss(self.loss, False))
        count = len(self.x)
        kept = self._leave_out()
        self._set("risk", checked_risk(self.risk, count, "entry of x", kept))
        self._set("y", checked_targets(self.y, self.labels, self._loss))
        self._check_points()
        self._check_layers()

    def _leave_out(self) -> BoolArray | None:
        """Check the weights, leave out examples of weight 0, and tell which stay; None for all."""
        if self.weights is None:
            return None
        weights = checked_weights(self.weights, len(self.x), "entry of x")
        self._set("weights", weights)
        kept, y = in_use(weights), raw_labels("y", self.y)
        if kept is None or y.shape[:1] != kept.shape:  # the check of y says so
            return None
        for name, array in (("x", self.x), ("y", y), ("weights", weights)):
            self._set(name, rows_of(array, kept))
        return kept

    @cached_property
    def _loss(self) -> Loss:
        """The loss, examples counted by their weights, under the risk."""
        return risked(self.loss, self.weights, self.risk, len(self.x))

    def scaling(self) -> str:
        """Return a sentence on the scale of x or of the targets."""
        return scaling(self.x[:, None], self.labels.targets, self.feature_names or ("x",))

    def _check_points(self) -> None:
        low, high = float(np.min(self.x)), float(np.max(self.x))
        if low == high:
            raise ProblemError(f"x must have two different entries, got only {low}")
        with np.errstate(over="ignore"):
            span = high - low
        if not np.finfo(np.float64).tiny < span < np.inf:
            raise ProblemError(f"x must span a normal float, got {low} to {high}")

    def _check_layers(self) -> None:
        if self.layers < 2:
            raise ProblemError(f"layers must be >= 2, the output layer included, got {self.layers}")
        if self.activation in STEPS and self.layers > 2:
            raise ProblemError(
                f"layers must be 2 for activation {self.activation!r}, since a chain of steps is "
                f"a step, got {self.layers}"
            )
        if self.activation == "abs" and self.layers > 2:
            count = folds_bound(len(self._distinct[0]), min(self.layers, TOO_DEEP))
            if count > MOST_FOLDS:
                raise ProblemError(
                    f"layers must leave at most {MOST_FOLDS:,} candidates for features of "
                    f"activation 'abs', got {self.layers} with {len(self._distinct[0]):,} "
                    f"different points: at least {count:,}"
                )

    @cached_property
    def labels(self) -> Labels:
        """Targets as the loss wants them, and the two labels they stand for."""
        classification = self.loss.classification
        return labels("y", self.y, len(self.x), classification=classification, each="entry of x")

    @cached_property
    def _distinct(self) -> tuple[Array, Any]:
        points, inverse = np.unique(self.x, return_inverse=True)
        return points, inverse.reshape(-1)

    @cached_property
    def dictionary(self) -> Dictionary:
        """The features on the distinct points."""
        return dictionary(self._distinct[0], self.activation, self.layers)

    @property
    def _weight(self) -> float:
        """The weight of the penalty where the points are scaled."""
        return float(self.beta / self.dictionary.scale**self.dictionary.degree)

    def features(self) -> Array:
        """Return the dictionary A on the examples, (n, P), in the coordinates of the data.

        Returns
        -------
        array of shape (n, P)

        Examples
        --------
        >>> UnivariateReluTraining([3.0, 0.0, 1.0], [1.0, 0.0, 2.0], beta=1.0).features()
        array([[3., 2., 0.],
               [0., 0., 1.],
               [1., 0., 0.]])
        """
        known = self.dictionary
        listed: Array = known.matrix()[self._distinct[1]] * known.scale**known.degree
        return listed

    def remark(self) -> str:
        """Say that the penalty is lost beside the loss, where it is: in small units of x."""
        mu = self.initial()[1].mu
        least = self.dictionary.largest(self._sums(mu - np.mean(mu)))
        share = self._weight / least if least > 0.0 else 1.0
        if share >= LOST:
            return ""
        return (
            f"beta is about {share:.0e} of what makes the network constant: beside the loss the "
            "penalty is all but lost in rounding. Measure x in larger units, or raise beta."
        )

    def size(self, form: type) -> Size:
        """Return the shapes of a form: a dense dictionary, or what the formula has of entries."""
        n, count = len(self.x), len(self.dictionary)
        smooth = bool(np.isfinite(self._loss.curvature))
        if form is CvxpyProgram and isinstance(self.dictionary, Shaped):
            return Size(form, n, 1, SPARSE, False, smooth, COEFFICIENT * count)
        return Size(form, n, 1, count, False, smooth, GRADING * n * count)

    @cached_property
    def _group_form(self) -> GroupForm:
        known, rows = self.dictionary, self._distinct[1]
        listed: Array = taken((len(rows), len(known)))
        step = max(1, ENTRIES // len(rows))
        for first in range(0, len(known), step):
            look()
            columns = known.columns(np.arange(first, min(first + step, len(known))))[rows]
            listed[:, first : first + step] = columns - columns.mean(axis=0)  # that is free
        return self._empty._replace(slopes=listed)

    @cached_property
    def _empty(self) -> GroupForm:
        """The form without its features, which is enough to grade an answer."""
        n = len(self.x)
        return GroupForm(
            np.ones((n, 1)),
            self.labels.targets,
            np.zeros((n, 0)),
            None,
            self._loss,
            L1(),
            self._weight,
            True,
        )

    def needs(self) -> frozenset[str]:
        """Return the cones of the loss; the penalty is linear."""
        return self._loss.cones

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, in the values v and slopes m of the fit where it is known.

        Returns
        -------
        CvxpyProgram
            With variables v, m and z; or U, s and z, where the features are listed.
        """
        known = self.dictionary
        if not isinstance(known, Shaped):
            return group_lasso_formula(self._group_form, self.needs())
        import cvxpy as cp

        inverse = self._distinct[1]
        N = len(known.knots)
        v, m = cp.Variable(N, name="v"), cp.Variable(N - 1, name="m")
        z = cp.Variable(len(self.x), name="z")
        fit = z == v[inverse]
        steep = [] if isinstance(known, Steps) else [cp.diff(v) == cp.multiply(known.gaps, m)]
        loss, within = self._loss.program(z, self._empty.y)
        objective = loss + self._weight * known.norm(v, m)
        problem = cp.Problem(cp.Minimize(objective), [fit, *steep, *within])

        def points() -> tuple[Neurons, Dual]:
            mu, mean = fit.dual_value, float(np.mean(v.value[inverse]))
            every = known.coefficients(v.value, m.value)
            few = self._neurons(known.settled(every, self._sums(mu)), mean)
            whole = self._neurons(every, mean)
            # where the weight is lost beside the loss, so are the multipliers
            worse = self.objective(few) > (1.0 + NEARLY) * self.objective(whole)
            return (whole if worse else few), Dual(mu)

        variables = {"v": v, "z": z} | ({"m": m} if steep else {})
        return CvxpyProgram(problem, variables, points, self.needs(), True)

    def _neurons(self, c: Array, mean: float) -> Neurons:
        return Neurons(c[None, :], np.zeros((1, 0)), np.array([mean]))

    def _sums(self, mu: Array) -> Array:
        """Return a multiplier's sum over the examples at each distinct point."""
        points, inverse = self._distinct
        sums: Array = np.bincount(inverse, mu, len(points)).astype(np.float64)
        return sums

    def _fit(self, primal: Neurons) -> tuple[Array, float]:
        """Return the network's outputs on the examples and its offset."""
        values = self.dictionary.forward(primal.V[0])[self._distinct[1]]
        offset = float(primal.skip[0] - np.mean(values))
        return values + offset, offset

    def initial(self) -> tuple[Neurons, Dual]:
        """Return the zero network and the loss's slope there."""
        form = self._empty
        mu = -form.loss.gradient(np.zeros(len(form.y)), form.y)
        return self._neurons(np.zeros(len(self.dictionary)), 0.0), Dual(mu)

    def unwritten(self) -> tuple[Neurons, Dual]:
        """Return the zero network and zero multipliers, which are graded without the features."""
        zero, _ = self.initial()
        return zero, Dual(np.zeros_like(self._empty.y))

    def grade(self, primal: Neurons) -> Grade:
        """Return the objective of the network, its coefficients in V, its mean output in skip."""
        form, (z, _), c = self._empty, self._fit(primal), primal.V[0]
        norm = np.sum(np.abs(c[np.flatnonzero(c)]))  # few are not zero where n^2 / 2 are not listed
        objective = float(np.sum(form.loss.value(z, form.y)) + form.beta * norm)
        return Grade(objective)

    def bound(self, primal: Neurons, dual: Dual, grade: Grade) -> Bound:
        """Return what a dual guess proves of all networks of this kind."""
        form, scope = self._empty, "all networks"
        if not np.any(dual.mu):  # whatever the features are
            return Bound(nothing(form, dual.mu), scope)
        form, free = grounded(form, dual.mu, self._free)
        found = feasible(form, dual.mu, free)
        if found is None:
            return Bound(nothing(form, dual.mu), scope)
        worth = self.dictionary.largest(self._sums(found.mu))
        worth += self.dictionary.highest * float(found.spread.sum())
        return Bound(scaled_value(form.loss, found, limit(form.beta, worth)), scope)

    @cached_property
    def _free(self) -> FreePart:
        return FreePart(self._empty)

    def prune(self, primal: Neurons, objective: float | None = None) -> Neurons:
        """Return the coefficients of the same fit without those that it does not need.

        Where the run has no time left to find them, only the dead ones are left out.
        """
        c = primal.V[0].copy()
        some = np.flatnonzero(c)
        small = self._neurons(c[some], 0.0)
        worth = self.objective(primal) if objective is None else objective
        alive = without_dead(small, L1(), worth / self._weight).V[0]
        c[some] = alive
        used = some[alive != 0.0]
        if affordable(len(used), len(self.x)):
            columns = self.dictionary.columns(used)
            c[used] = without_spare(c[used], columns - columns.mean(axis=0))
        return primal._replace(V=c[None, :])

    def build_model(self, primal: Neurons, objective: float | None = None) -> NarrowNetwork:
        """Return the network: a balanced chain for each feature in use."""
        known = self.dictionary
        c = primal.V[0]
        used = np.flatnonzero(c)
        weight = c[used] / known.scale**known.degree
        chains = known.chains(used)
        offset = self._fit(primal)[1]
        classes, names = self.labels.classes, self.feature_names
        if isinstance(known, Steps):
            root = np.sqrt(np.abs(weight))
            layers = np.vstack([chains.signs, np.sign(weight) * root])
            biases = -chains.signs * chains.shifts
            return NarrowNetwork(
                layers, biases, offset, self.activation, root, classes, known.origin, names
            )
        root = np.abs(weight) ** (1.0 / self.layers)
        powers = root ** np.arange(1, self.layers)[:, None]  # what the layers so far multiply by
        layers = np.vstack([chains.signs * root, np.sign(weight) * root])
        biases = -powers * chains.signs * chains.shifts
        return NarrowNetwork(
            layers, biases, offset, self.activation, None, classes, known.origin, names
        )
