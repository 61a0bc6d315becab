"""``convexnn solve robust`` and ``convexnn compare robust``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import numpy as np
from typer import Option

import convexnn as cx
from convexnn.commands import options
from convexnn.commands.report import alone, close, compare_all, show
from convexnn.contract.checks import ProblemError
from convexnn.contract.optional import need
from convexnn.datasets import Split, load_data
from convexnn.driver.solution import Solution
from convexnn.driver.solve import solve as run_one
from convexnn.robust.accuracy_curve import robustness_curve

RADII = 7  # of the curve, from 0 to twice the radius trained for

Radius = Annotated[float, Option(help="of the perturbations, in standard deviations of the data")]
Norm = Annotated[str, Option(help="of the perturbations: linf, l2 or l1")]
Loss = Annotated[str, Option(help="hinge, logistic or squared; by the target if left out")]
Beta = Annotated[float, Option(help="weight of the penalty, > 0")]
Count = Annotated[int | None, Option(help="random patterns; all are meant if left out", min=1)]
Drawn = Annotated[int, Option(help="random patterns", min=1)]
Formulation = Annotated[str, Option(help="over given patterns: majorant or cones")]
Plot = Annotated[Path | None, Option(help="write the robustness curve to this file")]


def solve(
    data: options.Data = "breast_cancer",
    backend: options.Backend = "auto",
    radius: Radius = 0.1,
    norm: Norm = "linf",
    loss: Loss = "",
    beta: Beta = 1.0,
    patterns: Count = None,
    formulation: Formulation = "majorant",
    tol: options.Tol = 1e-3,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    save: options.Save = None,
    plot: Plot = None,
) -> None:
    """Train against perturbations of the examples; print the certificate."""
    split, declared = declare(data, radius, norm, loss, beta, patterns, formulation, seed)
    if plot is not None and declared.labels.classes is None:
        raise ProblemError("plot is the robustness of labels; this target is real or loss squared")
    solution = run_one(declared, backend, tol=tol, time_limit=time_limit, seed=seed, progress=True)
    show(alone(solution, split))
    tell(solution, split)
    close(solution, split, save, None)
    if plot is not None:
        draw(solution, split, plot)


def compare(
    data: options.Data = "breast_cancer",
    backends: options.Backends = "",
    radius: Radius = 0.1,
    norm: Norm = "linf",
    loss: Loss = "",
    beta: Beta = 1.0,
    patterns: Drawn = 20,
    formulation: Formulation = "majorant",
    tol: options.Tol = 1e-3,
    time_limit: options.Limit = 60.0,
    seed: options.Seed = 0,
    save: options.Save = None,
    plot: options.Plot = Path("convergence.png"),
) -> None:
    """Train over random patterns with every backend that can; compare."""
    split, declared = declare(data, radius, norm, loss, beta, patterns, formulation, seed)
    n, d = split.X.shape
    kept = declared.matrix.shape[1]
    best = compare_all(
        f"{split.name}: {n} examples, {d} features, {kept} patterns, {norm} radius {radius:g}",
        declared,
        split,
        backends,
        tol=tol,
        time_limit=time_limit,
        save=save,
        plot=plot,
    )
    if best is not None:
        tell(best, split)


def declare(
    data: str,
    radius: float,
    norm: str,
    loss: str,
    beta: float,
    patterns: int | None,
    formulation: str,
    seed: int,
) -> tuple[Split, Any]:
    """Load the data and declare robust training; the adversary leaves two-valued columns alone."""
    split = load_data(data, seed=seed)
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
        bias=True,
        formulation=formulation,
        perturbed=varied,
    )


def tell(solution: Solution, split: Split) -> None:
    """Print the accuracies that stand an adversary of the radius, if labels are predicted."""
    if solution.model.classes is None:
        return
    problem: Any = solution.problem
    for part, X, y in (("train", split.X, split.y), ("test", split.X_test, split.y_test)):
        found = cx.robustness(solution.model, X, y, radius=problem.radius, norm=problem.norm)
        print(
            f"{part} accuracy by {solution.backend}, {problem.norm} {problem.radius:g}: "
            f"clean {found.clean:.3f}, attacked {found.attacked:.3f}, "
            f"certified {found.certified:.3f}"
        )


def draw(solution: Solution, split: Split, path: Path) -> None:
    """Save the curve of attacked and certified test accuracy against the radius."""
    need("matplotlib", "plot").use("Agg")
    problem: Any = solution.problem
    radii = np.linspace(0.0, 2.0 * problem.radius, RADII)
    named = {solution.backend: solution.model}
    curve = robustness_curve(named, split.X_test, split.y_test, radii.tolist(), norm=problem.norm)
    ax = curve.plot()
    ax.set_title(f"{split.name}: test accuracy against an adversary")
    ax.figure.tight_layout()
    ax.figure.savefig(path, dpi=150)
    print(f"figure saved to {path}")
