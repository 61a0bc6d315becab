"""Solve one group lasso with adelie; runs in adelie's own environment.

Groups are the products ``D_p * X`` of a gated program, or single features of a sampled one. The
losses of adelie are means, so its lambda is ``beta / n``; every group has penalty 1, there is no
intercept and no standardisation, and its early exit on explained deviance is off. An effort is its
tolerance.
"""

from __future__ import annotations

import argparse
from typing import Any

import adelie as ad
import numpy as np
from lasso import lasso
from script import Point, Run, Task, each, options, serve, timed

TOLERANCES = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14)


def prepare(task: Task, asked: argparse.Namespace) -> Run:
    """Run adelie on the features, once for each effort."""
    built = timed(lambda: lasso(task))
    given = built.result
    features, y, width = given.features, given.y, given.width
    slope = y if given.loss == "squared" else 0.5 * y
    correlation = (features.T @ slope).reshape(given.groups, width)
    highest = float(np.max(np.linalg.norm(correlation, axis=1))) / len(y)
    path = np.array([given.share])
    if asked.path > 1:
        path = np.geomspace(max(highest, given.share), given.share, asked.path)

    def solve(lambdas: Any, tol: float) -> Any:
        if given.loss == "squared":
            loss = ad.glm.gaussian(y=y, dtype=np.float64)
        else:
            loss = ad.glm.binomial(y=0.5 * (y + 1.0), dtype=np.float64)
        return ad.grpnet(
            ad.matrix.dense(features, method="naive", n_threads=1),
            loss,
            groups=np.arange(0, features.shape[1], width),
            penalty=np.ones(given.groups),
            alpha=1.0,
            lmda_path=lambdas,
            tol=tol,
            intercept=False,
            early_exit=False,
            progress_bar=False,
        )

    def run(tol: float) -> Point:
        found = timed(lambda: solve(path, tol), asked.repeats)
        state = found.result
        if not state.betas.shape[0]:
            raise RuntimeError(state.error or "adelie returned no solution")
        weights = given.weights(state.betas[-1].toarray())
        return Point({"weights": weights}, found.seconds, found.cpu, built.seconds)

    solve(np.array([highest]), TOLERANCES[0])
    return each(asked.effort or TOLERANCES, run)


if __name__ == "__main__":
    own = options(__doc__)
    own.add_argument("--path", type=int, default=1, help="lambdas on the way down to ours")
    serve("adelie", prepare, own.parse_args())
