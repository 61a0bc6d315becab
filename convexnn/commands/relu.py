"""ReLU networks on the command line: ``convexnn solve relu`` and ``convexnn compare relu``."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import numpy as np
from typer import Option

from convexnn.commands import options
from convexnn.commands.family import Family
from convexnn.commands.source import Source
from convexnn.contract.arrays import SignArray
from convexnn.contract.checks import ProblemError
from convexnn.contract.words import few
from convexnn.datasets import Split, split_at_random
from convexnn.driver.solution import Solution
from convexnn.functions.risks import MEAN, risk_of
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.directions import directions
from convexnn.relu.patterns import Patterns
from convexnn.workflows.local_patterns import local_patterns

SIGNS = {"+1": 1, "1": 1, "-1": -1}
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
Monotone = Annotated[
    str,
    Option(help="NAME:+1,NAME:-1: never falls in one column, never rises in another, for all x"),
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
    monotone: Monotone = "",
) -> tuple[Split, ReluTraining]:
    """Load the data and declare training over all patterns."""
    table = source.target_for(loss, numbers=NUMBERS, classes=CLASSES, coded=True)
    split = split_at_random(table, seed=seed)
    own = losses(split, loss) | {"risk": risk_of(risk)}
    if monotone:
        own["monotone"] = directed(monotone, table.columns.of_X)
    return split, ReluTraining(split.X, split.y, beta=beta, bias=bias, **own)


def directed(text: str, names: tuple[str, ...]) -> SignArray:
    """Return the directions of the columns of X, those not named being free.

    Raises
    ------
    ProblemError
        If a part is not NAME:+1 or NAME:-1, or names no column, or one twice.

    Examples
    --------
    >>> directed("age:+1", ("age", "income"))
    array([1, 0], dtype=int8)
    """
    given: dict[str, int] = {}
    for part in options.listed(text) or ():
        name, _, sign = part.rpartition(":")
        if not name or sign not in SIGNS or name in given:
            raise ProblemError(
                f"--monotone must be NAME:+1 or NAME:-1, separated by commas, each once; got {part}"
            )
        given[name] = SIGNS[sign]
    return directions(given, names, len(names))


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
    """Return in which columns the network is monotone, where that was asked."""
    asked = getattr(solution.problem, "monotone", None)
    if asked is None or not asked.any() or split.table is None:
        return []
    names = split.table.columns.of_X
    ways = (("never falls", 1), ("never rises", -1))
    said = ", ".join(
        f"{what} in {few([name for name, way in zip(names, asked, strict=True) if way == sign])}"
        for what, sign in ways
        if (asked == sign).any()
    )
    proved = solution.model.monotone(asked)
    return [f"{'for all x, by the signs of the weights' if proved else 'NOT proved'}: {said}"]


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
