"""Terms of a sum over variables: value, prox, conjugate and CVXPY atom of each.

A term is a convex function ``f`` of a vector. Certificates need its conjugate, ``f*(s) = sup <s,
x> - f(x)``, and how far its domain reaches: `gauge` is the least ``t >= 0`` with ``s / t`` in it,
which makes prices feasible by scaling, and `support` the largest ``<s, x>`` over the x that the
term allows, which proves that there are none. Far from the origin ``<s, x>`` loses digits: a term
has an `anchor` amid its values, and `ceiling` bounds ``f*(t) - <t, anchor>`` over all t that
rounding may have made s of.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from convexnn.contract.checks import (
    ProblemError,
    function,
    positive,
    positive_int,
    real_array,
    shown,
)
from convexnn.contract.fields import Converted, declaration

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array

ROUNDING = 2.0**-52
TINY = float(np.finfo(float).tiny)


class Term(ABC):
    """A convex function of a vector of `size` entries, bounded below.

    Attributes
    ----------
    size : int
    cones : frozenset of str
        What a solver must know to take the CVXPY atom.
    """

    cones: ClassVar[frozenset[str]] = frozenset()

    @property
    @abstractmethod
    def size(self) -> int:
        """Return the number of entries of x."""

    @abstractmethod
    def value(self, x: Array) -> float:
        """Return ``f(x)``, inf where x is not allowed."""

    @abstractmethod
    def prox(self, v: Array, step: float) -> Array:
        """Return ``argmin_x step f(x) + ||x - v||^2 / 2``."""

    def conjugate(self, s: Array) -> float:
        """Return ``f*(s)`` where `gauge` is at most 1; inf if it is not known."""
        return np.inf

    @property
    def anchor(self) -> Array:
        """Return a point amid the values of the term: the origin, by default."""
        return np.zeros(self.size)

    def ceiling(self, s: Array, e: Array) -> float:
        """Return the largest ``f*(t) - <t, anchor>`` over t with ``|t - s| <= e``, or more.

        By default of the finite ones among 2d conjugates, whose arguments have all those t in
        their hull.
        """
        at = self.conjugate(s) - float(s @ self.anchor)
        away = len(s) * np.diag(e)[e > 0.0]
        found = [self.conjugate(t) - float(t @ self.anchor) for t in (*(s + away), *(s - away))]
        return max([at, *(value for value in found if np.isfinite(value))])

    def gauge(self, s: Array) -> float:
        """Return the least ``t >= 0`` with ``s / t`` in the domain of the conjugate."""
        return 0.0

    def support(self, s: Array) -> float:
        """Return the largest ``<s, x>`` over the x that are allowed: all of them, by default."""
        return np.inf if np.any(s != 0.0) else 0.0

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]] | None:
        """Return the function of a CVXPY expression and the constraints, None if unknown."""
        return None

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)


class Rowwise(Term):
    """A term whose formulas hold for many of its kind at once, one a row: see `together`.

    Each takes an array whose last axis is that of x, and returns one with a last axis of length 1.
    """

    @abstractmethod
    def values(self, x: Array) -> Array:
        """Return ``f(x)`` of each row."""

    @abstractmethod
    def ceilings(self, s: Array, e: Array) -> Array:
        """Return the `ceiling` of each row."""

    def gauges(self, s: Array) -> Array:
        """Return the `gauge` of each row."""
        return np.zeros((*s.shape[:-1], 1))

    def value(self, x: Array) -> float:
        """Return ``f(x)``."""
        return float(self.values(x)[0])

    def ceiling(self, s: Array, e: Array) -> float:
        """Return the largest ``f*(t) - <t, anchor>`` over t with ``|t - s| <= e``."""
        return float(self.ceilings(s, e)[0])

    def gauge(self, s: Array) -> float:
        """Return the least ``t >= 0`` with ``s / t`` in the domain of the conjugate."""
        return float(self.gauges(s)[0])

    def conjugate(self, s: Array) -> float:
        """Return ``f*(s)`` where `gauge` is at most 1."""
        return float(s @ self.anchor) + self.ceiling(s, np.zeros(len(s)))


Kind = TypeVar("Kind", bound=Rowwise)


def together(terms: Sequence[Kind]) -> Kind:
    """Return terms of one class and one size as one, which takes a row for each of them.

    Examples
    --------
    >>> both = together([Distance([0.0]), Distance([5.0], weight=2.0)])
    >>> both.values(np.array([[1.0], [1.0]]))
    array([[1.],
           [8.]])
    """
    kind: Any = type(terms[0])
    many: Kind = object.__new__(kind)
    for field in fields(kind):
        parts = [getattr(term, field.name) for term in terms]
        whole = np.array(parts)
        many._set(field.name, whole if isinstance(parts[0], np.ndarray) else whole[:, None])
    return many


def norms(x: Array) -> Array:
    """Return the Euclidean norm of each row, its axis kept.

    Examples
    --------
    >>> norms(np.array([[3.0, 4.0]]))
    array([[5.]])
    """
    lengths: Array = np.sqrt(np.einsum("...i,...i->...", x, x))[..., None]
    return lengths


@declaration
class _Around(Rowwise):
    """A weighted distance from a point; its conjugate is ``<s, point> + bend ||s||^2 / 2``.

    Parameters
    ----------
    point : array of shape (d,)
    weight : float, default 1
        > 0.
    """

    point: Converted[ArrayLike, Array]
    weight: float = 1.0

    def __post_init__(self) -> None:
        self._set("point", real_array("point", self.point, 1))
        self._set("weight", positive("weight", self.weight))

    @property
    def size(self) -> int:
        """Return the number of entries of the point."""
        return len(self.point)

    @property
    def anchor(self) -> Array:
        """Return the point."""
        return self.point

    @property
    def bend(self) -> float:
        """Return the curvature of the conjugate: 0 of a norm."""
        return 0.0

    def ceilings(self, s: Array, e: Array) -> Array:
        """Return ``bend sum_j (|s_j| + e_j)^2 / 2``."""
        if isinstance(self.bend, float) and self.bend == 0.0:
            return np.zeros((*s.shape[:-1], 1))
        squares: Array = np.sum((np.abs(s) + e) ** 2, axis=-1, keepdims=True)
        return 0.5 * self.bend * squares


@declaration
class Distance(_Around):
    """``weight ||x - point||_2``.

    Examples
    --------
    >>> Distance([0.0, 0.0]).prox(np.array([3.0, 4.0]), 1.0)
    array([2.4, 3.2])
    """

    cones: ClassVar[frozenset[str]] = frozenset({"soc"})

    def values(self, x: Array) -> Array:
        """Return the weighted distance."""
        return self.weight * norms(x - self.point)

    def prox(self, v: Array, step: float) -> Array:
        """Return v moved towards the point by ``step weight``, and not beyond."""
        away = v - self.point
        r = norms(away)
        share = 1.0 - np.minimum(step * self.weight, r) / np.maximum(r, TINY)
        result: Array = self.point + share * away
        return result

    def gauges(self, s: Array) -> Array:
        """Return ``||s|| / weight``."""
        return norms(s) / self.weight

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]]:
        """Return the norm."""
        import cvxpy as cp

        return self.weight * cp.norm(x - self.point), []


@declaration
class L1Distance(_Around):
    """``weight ||x - point||_1``.

    Examples
    --------
    >>> L1Distance([0.0, 0.0]).prox(np.array([3.0, -0.5]), 1.0)
    array([2., 0.])
    """

    def values(self, x: Array) -> Array:
        """Return the weighted sum of distances."""
        sums: Array = np.abs(x - self.point).sum(axis=-1, keepdims=True)
        return self.weight * sums

    def prox(self, v: Array, step: float) -> Array:
        """Return v with every entry moved towards the point's."""
        away, level = v - self.point, step * self.weight
        result: Array = self.point + np.sign(away) * np.maximum(np.abs(away) - level, 0.0)
        return result

    def gauges(self, s: Array) -> Array:
        """Return ``max |s| / weight``."""
        largest: Array = np.abs(s).max(axis=-1, keepdims=True)
        return largest / self.weight

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]]:
        """Return the norm."""
        import cvxpy as cp

        return self.weight * cp.norm1(x - self.point), []


