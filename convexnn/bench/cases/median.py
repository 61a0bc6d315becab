"""Instances of medians: of points, of agents on a graph, of terms under equations."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convexnn.bench.cases.case import Case
from convexnn.bench.cases.relu import RATIOS, stretched
from convexnn.contract.arrays import Array
from convexnn.functions.terms import Distance, L1Distance, SquaredDistance
from convexnn.problems.median.constrained import LinearlyConstrained
from convexnn.problems.median.distributed import DistributedMedian
from convexnn.problems.median.geometric import GeometricMedian
from convexnn.problems.median.network_lasso import NetworkLasso

OUTLIERS = 5  # one point in so many


def cloud(n: int, d: int) -> Array:
    """Draw a stretched Gaussian cloud, a fifth of it moved far off."""
    g = np.random.default_rng(0)
    points = g.standard_normal((n, d)) * np.logspace(0.0, -1.0, d)
    points[: n // OUTLIERS] = 10.0 + 5.0 * g.standard_normal((n // OUTLIERS, d))
    mixed: Array = g.permutation(points)
    return mixed


def graph(shape: str, n: int) -> NDArray[np.int64]:
    """Return the edges of a ring, of a star, or of a ring with n random chords."""
    ring = np.column_stack([np.arange(n), (np.arange(n) + 1) % n])
    if shape == "ring":
        return ring
    if shape == "star":
        return np.column_stack([np.zeros(n - 1, dtype=np.int64), np.arange(1, n)])
    chords = np.random.default_rng(0).integers(0, n, (n, 2))
    both = np.sort(np.vstack([ring, chords[chords[:, 0] != chords[:, 1]]]), axis=1)
    return np.unique(both, axis=0)


def central(n: int, d: int, ratio: float = 1.0) -> GeometricMedian:
    """Return the geometric median of a cloud whose columns are `stretched`."""
    return GeometricMedian(stretched(cloud(n, d), ratio))


def shared(shape: str, n: int, d: int) -> DistributedMedian:
    """Return the median that agents on a graph agree on, their data uniform on [0, 10]^d."""
    points = np.random.default_rng(0).uniform(0.0, 10.0, (n, d))
    return DistributedMedian(points, graph(shape, n))


def lasso(shape: str, n: int, d: int) -> NetworkLasso:
    """Return local means that a network draws together, from two groups of agents."""
    g = np.random.default_rng(0)
    centre = np.where(np.arange(n)[:, None] < n // 2, 0.0, 3.0)
    terms = [SquaredDistance(row) for row in centre + g.standard_normal((n, d))]
    return NetworkLasso(terms, graph(shape, n), penalty=1.0)


def constrained(terms: int, d: int) -> LinearlyConstrained:
    """Return distances, of two kinds in turn, whose points must add up to zero."""
    g = np.random.default_rng(0)
    made = [
        (Distance if k % 2 else L1Distance)(row)
        for k, row in enumerate(g.standard_normal((terms, d)))
    ]
    return LinearlyConstrained(made, np.tile(np.eye(d), terms), np.zeros(d))


def cases() -> Iterator[Case]:
    """Yield the instances."""
    small = partial(central, 60, 3)
    for n, d, level in ((500, 20, "quick"), (2_000, 100, "default"), (50, 20_000, "full")):
        yield Case(f"median n={n} d={d}", "cloud", partial(central, n, d), small, n, d, level=level)
    for n in (1_000, 10_000, 100_000, 1_000_000):
        level = "quick" if n <= 10_000 else "default" if n <= 100_000 else "full"
        more: dict[str, Any] = {"series": "median n", "varied": float(n), "level": level}
        build = partial(central, n, 3)
        yield Case(f"median n={n} d=3", "cloud", build, small, n, 3, **more)
    for ratio in RATIOS:
        more = {"series": "median scale", "varied": ratio}
        build, name = partial(central, 1_000, 10, ratio), f"median n=1000 d=10 columns 1:{ratio:g}"
        yield Case(name, "cloud", build, small, 1_000, 10, **more)
    for d in (500, 5_000, 50_000):
        more = {"series": "median width", "varied": float(d)}
        build = partial(central, 200, d)
        yield Case(f"median n=200 d={d}", "cloud", build, small, 200, d, **more)
    for shape, n, level in (
        ("ring", 20, "quick"),
        ("star", 30, "default"),
        ("chords", 100, "default"),
        ("ring", 50, "full"),
    ):
        build_ = partial(shared, shape, n, 3)
        tiny = partial(shared, shape, 5, 2)
        name = f"agents {shape} n={n} d=3"
        yield Case(name, "agents", build_, tiny, n, 3, float(n), level=level)
    for n in (10, 40, 160, 640, 2_560):
        level = "quick" if n <= 40 else "default" if n <= 160 else "full"
        more = {"series": "agents n", "varied": float(n), "level": level}
        build_, tiny = partial(shared, "chords", n, 2), partial(shared, "chords", 5, 2)
        yield Case(f"agents chords n={n} d=2", "agents", build_, tiny, n, 2, float(n), **more)
    for n, level in ((30, "quick"), (200, "full")):
        build__, tiny_ = partial(lasso, "chords", n, 3), partial(lasso, "chords", 6, 2)
        name = f"lasso chords n={n} d=3"
        yield Case(name, "agents", build__, tiny_, n, 3, float(n), level=level)
    for k, level in ((10, "quick"), (100, "full")):
        made, tiny__ = partial(constrained, k, 3), partial(constrained, 4, 2)
        yield Case(f"equations terms={k} d=3", "constrained", made, tiny__, k, 3, level=level)
