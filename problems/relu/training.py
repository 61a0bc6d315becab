"""What the problems that train a two-layer network share: data, coordinates, network."""

from __future__ import annotations

from dataclasses import KW_ONLY
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from scipy.linalg import qr
from scipy.optimize import nnls

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.checks import (
    ProblemError,
    aligned,
    choice,
    flag,
    in_range,
    instance_of,
    positive,
    real_array,
)
from convexnn.contract.clock import seconds_left
from convexnn.contract.features import Names, column_names
from convexnn.contract.fields import Converted, declaration, default, keep_names
from convexnn.contract.grading import Bound, Halves
from convexnn.contract.labels import (
    Labels,
    coded,
    known_labels,
    labels,
    raw_labels,
    several_classes,
    several_targets,
)
from convexnn.contract.scales import scaling
from convexnn.functions.losses import LOSSES, Loss, as_loss
from convexnn.functions.norms import NORMS, Norm
from convexnn.functions.risked import risked
from convexnn.functions.risks import MEAN, Risk, checked_risk
from convexnn.functions.weighted import checked_weights, in_use, rows_of
from convexnn.relu.forms import Dual, Neurons, outputs_of
from convexnn.relu.network import Network, TwoLayerNetwork

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import BoolArray, LabelArray

SEVERAL = "; more are for loss='softmax' or multiclass='one-vs-rest'"
DEAD = 1e-7  # neurons whose norm is below this share of the largest are numerically dead
NEGLIGIBLE = 1e-10  # and those whose penalty is below this share of the objective
SPARING = 2.5e-9  # seconds that an entry of a row's products takes in `without_spare`, measured
EVEN = 16.0  # ratio of squared singular values up to which they are all told from products
# what holds beta
FORMS = ("_group_form", "_network_form", "_outline", "_majorant_form", "_form", "_search")


class Design(NamedTuple):
    """The data in the coordinates that engines work in.

    ``[X, 1] = scale * matrix @ basis.T`` up to a part of Frobenius norm ``scale * slack``. A
    weight vector ``v`` of the matrix is ``basis @ v / scale`` for the data, and costs
    ``beta / scale`` per unit of norm.

    Attributes
    ----------
    matrix : array of shape (n, r)
    basis : array of shape (d, r) or None
        Orthonormal basis of the row space, where d > r and the norm allows it; None: identity.
    scale : float
        A power of two near the root mean square of the data, so that nothing is rounded.
    slack : float
    """

    matrix: Array
    basis: Array | None
    scale: float
    slack: float

    def original(self, weights: Array) -> Array:
        """Return columns of weights in the coordinates of the data."""
        mapped = weights if self.basis is None else self.basis @ weights
        return mapped / self.scale


def make_design(data: Array, norm: Norm, *, reduce: bool = True) -> Design:
    """Scale the data and, for a rotation-invariant norm, drop the directions they do not span."""
    scale = float(2.0 ** np.round(np.log2(np.max(np.abs(data)))))
    scale *= float(2.0 ** np.round(0.5 * np.log2(np.mean(np.square(data / scale)))))
    matrix = np.ascontiguousarray(data / scale)
    n, d = matrix.shape
    basis, slack = None, 0.0
    turns = reduce and norm.rotates and d > 1
    if turns and (d > n or (_dependent(matrix) and _dependent(matrix / _units(matrix)))):
        s, Vt = principal_axes(matrix)
        rank = int((s > 1e-13 * max(n, d) * s[0]).sum())
        if rank < d:
            basis = np.ascontiguousarray(Vt[:rank].T)
            reduced = np.ascontiguousarray(matrix @ basis)
            slack = float(np.linalg.norm(matrix - reduced @ basis.T))
            matrix = reduced
    frozen(matrix)
    return Design(matrix, basis, scale, slack)


def principal_axes(matrix: Array) -> tuple[Array, Array]:
    """Return the singular values, falling, and the orthonormal right singular vectors, one a row.

    Of wide data whose rows are about as long in every direction they are found from the rows'
    products, in a twentieth of the time: what squaring loses is then no digit.

    Examples
    --------
    >>> sizes, axes = principal_axes(np.array([[0.0, 3.0, 0.0], [2.0, 0.0, 0.0]]))
    >>> sizes, np.abs(axes)
    (array([3., 2.]), array([[0., 1., 0.],
           [1., 0., 0.]]))
    """
    n, d = matrix.shape
    if n < d:
        squares, turn = np.linalg.eigh(matrix @ matrix.T)
        if 0.0 < squares[-1] <= EVEN * squares[0]:
            sizes = np.sqrt(squares[::-1])
            return sizes, (turn[:, ::-1] / sizes).T @ matrix
    _, sizes, axes = np.linalg.svd(matrix, full_matrices=False)
    return sizes, axes


