"""A gated program of image-classifier size on a GPU: seconds and certified gap.

``python bench/studies/gpu_gated.py`` solves n = 60,000 examples of d = 784 columns with 1,000
gates on the first GPU, in single and in double precision, and keeps the table as a CSV in
bench/studies/results. Without a GPU it says so and ends with exit status 1. ``--quick`` is a small
size, on the processor where there is no GPU; ``--size n d P`` another one.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time

from harness import Size, Table, gated, instance

import convexnn as cx
from convexnn.contract.backend import BackendError

FULL, QUICK = Size(60_000, 784, 1_000), Size(2_000, 60, 50)
GIB = 2.0**30
COLUMNS = (
    *("n", "d", "P", "loss", "device", "dtype", "tol", "status", "gap", "iterations"),
    *("build_s", "compile_s", "solve_s", "certify_s", "checks", "threads", "peak_gib", "note"),
)


def place(quick: bool) -> str:
    """Return the device, or end the process where there is none."""
    from convexnn.solvers.relu.device_products import torch_library

    try:
        torch_library("cuda")
    except (BackendError, ImportError) as error:
        if quick and isinstance(error, BackendError):
            print(f"No GPU, so this runs on the processor: {error}", file=sys.stderr)
            return "cpu"
        sys.exit(f"This benchmark needs a GPU: {error}")
    return "cuda"


def bench(size: Size, quick: bool, device: str, threads: int) -> Table:
    """Solve in both precisions."""
    table = Table("gpu", COLUMNS, quick, "gated")
    for loss in ("squared", "logistic"):
        begin = time.perf_counter()
        problem = gated(instance(size, loss))
        build_s = time.perf_counter() - begin
        ready = cx.compile(problem, "fista")
        ready.run(max_iter=2, array="torch", device=device)  # the device's libraries load here
        for dtype in ("float32", "float64"):
            for tol in (1e-3, 1e-5):
                found = ready.run(
                    tol=tol, threads=threads, array="torch", device=device, dtype=dtype
                )
                table.add(
                    **size._asdict(),
                    loss=loss,
                    device=device,
                    dtype=dtype,
                    tol=tol,
                    status=found.status.name,
                    gap=found.gap,
                    iterations=found.history[-1].iteration,
                    build_s=build_s,
                    compile_s=found.timings["compile"],
                    solve_s=found.timings["solve"],
                    certify_s=found.timings["certify"],
                    checks=len(found.history),
                    threads=threads,
                    peak_gib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / GIB,
                    note=found.message,
                )
    return table


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small size, without a GPU as well")
    parser.add_argument("--size", nargs=3, type=int, metavar=("n", "d", "P"), help="another size")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count() or 1, help="of the certificates"
    )
    asked = parser.parse_args()
    size = Size(*asked.size) if asked.size else QUICK if asked.quick else FULL
    bench(size, asked.quick, place(asked.quick), asked.threads).show()


if __name__ == "__main__":
    main()