@declaration
class HuberDistance(_Around):
    """``weight h(||x - point||_2)`` with ``h(r) = r^2 / (2 delta)`` up to delta, then linear.

    Parameters
    ----------
    point : array of shape (d,)
    weight : float, default 1
    delta : float, default 1
        > 0.

    Examples
    --------
    >>> HuberDistance([0.0], delta=1.0).value(np.array([3.0]))
    2.5
    """

    delta: float = 1.0
    cones: ClassVar[frozenset[str]] = frozenset({"soc", "qp"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set("delta", positive("delta", self.delta))

    def values(self, x: Array) -> Array:
        """Return the weighted Huber function of the distance."""
        r = norms(x - self.point)
        bent = np.minimum(r, self.delta)
        return self.weight * (0.5 * bent**2 / self.delta + (r - bent))

    def prox(self, v: Array, step: float) -> Array:
        """Return v moved towards the point."""
        away, s = v - self.point, step * self.weight
        r = norms(away)
        inner = self.delta / (self.delta + s)
        share = np.where(r <= self.delta + s, inner, 1.0 - s / np.maximum(r, TINY))
        result: Array = self.point + share * away
        return result

    @property
    def bend(self) -> float:
        """Return ``delta / weight``."""
        return self.delta / self.weight

    def gauges(self, s: Array) -> Array:
        """Return ``||s|| / weight``."""
        return norms(s) / self.weight

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]]:
        """Return the Huber function of the norm."""
        import cvxpy as cp

        r = cp.norm(x - self.point)
        return self.weight / (2.0 * self.delta) * cp.huber(r, self.delta), []


