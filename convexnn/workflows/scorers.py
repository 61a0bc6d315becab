"""Scores by name: those of scikit-learn, and the certified accuracy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import ProblemError, shown
from convexnn.contract.system.optional import need
from convexnn.problems.robust.training import RobustReluTraining
from convexnn.robust.accuracy import robustness

if TYPE_CHECKING:
    from collections.abc import Callable


def certified(problem: Any) -> Callable[[Any, Any, Any], float]:
    """Return the certified accuracy in the regions where a problem's adversary may move examples.

    Raises
    ------
    ProblemError
        If the problem is not robust training of a classifier.

    Examples
    --------
    >>> import convexnn as cx
    >>> problem = cx.RobustReluTraining([[-1.0], [1.0]], [0, 1], beta=0.01, radius=0.5)
    >>> X, alpha = np.array([[-1.0], [1.0]]), np.array([[1.0], [-1.0]])
    >>> network = cx.TwoLayerNetwork([[1.0, -1.0]], alpha, np.zeros(2), classes=[0, 1])
    >>> certified(problem)(network, X, [0, 1])
    1.0
    """
    if not isinstance(problem, RobustReluTraining):
        raise ProblemError(
            f"score 'certified' is for RobustReluTraining, got {type(problem).__name__}"
        )
    if problem.labels.classes is None:
        raise ProblemError("score 'certified' is of labels: the loss must be hinge or logistic")

    def score(model: Any, X: Any, y: Any) -> float:
        judged = robustness(
            model,
            X,
            y,
            radius=problem.radius,
            norm=problem.norm,
            restarts=1,
            box=problem.box,
            perturbed=problem.perturbed,
        )
        return judged.certified

    return score


def by_name(name: str) -> Callable[[Any, Any, Any], float]:
    """Return scikit-learn's scorer of a name, for models of this package (extra: data).

    Raises
    ------
    ProblemError
        If it has none of that name; of what it returns, if it cannot score a model.
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> import convexnn as cx
    >>> model = cx.LinearModel(np.array([1.0]), 0.0, np.array([0, 1]), None)
    >>> by_name("accuracy")(model, np.array([[-1.0], [2.0]]), np.array([0, 1]))
    1.0
    """
    metrics = need("sklearn.metrics", "data")
    if name not in metrics.get_scorer_names():
        raise ProblemError(
            "score must be a function of (model, X, y) or a name of "
            f"sklearn.metrics.get_scorer_names(), such as 'accuracy' or 'r2', got {shown(name)}"
        )
    scorer = metrics.get_scorer(name)

    def score(model: Any, X: Any, y: Any) -> float:
        try:
            return float(scorer(_estimator(model), X, y))
        except Exception as error:  # whatever its metrics raise of models that they cannot take
            said = str(error).partition("\n")[0].rstrip(".")
            raise ProblemError(
                f"score {name!r} cannot be had of a {type(model).__name__}: {said}. Give a "
                "function of (model, X, y)"
            ) from error

    return score


def _estimator(model: Any) -> Any:
    """Return a model as a fitted estimator, with as many methods as the model has."""
    base = need("sklearn.base", "data")
    classes = getattr(model, "classes", None)

    def __sklearn_is_fitted__(self: Any) -> bool:
        return True

    def predict(self: Any, X: Any) -> Any:
        return model.predict(X)

    def decision_function(self: Any, X: Any) -> Any:
        return np.asarray(model.decision_function(X))

    told: dict[str, Any] = {f.__name__: f for f in (__sklearn_is_fitted__, predict)}
    if classes is None:
        return type("Fitted", (base.RegressorMixin, base.BaseEstimator), told)()
    if hasattr(model, "decision_function"):
        told["decision_function"] = decision_function
    told["classes_"] = classes
    return type("Fitted", (base.ClassifierMixin, base.BaseEstimator), told)()
