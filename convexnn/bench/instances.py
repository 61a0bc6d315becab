"""Small random instances of every problem, on plain and on awkward data, by seed and index."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions import terms
from convexnn.functions.curves import PiecewiseLinear
from convexnn.problems.relu.training import Training
from convexnn.problems.wasserstein.linear import WassersteinLinear

Rng = np.random.Generator
FREE = (cx.ReluTraining, cx.GatedReluTraining, cx.SampledReluTraining)  # may have a constant
INF = float("inf")
TWISTS = (
    "plain",
    "duplicate rows",
    "constant column",
    "zero column",
    "collinear columns",
    "scaled columns",
    "integers",
    "outliers",
    "few rows",
)


class Instance(NamedTuple):
    """A problem and what it is made of.

    Attributes
    ----------
    number : int
    family : str
    text : str
        Twist of the data, shape and parameters.
    problem : Problem
    """

    number: int
    family: str
    text: str
    problem: Any


def family_of(index: int) -> str:
    """Return the family of an instance: they take turns.

    Examples
    --------
    >>> family_of(0), family_of(len(FAMILIES))
    ('relu', 'relu')
    """
    return list(FAMILIES)[index % len(FAMILIES)]


def instance(seed: int, index: int) -> Instance:
    """Return the instance of an index; its random numbers are its own.

    Examples
    --------
    >>> instance(0, 17).problem.points.shape == instance(0, 17).problem.points.shape
    True
    """
    family = family_of(index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # awkward on purpose
        text, problem = FAMILIES[family](np.random.default_rng([seed, index]))
        more = _more(np.random.default_rng([seed, index, 1]), problem)
        problem = replace(problem, **more) if more else problem
    if more:
        text += " " + " ".join(f"with {name}" for name in more)
    return Instance(index, family, text, problem)


def _more(rng: Rng, problem: Any) -> dict[str, Any]:
    """Return what some problems have beside what they are drawn with: weights, a constant."""
    chosen: dict[str, Any] = {}
    if isinstance(problem, (Training, WassersteinLinear, cx.UnivariateReluTraining)):
        n = len(problem.y)
        if _flag(rng, 0.3):
            whole = _flag(rng)
            drawn = rng.integers(1, 4, n) if whole else 10.0 ** rng.uniform(-2.0, 2.0, n)
            chosen["weights"] = drawn.astype(np.float64)
    free = isinstance(problem, FREE) and not isinstance(problem, cx.WassersteinReluTraining)
    if free and _flag(rng, 0.3):
        chosen["intercept"] = True
    narrow = isinstance(problem, cx.UnivariateReluTraining)
    if (free or narrow) and getattr(problem, "formulation", "cones") == "cones" and _flag(rng, 0.2):
        chosen["risk"] = _risk(rng, len(problem.y))
    return chosen


def _risk(rng: Rng, n: int) -> Any:
    kind = int(rng.integers(5))
    if kind == 4:
        return cx.WorstGroup(rng.permutation(np.arange(n) % int(rng.integers(1, 4))))
    if kind == 3:
        return cx.TotalVariation(float(_pick(rng, (0.05, 0.5, 1.0))))
    if kind == 2:
        return cx.Cvar(float(_pick(rng, (0.01, 0.3, 0.9))))
    return (cx.ChiSquare, cx.Entropic)[kind](_log(rng, -2.0, 1.0))


def _pick(rng: Rng, values: Any) -> Any:
    return values[int(rng.integers(len(values)))]


def _flag(rng: Rng, share: float = 0.5) -> bool:
    return bool(rng.random() < share)


def _log(rng: Rng, low: float, high: float) -> float:
    """Return a number whose logarithm to base 10 is uniform, of three digits."""
    return float(f"{10.0 ** rng.uniform(low, high):.3g}")


def _text(twist: str, shape: tuple[int, ...], chosen: dict[str, Any]) -> str:
    said = " ".join(f"{key}={value}" for key, value in chosen.items())
    return f"{twist} {'x'.join(map(str, shape))} {said}".rstrip()


def _features(rng: Rng, rows: int, columns: int) -> tuple[str, Array]:
    """Return a twist and data of two to `rows` rows and one to `columns` columns."""
    n, d = int(rng.integers(5, rows + 1)), int(rng.integers(1, columns + 1))
    twist = str(_pick(rng, TWISTS))
    if twist == "few rows":
        n = int(rng.integers(2, 4))
    X = rng.standard_normal((n, d))
    j = int(rng.integers(d))
    if twist == "duplicate rows":
        X = X[rng.integers(max(1, n // 2), size=n)]
    elif twist == "constant column":
        X = np.column_stack([X, np.full(n, _log(rng, -1.0, 1.0))])
    elif twist == "zero column":
        X = np.column_stack([X, np.zeros(n)])
    elif twist == "collinear columns":
        X = np.column_stack([X, -2.0 * X[:, j]])
    elif twist == "scaled columns":
        X = X * 10.0 ** rng.uniform(-2.0, 2.0, size=d)
    elif twist == "integers":
        X = np.round(2.0 * X)
        X[0, 0] = 1.0
    elif twist == "outliers":
        X[0] *= 100.0
    return twist, X


def _targets(rng: Rng, X: Array, classification: bool) -> Array:
    """Return targets of a bent function of the data with noise; labels of both kinds."""
    z = (X - X.mean(axis=0)) / (X.std(axis=0) + 1e-3)
    clean = np.maximum(z[:, 0], 0.0) - z @ rng.standard_normal(X.shape[1])
    y: Array = clean + _pick(rng, (0.0, 0.3, 2.0)) * rng.standard_normal(len(X))
    if classification:
        y = np.where(y > np.median(y), 1.0, -1.0)
        y[0], y[-1] = 1.0, -1.0
    elif _flag(rng, 0.1):
        y = np.full(len(X), y[0])
    return y


def _training(rng: Rng, losses: tuple[str, ...], rows: int = 16, columns: int = 4) -> Any:
    twist, X = _features(rng, rows, columns)
    loss = str(_pick(rng, losses))
    y = _targets(rng, X, loss in ("logistic", "hinge"))
    return twist, X, y, {"loss": loss, "beta": _log(rng, -2.0, 1.0), "bias": _flag(rng)}


def _relu(rng: Rng, *, whole: bool) -> tuple[str, Any]:
    rows, columns = (7, 2) if whole else (16, 4)
    twist, X, y, chosen = _training(rng, ("squared", "logistic", "hinge", "huber"), rows, columns)
    chosen |= {
        "penalty": _pick(rng, ("l2", "l1")),
        "leak": _pick(rng, (0.0, 0.0, 0.2)),
        "skip": _flag(rng, 0.3),
        "formulation": _pick(rng, ("cones", "majorant")),
        "patterns": None if whole else int(rng.integers(1, 9)),
    }
    return _text(twist, X.shape, chosen), cx.ReluTraining(X, y, **chosen)


def _gated(rng: Rng) -> tuple[str, Any]:
    twist, X, y, chosen = _training(rng, ("squared", "logistic", "hinge", "huber"))
    chosen |= {
        "penalty": _pick(rng, ("l2", "l1", "nuclear")),
        "patterns": int(rng.integers(1, 9)),
    }
    return _text(twist, X.shape, chosen), cx.GatedReluTraining(X, y, **chosen)


def _convolution(rng: Rng, *, gated: bool) -> tuple[str, Any]:
    twist, X, y, chosen = _training(rng, ("squared", "logistic", "hinge", "huber"))
    size = min(int(rng.integers(1, 3)), X.shape[1])
    chosen |= {
        "penalty": _pick(rng, ("l2", "l1", "nuclear") if gated else ("l2", "l1")),
        "patterns": int(rng.integers(1, 9)),
        "filter_size": size,
        "stride": int(rng.integers(1, 3)),
    }
    images = np.stack([np.roll(X, k, axis=1) for k in range(size)], axis=1)
    build = cx.ConvGatedReluTraining if gated else cx.ConvReluTraining
    return _text(twist, images.shape, chosen), build(images, y, **chosen)


def _several(rng: Rng) -> tuple[str, Any]:
    """Return a program of two or three outputs: targets, or classes in two ways."""
    twist, X = _features(rng, 12, 3)
    outputs, gated = int(rng.integers(2, 4)), _flag(rng)
    loss = str(_pick(rng, ("squared", "huber", "softmax", "logistic", "hinge")))
    chosen: dict[str, Any] = {"loss": loss, "beta": _log(rng, -2.0, 1.0), "bias": _flag(rng)}
    chosen["penalty"] = _pick(rng, ("l2", "l1", "nuclear") if gated else ("l2", "l1"))
    chosen["patterns"] = int(rng.integers(1, 6))
    if loss in ("logistic", "hinge"):
        chosen["multiclass"] = "one-vs-rest"
    columns = [_targets(rng, X, False) for _ in range(outputs)]
    Y = np.column_stack(columns)
    if loss not in ("squared", "huber"):
        Y = np.argmax(Y, axis=1)
        Y[:2] = 0, 1
    text = _text(twist, X.shape, {"gated": gated, "outputs": outputs} | chosen)
    build = cx.GatedReluTraining if gated else cx.ReluTraining
    return text, build(X, Y, **chosen)


def _narrow(rng: Rng) -> tuple[str, Any]:
    twist, x = _values(rng, 14)
    x = np.append(x, x[0] + _log(rng, -1.0, 1.0))
    loss = str(_pick(rng, ("squared", "logistic", "hinge", "huber")))
    activation = str(_pick(rng, ("relu", "abs", "threshold", "sign")))
    deep = activation in ("relu", "abs")
    chosen: dict[str, Any] = {"loss": loss, "beta": _log(rng, -2.0, 1.0)}
    chosen["activation"] = activation
    chosen["layers"] = int(rng.integers(2, 4)) if deep else 2
    y = _targets(rng, x[:, None], loss in ("logistic", "hinge"))
    return _text(twist, x.shape, chosen), cx.UnivariateReluTraining(x, y, **chosen)


def _threshold(rng: Rng) -> tuple[str, Any]:
    twist, X, y, chosen = _training(rng, ("squared", "logistic", "hinge", "huber"), 8, 2)
    chosen["patterns"] = _pick(rng, (None, 20, 40))
    return _text(twist, X.shape, chosen), cx.ThresholdTraining(X, y, **chosen)


def _sampled(rng: Rng) -> tuple[str, Any]:
    twist, X, y, chosen = _training(rng, ("squared", "logistic", "hinge", "huber"))
    chosen |= {"neurons": int(rng.integers(1, 40)), "seed": int(rng.integers(100))}
    return _text(twist, X.shape, chosen), cx.SampledReluTraining(X, y, **chosen)


def _robust(rng: Rng) -> tuple[str, Any]:
    twist, X, y, chosen = _training(rng, ("squared", "logistic", "hinge"), 12, 3)
    varied = np.ptp(X, axis=0) > 0.0
    chosen |= {
        "radius": _pick(rng, (0.0, 0.01, 0.1, 0.5)),
        "norm": _pick(rng, ("linf", "l2", "l1")),
        "formulation": _pick(rng, ("majorant", "cones")),
        "patterns": None if _flag(rng, 0.1) else int(rng.integers(1, 9)),
    }
    text = _text(twist, X.shape, chosen)
    if chosen["norm"] == "linf" and _flag(rng, 0.5):
        chosen["box"] = X.min(axis=0), X.max(axis=0)
        text += " in a box"
    return text, cx.RobustReluTraining(X, y, perturbed=varied, **chosen)


def _ball(rng: Rng) -> dict[str, Any]:
    return {
        "radius": 0.0 if _flag(rng, 0.05) else _log(rng, -3.0, 0.5),
        "norm": _pick(rng, ("l2", "l1", "linf")),
        "intercept": _flag(rng, 0.7),
    }


def _wasserstein_network(rng: Rng) -> tuple[str, Any]:
    twist, X, y, chosen = _training(rng, ("absolute", "huber", "logistic", "hinge"))
    chosen |= {
        "radius": chosen.pop("beta") / len(X),
        "norm": _pick(rng, ("l2", "l1", "linf")),
        "patterns": int(rng.integers(1, 9)),
    }
    return _text(twist, X.shape, chosen), cx.WassersteinReluTraining(X, y, **chosen)


def _wasserstein_classification(rng: Rng) -> tuple[str, Any]:
    twist, X = _features(rng, 24, 5)
    loss = str(_pick(rng, ("logistic", "hinge")))
    order = _pick(rng, (1, INF) if loss == "logistic" else (1, 2, INF))
    flips = order == 1 and _flag(rng)
    chosen = {"loss": loss, "order": order} | _ball(rng)
    chosen["flip_cost"] = _log(rng, -1.0, 1.0) if flips else INF
    y = _targets(rng, X, True)
    return _text(twist, X.shape, chosen), cx.WassersteinClassification(X, y, **chosen)


def _wasserstein_regression(rng: Rng) -> tuple[str, Any]:
    twist, X = _features(rng, 24, 5)
    loss = str(_pick(rng, ("squared", "absolute", "huber", "quantile")))
    chosen = {"loss": loss, "order": _pick(rng, (2, INF) if loss == "squared" else (1,))}
    chosen |= _ball(rng)
    chosen["target_cost"] = _log(rng, -1.0, 1.0) if _flag(rng) else INF
    if loss == "quantile":
        chosen["quantile"] = _pick(rng, (0.05, 0.5, 0.8))
    if loss == "huber":
        chosen["delta"] = _log(rng, -1.0, 1.0)
    y = _targets(rng, X, False)
    return _text(twist, X.shape, chosen), cx.WassersteinRegression(X, y, **chosen)


def _values(rng: Rng, most: int = 30) -> tuple[str, Array]:
    """Return a twist and numbers: some equal, some far apart."""
    n = int(rng.integers(1, most + 1))
    twist = str(_pick(rng, ("plain", "equal", "ties", "integers", "outliers", "small")))
    x: Array = rng.standard_normal(n)
    if twist == "equal":
        x = np.full(n, x[0])
    elif twist == "ties":
        x = x[rng.integers(max(1, n // 2), size=n)]
    elif twist == "integers":
        x = np.round(3.0 * x)
    elif twist == "outliers":
        x[0] *= 1e3
    elif twist == "small":
        x *= 1e-3
    return twist, x


def _margins(rng: Rng) -> tuple[str, Any]:
    twist, x = _values(rng)
    lines = np.sort(rng.standard_normal(3)), rng.standard_normal(3)
    loss = str(_pick(rng, ("logistic", "hinge", "lines")))
    low, high = float(x.min()), float(x.max())
    around = (low - _pick(rng, (0.0, 0.5)) - 0.1, high + _pick(rng, (0.0, 2.0)))
    chosen: dict[str, Any] = {
        "radius": _pick(rng, (0.0, 0.01, 0.3, 5.0)),
        "window": around if _flag(rng) else None,
        "pieces": _pick(rng, (None, None, 3)) if loss != "lines" else None,
        "group": _pick(rng, (None, None, 4)),
    }
    text = _text(twist, x.shape, {"loss": loss} | chosen)
    curve = PiecewiseLinear(*lines) if loss == "lines" else loss
    return text, cx.WorstCaseMargins(x, loss=curve, **chosen)


def _reweighting(rng: Rng) -> tuple[str, Any]:
    twist, x = _values(rng)
    ball = str(_pick(rng, ("kl", "penalty", "chi2", "cvar", "tv", "wasserstein")))
    chosen: dict[str, Any] = {"ball": "kl" if ball == "penalty" else ball}
    if ball == "cvar":
        chosen["level"] = _pick(rng, (0.01, 0.3, 0.5, 0.99))
    elif ball == "penalty":
        chosen["penalty"] = _log(rng, -2.0, 1.0)
    else:
        chosen["radius"] = _pick(rng, (0.0, 0.01, 0.3, 1.0))
    text = _text(twist, x.shape, chosen)
    if ball == "wasserstein":
        places = rng.standard_normal((len(x), 2))
        places[-1] = places[0]
        chosen["distances"] = np.linalg.norm(places[:, None] - places, axis=2)
    return text, cx.DivergenceReweighting(x, **chosen)


def _newsvendor(rng: Rng) -> tuple[str, Any]:
    twist, x = _values(rng)
    demand = 10.0 * np.abs(x)
    cost = _log(rng, -1.0, 1.0)
    low, high = float(demand.min()), float(demand.max())
    chosen = {
        "cost": cost,
        "price": cost * (1.0 + _log(rng, -2.0, 1.0)),
        "radius": _pick(rng, (0.0, 0.1, 3.0, 100.0)),
        "support": _pick(rng, ((0.0, INF), (0.5 * low, high + 1.0), (low, INF))),
    }
    return _text(twist, demand.shape, chosen), cx.Newsvendor(demand, **chosen)


def _portfolio(rng: Rng) -> tuple[str, Any]:
    twist, X = _features(rng, 24, 5)
    chosen = {
        "radius": _pick(rng, (0.0, 0.01, 0.1, 10.0)),
        "level": _pick(rng, (0.01, 0.2, 0.5, 0.95)),
        "risk_aversion": _pick(rng, (0.0, 1.0, 10.0)),
        "norm": _pick(rng, ("l1", "l2", "linf")),
    }
    returns = _pick(rng, (0.05, 1.0)) * X
    return _text(twist, X.shape, chosen), cx.CvarPortfolio(returns, **chosen)


def _weights(rng: Rng, n: int) -> Array | None:
    if _flag(rng):
        return None
    weights = 10.0 ** rng.uniform(-1.0, 1.0, size=n)
    if n > 1 and _flag(rng, 0.3):
        weights[0] = 0.0
    if _flag(rng, 0.2):
        weights[-1] = weights.sum()  # more than half: the median is its point
    return weights


def _median(rng: Rng) -> tuple[str, Any]:
    twist, X = _features(rng, 24, 5)
    points = X + _pick(rng, (0.0, 0.0, 1e4))
    weights = _weights(rng, len(X))
    chosen = {"weighted": weights is not None, "offset": float(points[0, 0] - X[0, 0])}
    return _text(twist, X.shape, chosen), cx.GeometricMedian(points, weights=weights)


def _edges(rng: Rng, n: int) -> tuple[str, list[tuple[int, int]]]:
    """Return a connected graph's kind and edges."""
    kind = str(_pick(rng, ("path", "star", "complete", "tree", "tree and more")))
    if kind == "path":
        return kind, [(i, i + 1) for i in range(n - 1)]
    if kind == "star":
        return kind, [(0, i) for i in range(1, n)]
    if kind == "complete":
        return kind, [(i, j) for j in range(n) for i in range(j)]
    edges = {(int(rng.integers(i)), i) for i in range(1, n)}
    if kind == "tree and more":
        for _ in range(n):
            i, j = sorted(int(v) for v in rng.integers(n, size=2))
            edges |= {(i, j)} if i != j else set()
    return kind, sorted(edges)


