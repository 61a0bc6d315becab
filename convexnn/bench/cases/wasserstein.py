"""Instances of optimisation against balls of distributions: models, margins, decisions."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from convexnn.bench.cases import tables
from convexnn.bench.cases.case import Case
from convexnn.bench.cases.relu import RATIOS, SKLEARN, stretched, unbuilt
from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError
from convexnn.contract.problem import Problem
from convexnn.problems.wasserstein.divergence import DivergenceReweighting
from convexnn.problems.wasserstein.linear import WassersteinClassification, WassersteinRegression
from convexnn.problems.wasserstein.margins import WorstCaseMargins
from convexnn.problems.wasserstein.newsvendor import Newsvendor
from convexnn.problems.wasserstein.portfolio import CvarPortfolio

RADIUS = 0.01
SPOILT = 0.1  # share of labels or targets
WINDOW = (-5.0, 7.0)

NEEDS = {"folder": f"{tables.FOLDER} to name a folder of .npz files"}  # sources to be asked for


class Kind(NamedTuple):
    """A loss, the cost of a flip or of a unit of the target, the ground norm and the order."""

    loss: str
    cost: float = np.inf
    norm: str = "l2"
    order: float | None = None

    @property
    def classifies(self) -> bool:
        """Tell whether targets are labels."""
        return self.loss in ("logistic", "hinge")

    def __str__(self) -> str:
        order = "" if self.order is None else f" order={self.order:g}"
        return f"{self.loss} cost={self.cost:g} {self.norm}{order}"


def linear(kind: Kind, X: Array, y: Array) -> Problem[Any]:
    """Return a linear model against its ball."""
    common: dict[str, Any] = {"radius": RADIUS, "loss": kind.loss, "norm": kind.norm}
    if kind.order is not None:
        common["order"] = kind.order
    if kind.classifies:
        return WassersteinClassification(X, y, flip_cost=kind.cost, **common)
    return WassersteinRegression(X, y, target_cost=kind.cost, **common)


def draw(kind: Kind, n: int, d: int, seed: int = 0) -> tuple[Array, Array]:
    """Draw Gaussian rows and a linear teacher's targets, a tenth of them spoilt.

    A spoilt label is flipped; the noise on a target, 0.5, is tenfold on a spoilt one.
    """
    g = np.random.default_rng(seed)
    X, w = g.standard_normal((n, d)), g.standard_normal(d)
    z, spoilt = X @ w / np.sqrt(d), g.random(n) < SPOILT
    if kind.classifies:
        return X, np.where(z > 0.0, 1.0, -1.0) * np.where(spoilt, -1.0, 1.0)
    return X, z + 0.5 * np.where(spoilt, 10.0, 1.0) * g.standard_normal(n)


def margins(n: int) -> WorstCaseMargins:
    """Return the worst case of Gaussian margins in a window."""
    xi = np.clip(1.0 + np.random.default_rng(0).standard_normal(n), *WINDOW)
    return WorstCaseMargins(xi, radius=0.1, loss="logistic", window=WINDOW)


def reweighting(ball: str, n: int) -> DivergenceReweighting:
    """Return the worst weights of losses with a long tail."""
    losses = np.random.default_rng(0).exponential(size=n)
    size = {"level": 0.1} if ball == "cvar" else {"radius": 0.1}
    return DivergenceReweighting(losses, ball=ball, **size)


def newsvendor(n: int) -> Newsvendor:
    """Return the order against demands with a long tail."""
    demand = np.random.default_rng(0).gamma(4.0, 10.0, n)
    return Newsvendor(demand, cost=1.0, price=4.0, radius=1.0)


def portfolio(norm: str, n: int, d: int) -> CvarPortfolio:
    """Return the portfolio of assets whose return and risk grow together."""
    g = np.random.default_rng(0)
    mean, spread = np.linspace(0.03, 0.3, d), np.linspace(0.025, 0.25, d)
    common = 0.02 * g.standard_normal((n, 1))
    returns = mean + common + spread * g.standard_normal((n, d))
    return CvarPortfolio(returns, radius=0.001, level=0.2, risk_aversion=10.0, norm=norm)


def model(kind: Kind, n: int, d: int, *, ratio: float = 1.0, **more: Any) -> Case:
    """Return an instance of a linear model on drawn data, its columns `stretched`."""
    title = f"{kind} n={n} d={d}"
    if "scale" in more.get("series", ""):
        title = f"{title} columns 1:{ratio:g}"
    build, tiny = partial(_drawn, kind, n, d, ratio), partial(_drawn, kind, 60, 3)
    return Case(title, "linear", build, tiny, n, d, **more)


def _drawn(kind: Kind, n: int, d: int, ratio: float = 1.0) -> Problem[Any]:
    X, y = draw(kind, n, d)
    return linear(kind, stretched(X, ratio), y)


def _tabled(kind: Kind, name: str) -> Problem[Any]:
    X, y, _ = tables.table(name)
    return linear(kind, X, y)


def cases() -> Iterator[Case]:
    """Yield the instances."""
    yield from _models()
    yield from _as_people_bring_them()
    yield from map(_from_folder, tables.files())
    yield from _margins()
    yield from _decisions()


def _models() -> Iterator[Case]:
    yield model(Kind("logistic", 1.0), 300, 10, level="quick")
    yield model(Kind("hinge"), 300, 10, level="quick")
    yield model(Kind("squared"), 300, 10, level="quick")
    yield model(Kind("logistic"), 1000, 20, level="default")
    yield model(Kind("hinge", 1.0, "linf"), 500, 20, level="default")
    yield model(Kind("absolute"), 500, 20, level="default")
    yield model(Kind("huber", norm="l1"), 500, 20, level="default")
    yield model(Kind("logistic", 1.0, "l1"), 2000, 50)
    yield model(Kind("hinge"), 2000, 50)
    yield model(Kind("hinge", order=2.0), 500, 20)
    yield model(Kind("logistic", order=np.inf), 500, 20)
    yield model(Kind("quantile", 2.0), 500, 20)
    yield model(Kind("squared", order=np.inf), 500, 20)
    for name in ("breast_cancer", "diabetes"):
        kind = Kind("logistic", 1.0) if name == "breast_cancer" else Kind("absolute")
        n, d = SKLEARN[name]
        build, tiny = partial(_tabled, kind, name), partial(_drawn, kind, 60, 3)
        yield Case(f"{kind} {name}", "sklearn", build, tiny, n, d, level="default")
    for n in (100, 1_000, 10_000, 100_000, 1_000_000):
        level = "quick" if n <= 1_000 else "default" if n <= 10_000 else "full"
        more: dict[str, Any] = {"series": "logistic n", "varied": float(n), "level": level}
        yield model(Kind("logistic", 1.0), n, 5, **more)
    for d in (4, 40, 400):
        level = "default" if d <= 40 else "full"
        more = {"series": "logistic d", "varied": float(d), "level": level}
        yield model(Kind("logistic", 1.0), 1_500, d, **more)


def _as_people_bring_them() -> Iterator[Case]:
    """Yield series in the columns' units and in width."""
    for ratio in RATIOS:
        more: dict[str, Any] = {"ratio": ratio, "varied": ratio}
        yield model(Kind("logistic", 1.0), 400, 8, series="logistic scale", **more)
    for d in (500, 5_000, 50_000):
        more = {"series": "absolute width", "varied": float(d)}
        yield model(Kind("absolute", norm="linf"), 200, d, **more)


