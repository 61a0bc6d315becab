"""Everything public that can be called, with arguments that are right: read off the signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

import numpy as np

import convexnn as cx
from convexnn import terms
from convexnn.bench.wrong_values import KINDS, WRONG
from convexnn.functions import losses, norms


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
    | {
        "Comparison",
        "Compiled",
        "Game",
        "OneVsRest",
        "Outcome",
        "Path",
        "Problem",
        "Raw",
        "Reweighting",
    }
    | {
        "Radius",
        "RobustFloor",
        "Robustness",
        "RobustnessCurve",
        "Selection",
        "Solution",
        "Stage",
        "Status",
        "Step",
    }
    | {"NetworkWorstCase", "OutputRange", "WorstCase"}
)
# Methods that engines, the driver and the models' makers call with points, forms and their like.
INNER = frozenset(
    {"adopt", "bound", "build_model", "canonical", "certify", "cvxpy", "decompose", "derivative"}
    | {"expected_loss", "generated", "grade", "joined", "losses", "marks", "objective", "passes"}
    | {
        "prepare",
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
    | {"of", "part", "ratios", "worst"}  # of a risk
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
    narrow = cx.NarrowNetwork(np.ones((2, 1)), np.zeros((1, 1)), 0.0, "relu")
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
            {"box": "box"},
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
        Call("Cvar", cx.Cvar, {"level": 0.5}, {"level": "mass"}),
        Call("Entropic", cx.Entropic, {"radius": 0.1}),
        Call("ChiSquare", cx.ChiSquare, {"radius": 0.1}),
        Call("TotalVariation", cx.TotalVariation, {"radius": 0.1}),
        Call("WorstGroup", cx.WorstGroup, {"groups": signs}),
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
        Call(
            "one_vs_rest",
            cx.one_vs_rest,
            {"X": X, "y": list("abcabc"), "radius": 0.1, "backend": "newton", "tol": 0.1},
            {"model": "choice"},
        ),
        Call("path", cx.path, {"problem": plain, "count": 2, "ratio": 0.5} | search),
        Call("select", cx.select, {"problem": linear, "folds": 2, "tol": 0.1, "radius": [0.1]}),
        Call(
            "radius",
            cx.radius,
            {"problem": many, "draws": 10},
            {"radii": "radii", "largest": "positive", "limit": "choice"},
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
            "robust_floor",
            cx.robust_floor,
            {"X": X, "y": signs, "radius": 0.1},
            {"X": "points", "y": "classes", "box": "box"},
        ),
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
            "LinearClasses",
            cx.LinearClasses,
            {"coef": np.ones((3, 2)), "intercept": np.ones(3), "classes": ["a", "b", "c"]},
            {"coef": "array", "intercept": "array"},
        ),
        Call("LinearClasses.load", cx.LinearClasses.load, {"path": "no such file"}),
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
        Call(
            "output_range",
            cx.output_range,
            {"network": network, "low": [0.0, 0.0], "high": [1.0, 1.0]},
        ),
        Call(
            "TwoLayerNetwork.monotone",
            network.monotone,
            {"directions": [1, 0]},
            said={"directions": "monotone"},
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
        Call("Solution.plot", solved.plot, {}),
        Call("CertificateCurve.plot", curve.plot, {}),
        Call("TwoLayerNetwork.plot", network.plot, {"X": X, "y": signs}, {"X": "points"}),
        Call("NarrowNetwork.plot", narrow.plot, {"X": X[:, 0], "y": real}, {"X": "points"}),
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
