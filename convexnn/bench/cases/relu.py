"""Instances of two-layer training: given patterns, gates, samples, all patterns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from convexnn.bench.cases import tables
from convexnn.bench.cases.case import Case
from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError
from convexnn.contract.problem import Problem
from convexnn.problems.relu.gated import GatedReluTraining
from convexnn.problems.relu.sampled import SampledReluTraining
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.cells.sampling import sample_patterns

NEURONS = 10  # of the teacher
NOISE = 0.1
SEEN = 20  # patterns at least that set the scale of beta
SHARE = 0.02  # of the smallest beta at which the gated solution is zero
TINY = (40, 3, 8)
RATIOS = (1.0, 1e2, 1e4, 1e6)  # of the units of the last column and of the first

NEEDS = {"folder": f"{tables.FOLDER} to name a folder of .npz files"}  # sources to be asked for

Data = tuple[Array, Array]


def teacher(n: int, d: int, loss: str, seed: int = 0) -> Data:
    """Draw Gaussian rows and a teacher network's targets; its labels part the rows in half."""
    g = np.random.default_rng(seed)
    X, U = g.standard_normal((n, d)), g.standard_normal((d, NEURONS))
    z = np.maximum(X @ U, 0.0) @ g.standard_normal(NEURONS) + NOISE * g.standard_normal(n)
    return X, z / z.std() if loss == "squared" else np.where(z > np.median(z), 1.0, -1.0)


def stretched(X: Array, ratio: float) -> Array:
    """Return data whose columns are in units that grow from the first to the last by a ratio."""
    return X * np.geomspace(ratio**-0.5, ratio**0.5, X.shape[1])


def declare(kind: str, loss: str, data: Data, count: int, penalty: str = "l2") -> Problem[Any]:
    """Return a program over `count` patterns or neurons, none for all patterns.

    Its beta is a fixed share of ``max_p ||X'(D_p * l'(0))||`` over these or `SEEN` patterns.
    """
    X, y = data
    patterns = sample_patterns(X, count or SEEN, seed=1)
    seen = patterns if count >= SEEN else sample_patterns(X, SEEN, seed=1)
    slope = y if loss == "squared" else 0.5 * y if loss == "logistic" else y
    largest = np.linalg.norm(X.T @ (seen.matrix * slope[:, None]), axis=0).max()
    common: dict[str, Any] = {"beta": float(SHARE * largest), "loss": loss}
    if kind == "gated":
        return GatedReluTraining(X, y, patterns=patterns, penalty=penalty, **common)
    if kind == "sampled":
        return SampledReluTraining(X, y, neurons=count, **common)
    if kind == "all":
        return ReluTraining(X, y, penalty=penalty, **common)
    formulation = "majorant" if kind == "majorant" else "cones"
    return ReluTraining(X, y, patterns=patterns, penalty=penalty, formulation=formulation, **common)


def generated(
    kind: str, loss: str, n: int, d: int, count: int, *, ratio: float = 1.0, **more: Any
) -> Case:
    """Return an instance on a teacher's data, its columns `stretched`."""
    build = partial(_on_teacher, kind, loss, n, d, count, ratio)
    of = f"P={count}" if count else "all patterns"
    size = float(count) if count else float("nan")
    name = f"{kind} {loss} n={n} d={d} {of}"
    if "scale" in more.get("series", ""):
        name = f"{name} columns 1:{ratio:g}"
    return Case(name, "teacher", build, _tiny(kind, loss), n, d, size, **more)


def tabled(kind: str, loss: str, source: str, name: str, count: int, **more: Any) -> Case:
    """Return an instance on a table of scikit-learn, of OpenML or of the folder."""
    build = partial(_on_table, kind, loss, source, name, count)
    label = name if source != "folder" else name.rpartition("/")[2].removesuffix(".npz")
    of = f"P={count}" if count else "all patterns"
    size = float(count) if count else float("nan")
    title = f"{kind} {loss} {label} {of}"
    return Case(title, source, build, _tiny(kind, loss), size=size, **more)


def _tiny(kind: str, loss: str) -> partial[Any]:
    return partial(_on_teacher, kind, loss, *TINY)


def _on_teacher(
    kind: str, loss: str, n: int, d: int, count: int, ratio: float = 1.0
) -> Problem[Any]:
    X, y = teacher(n, d, loss)
    return declare(kind, loss, (stretched(X, ratio), y), count)


def _on_table(kind: str, loss: str, source: str, name: str, count: int) -> Problem[Any]:
    X, y, _ = tables.openml(name) if source == "openml" else tables.table(name)
    return declare(kind, loss, (X, y), count)


