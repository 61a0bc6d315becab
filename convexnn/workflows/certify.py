"""How good is a model that somebody else trained? Its objective against the best bound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from convexnn.contract.certificate import Status
from convexnn.contract.checks import ProblemError, instance_of, seconds, seed_of, tolerance
from convexnn.contract.problem import Model, Problem, TakesModels
from convexnn.driver.solution import Solution
from convexnn.driver.solve import solve
from convexnn.problems.relu.two_layer import ReluTraining

UNSEEN = (
    "That is without its weights in directions that the examples do not span, which cost and "
    "change nothing on them: beyond the examples its outputs are others. "
)


def certify(
    problem: Problem[Model],
    model: object,
    *,
    time_limit: float | None = None,
    tol: float = 1e-6,
    seed: int = 0,
) -> Solution[Model]:
    """Certify a model: its own objective, and the best bound that is found in the time.

    The engine starts from the model and looks for a better one and for a bound. The solution is
    the given model with that bound; its message says what the better model is worth.

    Parameters
    ----------
    problem : ReluTraining, WassersteinClassification or WassersteinRegression
        What the model is to be good at. A network is held against all networks, whatever patterns
        the problem has.
    model : TwoLayerNetwork or LinearModel
        For the examples as they are in X. Others' come by `TwoLayerNetwork.from_torch`,
        `from_sklearn` and `from_onnx`.
    time_limit : float, optional
        Seconds.
    tol : float, default 1e-6
        Gap at which the model is OPTIMAL.
    seed : int, default 0

    Returns
    -------
    Solution
        Of the model: `objective` with its layers balanced, which changes no output, and without
        weights in directions that the examples do not span (more columns than rows, say): those
        cost, and change nothing on the examples. Where there are some the message says so, and
        `model` is the one without them.

    Raises
    ------
    ProblemError
        If the problem takes no models, or has no such one: other inputs, outputs or labels, or a
        constant where it has none.

    Examples
    --------
    >>> import convexnn as cx, numpy as np
    >>> X = np.array([[1.0], [2.0], [-1.0]])
    >>> problem = cx.ReluTraining(X, [1.0, 2.0, 0.0], beta=0.1)
    >>> network = cx.TwoLayerNetwork(U=[[1.0]], alpha=[[1.0]], bias=[0.0])
    >>> found = cx.certify(problem, network)
    >>> bool(found.bound <= found.objective), found.objective
    (True, 0.1)
    """
    if isinstance(problem, type) or not isinstance(problem, TakesModels):
        raise ProblemError(
            "problem must be a ReluTraining, WassersteinClassification or WassersteinRegression, "
            f"got {problem if isinstance(problem, type) else type(problem).__name__}"
        )
    instance_of("problem", problem, Problem, "a problem")
    tol, seed = tolerance("tol", tol), seed_of(seed)
    limit = None if time_limit is None else seconds("time_limit", time_limit)
    judge: Any = problem
    if isinstance(problem, ReluTraining) and problem.patterns is not None:
        judge = replace(problem, patterns=None)
    point = judge.point_of(model)
    found = solve(judge, tol=tol, time_limit=limit, seed=seed, start=(point, None))
    certificate = judge.certify(point, found.dual)
    status = found.status
    if certificate.passes(tol):
        status = Status.OPTIMAL
    elif status is Status.OPTIMAL:
        status = Status.INACCURATE  # the better model is optimal, this one is not
    kept = judge.build_model(point)
    return replace(
        found,
        status=status,
        certificate=certificate,
        primal=point,
        model=kept,
        message=(
            f"The model's objective is {certificate.objective:.7g}; the best that {found.backend} "
            f"found has {found.objective:.7g}. {'' if _alike(kept, model) else UNSEEN}"
            f"{found.message}"
        ).strip(),
    )


def _alike(one: Any, other: Any) -> bool:
    """Tell whether two models have the same outputs along and against each axis."""
    axes = np.eye(len(other.coef if hasattr(other, "coef") else other.U))
    rows = np.vstack([axes, -axes])
    here, there = one.decision_function(rows), other.decision_function(rows)
    return bool(np.allclose(here, there, rtol=1e-9, atol=1e-9 * float(np.max(np.abs(there)))))
