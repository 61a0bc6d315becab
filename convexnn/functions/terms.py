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
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

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


class _Anchored(Term):
    """A term whose conjugate is known by its ceiling."""

    def conjugate(self, s: Array) -> float:
        """Return ``f*(s)`` where `gauge` is at most 1."""
        return float(s @ self.anchor) + self.ceiling(s, np.zeros(len(s)))


@declaration
class _Around(_Anchored):
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

    def ceiling(self, s: Array, e: Array) -> float:
        """Return ``bend sum_j (|s_j| + e_j)^2 / 2``."""
        return 0.5 * self.bend * float(np.sum((np.abs(s) + e) ** 2)) if self.bend else 0.0


@declaration
class Distance(_Around):
    """``weight ||x - point||_2``.

    Examples
    --------
    >>> Distance([0.0, 0.0]).prox(np.array([3.0, 4.0]), 1.0)
    array([2.4, 3.2])
    """

    cones: ClassVar[frozenset[str]] = frozenset({"soc"})

    def value(self, x: Array) -> float:
        """Return the weighted distance."""
        return self.weight * float(np.linalg.norm(x - self.point))

    def prox(self, v: Array, step: float) -> Array:
        """Return v moved towards the point by ``step weight``, and not beyond."""
        r = float(np.linalg.norm(v - self.point))
        share = 0.0 if r <= step * self.weight else 1.0 - step * self.weight / r
        return self.point + share * (v - self.point)

    def gauge(self, s: Array) -> float:
        """Return ``||s|| / weight``."""
        return float(np.linalg.norm(s)) / self.weight

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

    def value(self, x: Array) -> float:
        """Return the weighted sum of distances."""
        return self.weight * float(np.abs(x - self.point).sum())

    def prox(self, v: Array, step: float) -> Array:
        """Return v with every entry moved towards the point's."""
        away, level = v - self.point, step * self.weight
        result: Array = self.point + np.sign(away) * np.maximum(np.abs(away) - level, 0.0)
        return result

    def gauge(self, s: Array) -> float:
        """Return ``max |s| / weight``."""
        return float(np.abs(s).max()) / self.weight

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

    def value(self, x: Array) -> float:
        """Return the weighted Huber function of the distance."""
        r = float(np.linalg.norm(x - self.point))
        inside = r <= self.delta
        return self.weight * (0.5 * r**2 / self.delta if inside else r - 0.5 * self.delta)

    def prox(self, v: Array, step: float) -> Array:
        """Return v moved towards the point."""
        r, s = float(np.linalg.norm(v - self.point)), step * self.weight
        share = self.delta / (self.delta + s) if r <= self.delta + s else 1.0 - s / r
        return self.point + share * (v - self.point)

    @property
    def bend(self) -> float:
        """Return ``delta / weight``."""
        return self.delta / self.weight

    def gauge(self, s: Array) -> float:
        """Return ``||s|| / weight``."""
        return float(np.linalg.norm(s)) / self.weight

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

    def value(self, x: Array) -> float:
        """Return half the weighted square."""
        return 0.5 * self.weight * float(np.sum((x - self.point) ** 2))

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
class Quadratic(_Anchored):
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
        return len(self._parts[2])

    def value(self, x: Array) -> float:
        """Return the quadratic function."""
        return 0.5 * float(x @ (self.P @ x)) + float(self._parts[2] @ x)

    def prox(self, v: Array, step: float) -> Array:
        """Solve with ``I + step P``, by its eigenvectors."""
        values, vectors, q = self._parts
        result: Array = vectors @ ((vectors.T @ (v - step * q)) / (1.0 + step * values))
        return result

    def ceiling(self, s: Array, e: Array) -> float:
        """Return ``(s - q)' P^-1 (s - q) / 2``, with eigenvalues as small as they may be."""
        values, vectors, q = self._parts
        if not e.any():
            return 0.5 * float(np.sum((vectors.T @ (s - q)) ** 2 / values))
        unit = 4.0 * len(q) * np.finfo(float).eps
        least = values - unit * values[-1]
        if least[0] <= 0.0:
            return np.inf
        blur = float(np.linalg.norm(e)) + unit * float(np.linalg.norm(s) + np.linalg.norm(q))
        return 0.5 * float(np.sum((np.abs(vectors.T @ (s - q)) + blur) ** 2 / least))

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]]:
        """Return the quadratic form."""
        import cvxpy as cp

        return 0.5 * cp.quad_form(x, cp.psd_wrap(self.P)) + self._parts[2] @ x, []


