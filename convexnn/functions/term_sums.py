"""Sums of terms over variables that lie one after another, computed kind by kind.

Terms of one class and one size are one group, whose formulas take a row for each of them; those
that a user has written are asked one by one.
"""

from __future__ import annotations

from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from convexnn.functions.terms import ROUNDING, SAVED, Term, together

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array


class Many(Protocol):
    """Terms of one size, which take and return a row each."""

    def values(self, x: Array) -> Array:
        """Return ``f(x)``."""
        ...

    def prox(self, v: Array, step: Any) -> Array:
        """Return ``argmin_x step f(x) + ||x - v||^2 / 2``; of each its own step, or of all one."""
        ...

    def gauges(self, s: Array) -> Array:
        """Return the least ``t >= 0`` with ``s / t`` in the domain of the conjugate."""
        ...

    def ceilings(self, s: Array, e: Array) -> Array:
        """Return the largest ``f*(t) - <t, anchor>`` over t with ``|t - s| <= e``."""
        ...


class Each:
    """Terms that are asked one by one.

    Parameters
    ----------
    terms : sequence of Term
    """

    def __init__(self, terms: Sequence[Term]) -> None:
        self.terms = terms

    def values(self, x: Array) -> Array:
        """Return ``f(x)``."""
        return np.array([[f.value(row)] for f, row in zip(self.terms, x, strict=True)])

    def prox(self, v: Array, step: Any) -> Array:
        """Return the prox of each."""
        steps = np.broadcast_to(step, (len(v), 1))[:, 0].tolist()
        rows = zip(self.terms, v, steps, strict=True)
        return np.array([f.prox(row, by) for f, row, by in rows])

    def gauges(self, s: Array) -> Array:
        """Return the gauge of each."""
        return np.array([[f.gauge(row)] for f, row in zip(self.terms, s, strict=True)])

    def ceilings(self, s: Array, e: Array) -> Array:
        """Return the ceiling of each."""
        rows = zip(self.terms, s, e, strict=True)
        return np.array([[f.ceiling(row, blur)] for f, row, blur in rows])


class Group(NamedTuple):
    """Terms of one class and one size.

    Attributes
    ----------
    many : Many
    which : int array of shape (m,)
        The terms.
    at : int array of shape (m, size)
        Where their variables lie among those of all.
    """

    many: Many
    which: NDArray[np.int64]
    at: NDArray[np.int64]


class Terms(tuple[Term, ...]):
    """The terms of a sum.

    Examples
    --------
    >>> from convexnn.functions.terms import Box, Distance
    >>> terms = Terms([Distance([0.0, 0.0]), Box([0.0], [1.0]), Distance([1.0, 1.0])])
    >>> x = np.array([3.0, 4.0, 0.5, 1.0, 2.0])
    >>> terms.value(x), terms.prox(x, 1.0)
    (6.0, array([2.4, 3.2, 0.5, 1. , 1. ]))
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Be sent to other processes as the terms alone."""
        return Terms, (tuple(self),)

    @cached_property
    def ends(self) -> tuple[slice, ...]:
        """Return where each term's variables are."""
        last = np.cumsum([0, *(term.size for term in self)]).tolist()
        return tuple(slice(i, j) for i, j in pairwise(last))

    @cached_property
    def anchors(self) -> Array:
        """Return the anchors, one after another."""
        return np.concatenate([term.anchor for term in self])

    @cached_property
    def _groups(self) -> tuple[Group, ...]:
        alike: dict[tuple[type, int], list[int]] = {}
        for i, term in enumerate(self):
            alike.setdefault((type(term), term.size), []).append(i)
        found = []
        for (kind, size), members in alike.items():
            terms: Any = [self[i] for i in members]
            many: Any = together(terms) if kind in SAVED.values() else Each(terms)
            starts = np.array([self.ends[i].start for i in members], dtype=np.int64)
            which = np.array(members, dtype=np.int64)
            found.append(Group(many, which, starts[:, None] + np.arange(size)))
        return tuple(found)

    def _rows(self, *flat: Array) -> Iterator[tuple[Group, tuple[Array, ...]]]:
        """Yield each group and its rows of arrays of all variables."""
        if len(self._groups) == 1:  # in their order, and nothing else
            shape = self._groups[0].at.shape
            yield self._groups[0], tuple(array.reshape(shape) for array in flat)
            return
        for group in self._groups:
            yield group, tuple(array[group.at] for array in flat)

    def value(self, x: Array) -> float:
        """Return the sum."""
        return float(sum(group.many.values(rows).sum() for group, (rows,) in self._rows(x)))

    def prox(self, v: Array, step: float | Array) -> Array:
        """Return the prox of every term, with a step for each or one for all."""
        x = np.empty_like(v)
        for group, (rows,) in self._rows(v):
            by = step if isinstance(step, float) else step[group.which, None]
            x[group.at] = group.many.prox(rows, by)
        return x

    def conjugates(self, s: Array, e: Array) -> tuple[float, float]:
        """Return by what to divide prices, and then at most ``sum_i f_i*(t_i) - <t_i, anchor_i>``.

        The ``t_i`` are all that differ from ``s_i`` by at most ``e_i``, both divided.

        Parameters
        ----------
        s, e : array of shape (N,)
            ``s_i``, and ``e_i``, to which the rounding of sums over ``s_i`` is added here.

        Returns
        -------
        scale, total : float
            A scale >= 1, after which every conjugate is finite.

        Examples
        --------
        >>> from convexnn.functions.terms import Distance
        >>> round(Terms([Distance([5.0])]).conjugates(np.array([2.0]), np.zeros(1))[0], 6)
        2.0
        """
        unit = (8.0 + max(group.at.shape[1] for group in self._groups)) * ROUNDING
        e = e + unit * np.abs(s)
        both = list(self._rows(s, e))
        reach = [np.max(g.many.gauges(rows) + g.many.gauges(blur)) for g, (rows, blur) in both]
        scale = float(np.max(reach)) * (1.0 + unit)
        if scale > 1.0:
            both = list(self._rows(s / scale, e / scale))
        parts = [group.many.ceilings(rows, blur) for group, (rows, blur) in both]
        total, size = (
            float(sum(part.sum() for part in kind)) for kind in (parts, map(np.abs, parts))
        )
        slack = (8.0 + len(self)) * ROUNDING * size
        return (scale if scale > 1.0 else 1.0), total + slack