def _distributed(rng: Rng) -> tuple[str, Any]:
    twist, X = _features(rng, 10, 3)
    graph, edges = _edges(rng, len(X))
    weights = _weights(rng, len(X))
    text = _text(twist, X.shape, {"graph": graph, "weighted": weights is not None})
    return text, cx.DistributedMedian(X, edges, weights=weights)


def _term(rng: Rng, size: int, *, bounded: bool = True) -> terms.Term:
    point = np.round(3.0 * rng.standard_normal(size), 2)
    weight = _log(rng, -1.0, 1.0)
    kinds: list[Callable[[], terms.Term]] = [
        lambda: terms.Distance(point, weight),
        lambda: terms.L1Distance(point, weight),
        lambda: terms.HuberDistance(point, weight, _log(rng, -1.0, 1.0)),
        lambda: terms.SquaredDistance(point, weight),
        lambda: terms.Quadratic(np.diag(rng.random(size) + 0.1), point),
    ]
    if bounded:
        kinds += [
            lambda: terms.Box(point - 1.0, point + rng.random(size)),
            lambda: terms.Ball(point, weight),
        ]
    term: terms.Term = _pick(rng, kinds)()
    return term


def _named(parts: list[terms.Term]) -> str:
    return ",".join(type(part).__name__ for part in parts)


