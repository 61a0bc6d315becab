"""Two-layer networks against a Wasserstein ball of distributions."""

from __future__ import annotations

from dataclasses import KW_ONLY, field, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from convexnn.contract.checks import ProblemError, choice, instance_of, positive
from convexnn.contract.fields import Converted, declaration, default
from convexnn.contract.program import CvxpyProgram
from convexnn.functions.losses import LipschitzLoss
from convexnn.functions.norms import DUAL, NORMS
from convexnn.functions.risks import MEAN
from convexnn.problems.relu.listing import LISTED, too_many
from convexnn.problems.relu.training import Training
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.cells.enumeration import listable
from convexnn.relu.forms import GroupForm
from convexnn.robust.worst_distribution import Ball, NetworkWorstCase, worst_distribution

if TYPE_CHECKING:
    from typing import Self

    from convexnn.contract.arrays import Array
    from convexnn.functions.losses import Loss
    from convexnn.relu.forms import Neurons
    from convexnn.relu.network import TwoLayerNetwork

LOSSES = ("absolute", "huber", "logistic", "hinge")


@declaration
class WassersteinReluTraining(ReluTraining):
    """Minimise ``n sup { E_Q l(f(x); y) : W_1(Q, P_n) <= radius }``, bounded, over networks.

    The ball is around the examples, ``f(x) = sum_j alpha_j max(u_j'x, 0)``; moving an example costs
    the norm of the way, changing its target is no move. With the dual norm ``||.||_*`` the output
    changes by at most ``sum_j |alpha_j| ||u_j||_*`` times the way, so that for a loss of slope L

        sup_Q E_Q l  <=  (1/n) sum_i l(f(x_i); y_i) + radius L sum_j |alpha_j| ||u_j||_*.

    n times the right side is `ReluTraining` with ``beta = n radius L`` and neurons in the dual
    norm, ``||u||_*^2 + alpha^2 >= 2 |alpha| ||u||_*``: a convex program over patterns, certified
    over given patterns and over all of them. The worst case of the network that is found is known
    better than by this bound, from both sides: `model.worst_case`.

    Parameters
    ----------
    X : array of shape (n, d)
        Examples. The ball is in their units: standardise them first if they differ in scale.
    y : array of shape (n,)
        Targets; for "logistic" and "hinge" any two labels.
    radius : float
        Of the ball, > 0, in units of the norm of X.
    norm : {"l2", "l1", "linf"}, default "l2"
        Of the way of an example; neurons are in the dual norm: l2, linf, l1. For "l1" patterns
        are given, or few enough to be listed.
    loss : {"absolute", "huber", "logistic", "hinge"} or Loss, default "absolute"
        Losses of a bounded slope: L is 1, of "huber" its delta.
    patterns : None, "all", int, Patterns or array of shape (n, P), default None
        As in `ReluTraining`.
    bias : bool, default False
        Append a column of ones to X. No example moves along it; it counts in the penalty as if.
    weights : array of shape (n,), optional
        What each example counts, >= 0 and not all zero: n is their sum, the ball is around the
        distribution of these weights, scaled to a sum of 1.
    monotone, feature_names
        As in `ReluTraining`.

    Raises
    ------
    ProblemError
        If a field breaks its rule; the message names the field, the value and the rule.

    References
    ----------
    Mohajerin Esfahani & Kuhn 2018, "Data-driven distributionally robust optimization using the
    Wasserstein metric". Pallage & Lesage-Landry 2024, "Wasserstein distributionally robust shallow
    convex neural networks", without cones.

    Examples
    --------
    >>> import convexnn as cx
    >>> X = np.random.default_rng(0).standard_normal((30, 2))
    >>> problem = cx.WassersteinReluTraining(X, np.abs(X[:, 0]), radius=0.01, patterns=10)
    >>> solution = cx.solve(problem)
    >>> worst = solution.model.worst_case
    >>> solution.status.name, bool(worst.lower <= worst.upper <= solution.objective / 30)
    ('OPTIMAL', True)
    """

    PENALTIES: ClassVar[tuple[str, ...]] = ("l2", "l1", "linf")
    vector: ClassVar[bool] = False
    _: KW_ONLY
    radius: float
    norm: str = "l2"
    loss: Converted[str | Loss, LipschitzLoss] = default("absolute")
    # What follows from these, and what has no place here:
    beta: float = field(init=False, repr=False)
    penalty: str = field(init=False, repr=False, default="l2")
    leak: float = field(init=False, repr=False, default=0.0)
    skip: bool = field(init=False, repr=False, default=False)
    intercept: bool = field(init=False, repr=False, default=False)
    formulation: str = field(init=False, repr=False, default="cones")
    multiclass: str | None = field(init=False, repr=False, default=None)
    risk: str = field(init=False, repr=False, default=MEAN)

    labels = Training.labels  # of one output

    def __post_init__(self) -> None:
        given: Any = self.loss
        choice("loss", getattr(given, "name", given), LOSSES)
        self._set("radius", positive("radius", self.radius))
        choice("norm", self.norm, tuple(NORMS))
        self._set("penalty", DUAL[self.norm].name)
        self._set("beta", 1.0)  # until the examples and the loss are known
        super().__post_init__()
        instance_of("loss", self.loss, LipschitzLoss, "a loss of bounded slope")
        rate = "radius times the sum of the weights and the slope of the loss"
        self._set("beta", positive(rate, self.radius * self._steepness))
        if self._one_by_one and not listable(self.data, LISTED):
            raise ProblemError(
                f"patterns must be given for norm 'l1': {too_many(*self.data.shape)}"
            )

    @property
    def _steepness(self) -> float:
        """The sum of the weights times the slope of the loss: beta by radius."""
        count = float(len(self.X)) if self.weights is None else float(np.sum(self.weights))
        return count * float(self.loss.slope)

    @property
    def _one_by_one(self) -> bool:
        """Whether all patterns are meant, and no engine finds them."""
        return self.penalty == "linf" and self.patterns is None

    def forms(self) -> tuple[type, ...]:
        """Return the program over listed patterns, and the network's own if all are meant."""
        return (GroupForm, CvxpyProgram) if self._one_by_one else super().forms()

    def at(self, beta: float) -> Self:
        """Return the same problem with another beta, and the radius that has it."""
        other = super().at(beta)
        other._set("radius", other.beta / self._steepness)
        other.__dict__.pop("_ball", None)  # it is shared, and of the other radius
        return other

    def build_model(self, primal: Neurons, objective: float | None = None) -> TwoLayerNetwork:
        """Return the network, its dead neurons left out, with its worst case."""
        network = super().build_model(primal, objective)
        return replace(network, adversary=partial(self.worst_case, network))

    def worst_case(self, network: TwoLayerNetwork) -> NetworkWorstCase:
        """Return the worst case of a network over the ball, from both sides."""
        return worst_distribution(network, self.loss, self._ball)

    @cached_property
    def _ball(self) -> Ball:
        w: Array = np.ones(len(self.X)) if self.weights is None else self.weights
        return Ball(self.X, self.labels.targets, w / w.sum(), self.radius, self.norm)
