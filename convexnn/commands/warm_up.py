"""Compile every kernel ahead of the first run, for a container's image: ``convexnn warm-up``."""

from __future__ import annotations

import sys
from typing import Annotated

from typer import Exit, Option

from convexnn.bench.warm_up import KINDS
from convexnn.bench.warm_up import warm_up as run
from convexnn.contract.checks import choice
from convexnn.contract.system.kernels import faults, folder

Families = Annotated[
    list[str] | None, Option("--family", help=f"{', '.join(KINDS)}; all if left out")
]


def warm_up(family: Families = None) -> None:
    """Compile the kernels of all families, or of those chosen, and keep their code.

    Small problems of every kind go through every engine; what is kept from before is not compiled
    again. Exit with 1 if the code cannot be kept where the next process finds it.
    """
    chosen = list(dict.fromkeys(family or KINDS))
    for name in chosen:
        choice("--family", name, list(KINDS))
    total = 0.0
    for name in chosen:
        print(f"{name}: compiling, once ...", end=" ", flush=True)
        done = run(name)
        total += done.elapsed_s
        print(f"{done.kernels} kernels in {done.compile_s:.1f} s, {done.runs} runs", flush=True)
    print(f"{total:.1f} s in all; the code is kept in {folder()}")
    for fault in faults():
        print(f"error: {fault}", file=sys.stderr)
    if faults():
        raise Exit(1)
