"""A problem written as a formula in CVXPY."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import cvxpy as cp


class CvxpyProgram(NamedTuple):
    """A problem written as a formula.

    Attributes
    ----------
    problem : cvxpy.Problem
    variables : mapping of str to cvxpy.Variable
        By the names of the formula.
    points : callable
        Reads the solved variables and returns ``(primal, dual)``.
    needs : frozenset of str
        What a solver must know: some of "qp", "soc", "exp", "sdp".
    feasible : bool
        Whether it is known to have a finite optimum: then a solver that sees none has failed.
    """

    problem: cp.Problem
    variables: Mapping[str, cp.Variable]
    points: Callable[[], tuple[Any, Any]]
    needs: frozenset[str]
    feasible: bool = False
