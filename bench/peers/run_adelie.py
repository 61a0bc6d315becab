"""Solve one gated program with adelie and write its weights; runs in adelie's own environment.

Groups are the products ``D_p * X``. The loss of adelie is ``||z - y||^2 / (2 n)``, so its lambda
is ``beta / n``; every group has penalty 1, there is no intercept and no standardisation, and its
early exit on explained deviance is off.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import adelie as ad
import numpy as np


def main() -> None:
    """Read the problem, solve it and write weights and seconds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", help="npz with X, y, gates (d, P) and beta")
    parser.add_argument("answer", help="npz to write")
    parser.add_argument("--tol", type=float, required=True)
    parser.add_argument("--path", type=int, default=1, help="lambdas on the way down to ours")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    data = np.load(asked.problem)
    X, y, gates, beta = data["X"], data["y"], data["gates"], float(data["beta"])
    (n, d), P = X.shape, gates.shape[1]
    begin = time.process_time()
    masks = (X @ gates >= 0.0).astype(np.float64)
    features = np.empty((n, d * P), order="F")
    for p in range(P):
        features[:, p * d : (p + 1) * d] = masks[:, p : p + 1] * X
    build_s = time.process_time() - begin
    lowest = beta / n
    start = float(np.max(np.linalg.norm((features.T @ y).reshape(P, d), axis=1))) / n
    path = np.geomspace(start, lowest, asked.path) if asked.path > 1 else np.array([lowest])

    def solve(lambdas: Any) -> tuple[Any, float]:
        begin = time.process_time()
        state = ad.grpnet(
            ad.matrix.dense(features, method="naive", n_threads=1),
            ad.glm.gaussian(y=y, dtype=np.float64),
            groups=np.arange(0, d * P, d),
            penalty=np.ones(P),
            alpha=1.0,
            lmda_path=lambdas,
            tol=asked.tol,
            intercept=False,
            early_exit=False,
            progress_bar=False,
        )
        return state, time.process_time() - begin

    solve(np.array([start]))
    seconds: list[float] = []
    while len(seconds) < asked.repeats and (not seconds or seconds[0] < 5.0):
        state, elapsed = solve(path)
        seconds.append(elapsed)
    weights = np.asarray(state.betas[-1].todense()).reshape(P, d).T
    np.savez(asked.answer, weights=weights[None], gates=gates, seconds=seconds, build_s=build_s)


if __name__ == "__main__":
    main()
