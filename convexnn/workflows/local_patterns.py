"""Activation patterns from local search."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.backend import Options
from convexnn.contract.checks import ProblemError, positive_int, seed_of
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.driver.solve import limited
from convexnn.problems.relu.convolution import ConvReluTraining
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.forms import NetworkForm, PooledNetworkForm
from convexnn.relu.patterns import Patterns


class _Unlimited:
    """A reporter whose time is never up."""

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        return False

    def expired(self) -> bool:
        return False

    def remaining(self) -> float | None:
        return None


@as_interrupt()
def local_patterns(
    problem: ReluTraining | ConvReluTraining,
    *,
    starts: int = 6,
    width: int = 50,
    pooled: int = 3,
    limit: int | None = None,
    max_iter: int | None = None,
    seed: int = 0,
) -> Patterns:
    """Return the activation patterns of the best networks that local search finds.

    The convex program over them holds those networks among its feasible points: its optimum
    is at least as good as the best of them.

    Parameters
    ----------
    problem : ReluTraining or ConvReluTraining
        Declares data, loss and penalty; its own patterns play no part.
    starts : int, default 6
        Random starts of L-BFGS.
    width : int, default 50
        Hidden neurons of each network, for every output.
    pooled : int, default 3
        How many of the best networks lend their patterns.
    limit : int, optional
        Keep only this many patterns, those of the best network's largest neurons first.
    max_iter : int, optional
        Steps of each start at most.
    seed : int, default 0

    Returns
    -------
    Patterns
        With the neurons' weights as generators.

    Raises
    ------
    ProblemError
        If `problem` is of another kind, or a parameter is out of range.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> problem = cx.ReluTraining(X, np.abs(X[:, 0]), beta=0.5)
    >>> patterns = cx.local_patterns(problem, starts=2, width=10)
    >>> patterns.matrix.shape[0]
    40
    """
    from convexnn.solvers.relu.lbfgs import search

    if not isinstance(problem, ReluTraining | ConvReluTraining):
        raise ProblemError(
            f"problem must be a ReluTraining or ConvReluTraining, got {type(problem).__name__}"
        )
    starts, width = positive_int("starts", starts), positive_int("width", width)
    pooled, seed = positive_int("pooled", pooled), seed_of(seed)
    if limit is not None:
        limit = positive_int("limit", limit)
    if max_iter is not None:
        max_iter = positive_int("max_iter", max_iter)
    kind = NetworkForm if isinstance(problem, ReluTraining) else PooledNetworkForm
    form: NetworkForm = problem.canonical(kind)
    options = Options(1e-6, max_iter, seed, {})
    with limited(1):  # threads cost more than they gain in products this small
        networks = sorted(search(form, starts, width, options, _Unlimited()), key=form.objective)
    columns = []
    for neurons in networks[:pooled]:
        weights = np.hstack([neurons.V, neurons.W])
        size = form.norm.value(weights.T)
        alive = np.flatnonzero(size > 1e-6 * np.max(size, initial=0.0))
        order = alive[np.argsort(-size[alive], kind="stable")]
        columns.append(problem.design.original(weights[:, order]))
    generators = np.hstack(columns)
    if generators.shape[1] == 0:
        generators = np.ones((problem.data.shape[1], 1))
    found = Patterns.generated(problem.data, generators)
    return found if limit is None else found.take(range(min(limit, len(found))))
