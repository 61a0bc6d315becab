"""The dual points that a relaxation may take, and what they are worth, for its interior point."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import scipy.sparse as sp

from convexnn.contract.arrays import Array, BoolArray
from convexnn.relu.forms import NetworkForm

STEP = 0.95  # share of the way to the boundary


class Prices(Protocol):
    """The dual points ``mu`` that may be taken, and what they are worth.

    Attributes
    ----------
    factors : array of shape (2 m, r)
        Turns their r coordinates into weights of p and q, as multiples of beta.
    at : array of shape (r,)
        The coordinates of the one at hand.
    """

    factors: Array | sp.csr_array
    at: Array

    def mu(self) -> Array:
        """Return the one at hand."""
        ...

    def value(self) -> float:
        """Return what it is worth."""
        ...

    def model(self, centre: float) -> tuple[Array, Array]:
        """Return the slope and minus the curvature of the worth, of its barrier as well."""
        ...

    def products(self) -> tuple[float, int]:
        """Return the sum and the number of the complementary products."""
        ...

    def reach(self, step: Array, centre: float) -> tuple[float, float]:
        """Return how far the primal and the dual variables may go along a step."""
        ...

    def move(self, step: Array, primal: float, dual: float, centre: float) -> None:
        """Go so far."""
        ...


class Ray:
    """The multiples of one dual point, each worth its factor.

    Parameters
    ----------
    mu : array of shape (n,)
    factors : csr_array of shape (2 m, n)
    """

    def __init__(self, mu: Array, factors: sp.csr_array) -> None:
        self.direction, self.at = mu, np.zeros(1)
        self.factors: Array | sp.csr_array = (factors @ mu)[:, None]

    def mu(self) -> Array:
        """Return the one at hand."""
        mu: Array = self.at[0] * self.direction
        return mu

    def value(self) -> float:
        """Return its factor."""
        return float(self.at[0])

    def model(self, centre: float) -> tuple[Array, Array]:
        """Return 1 and 0."""
        return np.ones(1), np.zeros((1, 1))

    def products(self) -> tuple[float, int]:
        """Return none."""
        return 0.0, 0

    def reach(self, step: Array, centre: float) -> tuple[float, float]:
        """Return the whole way."""
        return 1.0, 1.0

    def move(self, step: Array, primal: float, dual: float, centre: float) -> None:
        """Go so far."""
        self.at = self.at + dual * step


class Fit:
    """All dual points of a training problem of one output, each worth its dual value.

    The domain of the conjugate is kept to by a barrier or, where the conjugate is not quadratic, by
    predictions z with ``mu = -loss'(z)`` that are variables as well.

    Parameters
    ----------
    form : NetworkForm
        Of one output.
    factors : csr_array of shape (2 m, n)
    size : float
        About the value of the optimum.
    fixed : array of shape (n,), optional
        Multipliers that are kept, nan for those that are sought; where there is no free part.
    """

    def __init__(
        self, form: NetworkForm, factors: sp.csr_array, size: float, fixed: Array | None = None
    ) -> None:
        self.loss, self.y = form.loss, form.y
        n = len(self.y)
        self.basis: Array | sp.csr_array | None = complement(form.span) if form.skip else None
        self.given, sought = np.zeros(n), np.ones(n, np.bool_)
        if fixed is not None:
            sought = np.isnan(fixed)
            self.given = np.where(sought, 0.0, fixed)
            self.basis = sp.eye_array(n, format="csr")[:, sought]
        self.factors: Array | sp.csr_array = factors if self.basis is None else factors @ self.basis
        self.at = np.zeros(self.factors.shape[1])
        self.z = np.zeros(n)
        q = form.loss.dual_curvature
        self.curvature = None if q is None else np.broadcast_to(np.asarray(q, np.float64), (n,))
        low, high = (np.broadcast_to(side, (n,)) for side in form.loss.domain(form.y))
        self.ends = np.concatenate([high, -low])  # of -mu <= high, mu <= -low
        self.bounded = np.isfinite(self.ends) & (self.curvature is not None) & np.tile(sought, 2)
        width = np.where(np.isfinite(self.ends), np.tile(high - low, 2), 1.0)
        self.room = np.where(self.bounded, 0.5 * width, 1.0)
        self.force = np.where(self.bounded, 0.5 * size / (2 * n) / self.room, 0.0)

    def mu(self) -> Array:
        """Return the dual point at hand."""
        return self.at if self.basis is None else self.given + self.basis @ self.at

    def value(self) -> float:
        """Return its dual value, once it is in the domain."""
        mu = -self.loss.clip(-self.mu(), self.y)
        return -float(np.sum(self.loss.conjugate(-mu, self.y)))

    def _ways(self, mu: Array) -> Array:
        """Return how far the ends of the domain are, less the room that is taken to be there."""
        with np.errstate(invalid="ignore"):
            return np.where(self.bounded, np.concatenate([mu, -mu]) + self.ends - self.room, 0.0)

    def _local(self, centre: float) -> tuple[Array, Array]:
        mu = self.mu()
        if self.curvature is None:
            h = np.maximum(self.loss.hessian(self.z, self.y), 1e-12)
            return self.z - (mu + self.loss.gradient(self.z, self.y)) / h, 1.0 / h
        stiff = self.force / self.room
        pull = np.where(self.bounded, centre / self.room - stiff * self._ways(mu), 0.0)
        lower, upper = np.split(pull, 2)
        return self.y - self.curvature * mu + lower - upper, self.curvature + np.sum(
            np.split(stiff, 2), axis=0
        )

    def model(self, centre: float) -> tuple[Array, Array]:
        """Return the slope and minus the curvature of the dual value and its barrier."""
        slope, curvature = self._local(centre)
        if self.basis is None:
            return slope, np.diag(curvature)
        if sp.issparse(self.basis):
            return self.basis.T @ slope, np.diag(self.basis.T @ curvature)
        return self.basis.T @ slope, self.basis.T @ (curvature[:, None] * self.basis)

    def products(self) -> tuple[float, int]:
        """Return the sum and the number of the products of rooms and forces."""
        return float(self.room @ self.force), int(np.sum(self.bounded))

    def _changes(self, step: Array, centre: float) -> tuple[Array, Array, Array]:
        along = step if self.basis is None else self.basis @ step
        slope, curvature = self._local(centre)
        moved = np.concatenate([along, -along]) * self.bounded + self._ways(self.mu())
        force = np.where(self.bounded, (centre - self.force * moved) / self.room - self.force, 0.0)
        return slope - curvature * along - self.z, moved, force

    def reach(self, step: Array, centre: float) -> tuple[float, float]:
        """Return how far the forces and the rooms may go along a step."""
        _, room, force = self._changes(step, centre)
        return ratio(self.force, force, self.bounded), ratio(self.room, room, self.bounded)

    def move(self, step: Array, primal: float, dual: float, centre: float) -> None:
        """Go so far."""
        z, room, force = self._changes(step, centre)
        if self.curvature is None:
            self.z = self.z + primal * z
        self.at, self.room = self.at + dual * step, self.room + dual * room
        self.force = self.force + primal * force


def complement(span: Array) -> Array:
    """Return an orthonormal basis of the multipliers that the columns leave alone."""
    u, s, _ = np.linalg.svd(span, full_matrices=True)
    rank = int(np.sum(s > 1e-12 * np.max(s, initial=0.0)))
    basis: Array = np.ascontiguousarray(u[:, rank:])
    return basis


def ratio(at: Array, step: Array, used: BoolArray | None = None) -> float:
    """Return the largest multiple, at most 1 / STEP, of a step that leaves all entries >= 0."""
    falling = step < 0.0 if used is None else (step < 0.0) & used
    if not falling.any():
        return 1.0 / STEP
    return min(1.0 / STEP, float(np.min(-at[falling] / step[falling])))