@declaration
class SquaredDistance(_Around):
    """``weight ||x - point||^2 / 2``.

    Examples
    --------
    >>> SquaredDistance([1.0], weight=2.0).conjugate(np.array([2.0]))
    3.0
    """

    cones: ClassVar[frozenset[str]] = frozenset({"qp"})

    def values(self, x: Array) -> Array:
        """Return half the weighted square."""
        squares: Array = np.sum((x - self.point) ** 2, axis=-1, keepdims=True)
        return 0.5 * self.weight * squares

    def prox(self, v: Array, step: float) -> Array:
        """Return the weighted mean of v and the point."""
        s = step * self.weight
        return (v + s * self.point) / (1.0 + s)

    @property
    def bend(self) -> float:
        """Return ``1 / weight``."""
        return 1.0 / self.weight

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]]:
        """Return half the square."""
        import cvxpy as cp

        return 0.5 * self.weight * cp.sum_squares(x - self.point), []


@declaration
class Quadratic(Rowwise):
    """``x'P x / 2 + q'x``, P symmetric and positive definite.

    Parameters
    ----------
    P : array of shape (d, d)
    q : array of shape (d,)

    Examples
    --------
    >>> Quadratic([[2.0]], [-2.0]).prox(np.array([0.0]), 1e9).round(6)
    array([1.])
    """

    P: Converted[ArrayLike, Array]
    q: Converted[ArrayLike, Array]
    cones: ClassVar[frozenset[str]] = frozenset({"qp"})

    def __post_init__(self) -> None:
        P, q = real_array("P", self.P, 2), real_array("q", self.q, 1)
        if P.shape != (len(q), len(q)):
            raise ProblemError(f"P must have shape {(len(q), len(q))}, got {P.shape}")
        if not np.allclose(P, P.T, rtol=1e-12, atol=0.0):
            i, j = np.unravel_index(int(np.abs(P - P.T).argmax()), P.shape)
            raise ProblemError(
                f"P must be symmetric, got {P[i, j]:g} at index {(int(i), int(j))} and "
                f"{P[j, i]:g} across"
            )
        least = float(np.linalg.eigvalsh(P)[0])
        if not least > 1e-14 * float(np.abs(P).max()):
            raise ProblemError(f"P must be positive definite, got the eigenvalue {least:g}")
        self._set("P", P)
        self._set("q", q)

    @cached_property
    def _parts(self) -> tuple[Array, Array, Array]:
        values, vectors = np.linalg.eigh(self.P)
        return values, vectors, self.q

    @property
    def size(self) -> int:
        """Return the number of entries of q."""
        size: int = self._parts[2].shape[-1]
        return size

    def values(self, x: Array) -> Array:
        """Return the quadratic function."""
        slope = 0.5 * (self.P @ x[..., None])[..., 0] + self._parts[2]
        result: Array = np.sum(x * slope, axis=-1, keepdims=True)
        return result

    def prox(self, v: Array, step: float) -> Array:
        """Solve with ``I + step P``, by its eigenvectors."""
        values, vectors, q = self._parts
        turned = self._turned(v - step * q) / (1.0 + step * values)
        result: Array = (vectors @ turned[..., None])[..., 0]
        return result

    def _turned(self, s: Array) -> Array:
        """Return rows in the coordinates of the eigenvectors."""
        turned: Array = (s[..., None, :] @ self._parts[1])[..., 0, :]
        return turned

    def ceilings(self, s: Array, e: Array) -> Array:
        """Return ``(s - q)' P^-1 (s - q) / 2``, with eigenvalues as small as they may be."""
        values, _, q = self._parts
        turned = np.abs(self._turned(s - q))
        if not e.any():
            exact: Array = 0.5 * np.sum(turned**2 / values, axis=-1, keepdims=True)
            return exact
        unit = 4.0 * q.shape[-1] * np.finfo(float).eps
        least = values - unit * values[..., -1:]
        blur = norms(e) + unit * (norms(s) + norms(q))
        sums = np.sum((turned + blur) ** 2 / np.maximum(least, TINY), axis=-1, keepdims=True)
        return np.where(least[..., :1] <= 0.0, np.inf, 0.5 * sums)

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]]:
        """Return the quadratic form."""
        import cvxpy as cp

        return 0.5 * cp.quad_form(x, cp.psd_wrap(self.P)) + self._parts[2] @ x, []


