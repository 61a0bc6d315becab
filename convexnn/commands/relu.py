"""ReLU networks on the command line: ``convexnn solve relu`` and ``convexnn compare relu``."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import numpy as np
from typer import Option

from convexnn.commands import options
from convexnn.commands.family import Family
from convexnn.commands.source import Source
from convexnn.datasets import Split, split_at_random
from convexnn.driver.solution import Solution
from convexnn.functions.risks import MEAN, risk_of
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.patterns import Patterns
from convexnn.workflows.local_patterns import local_patterns

NUMBERS = ("squared", "huber")
CLASSES = ("logistic", "hinge", "softmax")

Beta = Annotated[float, Option(help="weight of the penalty, > 0")]
Loss = Annotated[
    str, Option(help="squared, huber, logistic, hinge or softmax; by the target if left out")
]
Risk = Annotated[
    str,
    Option(
        help="mean, or the worst mean of a set of weights: cvar:LEVEL, or entropic:RADIUS, "
        "chi-square:RADIUS, total-variation:RADIUS"
    ),
]
Count = Annotated[int, Option(help="patterns taken from local search at most", min=1)]


def declare(
    source: Source,
    seed: int,
    *,
    beta: Beta = 1.0,
    loss: Loss = "",
    risk: Risk = MEAN,
    bias: options.Bias = True,
) -> tuple[Split, ReluTraining]:
    """Load the data and declare training over all patterns."""
    table = source.target_for(loss, numbers=NUMBERS, classes=CLASSES, coded=True)
    split = split_at_random(table, seed=seed)
    taken = risk_of(risk)
    own = losses(split, loss)
    return split, ReluTraining(split.X, split.y, beta=beta, bias=bias, risk=taken, **own)


def losses(split: Split, loss: str) -> dict[str, Any]:
    """Return what the problem is told of the loss, by the target where none is named.

    Of more than two classes it is "softmax"; "logistic" and "hinge" are one against the rest.
    """
    many = split.classification and len(np.unique(split.y)) > 2
    kind = loss or (("softmax" if many else "logistic") if split.classification else "squared")
    return {"loss": kind, "multiclass": "one-vs-rest" if many and kind != "softmax" else None}


def listed(problem: ReluTraining, seed: int, *, patterns: Count = 20) -> ReluTraining:
    """Return training over the patterns of some networks that local search finds."""
    found = local_patterns(problem, seed=seed, limit=patterns)
    return dataclasses.replace(problem, patterns=found)


def title(split: Split, problem: ReluTraining, *, patterns: Count = 20) -> str:
    """Return the size of the data and the number of patterns, and why it is no larger."""
    n, d = split.X.shape
    assert isinstance(problem.patterns, Patterns)  # as `listed` leaves them
    assert problem.matrix is not None
    found, kept = len(problem.patterns), problem.matrix.shape[1]
    said = f"{split.name}: {n} examples, {d} features, {kept} patterns of local search"
    if kept == patterns:
        return said
    idle = f", {found - kept} of them active on no example" if found > kept else ""
    return f"{said}: {patterns} asked for, {found} distinct ones found{idle}"


def tell(solution: Solution, split: Split) -> list[str]:
    """Return nothing: the table has all that there is to say."""
    return []


FAMILY = Family(
    solves="Train over all patterns: local search, then a convex solve; print the certificate.",
    compares="Solve over all patterns, then over some of local search with every backend; compare.",
    declare=declare,
    title=title,
    tell=tell,
    tol=1e-4,
    listed=listed,
    over_all=("lbfgs", "cell-walk"),
)
