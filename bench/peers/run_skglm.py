"""Solve one lasso or group lasso with skglm; runs in skglm's own environment.

Groups are the products ``D_p * X`` of a gated program, or single features of a sampled one. The
losses of skglm are means, so its alpha is ``beta / n``. Squared loss: block coordinate descent;
logistic loss: prox-Newton. An effort is its tolerance, on the violation of optimality.
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
from lasso import Lasso, lasso
from script import Point, Run, Task, each, options, serve, timed
from skglm.datafits import Logistic, LogisticGroup, Quadratic, QuadraticGroup
from skglm.penalties import L1, WeightedGroupL2
from skglm.solvers import AndersonCD, GroupBCD, GroupProxNewton, ProxNewton
from skglm.utils.data import grp_converter

TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10)
OUTER, INNER = 1000, 100_000  # iterations at most, so that its tolerance stops it


def solve(given: Lasso, tol: float) -> Any:
    """Return the coefficients."""
    squared = given.loss == "squared"
    if given.width == 1:
        datafit, penalty = Quadratic() if squared else Logistic(), L1(given.share)
        if squared:
            solver = AndersonCD(OUTER, INNER, tol=tol, fit_intercept=False)
        else:
            solver = ProxNewton(max_iter=OUTER, max_pn_iter=INNER, tol=tol, fit_intercept=False)
    else:
        indices, pointers = grp_converter(given.width, given.features.shape[1])
        groups = {"grp_ptr": pointers, "grp_indices": indices}
        datafit = QuadraticGroup(**groups) if squared else LogisticGroup(**groups)
        penalty = WeightedGroupL2(given.share, weights=np.ones(given.groups), **groups)
        if squared:
            solver = GroupBCD(OUTER, INNER, tol=tol)
        else:
            solver = GroupProxNewton(max_iter=OUTER, max_pn_iter=INNER, tol=tol)
    return solver.solve(given.features, given.y, datafit, penalty)[0]


def prepare(task: Task, asked: argparse.Namespace) -> Run:
    """Run skglm on the features, once for each effort."""
    warnings.simplefilter("ignore")  # that it did not converge
    built = timed(lambda: lasso(task))
    given = built.result
    solve(given.few(), TOLERANCES[0])  # compiles

    def run(tol: float) -> Point:
        found = timed(lambda: solve(given, tol), asked.repeats)
        weights = given.weights(found.result)
        return Point({"weights": weights}, found.seconds, found.cpu, built.seconds)

    return each(asked.effort or TOLERANCES, run)


if __name__ == "__main__":
    serve("skglm", prepare, options(__doc__).parse_args())