def _network_lasso(rng: Rng) -> tuple[str, Any]:
    n, d = int(rng.integers(2, 9)), int(rng.integers(1, 4))
    parts = [_term(rng, d) for _ in range(n)]
    graph, edges = _edges(rng, n)
    penalty = _log(rng, -2.0, 1.0)
    weights = None if rng.random() < 0.5 else 10.0 ** rng.uniform(-1.0, 1.0, len(edges))
    told = {"penalty": penalty, "weighted": weights is not None, "terms": _named(parts)}
    problem = cx.NetworkLasso(parts, edges, penalty=penalty, edge_weights=weights)
    return _text(graph, (n, d), told), problem


def _constrained(rng: Rng) -> tuple[str, Any]:
    parts = [_term(rng, int(rng.integers(1, 4))) for _ in range(int(rng.integers(1, 6)))]
    n = sum(part.size for part in parts)
    rank = int(rng.integers(1, n + 1))
    A = rng.standard_normal((rank, n))
    kind = str(_pick(rng, ("plain", "repeated row", "scaled rows", "infeasible")))
    feasible = np.concatenate([part.prox(np.zeros(part.size), 1.0) for part in parts])
    b = A @ feasible
    if kind == "repeated row":
        A, b = np.vstack([A, 2.0 * A[:1]]), np.append(b, 2.0 * b[0])
    elif kind == "scaled rows":
        scales = 10.0 ** rng.uniform(-2.0, 2.0, size=rank)
        A, b = scales[:, None] * A, scales * b
    elif kind == "infeasible":
        A, b = np.vstack([A, A[:1]]), np.append(b, b[0] + 1.0)
    text = _text(kind, A.shape, {"terms": _named(parts)})
    return text, cx.LinearlyConstrained(parts, A, b)


FAMILIES: dict[str, Callable[[Rng], tuple[str, Any]]] = {
    "relu": partial(_relu, whole=False),
    "relu-all-patterns": partial(_relu, whole=True),
    "gated": _gated,
    "convolution": partial(_convolution, gated=False),
    "convolution-gated": partial(_convolution, gated=True),
    "several-outputs": _several,
    "sampled": _sampled,
    "narrow": _narrow,
    "threshold": _threshold,
    "robust": _robust,
    "wasserstein-network": _wasserstein_network,
    "wasserstein-classification": _wasserstein_classification,
    "wasserstein-regression": _wasserstein_regression,
    "margins": _margins,
    "reweighting": _reweighting,
    "newsvendor": _newsvendor,
    "portfolio": _portfolio,
    "median": _median,
    "distributed": _distributed,
    "network-lasso": _network_lasso,
    "constrained": _constrained,
}
