"""The geometric median: the point with the least weighted sum of distances to others."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.brief import brief
from convexnn.contract.checks import ProblemError, real_array, shown, whole_number
from convexnn.contract.fields import Converted, declaration, default
from convexnn.contract.grading import Bound, Grade, Halves
from convexnn.contract.program import CvxpyProgram
from convexnn.contract.system.memory import Size
from convexnn.median.forms import LARGEST, Location, MedianForm, Sight, median_form
from convexnn.median.remote import middle_of
from convexnn.median.sights import Sights
from convexnn.median.stacking import Shapes, stack, unstack

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import FloatArray
    from convexnn.median.stacking import Points

FAR = 100.0  # distances between points, from which on their distance to the origin costs digits
BLUNT = 1e8  # distances between points, from which on a solver's accuracy sees directions only


@brief
@dataclass(frozen=True, eq=False)
class Median:
    """A geometric median.

    Attributes
    ----------
    point : array of shape (d,)
    value : float
        The weighted sum of its distances to the points.
    arrays : list of arrays or None
        The point in the shapes of the arrays that each point was made of, if any.
    """

    point: Array
    value: float
    arrays: list[Any] | None


@declaration
class GeometricMedian(Halves[Median]):
    """Minimise ``sum_i w_i ||x - b_i||_2`` over points x.

    The sum of distances, not of their squares: points that hold less than half of the weight
    cannot drag x away, wherever they are. x is unique unless all points lie on one line.

    Nor do they make the certificate coarse. Where points are more than 100 times as far from the
    middle of all as most are, the gap is that of the sum less what every x has to pay for them:
    they count as if they were so far and no farther.

    Parameters
    ----------
    points : array of shape (n, d), or list
        One point a row, float32 or float64; others become float64. Or a list of n arrays, or of n
        lists of arrays: updates of a model, say, whose entries together are one point. Tensors
        of other libraries are read through ``__dlpack__`` or ``__array__``.
    weights : array of shape (n,), optional
        All >= 0, not all 0; 1 each if left out. Points of weight 0 do not count.
    shapes : tuple of shapes, optional
        Of the arrays that each row is made of, if any; found from lists of arrays.

    Raises
    ------
    ProblemError
        If a field breaks its rule.

    References
    ----------
    Vardi & Zhang 2000, "The multivariate L1-median and associated data depth", for data points
    that are optimal; Pillutla, Kakade & Harchaoui 2022, "Robust aggregation for federated
    learning", for the use on updates.

    Examples
    --------
    >>> import convexnn as cx
    >>> model = cx.solve(cx.GeometricMedian([[0, 0], [2, 0], [0, 2], [90, 90]])).model
    >>> model.point.round(3), round(model.value, 3)
    (array([1., 1.]), 130.108)
    """

    FORMS: ClassVar[dict[type, str]] = {MedianForm: "_form"}
    points: Converted[Points, FloatArray]
    _: KW_ONLY
    weights: Converted[ArrayLike | None, Array | None] = default(None)
    shapes: Converted[Iterable[Iterable[int]] | None, Shapes | None] = default(None)

    def __post_init__(self) -> None:
        rows, found = stack("points", self.points)
        self._set("points", rows)
        if max(self._ends[1], -self._ends[0]) > LARGEST:
            far = max(self._ends[1], -self._ends[0])
            raise ProblemError(f"points must have entries of size at most {LARGEST:g}, got {far:g}")
        frozen(rows)
        self._set("shapes", found or _shapes(self.shapes, rows.shape[1]))
        if self.weights is not None:
            self._set("weights", _weights(self.weights, len(rows)))

    @cached_property
    def _ends(self) -> tuple[float, float]:
        """Return the least and the greatest coordinate."""
        return float(self.points.min()), float(self.points.max())

    @cached_property
    def _form(self) -> MedianForm:
        points, given = self.points, self.weights
        weights = np.ones(1)
        if given is not None:
            counts = given > 0.0
            points, weights = points[counts], given[counts]
            if (weights == weights[0]).all():
                weights = weights[:1].copy()
        middle = middle_of(points, weights, *self._ends)
        if middle.remote is not None:
            tail, near = middle.tail(points, weights), ~middle.remote
            weights = weights if len(weights) == 1 else weights[near]
            return median_form(points[near] - middle.point, weights, middle.point, tail)
        if float(np.abs(middle.point).max()) > FAR * middle.unit:
            return median_form(points - middle.point, weights, middle.point)
        return median_form(points, weights, np.zeros(points.shape[1]))

    def size(self, form: type) -> Size:
        """Return the shape of the points; the cones hold each of them once."""
        n, d = self.points.shape
        return Size(form, n, d, 1, False, False, 2.0 * self.points.nbytes)

    def needs(self) -> frozenset[str]:
        """Return second-order cones."""
        return frozenset({"soc"})

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the sum of norms, over x less the centre of the form.

        Without what every x pays for a tail, of which the farthest are linear in x.
        """
        import cvxpy as cp

        form = self._form
        n, d = form.points.shape
        x = cp.Variable(d, name="x")
        points = np.asarray(form.points, dtype=np.float64)
        distances = cp.norm(points - np.ones((n, 1)) @ cp.reshape(x, (1, d), order="C"), 2, axis=1)
        cost = np.broadcast_to(form.weights, n) @ distances
        if form.tail is not None:
            a, shares, far, _ = form.tail
            blunt = far > BLUNT * float(np.abs(points).max(initial=0.0))
            cost = cost - (shares[blunt] / far[blunt]) @ a[blunt] @ x
            if not blunt.all():
                apart = a[~blunt] - np.ones((int((~blunt).sum()), 1)) @ cp.reshape(
                    x, (1, d), order="C"
                )
                cost = cost + shares[~blunt] @ (cp.norm(apart, 2, axis=1) - far[~blunt])
        problem = cp.Problem(cp.Minimize(cost))

        def points_of() -> tuple[Location, Sight]:
            offset = np.array(x.value, dtype=np.float64)
            return Location(offset), Sight(offset)

        return CvxpyProgram(problem, {"x": x}, points_of, self.needs(), True)

    def initial(self) -> tuple[Location, Sight]:
        """Return the weighted mean."""
        return Location(self._form.mean), Sight(self._form.mean)

    def grader(self) -> Sights:
        """Return a grader for one run."""
        return Sights(self, self._form)

    def grade(self, primal: Location) -> Grade:
        """Return the sum of distances of the point as its model holds it, in float64."""
        return self.grader().grade(primal)

    def bound(self, primal: Location, dual: Sight | None, grade: Grade) -> Bound:
        """Return what the unit vectors from a point to all others prove."""
        return self.grader().bound(dual)

    def build_model(self, primal: Location, objective: float | None = None) -> Median:
        """Return the point in the user's coordinates and shapes."""
        point = self._form.point(np.asarray(primal.offset, dtype=np.float64))
        arrays = None if self.shapes is None else unstack(point.copy(), self.shapes)
        return Median(point, self.objective(primal) if objective is None else objective, arrays)


def _weights(given: Any, n: int) -> Array:
    weights = real_array("weights", given, 1)
    if len(weights) != n:
        raise ProblemError(f"weights must have one entry per point ({n}), got {len(weights)}")
    below = np.flatnonzero(weights < 0.0)
    if len(below):
        i = int(below[0])
        raise ProblemError(f"weights must be >= 0, got {weights[i]:g} at index {i}")
    if not 0.0 < weights.sum() < LARGEST:
        raise ProblemError(f"weights must have a finite sum > 0, got {weights.sum():g}")
    return weights


def _shapes(given: Any, d: int) -> Shapes | None:
    if given is None:
        return None
    try:
        shapes = tuple(tuple(whole_number("shapes", side, 0) for side in shape) for shape in given)
    except (TypeError, ValueError):
        raise ProblemError(f"shapes must be a tuple of shapes, got {shown(given)}") from None
    held = sum(int(np.prod(shape)) for shape in shapes)
    if held != d or any(side < 0 for shape in shapes for side in shape):
        raise ProblemError(f"shapes must hold {d} entries, as each point does, got {shown(shapes)}")
    return shapes
