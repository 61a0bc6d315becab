"""Solve one program with scnn; runs in scnn's own environment.

The loss of scnn is ``||z - y||^2 / (2 n)``, so its lambda is ``beta / n``. Data are not rescaled
(that would change the problem), it computes in double precision, and gates are written as scnn
returns them: it drops duplicates and changes their order. An effort is a tolerance of its AL
method for cones; for gates, a number of iterations of R-FISTA, its stopping test off.
"""

from __future__ import annotations

import argparse
import logging

import numpy as np
import torch
from scnn.metrics import Metrics
from scnn.models import ConvexGatedReLU, ConvexReLU
from scnn.optimize import optimize_model
from scnn.regularizers import NeuronGL1
from scnn.solvers import AL, RFISTA
from script import RUNS, Point, Run, Task, each, options, serve, timed

MOST = 200_000  # iterations of AL
NEVER = 1e-30  # tolerance
TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
ITERATIONS = (25, 50, 100, 200, 400, 800, 1600, 3200, 6400, 12_800)


def prepare(task: Task, asked: argparse.Namespace) -> Run:
    """Run scnn on the data, once for each effort."""
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    X, y, gates = task["X"], task["y"], task["gates"]
    gated = task["kind"] == "gated"
    regularizer = NeuronGL1(task["beta"] / len(y))

    def solve(iterations: int, tol: float) -> ConvexGatedReLU | ConvexReLU:
        if gated:
            model = ConvexGatedReLU(gates.copy())
            solver = RFISTA(model, max_iters=iterations, tol=tol)
        else:
            model = ConvexReLU(gates.copy())
            solver = AL(model, max_primal_iters=iterations, tol=tol, constraint_tol=tol)
        model, _ = optimize_model(
            model,
            solver,
            Metrics(metric_freq=10 * iterations),
            X,
            y,
            regularizer=regularizer,
            return_convex=True,
            unitize_data=False,
            dtype="float64",
        )
        return model

    def run(effort: float) -> Point:
        how = (int(effort), NEVER) if gated else (MOST, effort)
        found = timed(lambda: solve(*how), asked.repeats)
        model = found.result
        weights = np.stack([np.asarray(part, np.float64)[0].T for part in model.parameters])
        seconds, cpu = max(found.seconds - first.seconds, 0.0), max(found.cpu - first.cpu, 0.0)
        return Point({"weights": weights, "gates": model.G}, seconds, cpu, first.seconds)

    solve(1, NEVER)
    first = timed(lambda: solve(1, NEVER), RUNS)  # converts the data, above all
    return each(asked.effort or (ITERATIONS if gated else TOLERANCES), run)


if __name__ == "__main__":
    serve("pyscnn", prepare, options(__doc__).parse_args())
