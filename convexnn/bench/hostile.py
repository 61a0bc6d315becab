"""Hostile arguments: wrong values of every kind, given to every public function and constructor.

What can be called, and with which parameters, is read off the signatures of the public names.
`KINDS` says of what kind each parameter is, `WRONG` which values are wrong for a kind. Each such
value must be refused with an error that names the parameter, before any work is done.
"""

from __future__ import annotations

import inspect
import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import convexnn as cx
from convexnn import terms
from convexnn.functions import losses, norms

SECONDS = 1.0  # in which a wrong value is to be refused
HUGE = 10**400
RAGGED = [[1.0, 2.0], [3.0]]
MASKED = np.ma.array([1.0, 2.0], mask=[True, False])


# What may come of a wrong value: refused by name and at once, late, by an error that does not name
# it, by another's error, or not at all.
VERDICTS = ("refused", "slow", "unnamed", "raw", "accepted")


class Unprintable:
    """A value whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


NOTHING: tuple[Any, ...] = (None, object(), Unprintable(), {}, 1j, b"x", float)
NO_NUMBERS = (*NOTHING, "0.5", "", True, np.True_, np.complex128(1), [1.0], np.ones(2), MASKED)
NO_NUMBERS += (np.ma.masked, np.datetime64("2020-01-01"), np.nan)
NO_LISTS = (*NOTHING, "0.5", "", True, np.True_, 1.0, MASKED, np.ma.masked)
NO_REALS = (*NO_NUMBERS, HUGE, -HUGE, np.inf, -np.inf)
TOO_FINE = (1e-310, 5e-324, 1e200)
NO_WHOLE = (*NO_NUMBERS, -HUGE, HUGE, 1.5, 2.0, np.inf, -1)
NO_TEXTS = (*NOTHING, 3, True, ["l1"], np.array(["l1", "l2"]), np.zeros(3), ("l1",))
NO_FUNCTIONS: tuple[Any, ...] = (object(), Unprintable(), {}, 1j, "x", 3, [], np.zeros(2))
NO_PATHS = (*NOTHING, 3, True, "", "a\0b", [], np.zeros(2))
NO_THINGS = (*NOTHING, 3, "x", True, [], (), np.zeros(3))
NO_ARRAYS: tuple[Any, ...] = (
    *(object(), Unprintable(), {}, 1j, b"x", float, "x", 3.0, True, RAGGED, [], [[]]),
    *(["a"], [["a"]], [None], [[1j]], [[np.nan]], [[np.inf]], [[HUGE]], [[object()]]),
    *(np.zeros((1, 1, 1, 1, 1)), np.array([["2020-01-01"]], "datetime64[D]")),
    *(np.ma.array([[1.0, 2.0]], mask=[[True, False]]), [MASKED, MASKED], MASKED),
)
SPANS = (np.full((6, 2), 1e200), np.full(6, 1e200), np.full((6, 2), 1e-310), np.full(6, 1e-310))

WRONG: dict[str, tuple[Any, ...]] = {
    "real": (*NO_NUMBERS[:-1], HUGE),
    "positive": (*NO_REALS, 0.0, -1, *TOO_FINE),
    "non-negative": (*NO_REALS, -1, *TOO_FINE),
    "positive or inf": (*NO_NUMBERS, HUGE, 0.0, -1, -np.inf, *TOO_FINE),
    "probability": (*NO_REALS, 0.0, 1.0, 2, -1, 1e-310),
    "share": (*NO_REALS, -0.1, 1.0, 1e-310),
    "tolerance": (*NO_REALS, 0.0, -1),
    "seconds": (*NO_NUMBERS, HUGE, 0, -1, -np.inf),
    "order": (*NO_REALS[:-2], -1, 1.5, np.complex128(1)),
    "count": (*NO_WHOLE, 0),
    "from zero": NO_WHOLE,
    "choice": (*NO_TEXTS, "no such"),
    "text": NO_TEXTS,
    "flag": (*NOTHING, 0, 1, 1.0, "yes", "", [], [True], np.array([True, False]), np.ones(1)),
    "function": NO_FUNCTIONS,
    "path": NO_PATHS,
    "array": NO_ARRAYS,
    "data": (*NO_ARRAYS, None, *SPANS),
    "rows": (None, 3.0, "x", object(), RAGGED, [], MASKED, [MASKED, MASKED]),
    "points": (*NO_ARRAYS, None),
    "labels": (*NO_ARRAYS, None, [1.0], np.zeros((6, 2, 2)), ["a", None] * 3, np.zeros(7)),
    "classes": (object(), 1j, RAGGED, [None], [1j], MASKED, np.array(["2020"], "datetime64[D]")),
    "names": (*NO_LISTS, [3], [None], ["a", 1.0], ["a", "b", "c"], [object()], RAGGED),
    "mask": (
        *NO_ARRAYS,
        [True],
        [1, 0],
        ["True", "False"],
        np.ones((2, 2), bool),
        np.ma.array([True, True], mask=[True, False]),
    ),
    "patterns": (*NO_ARRAYS[:-1], "some", 0, -3, 2.5, 1.0, np.full((6, 2), 0.5), np.ones((5, 2))),
    "graph": (
        *(
            None,
            object(),
            Unprintable(),
            {},
            "x",
            3,
            True,
            RAGGED,
            [[0.0, 1.0]],
            [[0, 9]],
            [[0, 0]],
        ),
        *([["0", "1"]], [[-1, 0]], np.ma.array([[0, 1]], mask=True), [[True, False]], [[0, 1, 2]]),
    ),
    "pair": (
        *NO_NUMBERS,
        "09",
        3,
        (1,),
        (1, 2, 3),
        ("0", "9"),
        (np.nan, 1),
        (2, 1),
        (1j, 2),
        (),
        (None, 1),
        (HUGE, 2),
        (True, 2),
    ),
    "columns": (*NO_NUMBERS, "01", 3, (0,), (0, 1, 1), ("0", "1"), (0.0, 1.0), (0, 9), (-1, 0)),
    "betas": (
        *NO_LISTS,
        np.ones(2),
        "21",
        3,
        [],
        [1.0, 2.0],
        [[1.0]],
        [np.nan],
        ["1"],
        [True],
        RAGGED,
        [HUGE],
        [1j],
        [-1.0],
        [0.0],
    ),
    "radii": (
        *NO_LISTS,
        np.ones(2),
        "21",
        [],
        [2.0, 1.0],
        [[1.0]],
        [np.nan],
        ["1"],
        RAGGED,
        [-1.0],
        [HUGE],
        [1j],
    ),
    "weights": (*NO_ARRAYS, [1.0], np.zeros(6), -np.ones(6), np.full(6, 1e308)),
    "edge weights": (*NO_ARRAYS, [1.0], np.zeros(6), -np.ones(6), np.full(6, 1e200)),
    "sequence": (*NO_THINGS[1:], [3], [None], [object()], {"admm"}),
    "solutions": (*NO_THINGS[:-3], [3], [None], ["x"]),
    "terms": (*NO_THINGS, [3], [None], ["x"], [terms.Ball]),
    "problem": (*NO_THINGS, cx.ReluTraining, cx.NetworkLasso, cx.Problem),
    "network": (*NO_THINGS, cx.TwoLayerNetwork, cx.ConvNetwork),
    "solution": (*NO_THINGS, cx.Solution),
    "backend": (*NO_THINGS, "no such", ["admm"], cx.Backend),
    "start": (
        object(),
        Unprintable(),
        {},
        1j,
        "x",
        3,
        True,
        [],
        (),
        (1, 2, 3),
        (1, 2),
        np.zeros(3),
    ),
    "margin loss": (*NO_TEXTS, "no such", (3, 4), (np.abs,)),
    "loss": (*NO_TEXTS, "no such", losses.Huber),
    "leader": (*NO_THINGS[:6], 3, "x", [], np.zeros(3)),
    "holdout": (object(), 3, "x", True, [], (), (1, 2, 3), np.zeros(3), ("x", "y")),
    "axes": (object(), 3, "x", True, [], {}, float),
    "shapes": (object(), 3, "x", [3], [("2",)], [(2.0,)], [(True, 2)], [(7,)], [(-2, -1)], [None]),
    "first layer": tuple(v for v in NO_ARRAYS if not (isinstance(v, list) and v == [[]])),
    "nothing": (),
    "radius list": (*NO_LISTS, "21", [], [[1.0]], [np.nan], ["1"], RAGGED, [-1.0], [1j]),
    "pattern matrix": (*NO_ARRAYS, None, np.full((6, 2), 0.5)),
    "distances": (*NO_ARRAYS, np.ones((2, 2)), -np.ones((6, 6)), np.ones((6, 6))),
}

GOOD: dict[str, tuple[Any, ...]] = {
    "positive": (np.float32(0.75), np.int64(1), np.array(0.75), 1),
    "non-negative": (np.float32(0.5), np.int64(0), np.array(0.5), 0),
    "positive or inf": (np.float32(50.0), np.int64(50), np.inf),
    "probability": (np.float32(0.5), np.array(0.5)),
    "tolerance": (np.float32(0.01), np.array(0.01)),
    "seconds": (np.int64(60), np.float32(60.0), np.inf),
    "count": (np.int64(2), np.array(2), np.uint8(2)),
    "from zero": (np.int64(0), np.array(0), np.uint8(1)),
    "flag": (np.False_, False),
}

KINDS: dict[str, str] = {
    **dict.fromkeys(("beta", "cost", "price", "penalty", "delta", "step", "weight"), "positive"),
    **dict.fromkeys(("radius", "risk_aversion"), "non-negative"),
    **dict.fromkeys(("flip_cost", "target_cost"), "positive or inf"),
    **dict.fromkeys(
        ("ratio", "level", "quantile", "confidence", "psi", "xi", "tau"), "probability"
    ),
    **dict.fromkeys(("skip_bias", "intercept", "offset", "origin"), "real"),
    **dict.fromkeys(("time_limit", "gib"), "seconds"),
    **dict.fromkeys(
        (
            *("max_iter", "threads", "filter_size", "stride", "neurons", "layers", "pieces"),
            *("group", "steps", "restarts", "count", "repeats", "starts", "width", "draws"),
            *("pooled", "limit", "folds", "n", "rounds", "length", "outputs"),
        ),
        "count",
    ),
    **dict.fromkeys(("seed", "faulty"), "from zero"),
    **dict.fromkeys(
        (
            *("norm", "multiclass", "formulation", "ball", "activation", "method", "kind"),
            *("invalid", "before", "rule", "errors", "bound"),
        ),
        "choice",
    ),
    **dict.fromkeys(("bias", "skip", "per_component", "exact", "screen", "progress"), "flag"),
    **dict.fromkeys(("callback", "score", "function", "proximal", "dual", "adversary"), "function"),
    **dict.fromkeys(("X", "x", "margins", "demand", "returns"), "data"),
    **dict.fromkeys(("losses", "point", "centre", "low", "high", "P", "q", "slopes"), "points"),
    **dict.fromkeys(("intercepts", "A", "b", "updates", "matrix", "generators"), "points"),
    **dict.fromkeys(("U", "alpha", "gates", "gates_bias", "filters", "coef", "biases"), "array"),
    "amplitude": "array",
    "offsets": "array",
    "leak": "share",
    "tol": "tolerance",
    "y": "labels",
    "classes": "classes",
    "feature_names": "names",
    "perturbed": "mask",
    "patterns": "patterns",
    "graph": "graph",
    "support": "pair",
    "window": "pair",
    "betas": "betas",
    "radii": "radii",
    "weights": "weights",
    "edge_weights": "edge weights",
    "backends": "sequence",
    "reference": "solutions",
    "terms": "terms",
    "problem": "problem",
    "network": "network",
    "model": "network",
    "networks": "network",
    "solution": "solution",
    "backend": "backend",
    "start": "start",
    "loss": "loss",
    "leader": "leader",
    "holdout": "holdout",
    "ax": "axes",
    "shapes": "shapes",
    "distances": "distances",
    "points": "points",
    "measure": "text",
    "path": "path",
    "order": "order",
    "columns": "mask",
}


class Weighing:
    """The least of estimators: a decision from the weighted mean of the labels."""

    def fit(self, X: Any, y: Any, sample_weight: Any) -> None:
        """Take the mean."""
        self.mean = float(np.dot(y, sample_weight)) / max(float(np.sum(sample_weight)), 1e-9)

    def decision_function(self, X: Any) -> Any:
        """Return the mean for every row."""
        return np.full(len(X), self.mean)


class Call(NamedTuple):
    """Something public that can be called.

    Attributes
    ----------
    name : str
    function : callable
    good : dict
        Arguments by name with which it is right.
    kinds : dict of str to str
        Of parameters whose kind is not that of `KINDS`.
    said : dict of str to str
        What messages call a parameter, where that is not its name.
    """

    name: str
    function: Callable[..., Any]
    good: Mapping[str, Any]
    kinds: Mapping[str, str] = {}
    said: Mapping[str, str] = {}

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Return what can be given by name."""
        found = inspect.signature(self.function).parameters.values()
        return {p.name: p for p in found if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}

    def kind(self, name: str) -> str:
        """Return the kind of a parameter; KeyError where the table has none."""
        return self.kinds[name] if name in self.kinds else KINDS[name]

    def hostile(self) -> Iterator[tuple[str, Any]]:
        """Yield parameters with the values that are wrong for them."""
        for name, parameter in self.parameters.items():
            optional = parameter.default is None or "None" in str(parameter.annotation)
            for value in WRONG[self.kind(name)]:
                if value is not None or not optional:
                    yield name, value


