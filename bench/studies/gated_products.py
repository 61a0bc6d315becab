"""How near the gated program's masked products and iterations come to a plain matrix product.

``OMP_NUM_THREADS=1 python bench/studies/gated_products.py [--quick]`` prints one table and keeps it
as a CSV in bench/studies/results.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from harness import Size, Table, cpu_seconds, gated, instance
from threadpoolctl import threadpool_limits

from convexnn.contract.backend import Options
from convexnn.relu.forms import GroupForm
from convexnn.relu.products import adjoint, forward
from convexnn.solvers.relu import fista

SQUARE = 1_500  # rows of the plain product
FROM, TO = 60, 200  # iterations that are timed
COLUMNS = ("n", "d", "P", "dtype", "gemm", "forward", "adjoint", "iteration_ms", "rate", "ratio")


class Clock:
    """A reporter that certifies nothing and notes the processor's time at each report."""

    def __init__(self) -> None:
        self.marks: list[tuple[int, float]] = []

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        """Note the time."""
        self.marks.append((iteration, time.process_time()))
        return False

    def expired(self) -> bool:
        """Return False."""
        return False

    def remaining(self) -> float | None:
        """Return None."""
        return None


def fastest(work: Callable[[], Any], repeats: int) -> float:
    """Return the least processor seconds of many runs, the first left out."""
    work()
    return min(cpu_seconds(work)[1] for _ in range(repeats))


def per_iteration(form: GroupForm, dtype: str) -> float:
    """Return the least processor seconds of an iteration, over stretches between two reports."""
    clock = Clock()
    fista.run(form, fista.DEFAULTS | {"dtype": dtype}, Options(0.0, TO, 0, {}), clock, None)
    late = [mark for mark in clock.marks if mark[0] >= FROM]
    return min((after[1] - before[1]) / (after[0] - before[0]) for before, after in pairwise(late))


def bench(quick: bool) -> Table:
    """Measure in both precisions; rates are in GF/s of 2 n d P operations a product."""
    table = Table("products", COLUMNS, quick, "gated")
    repeats = 5 if quick else 60
    for size in [Size(1000, 20, 100)] if quick else [Size(1000, 20, 100), Size(5000, 50, 200)]:
        form = gated(instance(size)).canonical(GroupForm)
        work = 2e-9 * size.n * size.d * size.P
        g = np.random.default_rng(0)
        for dtype in ("float64", "float32"):
            big: Any = g.standard_normal((SQUARE, SQUARE)).astype(dtype)
            X, slopes, r = (array.astype(dtype) for array in (form.X, form.slopes, form.y))
            rows: Any = g.standard_normal((size.P, size.d)).astype(dtype)
            gemm = 2e-9 * SQUARE**3 / fastest(lambda: big @ big, max(3, repeats // 10))  # noqa: B023
            forwards = work / fastest(lambda: forward(X, slopes, rows), repeats)  # noqa: B023
            adjoints = work / fastest(lambda: adjoint(X, slopes, r), repeats)  # noqa: B023
            seconds = min(per_iteration(form, dtype) for _ in range(max(2, repeats // 20)))
            rate = 2.0 * work / seconds
            table.add(
                **size._asdict(),
                dtype=dtype,
                gemm=gemm,
                forward=forwards,
                adjoint=adjoints,
                iteration_ms=1e3 * seconds,
                rate=rate,
                ratio=rate / gemm,
            )
    return table


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smaller size only, less often")
    asked = parser.parse_args()
    with threadpool_limits(limits=1):
        bench(asked.quick).show()


if __name__ == "__main__":
    main()