@declaration
class Box(_Anchored):
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

    def value(self, x: Array) -> float:
        """Return 0, or inf outside."""
        return 0.0 if ((x >= self.low) & (x <= self.high)).all() else np.inf

    def prox(self, v: Array, step: float) -> Array:
        """Return the nearest point of the box."""
        return np.clip(v, self.low, self.high)

    @property
    def anchor(self) -> Array:
        """Return the middle."""
        return 0.5 * self.low + 0.5 * self.high

    def ceiling(self, s: Array, e: Array) -> float:
        """Return the largest ``<t, x - middle>`` over the box."""
        middle = self.anchor
        reach = np.maximum(self.high - middle, middle - self.low)
        return float((np.abs(s) + e) @ reach)

    def support(self, s: Array) -> float:
        """Return the largest ``<s, x>`` over the box."""
        return self.conjugate(s)

    def cvxpy(self, x: Any) -> tuple[Any, list[Any]]:
        """Return 0 and the bounds."""
        return 0.0, [x >= self.low, x <= self.high]


@declaration
class Ball(_Anchored):
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

    def value(self, x: Array) -> float:
        """Return 0, or inf outside; rounding of the projection is inside."""
        return 0.0 if np.linalg.norm(x - self.centre) <= self.radius * (1.0 + 1e-12) else np.inf

    def prox(self, v: Array, step: float) -> Array:
        """Return the nearest point of the ball."""
        r = float(np.linalg.norm(v - self.centre))
        return v if r <= self.radius else self.centre + (self.radius / r) * (v - self.centre)

    @property
    def anchor(self) -> Array:
        """Return the centre."""
        return self.centre

    def ceiling(self, s: Array, e: Array) -> float:
        """Return the largest ``<t, x - centre>`` over the ball."""
        return self.radius * float(np.linalg.norm(np.abs(s) + e))

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


def conjugates(
    terms: Sequence[Term], parts: Sequence[Array], blurs: Sequence[Array]
) -> tuple[float, float]:
    """Return by what to divide prices, and then at most ``sum_i f_i*(t_i) - <t_i, anchor_i>``.

    The ``t_i`` are all that differ from ``s_i`` by at most ``e_i``, both divided.

    Parameters
    ----------
    terms : sequence of Term
    parts, blurs : sequences of arrays
        ``s_i``, and ``e_i``, to which the rounding of sums over ``s_i`` is added here.

    Returns
    -------
    scale, total : float
        A scale >= 1, after which every conjugate is finite.

    Examples
    --------
    >>> conjugates([Distance([5.0])], [np.array([2.0])], [np.array([0.0])])[0].__round__(6)
    2.0
    """
    size = max(len(s) for s in parts)
    unit = (8.0 + size) * ROUNDING
    wide = [e + unit * np.abs(s) for s, e in zip(parts, blurs, strict=True)]
    triples = list(zip(terms, parts, wide, strict=True))
    scale = max(f.gauge(s) + f.gauge(e) for f, s, e in triples) * (1.0 + unit)
    if scale > 1.0:
        triples = [(f, s / scale, e / scale) for f, s, e in triples]
    values = np.array([f.ceiling(s, e) for f, s, e in triples])
    slack = (8.0 + len(values)) * ROUNDING * float(np.abs(values).sum())
    return max(1.0, scale), float(values.sum()) + slack


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