@declaration
class Box(Rowwise):
    """0 where ``low <= x <= high``, inf elsewhere.

    Parameters
    ----------
    low, high : array of shape (d,)
        Finite.

    Examples
    --------
    >>> Box([0.0, 0.0], [1.0, 1.0]).conjugate(np.array([2.0, -3.0]))
    2.0
    """

    low: Converted[ArrayLike, Array]
    high: Converted[ArrayLike, Array]

    def __post_init__(self) -> None:
        low, high = real_array("low", self.low, 1), real_array("high", self.high, 1)
        if low.shape != high.shape:
            raise ProblemError(f"high must have shape {low.shape} as low has, got {high.shape}")
        wrong = np.flatnonzero(low > high)
        if len(wrong):
            i = int(wrong[0])
            raise ProblemError(f"low must be <= high, got {low[i]:g} > {high[i]:g} at index {i}")
        self._set("low", low)
        self._set("high", high)

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return len(self.low)

    def values(self, x: Array) -> Array:
        """Return 0, or inf outside."""
        inside = ((x >= self.low) & (x <= self.high)).all(axis=-1, keepdims=True)
        return np.where(inside, 0.0, np.inf)

    def prox(self, v: Array, step: float) -> Array:
        """Return the nearest point of the box."""
        return np.clip(v, self.low, self.high)

    @property
    def anchor(self) -> Array:
        """Return the middle."""
        return 0.5 * self.low + 0.5 * self.high

    def ceilings(self, s: Array, e: Array) -> Array:
        """Return the largest ``<t, x - middle>`` over the box."""
        middle = self.anchor
        reach = np.maximum(self.high - middle, middle - self.low)
        result: Array = np.sum((np.abs(s) + e) * reach, axis=-1, keepdims=True)
        return result

    def support(self, s: Array) -> float:
        """Return the largest ``<s, x>`` over the box."""
        return self.conjugate(s)

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]]:
        """Return 0 and the bounds."""
        return 0.0, [x >= self.low, x <= self.high]


