"""Grade the points of a run: every one that counts is certified by the problem itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from convexnn.contract.certificate import Status
from convexnn.contract.problem import Problem
from convexnn.median.consensus import ConsensusForm, Prices
from convexnn.median.forms import MedianForm, Sight
from convexnn.relu.forms import (
    Dual,
    GroupForm,
    MajorantForm,
    NetworkForm,
    Neurons,
    PooledForm,
    PooledNetworkForm,
    worst_prediction,
)
from convexnn.robust.forms import RobustDual, RobustForm, RobustNetworkForm
from convexnn.solvers.robust.local_search import attacked_dual
from convexnn.wasserstein.forms import WassersteinForm
from convexnn.wasserstein.portfolio import PortfolioForm, Stress

RESULTS = ("objective", "bound", "gap", "violation")
CLOCKS = ("seconds", "cpu", "compile", "certify")
UNREADABLE = (ArithmeticError, ValueError, TypeError, AttributeError, IndexError)


def grade(
    problem: Problem[Any], points: Iterable[Mapping[str, Any]], tol: float = 1e-6
) -> list[dict[str, Any]]:
    """Return a row for each point of a run; the last one is certified here.

    Parameters
    ----------
    problem : Problem
    points : sequence of mapping
        Each with any of ``primal`` and ``dual`` (None where a solver has none), ``seconds``,
        ``cpu``, ``compile``, ``certify`` (so far), ``status``, ``message`` and ``final``. A point
        on the way that a backend had certified brings ``objective``, ``bound``, ``gap`` and
        ``violation`` in the place of its points.
    tol : float, default 1e-6
        An answer without a status is OPTIMAL if it passes, else INACCURATE.

    Returns
    -------
    list of dict
        Of `RESULTS`, `CLOCKS`, ``status``, ``message`` and ``final``; NaN for what is not known.
    """
    rows = [_row(problem, point) for point in points]
    if not rows:
        raise ValueError("a run must have at least one point")
    for row in rows[:-1]:
        row["final"] = False
    last = rows[-1]
    if not last["status"]:
        passes = abs(last["gap"]) <= tol and last["violation"] <= tol
        last["status"] = (Status.OPTIMAL if passes else Status.INACCURATE).name
    return [*rows[:-1], last | {"final": True}]


def failure(status: str, message: str) -> dict[str, Any]:
    """Return the only point of a run that has no answer.

    Examples
    --------
    >>> failure("SKIPPED", "torch is not installed")["status"]
    'SKIPPED'
    """
    return {"primal": None, "status": status, "message": message, "final": True}


def _row(problem: Problem[Any], point: Mapping[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = {name: float(point.get(name, np.nan)) for name in (*RESULTS, *CLOCKS)}
    row |= {"status": str(point.get("status", "")), "message": str(point.get("message", ""))}
    primal, dual = point.get("primal"), point.get("dual")
    if primal is None:
        return row
    try:
        found = problem.certify(primal, suggested(problem, primal) if dual is None else dual)
    except UNREADABLE as error:
        reason = f"its answer cannot be graded: {type(error).__name__}: {error}"
        return row | {"status": "CRASHED", "message": reason} | dict.fromkeys(RESULTS, np.nan)
    return row | {name: float(getattr(found, name)) for name in RESULTS}


def suggested(problem: Problem[Any], primal: Any) -> Any:
    """Return the dual point that a primal one suggests, for solvers that give none.

    It is the slope of the loss, or of the worst case, at the primal point; a problem without one
    lends the dual of its trivial answer. Whatever it is, the bound it proves is rigorous.

    Parameters
    ----------
    problem : Problem
    primal : NamedTuple

    Examples
    --------
    >>> import convexnn as cx
    >>> median = cx.GeometricMedian([[0.0], [1.0], [5.0]])
    >>> best = cx.solve(median).primal
    >>> round(median.certify(best, suggested(median, best)).gap, 9)
    0.0
    """
    offered = problem.forms()
    searched = PooledNetworkForm if PooledNetworkForm in offered else NetworkForm
    if searched in offered:
        network = problem.canonical(searched)
        return Dual(-network.loss.gradient(network.predict(primal), network.y))
    pooled = PooledForm in offered
    if pooled or GroupForm in offered:
        group = problem.canonical(PooledForm if pooled else GroupForm)
        z = group.predict(group.rows(primal)) + group.free(primal.skip)
        return Dual(-group.loss.gradient(z, group.y))
    if MajorantForm in offered:
        return problem.canonical(MajorantForm).dual(primal)
    if RobustNetworkForm in offered:
        return attacked_dual(problem.canonical(RobustNetworkForm), primal)
    if RobustForm in offered:
        return _robust(problem.canonical(RobustForm), primal)
    if WassersteinForm in offered:
        return problem.canonical(WassersteinForm).slopes(primal)
    if PortfolioForm in offered:
        portfolio = problem.canonical(PortfolioForm)
        return Stress(portfolio.tail(primal.x), portfolio.norm.steepest(primal.x))
    if MedianForm in offered:
        return Sight(primal.offset)
    if ConsensusForm in offered:
        agents = problem.canonical(ConsensusForm)
        return Prices(agents.prices_at(primal.X[agents.representative(primal.X)]))
    return problem.initial()[1]


def _robust(form: RobustForm, primal: Neurons) -> RobustDual:
    """Return the slopes of the worst loss, the worst attacks, and the slacks that they open."""
    low, up = form.bounds(primal)
    weights = np.hstack([primal.V, primal.W])
    size = np.abs(form.loss.gradient(worst_prediction(form.loss, form.y, low, up), form.y))
    below = form.y > 0.0 if form.loss.classification else form.y - low > up - form.y
    mu = np.where(below, size, -size)
    q = (form.slopes * form.signs) @ weights.T
    attack = form.worst_attack(-mu[:, None] * q)
    a, r = form.X @ weights, form.reach(weights.T)
    counts = np.where(form.signs > 0.0, np.maximum(-mu, 0.0)[:, None], np.maximum(mu, 0.0)[:, None])
    first = form.slopes * (r - a) >= (1.0 - form.slopes) * (r + a)
    left = np.where(first, form.slopes * counts, 0.0)
    right = np.where(first, 0.0, (1.0 - form.slopes) * counts)
    return RobustDual(mu, np.zeros_like(mu), attack, left, right)
