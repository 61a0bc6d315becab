"""Instances of training against an adversary: majorants and cones over given patterns."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from convexnn.bench.cases import tables
from convexnn.bench.cases.case import Case
from convexnn.bench.cases.relu import SKLEARN, Data, teacher
from convexnn.contract.system.optional import need
from convexnn.problems.robust.training import RobustReluTraining

BETA = 0.5
NOISE = 0.15
TINY = (40, 3, 6)


class Kind(NamedTuple):
    """A program, its loss and the ball."""

    formulation: str
    loss: str
    norm: str
    radius: float

    def __str__(self) -> str:
        return f"{self.formulation} {self.loss} {self.norm}={self.radius:g}"


def declare(kind: Kind, data: Data, count: int, *, bias: bool = False) -> RobustReluTraining:
    """Return the program over `count` patterns of perturbed examples."""
    X, y = data
    every = np.ones(X.shape[1], dtype=bool)  # pixels of two values are no categories
    ball = kind._asdict() | {"perturbed": every}
    return RobustReluTraining(X, y, beta=BETA, patterns=count, bias=bias, **ball)


def moons(n: int) -> Data:
    """Return scikit-learn's two moons about their mean."""
    X, y = need("sklearn.datasets", "data").make_moons(n, noise=NOISE, random_state=1)
    return X - X.mean(axis=0), np.where(y == 1, 1.0, -1.0)


def case(kind: Kind, source: str, name: str, n: int, d: int, count: int, **more: Any) -> Case:
    """Return an instance on two moons, on a teacher's data or on a table."""
    label = f"n={n} d={d}" if source == "teacher" else f"n={n}" if source == "moons" else name
    build = partial(_build, kind, source, name, n, d, count)
    tiny = partial(_build, kind, source if source == "moons" else "teacher", "", *TINY)
    of = "moons " if source == "moons" else ""
    title = f"{kind} {of}{label} P={count}"
    return Case(title, source, build, tiny, n, d, float(count), **more)


def _build(kind: Kind, source: str, name: str, n: int, d: int, count: int) -> RobustReluTraining:
    if source == "moons":
        return declare(kind, moons(n), count, bias=True)
    if source == "teacher":
        return declare(kind, teacher(n, d, kind.loss), count)
    X, y, _ = tables.table(name)
    return declare(kind, (X, y), count)


MAJORANT, CONES = "majorant", "cones"


def cases() -> Iterator[Case]:
    """Yield the instances."""
    hinge = Kind(MAJORANT, "hinge", "linf", 0.1)
    yield case(hinge, "moons", "", 60, 2, 10, level="quick")
    yield case(Kind(CONES, "hinge", "linf", 0.005), "moons", "", 60, 2, 10, level="quick")
    small = ("teacher", "", 80, 4, 10)
    yield case(Kind(MAJORANT, "logistic", "l2", 0.1), *small, level="quick")
    yield case(Kind(MAJORANT, "squared", "linf", 0.05), *small, level="quick")
    for loss in ("hinge", "logistic", "squared"):
        for norm in ("linf", "l2"):
            level = "default" if (loss == "squared") == (norm == "l2") else "full"
            yield case(Kind(MAJORANT, loss, norm, 0.1), "teacher", "", 150, 6, 15, level=level)
            yield case(Kind(CONES, loss, norm, 0.005), "teacher", "", 100, 4, 15, level=level)
    for name in ("breast_cancer", "digits"):
        n, d = SKLEARN[name]
        level = "default" if name == "digits" else "full"
        yield case(Kind(MAJORANT, "hinge", "linf", 0.05), "sklearn", name, n, d, 10, level=level)
    yield case(Kind(MAJORANT, "logistic", "l2", 0.2), "sklearn", "digits", *SKLEARN["digits"], 10)
    for n in (30, 120, 480, 1920, 3840):
        level = "quick" if n <= 120 else "default" if n <= 480 else "full"
        more: dict[str, Any] = {"series": "moons n", "varied": float(n), "level": level}
        yield case(Kind(MAJORANT, "logistic", "linf", 0.1), "moons", "", n, 2, 10, **more)