def _dependent(matrix: Array) -> bool:
    """Tell whether columns may be dependent, by the eigenvalues of the Gram matrix."""
    spectrum = np.linalg.eigvalsh(matrix.T @ matrix)
    return bool(spectrum[0] <= 1e-9 * spectrum[-1])


def _units(matrix: Array) -> Array:
    """Return the largest entry of each column: in small units it is not near zero."""
    largest: Array = np.max(np.abs(matrix), axis=0)
    return np.where(largest > 0.0, largest, 1.0)


@declaration
class Training(Halves[Network]):
    """Base of the builders: examples, targets, loss and weight of the penalty.

    Examples of weight 0 are left out: X, y and weights hold the others.
    """

    vector: ClassVar[bool] = False  # whether it takes several outputs
    X: Converted[ArrayLike, Array]
    y: Converted[ArrayLike, LabelArray]
    _: KW_ONLY
    beta: float
    loss: Converted[str | Loss, Loss] = default("squared")
    bias: bool = False
    weights: Converted[ArrayLike | None, Array | None] = default(None)
    risk: str | Risk = MEAN
    _kept: ClassVar[BoolArray | None]  # rows that were not left out; of an instance, None for all
    feature_names: Converted[Iterable[str] | None, Names] = default(None)

    def __post_init__(self) -> None:
        aligned("X", self.X, y=self.y, weights=self.weights)
        found = column_names("X", self.X)
        self._set("X", self._examples())
        keep_names(self, self.X.shape[1], found)
        self._set("beta", positive("beta", self.beta))
        self._set("bias", flag("bias", self.bias))
        self._set("loss", checked_loss(self.loss, self.vector))
        count = len(self.X)
        self._set("_kept", self._kept_rows())
        self._set("risk", checked_risk(self.risk, count, "row of X", self._kept))
        if not self.X.any():
            raise ProblemError("X must have at least one non-zero entry, got only zeros")
        self._set("y", checked_targets(self.y, self.labels, self._loss))

    def _kept_rows(self) -> BoolArray | None:
        """Check the weights, leave out examples of weight 0, and tell which stay; None for all."""
        if self.weights is None:
            return None
        weights = checked_weights(self.weights, len(self.X), "row of X")
        kept, y = in_use(weights), raw_labels("y", self.y)
        if kept is None or y.shape[:1] != kept.shape:  # the check of y says so
            self._set("weights", weights)
            return None
        for name, array in (("X", self.X), ("y", y), ("weights", weights)):
            self._set(name, rows_of(array, kept))
        return kept

    @cached_property
    def _loss(self) -> Loss:
        """The loss, examples counted by their weights, under the risk."""
        return risked(self.loss, self.weights, self.risk, len(self.X))

    def _examples(self) -> Array:
        """Return the examples, checked."""
        return in_range("X", real_array("X", self.X, 2))

    def at(self, beta: float) -> Self:
        """Return the same problem with another beta, sharing all that does not depend on it."""
        other = object.__new__(type(self))  # a copy would be declared anew, and share nothing
        other.__dict__.update(self.__dict__)
        other._set("beta", positive("beta", beta))
        for name in FORMS:
            form = other.__dict__.pop(name, None)
            if "beta" in getattr(form, "_fields", ()):
                other._set(name, form._replace(beta=other.beta / self.design.scale))
        return other

    @cached_property
    def labels(self) -> Labels:
        """Targets as the loss wants them, and the two labels they stand for."""
        return labels("y", self.y, len(self.X), classification=self.loss.classification)

    @property
    def _norm(self) -> Norm:
        return NORMS["l2"]

    @cached_property
    def data(self) -> Array:
        """The examples, with a column of ones if there is a bias."""
        if not self.bias:
            return self.X
        data = np.hstack([self.X, np.ones((len(self.X), 1))])
        frozen(data)
        return data

    @cached_property
    def design(self) -> Design:
        """The data in the coordinates that engines work in."""
        return make_design(self.data, self._norm, reduce=self._turns)

    @property
    def _turns(self) -> bool:
        """Whether engines may work in a basis of the rows: not where coordinates have a meaning."""
        return True

    def scaling(self) -> str:
        """Return a sentence on scales of the data, or of the penalty, that are far apart."""
        return scaling(self.X, self.labels.targets, self.feature_names, self._share())

    def _share(self) -> float:
        """Return beta as a share of one that leaves no neuron, 1 where none is told."""
        return 1.0

    def unwritten(self) -> tuple[Neurons, Any]:
        """Return the zero network and zero multipliers, which are graded without any form."""
        y, none = self.labels.targets, np.zeros((self.design.matrix.shape[1], 0))
        return Neurons(none, none, self._still()), Dual(np.zeros_like(y))

    def _still(self) -> Array:
        """Return a free part of zeros."""
        size = 1 if self._constant else self.design.matrix.shape[1]
        return np.zeros((size, *self.labels.targets.shape[1:]))

    @property
    def _constant(self) -> bool:
        """Whether each output has a free constant."""
        return False

    def _idle(self) -> float:
        """Return the objective of the zero network."""
        y = self.labels.targets
        return float(self._loss.value(np.zeros_like(y), y).sum())

    def _of_nothing(self, dual: Any, scope: str) -> Bound | None:
        """Return what zero multipliers prove of any patterns, None of others."""
        y, mu = self.labels.targets, dual.mu
        if not isinstance(mu, np.ndarray) or mu.shape != y.shape or mu.any():
            return None
        return Bound(0.0 - float(np.sum(self._loss.conjugate(mu, y))), scope)

    def holdout(
        self, model: Network, X: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None
    ) -> float:
        """Return the mean loss of a network on some examples, without the penalty.

        By the examples' weights, where they are given. Of several outputs, it is the mean of the
        sum of their losses.

        Raises
        ------
        ProblemError
            If y has another shape, or labels that the problem does not know, or weights are none.
        """
        instance_of("model", model, Network, "a network")
        aligned("X", X, y=y, weights=weights)
        z, classes = model.decision_function(X), self.labels.classes
        if classes is None:
            target = several_targets("y", y, len(z)).targets
            if target.shape != z.shape:
                raise ProblemError(f"y must have shape {z.shape}, got {target.shape}")
        else:
            found = known_labels("y", y, len(z), classes)
            codes = np.searchsorted(classes, found)
            target = coded(codes, len(classes), margin=self.loss.separable)
        losses = self.loss.value(z, target)
        if weights is None:
            return float(np.sum(losses)) / len(z)
        counts = checked_weights(weights, len(z), "row of X")
        return float(counts @ losses.reshape(len(z), -1).sum(axis=1)) / float(counts.sum())

    def prune(self, primal: Neurons, objective: float | None = None) -> Neurons:
        """Return the neurons with those that are numerically dead set to zero."""
        worth = self.objective(primal) if objective is None else objective
        return without_dead(primal, self._norm, worth * self.design.scale / self.beta)

    def _penalty(self, primal: Neurons) -> float:
        norms = self._norm
        total = norms.value(primal.V.T).sum() + norms.value(primal.W.T).sum()
        return float(self.beta / self.design.scale * total)

    def _network(
        self,
        V: Array,
        W: Array,
        *,
        skip: Array | None = None,
        constant: Array | None = None,
        leak: float = 0.0,
        gates_v: Array | None = None,
    ) -> TwoLayerNetwork:
        return self._layers(*self._balanced(V, W, gates_v), skip, constant, leak)

    def _balanced(
        self, V: Array, W: Array, gates_v: Array | None = None
    ) -> tuple[Array, Array, Array | None]:
        """Split each neuron ``v`` into two balanced layers, ``||u|| = |alpha| = sqrt||v||``.

        Each neuron has one output, in the order of `Neurons`.
        """
        weights = np.hstack([V, W])
        k = outputs_of(self.labels.targets)
        own = np.concatenate([np.repeat(np.eye(k), part.shape[1] // k, axis=0) for part in (V, W)])
        own[V.shape[1] :] *= -1.0
        size = self._norm.value(weights.T)
        alive = size > 0.0
        root = np.sqrt(size[alive])
        gates = None if gates_v is None else np.tile(gates_v, k)[:, alive]
        return weights[:, alive] / root, own[alive] * root[:, None], gates

    def _layers(
        self,
        U: Array,
        alpha: Array,
        gates: Array | None = None,
        skip: Array | None = None,
        constant: Array | None = None,
        leak: float = 0.0,
    ) -> TwoLayerNetwork:
        d = self.X.shape[1]
        if constant is None:
            constant = np.zeros(1) if skip is None or not self.bias else skip[d:]
        return TwoLayerNetwork(
            U=U[:d],
            alpha=alpha,
            bias=U[d] if self.bias else np.zeros(U.shape[1]),
            leak=leak,
            skip=None if skip is None else skip[:d],
            skip_bias=float(constant[0]) if len(constant) == 1 else 0.0,
            gates=None if gates is None else gates[:d],
            gates_bias=gates[d] if gates is not None and self.bias else None,
            classes=self.labels.classes,
            feature_names=self.feature_names,
            offsets=constant.copy() if len(constant) > 1 else None,
        )


def checked_loss(loss: str | Loss, vector: bool) -> Loss:
    """Return a loss given by its name or itself, for several outputs (`vector`) or for one.

    Raises
    ------
    ProblemError
        If it is neither, has weights, or couples outputs where there is one.
    """
    found = as_loss(loss)
    if found.weights is not None:
        raise ProblemError("loss must be of one example, got a weighted one: give weights")
    if not (found.separable or vector):
        raise ProblemError(f"loss must be one of {', '.join(LOSSES)}, got {found.name!r}")
    return found


def checked_targets(y: ArrayLike, found: Labels, loss: Loss) -> LabelArray:
    """Return targets, or the user's own labels, read-only.

    Raises
    ------
    ProblemError
        If the loss at the zero network is not finite, or of a risk may be negative.
    """
    if not loss.additive:
        least = -loss.plain.conjugate(np.zeros(found.targets.shape), found.targets)
        if not np.all(least >= 0.0):
            raise ProblemError(
                f'risk must be "mean" for a loss that may be negative, as {loss.name!r} is'
            )
    with np.errstate(over="ignore"):
        worth = float(loss.value(np.zeros(found.targets.shape), found.targets).sum())
    if not np.isfinite(worth):
        raise ProblemError(f"y must have a finite loss at the zero network, got {worth}")
    kept = in_range("y", found.targets)
    if found.classes is not None:
        kept = np.array(raw_labels("y", y), copy=True)
    frozen(kept)
    return kept


def without_dead(primal: Neurons, norm: Norm, worth: float) -> Neurons:
    """Return the neurons with those that are numerically dead set to zero.

    Where none is alive, the largest is no measure of what is dead: the objective, in units of
    the penalty's weight, is.
    """
    size_v, size_w = sizes(norm, primal.V), sizes(norm, primal.W)
    largest = max(np.max(size_v, initial=0.0), np.max(size_w, initial=0.0))
    level = max(DEAD * largest, NEGLIGIBLE * worth)
    return primal._replace(
        V=np.where(size_v > level, primal.V, 0.0), W=np.where(size_w > level, primal.W, 0.0)
    )


def affordable(count: int, n: int) -> bool:
    """Tell whether the run under way has the time for `without_spare` of so many columns.

    Examples
    --------
    >>> affordable(1_000_000, 1_000_000)
    True
    """
    return SPARING * count * min(count, n + 1) ** 2 < seconds_left()


def without_spare(c: Array, columns: Array) -> Array:
    """Return coefficients with the same sum of columns and no larger l1 norm, few of them not zero.

    Those not zero are at most one more than the rank of the columns: a vertex of the face of all
    such coefficients of the same signs. Where none is found, the coefficients are returned.
    """
    if len(c) == 0:
        return c
    rows: Array = np.empty((len(columns) + 1, len(c)))
    np.multiply(columns, np.sign(c), out=rows[:-1])
    rows[-1] = max(np.max(rows[:-1]), -np.min(rows[:-1]))
    if len(rows) > len(c):
        triangle: Any = qr(rows, mode="r", overwrite_a=True)[0]
        rows = triangle[: len(c)]
    try:
        fewer, _ = nnls(rows, rows @ np.abs(c))
    except RuntimeError:  # too many steps
        return c
    kept: Array = np.sign(c) * fewer
    return kept


def sizes(norm: Norm, weights: Array) -> Array:
    """Return the norm that each column has a part in."""
    size = norm.value(weights.T)
    return np.tile(size, weights.shape[1] // max(len(size), 1))


@declaration
class VectorTraining(Training):
    """Training that takes several outputs: several targets, or more than two classes."""

    vector: ClassVar[bool] = True
    _: KW_ONLY
    multiclass: str | None = None

    def __post_init__(self) -> None:
        if self.multiclass is not None:
            choice("multiclass", self.multiclass, ("one-vs-rest",))
        super().__post_init__()
        two_sided = self.loss.classification and self.loss.separable
        if self.multiclass is not None and not two_sided:
            raise ProblemError(
                f"multiclass must be None for loss {self.loss.name!r}, got {self.multiclass!r}"
            )

    @cached_property
    def labels(self) -> Labels:
        """Targets as the loss wants them, a column for each output, and the labels they are."""
        n = len(self.X)
        if not self.loss.classification:
            return several_targets("y", self.y, n)
        if not self.loss.separable:
            return several_classes("y", self.y, n, one_vs_rest=False)
        if self.multiclass is not None:
            return several_classes("y", self.y, n, one_vs_rest=True)
        return labels("y", self.y, n, classification=True, otherwise=SEVERAL)

    def _share(self) -> float:
        y = self.labels.targets
        slopes = np.abs(self._loss.gradient(np.zeros_like(y), y)).reshape(len(y), -1)
        lengths = np.linalg.norm(self.data.reshape(len(y), -1), axis=1)
        critical = float(np.max(lengths @ slopes))
        return self.beta / critical if critical > 0.0 else 1.0

    @property
    def outputs(self) -> int:
        """The number of outputs of the network."""
        return outputs_of(self.labels.targets)
