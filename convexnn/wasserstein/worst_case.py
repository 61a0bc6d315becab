"""Worst-case distributions: their atoms, and what is called weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.brief import brief

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from convexnn.contract.arrays import Array, LabelArray


@brief
@dataclass(frozen=True, eq=False)
class Atoms:
    """A distribution that transports each sample's mass ``1/N`` to one place or to several.

    Of samples with weights it is their share of the weights in the place of ``1/N``.

    Attributes
    ----------
    source : int array of shape (k,)
        Which sample an atom's mass comes from.
    location : array of shape (k,) or (k, d)
        Where the atom sits: a margin, or a row of features.
    mass : array of shape (k,)
        Positive; the masses that leave a source sum to ``1/N``, the source mass. In the program
        of Chu et al. (2025) these are the ``s_ik / N``, whose sum over k its own constraint fixes.
    cost : array of shape (k,)
        Transport cost of an atom per unit of mass; its share of the budget is ``mass * cost``.
    target : array of shape (k,) or None
        The atom's label or target, where the adversary may change it.

    Examples
    --------
    >>> atoms = Atoms(np.array([0, 0]), np.array([1.0, 3.0]), np.array([0.5, 0.5]), np.zeros(2))
    >>> len(atoms)
    2
    """

    source: NDArray[np.intp]
    location: Array
    mass: Array
    cost: Array
    target: LabelArray | None = None

    def __len__(self) -> int:
        return len(self.mass)

    def transport(self, order: float = 1.0) -> float:
        """Return the distance from the samples: ``(sum mass cost^order)^(1/order)``.

        Parameters
        ----------
        order : float, default 1.0
            Of the Wasserstein distance; ``inf`` gives the largest cost of an atom.

        Returns
        -------
        float
        """
        if np.isinf(order):
            return float(np.max(self.cost, initial=0.0))
        return float(np.sum(self.mass * self.cost**order) ** (1.0 / order))


@brief
@dataclass(frozen=True, eq=False)
class WorstCase:
    """The worst distribution within a Wasserstein ball around the samples, and what it costs.

    Three things are called weights in this field; they are not the same and are kept apart:

    - the source masses, ``1/N`` or what samples were given: the ball moves mass, it does not
      reweight samples (sums of ``atoms.mass`` over each source);
    - the envelope `weights` of a leader who may answer the worst case by a weighted fit;
    - reweighting proper, on the samples' own support: `convexnn.DivergenceReweighting`.

    Attributes
    ----------
    value : float
        Supremum of the expected loss over the ball.
    atoms : Atoms
        A distribution within the ball. If `attained`, its expected loss is `value`; else it is
        short of it by a relative 1e-9, with a tiny mass carried far along `ray`.
    weights : array of shape (N,)
        Envelope weights ``N (d value / d xi_i) / l'(xi_i)``, one a sample: weighted by them, the
        empirical loss has the gradient of the worst-case value (Danskin), so a leader that fits
        with them descends on it. 1 for a sample left where it is, ``multiplier / |l'(xi_i)|`` for
        one moved to the end that the loss rises to, mixed for the one sample that is split;
        negative where the adversary turns the sign of a slope, ``inf`` where the sample's own
        slope is 0 but its worst case has one. They are not probabilities.
    gradient : array of shape (N,)
        ``d value / d xi_i``, always finite.
    multiplier : float
        Of the budget: the rate at which `value` grows with the radius (its power of the order).
    attained : bool
        Whether some distribution reaches the supremum.
    ray : array or None
        Direction of the mass that goes off to infinity, where the supremum is not attained.
    """

    value: float
    atoms: Atoms
    weights: Array
    gradient: Array
    multiplier: float
    attained: bool = True
    ray: Array | None = None


@brief
@dataclass(frozen=True, eq=False)
class Reweighting:
    """The worst weights within a ball around the uniform ones, and what they cost.

    Attributes
    ----------
    weights : array of shape (n,)
        Probabilities in the ball: non-negative, their sum is one.
    value : float
        Largest weighted loss over the ball, less the penalty where there is one.
    multiplier : float
        Rate at which `value` grows with the radius: ``inf`` at a radius of 0 in a ball that opens
        like a root ("kl", "chi2"). Of "cvar", the rate by ``1 / level``; of a penalty, the penalty.
    threshold : float or None
        The loss that parts the samples: up to it they have no weight ("chi2", "cvar"), or lose
        what they have ("tv"). None for the other balls.

    Examples
    --------
    >>> Reweighting(np.array([0.25, 0.75]), value=2.0, multiplier=1.0).weights
    array([0.25, 0.75])
    """

    weights: Array
    value: float
    multiplier: float
    threshold: float | None = None
