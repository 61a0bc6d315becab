"""Find a geometric median with geom_median; runs in its own environment.

An oracle stops it: its own evaluation of the objective, once an iteration, is watched, and the
first value at or below the target ends the run.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

LONG = 5.0  # seconds of a run from which it is not repeated


class Reached(Exception):
    """The target; holds the point."""


def torch_backend() -> tuple[Any, Any, Any]:
    """Return the points as tensors, the module that iterates, and what is called."""
    import torch
    from geom_median.torch import compute_geometric_median, weiszfeld_array

    torch.set_num_threads(1)
    return torch.from_numpy, weiszfeld_array, compute_geometric_median


def numpy_backend() -> tuple[Any, Any, Any]:
    """Return the points as arrays, the module that iterates, and what is called."""
    from geom_median.numpy import compute_geometric_median, weiszfeld_array

    return np.asarray, weiszfeld_array, compute_geometric_median


BACKENDS = {"numpy": numpy_backend, "torch": torch_backend}


def main() -> None:
    """Read the points, run to the target and write point, seconds and iterations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("problem", help="npz with points and target, a sum of distances")
    parser.add_argument("answer", help="npz to write")
    parser.add_argument("--backend", choices=tuple(BACKENDS), required=True)
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    with np.load(asked.problem) as data:
        rows, target = data["points"], float(data["target"])
    convert, module, median = BACKENDS[asked.backend]()
    points = [convert(row) for row in rows]
    evaluate = module.geometric_median_objective
    seen = 0

    def watched(x: Any, given: Any, weights: Any) -> Any:
        nonlocal seen
        value = evaluate(x, given, weights)
        seen += 1
        if float(value) * len(points) <= target:
            raise Reached(np.asarray(x))
        return value

    median(points[:5], maxiter=2)  # first calls
    module.geometric_median_objective = watched
    seconds: list[float] = []
    weights = convert(np.ones(len(points)))
    while len(seconds) < asked.repeats and (not seconds or seconds[0] < LONG):
        seen, begin = 0, time.process_time()
        try:
            median(points, weights, maxiter=asked.iterations, ftol=0.0, skip_typechecks=True)
        except Reached as reached:
            seconds.append(time.process_time() - begin)
            point = reached.args[0]
        else:
            raise SystemExit(f"not there after {asked.iterations} iterations")
    np.savez(asked.answer, point=point, cpu_s=np.median(seconds), runs=len(seconds), steps=seen - 1)


if __name__ == "__main__":
    main()
