"""Reweighting: the worst weights of the samples within a ball around the uniform ones."""

from __future__ import annotations

from dataclasses import KW_ONLY
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.checks import (
    ProblemError,
    choice,
    non_negative,
    positive,
    probability,
    real_array,
)
from convexnn.contract.fields import Converted, declaration, default
from convexnn.contract.program import CvxpyProgram
from convexnn.problems.wasserstein.against_ball import AgainstBall
from convexnn.wasserstein.transport import Transport
from convexnn.wasserstein.weight_balls import (
    Adversary,
    ChiSquared,
    Entropy,
    EntropyPenalty,
    Tail,
    Variation,
)
from convexnn.wasserstein.worst_case import Reweighting

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike


PARAMETERS = ("radius", "level", "penalty", "distances")
TAKES: dict[str, tuple[tuple[str, ...], ...]] = {
    "kl": (("radius",), ("penalty",)),
    "chi2": (("radius",),),
    "cvar": (("level",),),
    "tv": (("radius",),),
    "wasserstein": (("radius", "distances"),),
}

Ball: TypeAlias = Entropy | EntropyPenalty | ChiSquared | Tail | Variation | Transport


@declaration
class DivergenceReweighting(AgainstBall):
    """Maximise ``sum_i w_i l_i`` over probability weights in a ball around ``1/n``.

    ===============  ====================================  ==========================
    ball             weights                               takes
    ===============  ====================================  ==========================
    ``kl``           ``sum_i w_i log(n w_i) <= radius``    radius, or penalty
    ``chi2``         ``mean (n w)^2 - 1 <= radius``        radius
    ``cvar``         ``w_i <= 1 / (level n)``              level
    ``tv``           ``sum_i |w_i - 1/n| / 2 <= radius``   radius
    ``wasserstein``  ``w_j = sum_i pi_ij``, ``pi`` moves   radius, distances
                     ``1/n`` from each sample i, and
                     ``sum_ij pi_ij d_ij <= radius``
    ===============  ====================================  ==========================

    With a penalty, the maximum of ``sum_i w_i l_i - penalty KL(w, 1/n)``: the softmax. The problem
    is posed as its dual, so that it is minimised: the certificate's objective is the dual value,
    its bound the weighted loss of weights that lie in the ball.

    Parameters
    ----------
    losses : array of shape (n,)
    ball : "kl", "chi2", "cvar", "tv" or "wasserstein", default "kl"
    radius : float
        >= 0; of "tv" also <= 1; of "wasserstein" in the units of the distances.
    level : float
        Mass of the tail of largest losses, in (0, 1).
    penalty : float
        > 0, in the units of the losses.
    distances : array of shape (n, n)
        ``d_ij >= 0`` from sample i to sample j, 0 on the diagonal.

    Raises
    ------
    ProblemError
        If a field breaks its rule, or the ball's parameters are not exactly those it takes.

    References
    ----------
    Ben-Tal et al. 2013, "Robust solutions of optimization problems affected by uncertain
    probabilities" (kl, chi2, tv). Rockafellar & Uryasev 2000, "Optimization of conditional
    value-at-risk". Mohajerin Esfahani & Kuhn 2018 (the distances of type-1 Wasserstein).

    Examples
    --------
    >>> import convexnn as cx
    >>> problem = cx.DivergenceReweighting([1.0, 2.0, 3.0, 4.0], ball="cvar", level=0.5)
    >>> cx.solve(problem).model.weights
    array([0. , 0. , 0.5, 0.5])
    """

    FORMS: ClassVar[dict[type, str]] = dict.fromkeys(
        (Entropy, EntropyPenalty, ChiSquared, Tail, Variation, Transport), "form"
    )
    losses: Converted[ArrayLike, Array]
    _: KW_ONLY
    ball: str = "kl"
    radius: float | None = None
    level: float | None = None
    penalty: float | None = None
    distances: Converted[ArrayLike | None, Array | None] = default(None)

    def __post_init__(self) -> None:
        self._set("losses", real_array("losses", self.losses, 1))
        with np.errstate(over="ignore"):
            if not np.isfinite(np.abs(self.losses).sum()):
                raise ProblemError(
                    f"losses must have a finite sum, got {np.abs(self.losses).max()} among them"
                )
        choice("ball", self.ball, list(TAKES))
        self._exactly_its_parameters()
        if self.radius is not None:
            self._set("radius", non_negative("radius", self.radius))
            if self.ball == "tv" and self.radius > 1.0:
                raise ProblemError(f"radius must be <= 1 where ball is 'tv', got {self.radius}")
        if self.level is not None:
            self._set("level", probability("level", self.level))
        if self.penalty is not None:
            self._set("penalty", positive("penalty", self.penalty))
        if self.distances is not None:
            self._set("distances", _distances(self.distances, len(self.losses)))

    def _exactly_its_parameters(self) -> None:
        given = tuple(name for name in PARAMETERS if getattr(self, name) is not None)
        ways = TAKES[self.ball]
        if given in ways:
            return
        rule = f"ball {self.ball!r} takes " + " or ".join(" and ".join(way) for way in ways)
        known = {name for way in ways for name in way}
        for name in given:
            if name not in known:
                raise ProblemError(f"{name} must not be given: {rule}")
        missing = [name for name in ways[0] if name not in given]
        if missing:
            raise ProblemError(f"{missing[0]} must be given: {rule}")
        raise ProblemError(f"{given[-1]} must not be given beside {given[0]}: {rule}")

    @cached_property
    def form(self) -> Ball:
        """The ball in its canonical form."""
        if self.ball == "wasserstein":
            return self._transport()
        if self.penalty is not None:
            return EntropyPenalty(self.losses, self.penalty)
        if self.level is not None:
            return Tail(self.losses, self.level)
        assert self.radius is not None
        kinds: dict[str, Callable[[Array, float], Ball]]
        kinds = {"kl": Entropy, "chi2": ChiSquared, "tv": Variation}
        return kinds[self.ball](self.losses, self.radius)

    def _transport(self) -> Transport:
        assert self.distances is not None
        assert self.radius is not None
        gain = self.losses - self.losses[:, None]
        frozen(gain)
        whole = np.array([0, len(self.losses)])
        return Transport(self.losses, gain, self.distances, self.radius, whole, 0.0)

    def forms(self) -> tuple[type, ...]:
        """Return the form of the ball, and its formula."""
        return (type(self.form), CvxpyProgram)

    def needs(self) -> frozenset[str]:
        """Return the cone of the ball: "exp" for kl, "soc" for chi2, none for the others."""
        return frozenset({"kl": ("exp",), "chi2": ("soc",)}.get(self.ball, ()))

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with the variable w, or u for shares of transported mass."""
        if isinstance(self.form, Transport):
            from convexnn.problems.wasserstein.transport_formula import by_shares

            return by_shares(self.form)
        from convexnn.problems.wasserstein.divergence_formula import by_weights

        return by_weights(self.form, self.needs())

    @property
    def scope(self) -> str:
        """What a bound covers."""
        return "this ball"

    def build_model(self, primal: Adversary, objective: float | None = None) -> Reweighting:
        """Return the weights."""
        value = self.objective(primal) if objective is None else objective
        chosen = self.form.feasible(primal.choice)
        if isinstance(self.form, Transport):
            arrived = 1.0 - chosen.sum(axis=1) + chosen.sum(axis=0)
            weights = np.maximum(arrived, 0.0) / len(self.losses)
            return Reweighting(weights, value, float(primal.multiplier[0]))
        form, multiplier = self.form, primal.multiplier
        return Reweighting(chosen, value, form.rate(multiplier), form.threshold(multiplier))


def _distances(value: Array, n: int) -> Array:
    distances = real_array("distances", value, 2)
    if distances.shape != (n, n):
        raise ProblemError(f"distances must have shape {(n, n)}, got {distances.shape}")
    for broken, rule in (
        (distances < 0.0, ">= 0"),
        (np.diag(distances.diagonal()), "0 on the diagonal"),
    ):
        if np.any(broken):
            i, j = (int(index) for index in np.argwhere(broken)[0])
            raise ProblemError(f"distances must be {rule}, got {distances[i, j]} at index {(i, j)}")
    return distances