# What the house makes and hands out: nobody declares it, nothing is checked but by who makes it.
MADE = frozenset(
    {"Atoms", "Attack", "Audit", "Backend", "Capabilities", "Certificate", "CertificateCurve"}
    | {"Comparison", "Compiled", "Game", "Outcome", "Path", "Problem", "Raw", "Reweighting"}
    | {
        "Radius",
        "Robustness",
        "RobustnessCurve",
        "Selection",
        "Solution",
        "Stage",
        "Status",
        "Step",
    }
    | {"NetworkWorstCase", "WorstCase"}
)
# Methods that engines, the driver and the models' makers call with points, forms and their like.
INNER = frozenset(
    {"adopt", "bound", "build_model", "canonical", "certify", "decompose", "derivative"}
    | {"expected_loss", "generated", "grade", "joined", "losses", "objective", "passes", "prepare"}
    | {
        "prune",
        "refuses",
        "renewed",
        "run",
        "size",
        "take",
        "to_torch",  # without PyTorch it says that alone
        "transport",
        "value",
        "withholds",
        "worst_case",
    }
    | {"for_raw_data", "unscaled", "point_of", "from_torch", "from_sklearn", "from_onnx"}
)


@cache
def calls() -> tuple[Call, ...]:
    """Return every public function, constructor and method that takes a user's arguments."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6, 2))
    real, signs = X[:, 0] + 0.1, np.array([1, -1, 1, -1, 1, -1])
    images = rng.standard_normal((6, 3, 3))
    ring = [[0, 1], [1, 2], [2, 3], [3, 4], [4, 5], [5, 0]]
    two_patterns = (X @ np.array([[1.0, 1.0], [-1.0, 1.0]]) >= 0.0).astype(int)
    balls = [terms.Ball([float(k), 0.0], 1.0) for k in range(6)]
    data: dict[str, Any] = {"X": X, "y": real, "beta": 0.5}
    training = data | {"patterns": two_patterns}
    plain = cx.ReluTraining(**training)
    linear = cx.WassersteinClassification(X, signs, radius=0.1)
    twice = np.vstack([X, -X])
    many = cx.WassersteinClassification(twice, np.append(signs, -signs), radius=0.1)
    network = cx.TwoLayerNetwork(np.eye(2), np.ones((2, 1)), np.zeros(2), classes=[-1, 1])
    solved = cx.solve(plain, "admm", tol=1e-3)
    solved_linear = cx.solve(linear, tol=1e-3)
    compiled = cx.compile(plain, "admm")
    cx.backends()  # packages are looked for once
    compared = cx.compare(plain, ["admm"], tol=0.1)
    curve = cx.certificate_curve(linear, [0.1], tol=0.1)
    search = {"tol": 0.1, "threads": 1, "seed": 0}
    where = {"network": network, "X": X, "y": signs, "radius": 0.1}
    problems = [
        Call("ReluTraining", cx.ReluTraining, training, {"intercept": "flag"}),
        Call("GatedReluTraining", cx.GatedReluTraining, training, {"intercept": "flag"}),
        Call(
            "SampledReluTraining",
            cx.SampledReluTraining,
            data | {"neurons": 3},
            {"intercept": "flag"},
        ),
        Call("ThresholdTraining", cx.ThresholdTraining, training),
        Call(
            "UnivariateReluTraining", cx.UnivariateReluTraining, {"x": real, "y": real, "beta": 1}
        ),
        Call("ConvReluTraining", cx.ConvReluTraining, {"X": images, "y": real, "beta": 1.0}),
        Call(
            "ConvGatedReluTraining", cx.ConvGatedReluTraining, {"X": images, "y": real, "beta": 1}
        ),
        Call(
            "RobustReluTraining",
            cx.RobustReluTraining,
            training | {"y": signs, "radius": 0.1, "loss": "hinge"},
        ),
        Call(
            "WassersteinClassification",
            cx.WassersteinClassification,
            {"X": X, "y": signs, "radius": 0.1},
            {"intercept": "flag"},
        ),
        Call(
            "WassersteinRegression",
            cx.WassersteinRegression,
            {"X": X, "y": real, "radius": 0.1},
            {"intercept": "flag"},
        ),
        Call(
            "WassersteinReluTraining",
            cx.WassersteinReluTraining,
            {"X": X, "y": real, "radius": 0.1, "patterns": two_patterns},
            {"radius": "positive"},
        ),
        Call(
            "WorstCaseMargins",
            cx.WorstCaseMargins,
            {"margins": real, "radius": 0.1},
            {"loss": "margin loss"},
        ),
        Call(
            "Newsvendor",
            cx.Newsvendor,
            {"demand": abs(real), "cost": 0.5, "price": 9.0, "radius": 0.1},
        ),
        Call(
            "CvarPortfolio",
            cx.CvarPortfolio,
            {"returns": X, "radius": 0.1, "level": 0.5, "risk_aversion": 1.0},
        ),
        Call("DivergenceReweighting", cx.DivergenceReweighting, {"losses": real, "radius": 0.1}),
        Call("GeometricMedian", cx.GeometricMedian, {"points": X}),
        Call("DistributedMedian", cx.DistributedMedian, {"points": X, "graph": ring}),
        Call("NetworkLasso", cx.NetworkLasso, {"terms": balls, "graph": ring, "penalty": 1.0}),
        Call(
            "LinearlyConstrained",
            cx.LinearlyConstrained,
            {"terms": balls[:1], "A": np.ones((1, 2)), "b": [0.0]},
        ),
        Call(
            "DivergenceReweighting tail",
            cx.DivergenceReweighting,
            {"losses": real, "ball": "cvar", "level": 0.5},
        ),
        Call(
            "DivergenceReweighting penalty",
            cx.DivergenceReweighting,
            {"losses": real, "penalty": 1.0},
        ),
        Call(
            "DivergenceReweighting distances",
            cx.DivergenceReweighting,
            {"losses": real, "ball": "wasserstein", "radius": 0.1, "distances": 1.0 - np.eye(6)},
        ),
    ]
    functions = [
        Call("solve", cx.solve, {"problem": plain, "backend": "admm"} | search),
        Call("compile", cx.compile, {"problem": plain, "backend": "admm"}),
        Call("Compiled.run", compiled.run, search),
        Call("compare", cx.compare, {"problem": plain, "backends": ["admm"]} | search),
        Call("backends", cx.backends, {"problem": plain}),
        Call("path", cx.path, {"problem": plain, "count": 2, "ratio": 0.5} | search),
        Call("select", cx.select, {"problem": linear, "folds": 2, "tol": 0.1, "radius": [0.1]}),
        Call(
            "radius",
            cx.radius,
            {"problem": many, "rule": "holdout", "radii": [1.0, 5.0], "tol": 0.1}
            | {"bound": "hoeffding", "largest": 0.1, "folds": 2},
            {"radii": "radii", "largest": "positive"},
        ),
        Call("beta_max", cx.beta_max, {"problem": plain}),
        Call("certify", cx.certify, {"problem": plain, "model": solved.model}),
        Call("audit", cx.audit, {"solution": solved, "count": 5}),
        Call("pattern_count", cx.pattern_count, {"n": 3, "psi": 0.5, "xi": 0.5}),
        Call("local_patterns", cx.local_patterns, {"problem": plain, "starts": 1, "width": 2}),
        Call("sample_patterns", cx.sample_patterns, {"X": X, "count": 3}),
        Call("enumerate_patterns", cx.enumerate_patterns, {"X": X}),
        Call(
            "stackelberg",
            cx.stackelberg,
            {"leader": lambda w: np.ones(6), "X": X, "radius": 0.1, "rounds": 1},
            {"loss": "margin loss", "X": "rows", "y": "nothing"},
        ),
        Call(
            "stackelberg of an estimator",
            cx.stackelberg,
            {"leader": Weighing(), "X": X, "y": signs, "radius": 0.1, "rounds": 1},
            {"loss": "margin loss", "X": "rows"},
        ),
        Call(
            "aggregate",
            cx.aggregate,
            {"updates": X, "method": "centered-clipping", "radius": 1.0},
            {"radius": "positive"},
        ),
        Call("attack", cx.attack, where | {"steps": 2, "restarts": 1}, {"X": "points"}),
        Call("robustness", cx.robustness, where | {"steps": 2, "restarts": 1}, {"X": "points"}),
        Call(
            "robustness_curve",
            cx.robustness_curve,
            {"networks": network, "X": X, "y": signs, "radii": [0.1]},
        )._replace(kinds={"X": "points", "radii": "radius list"}),
        Call(
            "lipschitz", cx.lipschitz, {"network": network, "X": X, "radius": 0.1}, {"X": "points"}
        ),
        Call(
            "certificate_curve",
            cx.certificate_curve,
            {"problem": linear, "radii": [0.1, 0.2], "tol": 0.1},
        ),
        Call(
            "plot_worst_case",
            cx.plot_worst_case,
            {"solution": solved_linear},
            {"columns": "columns"},
        ),
        Call("load", cx.load, {"path": "no such file"}),
        Call("memory_limit", cx.memory_limit, {"gib": cx.memory_limit()}),
        Call("register", cx.register, {"backend": compiled.backend}),
    ]
    models = [
        Call(
            "TwoLayerNetwork",
            cx.TwoLayerNetwork,
            {"U": np.eye(2), "alpha": np.ones((2, 1)), "bias": np.zeros(2)},
            {"U": "first layer", "bias": "array", "skip": "array", "leak": "real"},
        ),
        Call(
            "ConvNetwork",
            cx.ConvNetwork,
            {"filters": np.ones((1, 2, 2, 1)), "alpha": np.ones((1, 1)), "bias": np.zeros(1)},
            {"bias": "array"},
        ),
        Call(
            "NarrowNetwork",
            cx.NarrowNetwork,
            {"weights": np.ones((2, 1)), "biases": np.ones((1, 1)), "offset": 0.0}
            | {"activation": "relu"},
            {"weights": "array"},
        ),
        Call("LinearModel", cx.LinearModel, {"coef": np.ones(2), "intercept": 0.0}),
        Call(
            "Patterns",
            cx.Patterns,
            {"matrix": two_patterns},
            {"matrix": "pattern matrix"},
            {"matrix": "patterns"},
        ),
        Call(
            "PiecewiseLinear", cx.PiecewiseLinear, {"slopes": [0.0, -1.0], "intercepts": [0.0, 1.0]}
        ),
        Call(
            "PiecewiseLinear.tangents",
            cx.PiecewiseLinear.tangents,
            {"loss": "hinge", "pieces": 2, "window": (-1, 1)},
            {"loss": "margin loss"},
        ),
        Call("TwoLayerNetwork.predict", network.predict, {"X": X}, {"X": "points"}),
        Call(
            "TwoLayerNetwork.decision_function",
            network.decision_function,
            {"X": X},
            {"X": "points"},
        ),
        Call("TwoLayerNetwork.save", network.save, {"path": "no folder/x.npz"}),
        Call("TwoLayerNetwork.to_onnx", network.to_onnx, {"path": "no folder/x.npz"}),
        Call("TwoLayerNetwork.load", cx.TwoLayerNetwork.load, {"path": "no such file"}),
        Call("ConvNetwork.load", cx.ConvNetwork.load, {"path": "no such file"}),
        Call("NarrowNetwork.load", cx.NarrowNetwork.load, {"path": "no such file"}),
        Call("LinearModel.save", solved_linear.model.save, {"path": "no folder/x.npz"}),
        Call("LinearModel.load", cx.LinearModel.load, {"path": "no such file"}),
        Call("LinearModel.predict", solved_linear.model.predict, {"X": X}, {"X": "points"}),
        Call("Solution.save", solved.save, {"path": "no folder/x.npz"}),
        Call("ReluTraining.at", plain.at, {"beta": 1.0}),
        Call(
            "ReluTraining.holdout",
            plain.holdout,
            {"model": network, "X": X, "y": real},
            {"X": "points"},
        ),
        Call(
            "WassersteinClassification.holdout",
            linear.holdout,
            {"model": solved_linear.model, "X": X, "y": signs},
            {"X": "points"},
        ),
        Call("Comparison.agree", compared.agree, {"tol": 0.1}, {"tol": "non-negative"}),
        Call("Comparison.plot", compared.plot, {}),
        Call("CertificateCurve.plot", curve.plot, {}),
        Call("losses.Huber", losses.Huber, {}),
        Call("losses.Quantile", losses.Quantile, {}),
        Call("norms.Nuclear", norms.Nuclear, {"outputs": 2}),
        Call("terms.Distance", terms.Distance, {"point": [1.0]}),
        Call("terms.L1Distance", terms.L1Distance, {"point": [1.0]}),
        Call("terms.SquaredDistance", terms.SquaredDistance, {"point": [1.0]}),
        Call("terms.HuberDistance", terms.HuberDistance, {"point": [1.0], "delta": 1.0}),
        Call("terms.Quadratic", terms.Quadratic, {"P": np.eye(2), "q": np.zeros(2)}),
        Call("terms.Box", terms.Box, {"low": [0.0], "high": [1.0]}),
        Call("terms.Ball", terms.Ball, {"centre": [0.0], "radius": 1.0}, {"radius": "positive"}),
        Call(
            "terms.Custom",
            terms.Custom,
            {"length": 1, "function": abs, "proximal": lambda v, step: v},
        ),
    ]
    return tuple(problems + functions + models)


@dataclass(frozen=True)
class Refusal:
    """What came of a wrong value.

    Attributes
    ----------
    call, parameter, value : str
    verdict : str
        One of `VERDICTS`.
    said : str
        The error, or what was returned.
    """

    call: str
    parameter: str
    value: str
    verdict: str
    said: str = ""


def tried(call: Call, parameter: str, value: Any) -> Refusal:
    """Give a wrong value to what is otherwise called rightly.

    Examples
    --------
    >>> memory = next(call for call in calls() if call.name == "memory_limit")
    >>> tried(memory, "gib", "much").verdict
    'refused'
    """
    from convexnn.contract.checks import shown

    what = call.name, parameter, shown(value)
    begin = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = call.function(**{**call.good, parameter: value})
    except ValueError as error:
        said = f"{type(error).__name__}: {error}"
        ours = type(error).__module__.startswith("convexnn.")
        if not ours:
            return Refusal(*what, "raw", said)
        if not re.search(rf"\b{call.said.get(parameter, parameter)}\b", str(error)):
            return Refusal(*what, "unnamed", said)
        late = time.perf_counter() - begin > SECONDS
        return Refusal(*what, "slow" if late else "refused", said)
    except Exception as error:
        return Refusal(*what, "raw", f"{type(error).__name__}: {error}")
    return Refusal(*what, "accepted", f"returned {shown(answer)}")


def campaign(count: int, seed: int, on_done: Callable[[], None] = lambda: None) -> list[Refusal]:
    """Try so many wrong values, every one in turn in a random order, and return what came of each.

    Examples
    --------
    >>> {found.verdict for found in campaign(20, 0)}
    {'refused'}
    """
    every = [(call, name, value) for call in calls() for name, value in call.hostile()]
    order = np.random.default_rng(seed).permutation(len(every))
    found = []
    for k in range(count):
        found.append(tried(*every[order[k % len(every)]]))
        on_done()
    return found
