"""Classification of more than two classes against an adversary: one class against the rest.

    min sum_k sup_{Q_k} E_{Q_k}[l(y_k f_k(x))]

over a model ``f_k`` for each class, ``y_k`` being 1 in the class and -1 outside: linear ones
against a Wasserstein ball, or networks against perturbations of the examples. The sum falls apart
into a problem for each class, so it is solved and bounded class by class. Each class has an
adversary of its own: no distribution, or perturbation, need be the worst for all of them at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, overload

import numpy as np
from scipy.linalg import block_diag

from convexnn.contract.certificate import Certificate
from convexnn.contract.checks import ProblemError, aligned, choice, real_array
from convexnn.contract.labels import raw_labels, several_classes
from convexnn.driver.solve import solve
from convexnn.functions.weighted import checked_weights, in_use
from convexnn.problems.robust.training import RobustReluTraining
from convexnn.problems.wasserstein.linear import WassersteinClassification
from convexnn.relu.network import TwoLayerNetwork
from convexnn.wasserstein.linear_classes import LinearClasses
from convexnn.wasserstein.linear_model import LinearModel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import LabelArray
    from convexnn.driver.solution import Solution

MODELS = ("linear", "network")
PARTS = ("coef", "intercept")


Whole = TypeVar("Whole", LinearClasses, TwoLayerNetwork)
Part = TypeVar("Part", LinearModel, TwoLayerNetwork)


@dataclass(frozen=True, eq=False)
class OneVsRest(Generic[Whole, Part]):
    """A model for each class against the rest, and what is proved of their sum.

    Attributes
    ----------
    model : LinearClasses or TwoLayerNetwork
        A network has the neurons of all classes beside one another, and an output for each.
    solutions : tuple of Solution
        Of each class, with its own certificate and worst distribution.
    certificate : Certificate
        Of the sum over the classes: objectives and bounds are added.
    """

    model: Whole
    solutions: tuple[Solution[Part], ...]
    certificate: Certificate

    @property
    def classes(self) -> LabelArray:
        """Return the labels, in the order of the solutions."""
        classes = self.model.classes
        assert classes is not None
        return classes

    @property
    def objective(self) -> float:
        """Return the sum of the worst cases."""
        return self.certificate.objective

    @property
    def bound(self) -> float:
        """Return a lower bound on the least sum."""
        return self.certificate.bound

    @property
    def gap(self) -> float:
        """Return the certified gap of the sum."""
        return self.certificate.gap

    def __repr__(self) -> str:
        worst = [s.status.name for s in self.solutions if s.status.name != "OPTIMAL"]
        said = ", ".join(dict.fromkeys(worst)) or "OPTIMAL"
        return f"OneVsRest({len(self.classes)} classes, {said}, gap {self.gap:.1e})"


@overload
def one_vs_rest(
    X: ArrayLike,
    y: ArrayLike,
    *,
    radius: float,
    model: Literal["linear"] = "linear",
    weights: ArrayLike | None = None,
    backend: str = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    seed: int = 0,
    progress: bool = False,
    **fields: Any,
) -> OneVsRest[LinearClasses, LinearModel]: ...


@overload
def one_vs_rest(
    X: ArrayLike,
    y: ArrayLike,
    *,
    radius: float,
    model: Literal["network"],
    weights: ArrayLike | None = None,
    backend: str = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    seed: int = 0,
    progress: bool = False,
    **fields: Any,
) -> OneVsRest[TwoLayerNetwork, TwoLayerNetwork]: ...


def one_vs_rest(
    X: ArrayLike,
    y: ArrayLike,
    *,
    radius: float,
    model: str = "linear",
    weights: ArrayLike | None = None,
    backend: str = "auto",
    tol: float = 1e-6,
    time_limit: float | None = None,
    seed: int = 0,
    progress: bool = False,
    **fields: Any,
) -> OneVsRest[LinearClasses, LinearModel] | OneVsRest[TwoLayerNetwork, TwoLayerNetwork]:
    """Fit a classifier of more than two classes against an adversary, each against the rest.

    Minimises ``sum_k sup_Q E_Q[l(y_k (x'b_k + c_k))]`` over linear models, the supremum over a
    Wasserstein ball; or the sum over the classes of what `RobustReluTraining` minimises over
    networks, whose `robustness` then is that of the largest output.

    Parameters
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
        Three different values or more.
    radius : float
        Of the ball around the samples, or of each example's perturbations, for each class.
    model : {"linear", "network"}, default "linear"
    weights : array of shape (n,), optional
        Of the samples, as in `WassersteinClassification`. Classes of weight 0 are no classes.
    backend, tol, seed, progress
        As in `solve`.
    time_limit : float, optional
        Seconds for each class.
    **fields
        Others of `WassersteinClassification`: ``flip_cost``, ``norm``, ``loss``, ``order``,
        ``intercept``, ``feature_names``; of a network those of `RobustReluTraining`, with ``beta``.

    Returns
    -------
    OneVsRest

    Raises
    ------
    ProblemError
        If an argument breaks its rule.
    SolveError
        If a class has no model.

    Notes
    -----
    This is not the worst case of one multi-class loss: such a one, of Crammer and Singer or the
    softmax, would couple the classes, and hold all to one adversary.

    Examples
    --------
    >>> import convexnn as cx
    >>> X, y = [[-2.0], [-1.8], [0.0], [0.2], [2.0], [1.8]], ["a", "a", "b", "b", "c", "c"]
    >>> fit = cx.one_vs_rest(X, y, radius=0.01)
    >>> fit.model.predict([[-3.0], [3.0]]).tolist(), bool(fit.gap <= 1e-6)
    (['a', 'c'], True)
    """
    aligned("X", X, y=y, weights=weights)
    choice("model", model, MODELS)
    n = len(real_array("X", X, 2))
    raw = raw_labels("y", y)
    found = several_classes("y", raw, n, one_vs_rest=False).classes
    if weights is not None:
        kept = in_use(checked_weights(weights, n, "row of X"))
        found = found if kept is None else np.unique(raw[kept])
    assert found is not None
    if len(found) < 3:
        take = "WassersteinClassification" if model == "linear" else "RobustReluTraining"
        raise ProblemError(
            f"y must have at least three classes, got {len(found)}: for two take {take}"
        )
    given = {"radius": radius, "weights": weights} | fields
    asked: Any = {"tol": tol, "time_limit": time_limit, "seed": seed, "progress": progress}
    declare: Any = WassersteinClassification if model == "linear" else RobustReluTraining
    if model == "network" and "beta" not in fields:
        raise ProblemError("beta must be given for networks, the weight of their penalty")
    solutions: Any = tuple(
        solve(declare(X, np.where(raw == k, 1, -1), **given), backend, **asked) for k in found
    )
    for solution in solutions:
        if not np.isfinite(solution.objective):
            solution.raise_for_status()
    models = [solution.model for solution in solutions]
    each = [solution.certificate for solution in solutions]
    certificate = Certificate(
        sum(one.objective for one in each),
        sum(one.bound for one in each),
        max(one.violation for one in each),
        f"{each[0].covers}, each class against the rest",
    )
    if model == "network":
        return OneVsRest(_beside(models, found), solutions, certificate)
    return OneVsRest(_stacked(models, found), solutions, certificate)


def _stacked(models: list[LinearModel], classes: LabelArray) -> LinearClasses:
    """Return linear models as one of a score for each class."""
    coef, intercept = (np.array([getattr(one, part) for one in models]) for part in PARTS)
    return LinearClasses(coef, intercept, classes, models[0].feature_names)


def _beside(networks: list[TwoLayerNetwork], classes: LabelArray) -> TwoLayerNetwork:
    """Return networks of one output as one of an output for each class."""
    return TwoLayerNetwork(
        np.hstack([one.U for one in networks]),
        block_diag(*(one.alpha for one in networks)),
        np.concatenate([one.bias for one in networks]),
        classes=classes,
        feature_names=networks[0].feature_names,
    )
