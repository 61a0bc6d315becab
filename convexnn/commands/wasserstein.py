"""Wasserstein balls on the command line: ``convexnn solve | compare wasserstein``."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from typer import Option

import convexnn as cx
from convexnn.commands import options
from convexnn.commands.family import Family
from convexnn.commands.source import Source
from convexnn.contract.checks import ProblemError, choice
from convexnn.datasets import Split, split_at_random
from convexnn.driver.solution import Solution
from convexnn.workflows.local_patterns import local_patterns

NUMBERS = ("squared", "absolute", "huber", "quantile")
CLASSES = ("logistic", "hinge")
FEW = 20  # patterns of local search that are compared over
ORDERS = {"1": 1, "2": 2, "inf": math.inf}

Radius = Annotated[float, Option(help="of the ball, in standard deviations of the features")]
Flip = Annotated[float, Option(help="cost of flipping a label; inf: labels are right")]
Target = Annotated[float, Option(help="cost of moving a real target by one; inf: it is right")]
Norm = Annotated[str, Option(help="of moving the features: l2, l1 or linf")]
Loss = Annotated[
    str,
    Option(
        help="logistic or hinge for two classes; squared, absolute, huber or quantile for real "
        "targets, squared not of order 1; by the target and the order if left out"
    ),
]
Order = Annotated[str, Option(help="of the Wasserstein distance: 1, 2 or inf")]
Model = Annotated[
    str,
    Option(help="linear, or network: two layers of ReLU, of order 1, over all patterns"),
]


def declare(
    source: Source,
    seed: int,
    *,
    radius: Radius = 0.1,
    flip_cost: Flip = math.inf,
    target_cost: Target = math.inf,
    norm: Norm = "l2",
    loss: Loss = "",
    order: Order = "1",
    bias: options.Bias = True,
    model: Model = "linear",
) -> tuple[Split, Any]:
    """Load the data and declare the fit: of a classifier if the target has two values."""
    choice("model", model, ["linear", "network"])
    numbers = NUMBERS if model == "linear" else ("absolute", "huber")
    table = source.target_for(loss, numbers=numbers, classes=CLASSES, coded=False)
    split = split_at_random(table.pair("a Wasserstein classifier"), seed=seed)
    choice("order", order, list(ORDERS))
    if model == "network":
        for name, value, plain in (
            *(("flip-cost", flip_cost, math.inf), ("target-cost", target_cost, math.inf)),
            ("order", order, "1"),
        ):
            if value != plain:
                raise ProblemError(f"{name} must be {plain} for a network, got {value}")
        kind = loss or ("logistic" if split.classification else "absolute")
        return split, _network(split, seed, radius=radius, norm=norm, loss=kind, bias=bias)
    common: dict[str, Any] = {
        "radius": radius,
        "norm": norm,
        "order": ORDERS[order],
        "intercept": bias,
    }
    if split.classification:
        if target_cost != math.inf:
            raise ProblemError("target-cost is for real targets; these have two values: flip-cost")
        return split, cx.WassersteinClassification(
            split.X, split.y, flip_cost=flip_cost, loss=loss or "logistic", **common
        )
    if flip_cost != math.inf:
        raise ProblemError("flip-cost is for targets of two values; these are real: target-cost")
    grows = "absolute" if order == "1" else "squared"  # a ball of order 1 has no worst square
    return split, cx.WassersteinRegression(
        split.X, split.y, target_cost=target_cost, loss=loss or grows, **common
    )


def _network(split: Split, seed: int, **given: Any) -> cx.WassersteinReluTraining:
    """Declare a network over all patterns; in the norm l1 over those of local search in l2."""
    patterns = None
    if given["norm"] == "l1":
        plain = cx.WassersteinReluTraining(split.X, split.y, **given | {"norm": "l2"})
        patterns = local_patterns(plain, seed=seed)
    return cx.WassersteinReluTraining(split.X, split.y, patterns=patterns, **given)


def listed(problem: Any, seed: int) -> Any:
    """Return a network over patterns of local search; a linear model as it is."""
    if isinstance(problem, cx.WassersteinReluTraining) and problem.patterns is None:
        return replace(problem, patterns=local_patterns(problem, seed=seed, limit=FEW))
    return problem


def title(split: Split, problem: Any) -> str:
    """Return the size of the data and the radius."""
    n, d = split.X.shape
    return f"{split.name}: {n} examples, {d} features, ball of radius {problem.radius:g}"


def tell(solution: Solution, split: Split) -> list[str]:
    """Return what the adversary makes of the model."""
    worst = solution.model.worst_case
    atoms = worst.atoms
    if isinstance(worst, cx.NetworkWorstCase):
        return [
            f"expected loss over the ball: {worst.lower:.6g} to {worst.upper:.6g}, on the examples "
            f"{worst.nominal:.6g};",
            f"the output changes by at most {worst.lipschitz:.4g} times the way, everywhere",
        ]
    changes = f"{np.count_nonzero(atoms.cost > 0.0)} of {len(atoms)} atoms moved"
    if solution.model.classes is not None:
        flipped = np.count_nonzero(atoms.target != split.y[atoms.source])
        changes += f", {flipped} with a label flipped"
    return [
        f"worst case by {solution.backend}: expected loss {worst.value:.6g}, {changes};",
        f"multiplier of the radius {worst.multiplier:.4g}, supremum "
        f"{'attained' if worst.attained else 'not attained'}",
    ]


FAMILY = Family(
    solves="Fit a model against a ball of distributions; print the certificate.",
    compares="Fit the model with every backend that can; compare.",
    declare=declare,
    title=title,
    tell=tell,
    tol=1e-4,
    listed=listed,
    over_all=("lbfgs", "cell-walk"),
)
