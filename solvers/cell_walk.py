"""The hybrid for the program over all patterns: local search, then one convex solve.

Local search finds good patterns; the convex program on the pooled patterns of several
networks holds those networks among its feasible points, so its optimum can only improve on
them. Where every pattern of the data is listed the convex solve is over all of them and its
bound is global; otherwise the bound covers the patterns found.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.arrays import BoolArray
from convexnn.backend import Capabilities, Options, Raw, Reporter
from convexnn.forms import Dual, NetworkForm, Neurons, active_patterns
from convexnn.memory import Size
from convexnn.patterns import first_distinct
from convexnn.problem import Problem, positive_int
from convexnn.solvers.admm import Admm
from convexnn.solvers.lbfgs import STARTS, WIDTH, Lbfgs, search, slope_dual
from convexnn.solvers.options import unpack

CONVEX_ITER = 6_000  # of the convex solve, if max_iter is not given
POOLED = 3  # networks whose patterns the convex solve is over


class CellWalk:
    """Local search for patterns, then one convex solve on them.

    Options
    -------
    starts : int, default 6
        Random starts of the local search.
    width : int, default 50
        Hidden neurons of each.
    pooled : int, default 3
        How many of the best networks lend their patterns.
    """

    name = "cell-walk"
    capabilities = Capabilities(forms=(NetworkForm,), warm_start=True, best_tol=1e-9)

    def available(self) -> str | None:
        """Return None: it is always there."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return None: it takes every `NetworkForm`."""
        return None

    def prepare(self, form: NetworkForm) -> None:
        """Compile the kernels of both halves."""
        Lbfgs().prepare(form)
        Admm().prepare(form.over(np.ones((len(form.y), 1), np.bool_)))

    def memory(self, size: Size) -> dict[str, float]:
        """Return the search's and ADMM's; patterns it finds itself take ``62 n P`` to grade."""
        found = size._replace(patterns=size.patterns or POOLED * WIDTH)
        parts = Lbfgs().memory(size) | Admm().memory(found)
        if not size.patterns:
            parts["the patterns it finds"] = 62.0 * size.n * found.patterns
        return parts

    def run(
        self, form: NetworkForm, options: Options, reporter: Reporter, start: Any = None
    ) -> Raw:
        """Search, pool, solve."""
        chosen = unpack("cell-walk", options.extra, starts=STARTS, width=WIDTH, pooled=POOLED)
        positive_int("pooled", chosen["pooled"])
        plain = Options(options.tol, None, options.seed, {})
        networks = list(
            search(
                form,
                chosen["starts"],
                chosen["width"],
                plain,
                reporter,
                None if start is None else start[0],
            )
        )
        if start is not None:
            networks.append(start[0])
        networks.sort(key=form.objective)
        searches = chosen["starts"]
        if reporter.report(searches, networks[0], slope_dual(form, networks[0])):
            return Raw("stopped")
        matrix = form.cells
        if matrix is None:
            matrix = pool(form, networks[: chosen["pooled"]])
        group = form.over(matrix)
        begin = gathered(form, networks[0], matrix)
        convex = Options(options.tol, options.max_iter or CONVEX_ITER, options.seed, {})
        pooled = Pooled(reporter, matrix, searches)
        return Admm().run(group, convex, pooled, (begin, None))


class Pooled:
    """Passes points of the convex solve on as networks that name their patterns."""

    def __init__(self, reporter: Reporter, matrix: BoolArray, offset: int) -> None:
        self.reporter, self.matrix, self.offset = reporter, matrix, offset
        self.expired, self.remaining = reporter.expired, reporter.remaining

    def report(self, iteration: int, primal: Neurons, dual: Dual) -> bool:
        """Report the network with the patterns its dual point speaks of."""
        return self.reporter.report(
            self.offset + iteration, primal, dual._replace(matrix=self.matrix)
        )


def pool(form: NetworkForm, networks: list[Neurons]) -> BoolArray:
    """Return the distinct patterns of the networks' neurons, those active nowhere left out."""
    matrix = np.hstack([active_patterns(form.X, neurons) for neurons in networks])
    if form.leak == 0.0:
        matrix = matrix[:, matrix.any(axis=0)]
    if matrix.shape[1] == 0:
        return np.ones((len(form.y), 1), np.bool_)
    return matrix[:, first_distinct(matrix)]


def gathered(form: NetworkForm, neurons: Neurons, matrix: BoolArray) -> Neurons:
    """Return the network with its neurons added up by pattern, a feasible point over `matrix`.

    Neurons of one pattern share a cone, so their sum predicts the same at no larger penalty.
    """
    column = {matrix[:, p].tobytes(): p for p in range(matrix.shape[1])}

    def add_up(weights: Any) -> Any:
        total = np.zeros((weights.shape[0], matrix.shape[1]))
        activity = np.ascontiguousarray((form.X @ weights >= 0.0).T)
        for j in range(weights.shape[1]):
            p = column.get(activity[j].tobytes())
            if p is not None:
                total[:, p] += weights[:, j]
        return total

    return Neurons(add_up(neurons.V), add_up(neurons.W), neurons.skip)