SKLEARN = {  # rows and columns
    "diabetes": (442, 10),
    "iris": (100, 4),
    "wine": (130, 13),
    "breast_cancer": (569, 30),
    "digits": (360, 52),
}
OPENML = {
    "ionosphere": ("logistic", 351, 33),
    "diabetes": ("logistic", 768, 8),
    "kin8nm": ("squared", 1000, 8),
}


def cases() -> Iterator[Case]:
    """Yield the instances."""
    yield from _teachers()
    yield from _as_people_bring_them()
    for name, (n, d) in SKLEARN.items():
        loss = "squared" if name == "diabetes" else "logistic"
        level = "default" if name in ("diabetes", "breast_cancer") else "full"
        yield tabled("exact", loss, "sklearn", name, 30, n=n, d=d, level=level)
    yield tabled("gated", "logistic", "sklearn", "digits", 50, n=360, d=52, level="default")
    yield tabled("exact", "hinge", "sklearn", "breast_cancer", 30, n=569, d=30)
    yield tabled("sampled", "squared", "sklearn", "diabetes", 300, n=442, d=10)
    yield tabled("all", "squared", "sklearn", "diabetes", 0, n=442, d=10)
    yield tabled("all", "logistic", "sklearn", "breast_cancer", 0, n=569, d=30)
    for name, (loss, n, d) in OPENML.items():
        missing = partial(tables.unreachable, name)
        yield tabled("exact", loss, "openml", name, 30, n=n, d=d, missing=missing)
    yield from map(_from_folder, tables.files())


def _from_folder(path: Path) -> Case:
    """Return the instance on a file; one that is no table is there with its reason."""
    try:
        n, d, loss = tables.summary(path)
    except ProblemError as error:
        case = tabled("gated", "squared", "folder", str(path), 50, n=0, d=0)
        return case._replace(instance=path.name, missing=partial(str, error))
    case = tabled("gated", loss, "folder", str(path), 50, n=n, d=d)
    return case._replace(missing=partial(unbuilt, case.build))


def unbuilt(build: partial[Any]) -> str:
    """Return why an instance cannot be built, empty if it can."""
    try:
        build()
    except ProblemError as error:
        return str(error)
    return ""


def _teachers() -> Iterator[Case]:
    quick: dict[str, Any] = {"level": "quick"}
    yield generated("exact", "squared", 200, 10, 30, **quick)
    yield generated("exact", "hinge", 100, 5, 15, **quick)
    yield generated("gated", "squared", 500, 20, 50, **quick)
    yield generated("gated", "logistic", 200, 10, 30, **quick)
    yield generated("all", "squared", 30, 2, 0, **quick)
    yield generated("exact", "logistic", 200, 10, 30, level="default")
    yield generated("exact", "hinge", 200, 10, 30, level="default")
    yield generated("majorant", "squared", 200, 10, 30, level="default")
    yield generated("sampled", "squared", 500, 20, 300, level="default")
    yield generated("gated", "hinge", 300, 10, 30, level="default")
    yield generated("all", "logistic", 40, 2, 0, level="default")
    yield generated("all", "hinge", 25, 3, 0)
    yield generated("all", "squared", 200, 5, 0)
    yield generated("all", "squared", 100, 10, 0)
    yield generated("all", "logistic", 300, 8, 0)
    yield generated("all", "squared", 2000, 8, 0)
    yield generated("majorant", "hinge", 200, 10, 30)
    yield generated("gated", "squared", 2000, 50, 100)
    for n in (50, 200, 1000, 5000):
        level = "quick" if n <= 200 else "default" if n <= 1000 else "full"
        more: dict[str, Any] = {"series": "exact n", "varied": float(n), "level": level}
        yield generated("exact", "squared", n, 5, 20, **more)
    for P in (5, 20, 100, 500):
        level = "default" if P <= 100 else "full"
        more = {"series": "gated P", "varied": float(P), "level": level}
        yield generated("gated", "squared", 300, 8, P, **more)
    for d in (3, 10, 30, 100, 300):
        level = "default" if d <= 30 else "full"
        more = {"series": "gated d", "varied": float(d), "level": level}
        yield generated("gated", "logistic", 400, d, 25, **more)


def _as_people_bring_them() -> Iterator[Case]:
    """Yield series in the columns' units, in width and in length."""
    for ratio in RATIOS:
        more: dict[str, Any] = {"ratio": ratio, "varied": ratio}
        yield generated("exact", "logistic", 200, 4, 30, series="exact scale", **more)
        yield generated("gated", "squared", 400, 8, 30, series="gated scale", **more)
    for d in (500, 5_000, 50_000):
        more = {"series": "gated width", "varied": float(d)}
        yield generated("gated", "squared", 200, d, 25, **more)
    for n in (10_000, 100_000, 1_000_000):
        more = {"series": "gated length", "varied": float(n)}
        yield generated("gated", "squared", n, 20, 50, **more)