def _from_folder(path: Path) -> Case:
    """Return the instance on a file; one that is no table is there with its reason."""
    kind, tiny = Kind("absolute"), partial(_drawn, Kind("absolute"), 60, 3)
    try:
        n, d, loss = tables.summary(path)
    except ProblemError as error:
        build, missing = partial(_tabled, kind, str(path)), partial(str, error)
        return Case(path.name, "folder", build, tiny, 0, 0, missing=missing)
    if loss == "logistic":
        kind = Kind("logistic", 1.0)
    build, tiny = partial(_tabled, kind, str(path)), partial(_drawn, kind, 60, 3)
    title, missing = f"{kind} {path.stem}", partial(unbuilt, build)
    return Case(title, "folder", build, tiny, n, d, missing=missing)


def _margins() -> Iterator[Case]:
    for n in (1_000, 10_000, 100_000, 1_000_000):
        level = "quick" if n <= 10_000 else "default" if n <= 100_000 else "full"
        more: dict[str, Any] = {"series": "margins n", "varied": float(n), "level": level}
        build, tiny = partial(margins, n), partial(margins, 30)
        yield Case(f"margins n={n}", "margins", build, tiny, n, 1, **more)
    for ball in ("kl", "chi2", "cvar", "tv"):
        build_of, small = partial(reweighting, ball), partial(reweighting, ball, 30)
        sizes = (500, 5_000) if ball != "chi2" else (500, 5_000, 50_000, 500_000)
        for n in sizes:
            more = {"level": "quick" if n == 500 else "default" if n == 5_000 else "full"}
            if ball == "chi2":
                more |= {"series": "chi2 n", "varied": float(n)}
            yield Case(f"{ball} n={n}", "margins", partial(build_of, n), small, n, 1, **more)


def _decisions() -> Iterator[Case]:
    for n in (300, 3_000, 30_000, 300_000):
        level = "quick" if n <= 3_000 else "default" if n <= 30_000 else "full"
        more: dict[str, Any] = {"series": "newsvendor n", "varied": float(n), "level": level}
        build, tiny = partial(newsvendor, n), partial(newsvendor, 30)
        yield Case(f"newsvendor n={n}", "decisions", build, tiny, n, 1, **more)
    for norm, n, d, level in (
        ("l1", 200, 10, "quick"),
        ("l1", 1_000, 10, "default"),
        ("l2", 1_000, 30, "full"),
        ("linf", 1_000, 30, "full"),
    ):
        build_, tiny_ = partial(portfolio, norm, n, d), partial(portfolio, norm, 40, 3)
        yield Case(f"portfolio {norm} n={n} d={d}", "decisions", build_, tiny_, n, d, level=level)
