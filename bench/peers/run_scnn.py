"""Solve one program with scnn and write its weights; runs in scnn's own environment.

The loss of scnn is ``||z - y||^2 / (2 n)``, so its lambda is ``beta / n``. Data are not rescaled
(that would change the problem), and gates are written as scnn returns them: it drops duplicates
and changes their order.
"""

from __future__ import annotations

import argparse
import logging
import time

import numpy as np
import torch
from scnn.metrics import Metrics
from scnn.models import ConvexGatedReLU, ConvexReLU
from scnn.optimize import optimize_model
from scnn.regularizers import NeuronGL1
from scnn.solvers import AL, RFISTA


def main() -> None:
    """Read the problem, solve it and write weights and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", help="npz with X, y, gates (d, P) and beta")
    parser.add_argument("answer", help="npz to write")
    parser.add_argument("--kind", choices=("exact", "gated"), required=True)
    parser.add_argument("--iterations", type=int, required=True)
    parser.add_argument("--tol", type=float, required=True)
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float64")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    data = np.load(asked.problem)
    X, y, gates, beta = data["X"], data["y"], data["gates"], float(data["beta"])
    regularizer = NeuronGL1(beta / len(y))
    seconds: list[float] = []

    def solve(iterations: int) -> tuple[ConvexGatedReLU | ConvexReLU, float]:
        begin = time.process_time()
        if asked.kind == "gated":
            model = ConvexGatedReLU(gates.copy())
            solver = RFISTA(model, max_iters=iterations, tol=asked.tol)
        else:
            model = ConvexReLU(gates.copy())
            solver = AL(model, max_primal_iters=iterations, tol=asked.tol, constraint_tol=asked.tol)
        model, _ = optimize_model(
            model,
            solver,
            Metrics(metric_freq=10 * iterations),
            X,
            y,
            regularizer=regularizer,
            return_convex=True,
            unitize_data=False,
            dtype=asked.dtype,
        )
        return model, time.process_time() - begin

    solve(1)
    build_s = solve(1)[1]
    while len(seconds) < asked.repeats and (not seconds or seconds[0] < 5.0):
        model, elapsed = solve(asked.iterations)
        seconds.append(max(elapsed - build_s, 0.0))
    weights = np.stack([np.asarray(part, dtype=np.float64)[0].T for part in model.parameters])
    np.savez(asked.answer, weights=weights, gates=model.G, seconds=seconds, build_s=build_s)


if __name__ == "__main__":
    main()