@declaration
class Ball(Rowwise):
    """0 where ``||x - centre|| <= radius``, inf elsewhere.

    Parameters
    ----------
    centre : array of shape (d,)
    radius : float
        > 0.

    Examples
    --------
    >>> Ball([0.0, 0.0], 1.0).prox(np.array([3.0, 4.0]), 1.0)
    array([0.6, 0.8])
    """

    centre: Converted[ArrayLike, Array]
    radius: float
    cones: ClassVar[frozenset[str]] = frozenset({"soc"})

    def __post_init__(self) -> None:
        self._set("centre", real_array("centre", self.centre, 1))
        self._set("radius", positive("radius", self.radius))

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return len(self.centre)

    def values(self, x: Array) -> Array:
        """Return 0, or inf outside; rounding of the projection is inside."""
        inside = norms(x - self.centre) <= self.radius * (1.0 + 1e-12)
        return np.where(inside, 0.0, np.inf)

    def prox(self, v: Array, step: float) -> Array:
        """Return the nearest point of the ball."""
        away = v - self.centre
        r = norms(away)
        edge = self.centre + (self.radius / np.maximum(r, TINY)) * away
        return np.where(r <= self.radius, v, edge)

    @property
    def anchor(self) -> Array:
        """Return the centre."""
        return self.centre

    def ceilings(self, s: Array, e: Array) -> Array:
        """Return the largest ``<t, x - centre>`` over the ball."""
        return self.radius * norms(np.abs(s) + e)

    def support(self, s: Array) -> float:
        """Return the largest ``<s, x>`` over the ball."""
        return self.conjugate(s)

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]]:
        """Return 0 and the ball."""
        import cvxpy as cp

        return 0.0, [cp.norm(x - self.centre) <= self.radius]


@dataclass(frozen=True, eq=False)
class Custom(Term):
    """A function of one's own, bounded below. It cannot be saved, nor given to CVXPY.

    Parameters
    ----------
    length : int
        Entries of x.
    function : callable
        ``f(x)``.
    proximal : callable
        ``(v, step) -> argmin step f(x) + ||x - v||^2 / 2``.
    dual : callable, optional
        ``f*(s)``, inf outside of its domain. Without it nothing is known below the optimum; with
        it the bound is as right as what it returns.

    Examples
    --------
    >>> Custom(1, lambda x: float(x @ x) / 2, lambda v, step: v / (1 + step)).size
    1
    """

    length: int
    function: Callable[[Array], float]
    proximal: Callable[[Array, float], Array]
    dual: Callable[[Array], float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", positive_int("length", self.length))
        function("function", self.function)
        function("proximal", self.proximal)
        if self.dual is not None:
            function("dual", self.dual)

    @property
    def size(self) -> int:
        """Return the number of entries."""
        return self.length

    def value(self, x: Array) -> float:
        """Return what the function says."""
        return float(self.function(x))

    def prox(self, v: Array, step: float) -> Array:
        """Return what the prox says."""
        x = np.asarray(self.proximal(v, step), dtype=np.float64)
        if x.shape != v.shape:
            raise ProblemError(f"proximal must return shape {v.shape}, got {x.shape}")
        return x

    def conjugate(self, s: Array) -> float:
        """Return what the conjugate says."""
        return np.inf if self.dual is None else float(self.dual(s))


SAVED = {
    term.__name__: term
    for term in (Distance, L1Distance, HuberDistance, SquaredDistance, Quadratic, Box, Ball)
}


def as_terms(name: str, value: Iterable[Term]) -> tuple[Term, ...]:
    """Return the terms as a tuple.

    Raises
    ------
    ProblemError
        If there are none, or something else among them.

    Examples
    --------
    >>> len(as_terms("terms", [Ball([0.0], 1.0)]))
    1
    """
    try:
        terms = tuple(value)
    except TypeError:
        raise ProblemError(f"{name} must be a sequence of terms, got {shown(value)}") from None
    if not terms:
        raise ProblemError(f"{name} must not be empty")
    for i, term in enumerate(terms):
        if not isinstance(term, Term):
            raise ProblemError(
                f"{name} must hold terms of convexnn.terms, got {shown(term)} at index {i}"
            )
    return terms
