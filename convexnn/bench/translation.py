"""A problem as the plain arrays that peers read, and their answers as its primal points.

Peers get the user's own data: none of the scaling, centring or reduction that this package's
engines work in. Kinds of problems are "relu" (cones of given patterns), "network" (all
patterns), "gated", "sampled", "robust" (given patterns), "robust-network", "wasserstein",
"median" and "consensus".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from convexnn.bench.peers import Peer
from convexnn.bench.processes import PeerError
from convexnn.contract.arrays import Array
from convexnn.median.consensus import Agents
from convexnn.median.forms import Location
from convexnn.problems.median.distributed import DistributedMedian
from convexnn.problems.median.geometric import GeometricMedian
from convexnn.problems.relu.gated import GatedReluTraining
from convexnn.problems.relu.sampled import SampledReluTraining
from convexnn.problems.relu.training import Training
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.problems.robust.training import RobustReluTraining
from convexnn.problems.wasserstein.linear import WassersteinClassification, WassersteinLinear
from convexnn.relu.forms import Neurons
from convexnn.wasserstein.forms import Linear

NO_COST = np.inf
KINDS: dict[str, tuple[str, ...]] = {  # what each peer solves
    "scnn": ("relu", "gated"),
    "adelie": ("gated", "sampled"),
    "skglm": ("gated", "sampled"),
    "dro": ("wasserstein",),
    "skwdro": ("wasserstein",),
    "geom_median": ("median",),
    "disropt": ("consensus",),
    "raw-cvxpy": (
        *("relu", "network", "gated", "sampled", "robust", "wasserstein", "median"),
        "consensus",
    ),
    "scipy-lbfgs": ("network", "wasserstein", "median"),
    "torch": ("network", "robust-network", "median"),
}
LOSSES: dict[str, tuple[str, ...]] = {  # and for which losses, where not for all
    "scnn": ("squared",),
    "adelie": ("squared", "logistic"),
    "skglm": ("squared", "logistic"),
    "dro": ("logistic", "hinge", "absolute", "squared"),
    "skwdro": ("logistic", "squared"),
}
SMOOTH = ("squared", "logistic", "huber")
NAMED = ("squared", "logistic", "hinge", "huber")


def kind_of(problem: Any) -> str:
    """Return the kind of a problem; "" for one that no peer knows."""
    if isinstance(problem, ReluTraining):
        if problem.patterns is None:
            return "network"
        return "relu" if problem.formulation == "cones" else ""
    if isinstance(problem, RobustReluTraining):
        if problem.box is not None:
            return ""
        return "robust-network" if problem.patterns is None else "robust"
    kinds = {
        GatedReluTraining: "gated",
        SampledReluTraining: "sampled",
        WassersteinLinear: "wasserstein",
        GeometricMedian: "median",
        DistributedMedian: "consensus",
    }
    found = [kind for builder, kind in kinds.items() if isinstance(problem, builder)]
    return found[0] if found else ""


def refuses(peer: Peer, problem: Any) -> str | None:
    """Return why a peer does not solve a problem, None if it does.

    Examples
    --------
    >>> import convexnn as cx
    >>> from convexnn.bench.peers import PEERS
    >>> refuses(PEERS["scnn"], cx.GeometricMedian([[0.0], [1.0]]))
    'does not solve this kind of problem: median'
    """
    if isinstance(problem, Training | WassersteinLinear) and problem.weights is not None:
        return "counts all examples alike"
    kind, name = kind_of(problem), peer.base
    if kind not in KINDS[name]:
        return f"does not solve this kind of problem: {kind or type(problem).__name__}"
    if isinstance(problem, Training):
        return _refuses_training(name, kind, problem)
    if isinstance(problem, WassersteinLinear):
        given = task(problem)
        if "entropic" in peer.settings and given["cost"] != NO_COST:
            return "has no smoothed problem in which labels flip or targets move"
        return _refuses_wasserstein(name, given)
    return None


def _refuses_training(name: str, kind: str, problem: Training) -> str | None:
    loss = problem.loss.name
    if loss not in LOSSES.get(name, NAMED):
        return f"has no {loss} loss"
    if name == "scipy-lbfgs" and loss not in SMOOTH:
        return f"needs a smooth loss, not {loss}"
    penalty = getattr(problem, "penalty", "l2")
    if penalty != "l2" and (name != "raw-cvxpy" or penalty == "linf"):
        return f"has no {penalty} penalty of neurons"
    if name == "scnn" and any(getattr(problem, key, 0) for key in ("leak", "skip")):
        return "has no leak and no linear part"
    if kind == "robust-network" and getattr(problem, "norm", "") == "l1":
        return "attacks within linf and l2 balls only"
    if kind == "network" and name == "raw-cvxpy" and getattr(problem, "matrix", None) is None:
        return "needs the patterns listed, and there are too many"
    return None


def _refuses_wasserstein(name: str, given: Mapping[str, Any]) -> str | None:
    loss, order, norm, cost = (given[key] for key in ("loss", "order", "norm", "cost"))
    usual = 2.0 if loss == "squared" else 1.0
    if loss not in LOSSES.get(name, (loss,)):
        return f"has no {loss} loss"
    if name != "raw-cvxpy" and order != usual:
        return f"has no {loss} loss of order {order:g}"
    if name == "skwdro" and (norm != "l2" or not given["intercept"]):
        return "is run for the l2 norm with an intercept only"
    if name in ("dro", "skwdro") and loss == "squared" and cost != NO_COST:
        return "keeps targets as they are"
    if name == "scipy-lbfgs" and (loss not in SMOOTH or norm != "l2" or cost != NO_COST):
        return "needs a smooth worst case: such a loss, the l2 norm, labels or targets kept"
    return None


def task(problem: Any) -> dict[str, Any]:
    """Return a problem as arrays, numbers and texts, all losses and distances summed as in it."""
    kind = kind_of(problem)
    found: dict[str, Any] = {"kind": kind}
    if isinstance(problem, Training):
        return found | _training(problem, kind)
    if isinstance(problem, WassersteinLinear):
        classifies = isinstance(problem, WassersteinClassification)
        cost = problem.flip_cost if classifies else problem.target_cost  # type: ignore[attr-defined]
        fields = ("radius", "norm", "intercept", "loss", "order", "quantile", "delta")
        taken = {key: getattr(problem, key) for key in fields if hasattr(problem, key)}
        return found | taken | {"X": problem.X, "y": problem.labels.targets, "cost": cost}
    n = len(problem.points)
    weights = np.ones(n) if problem.weights is None else problem.weights
    found |= {"points": np.asarray(problem.points, np.float64), "weights": np.asarray(weights)}
    return found | ({"edges": problem.graph} if kind == "consensus" else {})


def _training(problem: Training, kind: str) -> dict[str, Any]:
    loss = problem.loss
    found: dict[str, Any] = {
        "X": problem.data,
        "y": problem.labels.targets,
        "beta": problem.beta,
        "loss": loss.name,
        "delta": getattr(loss, "delta", 1.0),
        "penalty": getattr(problem, "penalty", "l2"),
        "leak": getattr(problem, "leak", 0.0),
        "skip": getattr(problem, "skip", False),
    }
    if isinstance(problem, SampledReluTraining):
        return found | {"features": np.maximum(problem.data @ problem.directions, 0.0)}
    if isinstance(problem, RobustReluTraining):
        found |= {"radius": problem.radius, "norm": problem.norm, "moved": problem._moved}
        found |= {"formulation": problem.formulation}
    matrix = getattr(problem, "matrix", None)
    if matrix is not None:
        found["matrix"] = matrix
    if kind == "relu" and isinstance(problem, ReluTraining):
        gates = GatedReluTraining(
            problem.X,
            problem.y,
            beta=problem.beta,
            loss=problem.loss,
            bias=problem.bias,
            patterns=problem.patterns,
        ).gates
        found["gates"] = gates.generators
    if isinstance(problem, GatedReluTraining):
        found["gates"] = problem.gates.generators
    return found


def primal(problem: Any, arrays: Mapping[str, Array]) -> Any:
    """Return a peer's answer as a primal point of the problem.

    Parameters
    ----------
    problem : Problem
    arrays : mapping of str to array
        "weights" (1 or 2, d, P), with "gates" (d, P) if the peer chose them or their order;
        "V" and "W" with neurons of any patterns; "coef" and "intercept"; "point"; or "local", one
        row an agent, with "rounds".

    Raises
    ------
    PeerError
        Of kind "crashed", if the arrays are not those, or not of this problem's shapes.
    """
    try:
        if isinstance(problem, Training):
            return _neurons(problem, arrays)
        if isinstance(problem, WassersteinLinear):
            return _linear(problem, arrays)
        if isinstance(problem, DistributedMedian):
            return _agents(problem, arrays)
        return Location(np.asarray(arrays["point"]) - problem.canonical(problem.forms()[0]).centre)
    except (KeyError, ValueError, IndexError) as error:
        raise PeerError("crashed", f"its answer is no point of the problem: {error}") from None


def _neurons(problem: Training, arrays: Mapping[str, Array]) -> Neurons:
    if isinstance(problem, SampledReluTraining):
        V = arrays["weights"][0] * problem.design.scale
        if V.shape != (1, problem.neurons):
            raise ValueError(f"weights of shape {V.shape}")
        return Neurons(V, np.zeros((1, 0)), np.zeros(1))
    design = problem.design
    d = problem.data.shape[1]
    skip = _inside(problem, np.asarray(arrays.get("skip", np.zeros(d)))[:, None])[:, 0]
    if "weights" not in arrays:
        return Neurons(_inside(problem, arrays["V"]), _inside(problem, arrays["W"]), skip)
    weights = arrays["weights"]
    if "gates" in arrays:
        weights = _in_order(problem, weights, arrays["gates"])
    V = _inside(problem, weights[0])
    empty = np.zeros((design.matrix.shape[1], 0))
    found = Neurons(V, _inside(problem, weights[1]) if len(weights) > 1 else empty, skip)
    matrix: Any = getattr(problem, "matrix", None)
    if matrix is not None and V.shape[1] != matrix.shape[1]:
        raise ValueError(f"{V.shape[1]} neurons for {matrix.shape[1]} patterns")
    return found


def _inside(problem: Training, weights: Array) -> Array:
    """Return columns of weights in the coordinates of the problem's form."""
    design, d = problem.design, problem.data.shape[1]
    if weights.ndim != 2 or len(weights) != d:
        raise ValueError(f"weights of shape {weights.shape} for {d} columns")
    mapped = weights if design.basis is None else design.basis.T @ weights
    return np.ascontiguousarray(mapped * design.scale)


