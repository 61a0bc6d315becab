"""Robust networks on the command line: ``convexnn solve robust`` and ``compare robust``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from typer import Option

import convexnn as cx
from convexnn.commands import options
from convexnn.commands.family import Family
from convexnn.commands.report import remarked, save_figure
from convexnn.commands.source import Source
from convexnn.contract.system.optional import need
from convexnn.contract.words import few
from convexnn.datasets import Split, split_at_random
from convexnn.driver.solution import Solution
from convexnn.robust.accuracy_curve import robustness_curve
from convexnn.robust.regions import checked_box

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array, LabelArray

NUMBERS = ("squared",)
CLASSES = ("hinge", "logistic")
RADII = 7  # of the curve, from 0 to twice the radius trained for
DRAWN = 20  # random patterns of the comparison, where all are meant

Radius = Annotated[float, Option(help="of the perturbations, in standard deviations of the data")]
Norm = Annotated[str, Option(help="of the perturbations: linf, l2 or l1")]
Loss = Annotated[str, Option(help="hinge, logistic or squared; by the target if left out")]
Beta = Annotated[float, Option(help="weight of the penalty, > 0")]
Count = Annotated[int | None, Option(help="random patterns; all are meant if left out", min=1)]
Formulation = Annotated[str, Option(help="over given patterns: majorant or cones")]
Box = Annotated[
    tuple[float, float] | None,
    Option(help="lowest and highest value that the adversary cannot leave, in the data's units"),
]
Plot = Annotated[Path | None, Option(help="write the robustness curve to this file")]


def declare(
    source: Source,
    seed: int,
    *,
    radius: Radius = 0.1,
    norm: Norm = "linf",
    loss: Loss = "",
    beta: Beta = 1.0,
    patterns: Count = None,
    formulation: Formulation = "majorant",
    box: Box = None,
    bias: options.Bias = True,
) -> tuple[Split, cx.RobustReluTraining]:
    """Load the data and declare robust training; the adversary leaves two-valued columns alone."""
    table = source.target_for(loss, numbers=NUMBERS, classes=CLASSES, coded=True)
    table = table.pair("robust training")
    ends: Any = checked_box(box, table.X, table.columns.of_X)  # before scaling, held-out rows too
    split = split_at_random(table, seed=seed)
    if ends is not None and split.scaling is not None:
        ends = tuple(split.scaling(end) for end in ends)
    kind = loss or ("hinge" if split.classification else "squared")
    varied = np.array([len(np.unique(column)) > 2 for column in split.X.T])
    return split, cx.RobustReluTraining(
        split.X,
        split.y,
        beta=beta,
        radius=radius,
        norm=norm,
        loss=kind,
        patterns=patterns,
        bias=bias,
        formulation=formulation,
        perturbed=varied,
        box=ends,
    )


def listed(problem: cx.RobustReluTraining, seed: int) -> cx.RobustReluTraining:
    """Return training over some random patterns where all are meant."""
    return problem if problem.patterns is not None else replace(problem, patterns=DRAWN)


def title(split: Split, problem: cx.RobustReluTraining) -> str:
    """Return the size of the data, the number of patterns and the radius."""
    n, d = split.X.shape
    kept = 0 if problem.matrix is None else problem.matrix.shape[1]
    said = f"{split.name}: {n} examples, {d} features, {kept} patterns"
    return remarked(f"{said}, {problem.norm} radius {problem.radius:g}", problem)


def tell(solution: Solution, split: Split) -> list[str]:
    """Return what was not perturbed, and the accuracies that stand an adversary of the radius."""
    problem: Any = solution.problem
    still = np.flatnonzero(~problem.perturbed)
    lines = []
    if len(still) and split.table is not None:
        names = [split.table.columns.of_X[k] for k in still]
        lines.append(f"columns of two values, not perturbed in training: {few(names)}")
    if solution.model.classes is None:
        return lines
    for part, X, y in (("train", split.X, split.y), ("test", split.X_test, split.y_test)):
        found = cx.robustness(
            solution.model, X, y, radius=problem.radius, norm=problem.norm, box=problem.box
        )
        lines.append(
            f"{part} accuracy by {solution.backend}, {problem.norm} {problem.radius:g}: "
            f"clean {found.clean:.3f}, attacked {found.attacked:.3f}, "
            f"certified {found.certified:.3f}"
        )
        lines.append(_floor(X, y, part, problem))
    return lines


def _floor(X: Array, y: LabelArray, part: str, problem: cx.RobustReluTraining) -> str:
    """Return what no classifier can do on some examples."""
    try:
        floor = cx.robust_floor(X, y, radius=problem.radius, norm=problem.norm)
    except cx.ProblemError as error:
        return f"no floor of the errors on {part} examples: {error}"
    return (
        f"no classifier errs on fewer than {floor.errors:g} of {len(X)} {part} examples, "
        f"{floor.rate:.1%}: so many pairs of other labels have balls that meet"
    )


def draw(solution: Solution, split: Split, path: Path) -> None:
    """Save the curve of attacked and certified test accuracy against the radius."""
    need("matplotlib", "plot").use("Agg")
    problem: Any = solution.problem
    radii = np.linspace(0.0, 2.0 * problem.radius, RADII)
    named = {solution.backend: solution.model}
    curve = robustness_curve(
        named,
        split.X_test,
        split.y_test,
        radii.tolist(),
        norm=problem.norm,
        box=problem.box,
    )
    save_figure(curve.plot(), f"{split.name}: test accuracy against an adversary", path)


def undrawn(problem: Any) -> str | None:
    """Say why there is no curve."""
    if problem.labels.classes is not None:
        return None
    return "plot is the robustness of labels; this target is real or loss squared"


FAMILY = Family(
    solves="Train against perturbations of the examples; print the certificate.",
    compares="Train over all patterns, then over random ones with every backend that can; compare.",
    declare=declare,
    title=title,
    tell=tell,
    tol=1e-3,
    listed=listed,
    over_all=("convex-concave",),
    plot=Plot,
    draw=draw,
    undrawn=undrawn,
)
