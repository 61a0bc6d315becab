"""Have the kernels of a family compiled and kept: small instances go through every engine of it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import convexnn as cx
from convexnn.bench.instances import FAMILIES, instance
from convexnn.contract.system.compiling import compiled_s, on_compiling

KINDS = {
    "relu": (
        *("relu", "relu-all-patterns", "gated", "convolution", "convolution-gated"),
        *("several-outputs", "sampled", "narrow", "threshold"),
    ),
    "robust": ("robust",),
    "wasserstein": (
        *("wasserstein-classification", "wasserstein-regression", "wasserstein-network"),
        *("margins", "reweighting"),
        *("newsvendor", "portfolio"),
    ),
    "median": ("median", "distributed", "network-lasso", "constrained"),
}
ROUNDS = 10  # of instances of every kind
QUIET = 2  # rounds at the beginning that compile nothing: then all is compiled
MAX_ITER = 30
OTHERS = ("cvxpy:", "mpi:")  # engines that have no kernels, or none of their own


class Warmed(NamedTuple):
    """What warming up did.

    Attributes
    ----------
    kernels, runs : int
        How many were compiled, and how many runs there were.
    compile_s, elapsed_s : float
        Seconds of compiling, and in all.
    """

    kernels: int
    runs: int
    compile_s: float
    elapsed_s: float


def warm_up(family: str) -> Warmed:
    """Compile what the solves of a family call, where it is not kept from before.

    Parameters
    ----------
    family : str
        Of `KINDS`.

    Examples
    --------
    >>> warm_up("median").runs > 0
    True
    """
    begin, before = time.perf_counter(), compiled_s()
    said: list[None] = []
    runs = 0
    with on_compiling(lambda: said.append(None)), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of data that is awkward on purpose
        for turn in range(ROUNDS):
            for problem in problems(family, turn):
                runs += sum(1 for _ in every_engine(problem, turn))
            if turn + 1 == QUIET and not said:
                break
    return Warmed(len(said), runs, compiled_s() - before, time.perf_counter() - begin)


def problems(family: str, turn: int) -> Iterator[Any]:
    """Return a problem of each kind, those over given patterns over all of them, too.

    Examples
    --------
    >>> [type(problem).__name__ for problem in problems("robust", 1)]
    ['RobustReluTraining', 'RobustReluTraining']
    """
    names = list(FAMILIES)
    for kind in KINDS[family]:
        problem = instance(0, turn * len(names) + names.index(kind)).problem
        yield problem
        if kind == "robust":
            yield replace(problem, patterns=None)


def every_engine(problem: Any, turn: int) -> Iterator[Any]:
    """Solve a problem with every engine of the package, and do with the network what one may."""
    for name in cx.backends(problem).names:
        if name.startswith(OTHERS):
            continue
        own: dict[str, Any] = {}
        if name == "fista" and turn % 2:
            own = {"dtype": "float32"}
        solution = cx.solve(problem, name, tol=1e-7, max_iter=MAX_ITER, seed=turn, **own)
        yield solution
    if isinstance(problem, cx.RobustReluTraining) and problem.loss.classification:
        norm = ("linf", "l2", "l1")[turn % 3]
        cx.robustness(solution.model, problem.X, problem.y, radius=0.1, norm=norm)