def _in_order(problem: Any, weights: Array, gates: Array) -> Array:
    """Return weights by the order of the problem's patterns; those that a peer dropped are zero."""
    place = {column.tobytes(): p for p, column in enumerate(problem.matrix.T)}
    theirs = problem.data @ gates >= 0.0
    found = np.zeros((*weights.shape[:2], len(place)))
    for column, neuron in zip(theirs.T, np.moveaxis(weights, 2, 0), strict=True):
        if neuron.any():
            found[:, :, place[column.tobytes()]] += neuron
    return found


def _linear(problem: WassersteinLinear, arrays: Mapping[str, Array]) -> Linear:
    where, coef = problem.coordinates, np.asarray(arrays["coef"], np.float64)
    if coef.shape != (problem.X.shape[1],):
        raise ValueError(f"coefficients of shape {coef.shape}")
    inside = coef * where.scale
    if where.basis is not None:
        inside = where.basis.T @ inside
    return Linear(inside, np.array([float(arrays["intercept"]) + float(where.mean @ coef)]))


def _agents(problem: DistributedMedian, arrays: Mapping[str, Array]) -> Agents:
    local = np.asarray(arrays["local"], np.float64)
    if local.shape != np.shape(problem.points):
        raise ValueError(f"points of shape {local.shape}")
    length, _ = problem._units
    rounds = int(arrays.get("rounds", np.zeros(())))
    return Agents((local - problem._centre) / length, rounds, 2 * rounds * len(problem.graph))
