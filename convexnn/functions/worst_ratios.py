"""Ratios of a risk's set that minimise a sum of convex functions, one of each ratio.

An interior point method (Mehrotra 1992) on

    minimise  sum_i p_i g_i(u_i),   u = sum_k x_k,   sum_i p_i x_ki = mass_k,   0 <= x_ki <= cap_k,
              u_i >= floor_i,       sum_i p_i phi(u_i) <= radius

whose Newton matrix is diagonal but for the masses and the divergence: a step takes O(n).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.functions.ratios import sums

if TYPE_CHECKING:
    from collections.abc import Callable

    from convexnn.contract.arrays import Array
    from convexnn.functions.ratios import Ratios

    Oracle = Callable[[Array], tuple[Array, Array]]

STEPS = 80
BACK = 0.995  # share of the way to a bound that a step may go
SHARP = 1e-13  # error at which to stop
GOOD, PATIENCE = 1e-8, 4  # error at which to stop where so many steps bring no better one
AWAY = 1e-3  # of the way that a search begins away from the end of the one before
LEAST = 1e-16  # distance to a bound, as a share of it, below which rounding decides
ROOM = 0.1  # least distance of the first point to a bound, as a share of the interval


def least_ratios(ratios: Ratios, oracle: Oracle, floor: Array | None = None) -> Array:
    """Return the ratios in a set at which ``sum_i p_i g_i(u_i)`` is least.

    Parameters
    ----------
    ratios : Ratios
        The set.
    oracle : callable
        Takes ratios; returns the first and second derivative of each ``g_i``.
    floor : array of shape (n,), optional
        Lower bounds of the ratios; the set has a point above them.

    Returns
    -------
    array of shape (n,)
        Positive, and in the set but for the tolerance of the method.

    Examples
    --------
    >>> from convexnn.functions.risks import Cvar
    >>> losses = np.array([1.0, 2.0, 3.0, 4.0])
    >>> cvar = Cvar(0.5).ratios(np.full(4, 0.25))
    >>> least_ratios(cvar, lambda u: (-losses, np.zeros(4))).round(6)
    array([0., 0., 2., 2.])
    """
    return Search(ratios).least(oracle, floor)


class Search:
    """Searches in one set for functions that come one after the other, each near the one before.

    Parameters
    ----------
    ratios : Ratios
    """

    def __init__(self, ratios: Ratios) -> None:
        self.ratios, self.groups = ratios, ratios.groups
        self.last: _Point | None = None
        if self.groups is not None:  # one variable for each group
            mass = sums(self.groups, ratios.p)
            self.ratios = ratios._replace(p=mass, groups=None)
            self.shares = ratios.p / mass[self.groups]

    def least(self, oracle: Oracle, floor: Array | None = None) -> Array:
        """Return the ratios at which ``sum_i p_i g_i(u_i)`` is least; see `least_ratios`."""
        low = np.zeros_like(self.ratios.p)
        if self.groups is None:
            low = low if floor is None else floor
            return self._least(oracle, low)
        groups = self.groups
        if floor is not None:
            np.maximum.at(low, groups, floor)

        def means(u: Array) -> tuple[Array, Array]:
            slope, bend = oracle(u[groups])
            return sums(groups, self.shares * slope), sums(groups, self.shares * bend)

        spread: Array = self._least(means, low)[groups]
        return spread

    def _least(self, oracle: Oracle, floor: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            at = _Point.begin(self.ratios, floor, oracle)
            if self.last is not None:
                at = at.towards(self.last)
            best, least, since = at, at.error(), 0
            for _ in range(STEPS):
                if least <= SHARP or (since == PATIENCE and least <= GOOD):
                    break
                try:
                    following = at.advanced()
                except np.linalg.LinAlgError:  # of numbers that are none
                    break
                if following is None:
                    break
                at, error, since = following, following.error(), since + 1
                if error < least:
                    best, least, since = at, error, 0
        self.last = best
        return best.u


class _Point(NamedTuple):
    """An iterate: the parts x, their multipliers, and what the oracle says there.

    `low` is the multiplier of ``u >= floor``, `zero` of ``x >= 0`` (of several parts), `high` of
    ``x <= cap`` (0 where it is infinite), `mass` of the masses, `rate` of the divergence, whose
    slack is `rest`.
    """

    ratios: Ratios
    floor: Array
    oracle: Oracle
    x: Array
    low: Array
    zero: Array
    high: Array
    mass: Array
    rate: float
    rest: float
    slope: Array
    bend: Array

    @property
    def u(self) -> Array:
        """Return the ratios."""
        total: Array = self.x.sum(axis=0)
        return total

    @classmethod
    def begin(cls, ratios: Ratios, floor: Array, oracle: Oracle) -> _Point:
        """Start between the bounds, with multipliers of the slopes' size."""
        K, n, caps = len(ratios.caps), len(ratios.p), ratios.caps
        x = np.empty((K, n))
        if K == 1 and np.isfinite(caps[0]):
            wide = caps[0] - floor
            least = floor + ROOM * np.minimum(wide, 1.0)
            x[0] = np.clip(1.0, least, floor + (1.0 - ROOM) * wide)
        elif K == 1:
            x[0] = np.maximum(1.0, floor + ROOM)
        else:
            x[1] = 0.5 * caps[1]
            x[0] = np.maximum(ratios.masses[0], floor - x[1] + ROOM)
        slope, bend = oracle(x.sum(axis=0))
        size = max(float(ratios.p @ np.abs(slope)), 1e-300)
        ones = np.full((K, n), size)
        finite = np.isfinite(caps)[:, None]
        ball = ratios.divergence
        rest = max(0.5 * ball.radius, 1e-12) if ball is not None else 1.0
        return cls(
            *(ratios, floor, oracle, x, ones[0].copy(), ones if K > 1 else 0.0 * ones),
            *(ones * finite, np.full(K, size), 0.0 if ball is None else size / rest, rest),
            *(slope, bend),
        )

    def towards(self, other: _Point) -> _Point:
        """Return the point most of the way to the end of another search."""
        mixed = {
            name: (1.0 - AWAY) * getattr(other, name) + AWAY * getattr(self, name)
            for name in ("x", "low", "zero", "high", "mass", "rate", "rest")
        }
        at = self._replace(**mixed)
        slope, bend = self.oracle(at.u)
        return at._replace(slope=slope, bend=bend)

    def gap(self) -> float:
        """Return the mean complementarity."""
        p, K = self.ratios.p, len(self.x)
        count = 1.0 + (K if K > 1 else 0) + float(np.isfinite(self.ratios.caps).sum())
        total = float(p @ (self.low * (self.u - self.floor)))
        if K > 1:
            total += float((p * self.zero * self.x).sum())
        total += float((p * self.high * self._below()).sum())
        if self.ratios.divergence is not None:
            total, count = total + self.rate * self.rest, count + 1.0
        return total / count

    def _below(self) -> Array:
        """Return how far the parts are below their caps, 1 where those are infinite."""
        caps = self.ratios.caps[:, None]
        finite = np.isfinite(caps)
        cap = np.where(finite, caps, 0.0)
        return np.where(finite, np.maximum(cap - self.x, LEAST * cap), 1.0)

    def error(self) -> float:
        """Return the largest of what is open: complementarity, masses, balance of the slopes."""
        size = max(float(self.ratios.p @ np.abs(self.slope)), 1e-300)
        short = float(np.abs(self.ratios.masses - self.x @ self.ratios.p).max())
        uneven = self.slope + self.mass[:, None] - self.low - self.zero + self.high
        if self.ratios.divergence is not None:
            uneven = uneven + self.rate * self.ratios.divergence.slope(self.u)
        balance = float((np.abs(uneven) * self.x).sum(axis=0) @ self.ratios.p)
        error = max(self.gap() / size, short, 1e-3 * balance / size)
        return error if np.isfinite(error) else np.inf

    def advanced(self) -> _Point | None:
        """Return the point after a predictor and a corrector, None where rounding stops it."""
        newton = _Newton(self)
        centre = self.gap()
        if not (np.isfinite(newton.matrix).all() and np.diag(newton.matrix).all()):
            return None
        guess = newton.direction(0.0)
        share = newton.longest(guess)
        after = self.moved(guess, share).gap()
        sigma = min(after / max(centre, 1e-300), 1.0) ** 3
        step = newton.direction(sigma * centre, guess)
        moved = self.moved(step, min(1.0, BACK * newton.longest(step)))
        if not np.isfinite(moved.x).all():
            return None
        slope, bend = self.oracle(moved.u)
        return moved._replace(slope=slope, bend=bend)

    def moved(self, step: _Step, share: float) -> _Point:
        """Return the point a share of a step away."""
        return self._replace(
            x=self.x + share * step.x,
            low=self.low + share * step.low,
            zero=self.zero + share * step.zero,
            high=self.high + share * step.high,
            mass=self.mass + share * step.mass,
            rate=self.rate + share * step.rate,
            rest=self.rest + share * step.rest,
        )


class _Step(NamedTuple):
    """A direction, named as what it changes."""

    x: Array
    low: Array
    zero: Array
    high: Array
    mass: Array
    rate: float
    rest: float


class _Newton:
    """The Newton matrix at a point, eliminated down to the masses and the divergence."""

    def __init__(self, at: _Point) -> None:
        self.at = at
        self.room, self.below = at.u - at.floor, at._below()
        self.K = len(at.x)
        ball = at.ratios.divergence
        self.bent = None if ball is None else ball.slope(at.u)
        bend = at.bend + at.low / self.room
        if ball is not None:
            bend = bend + at.rate * ball.bend(at.u)
        self.bend = bend
        own = at.high / self.below
        if self.K > 1:
            own = own + at.zero / at.x
        self.own = own
        p, K = at.ratios.p, self.K
        sides = [np.eye(K)[k][:, None] * np.ones_like(at.x) for k in range(K)]
        if self.bent is not None:
            sides.append(np.broadcast_to(self.bent, at.x.shape))
        self.images = [self.solve(side) for side in sides]
        size = len(sides)
        matrix = np.zeros((size, size))
        for a, side in enumerate(sides):
            for b, image in enumerate(self.images):
                matrix[a, b] = float(((side * image) @ p).sum())
        if self.bent is not None:
            matrix[-1, -1] += at.rest / at.rate
        self.matrix, self.sides = matrix, sides

    def solve(self, right: Array) -> Array:
        """Solve with the block of each example, ``bend 1 1' + diag(own)``."""
        if self.K == 1:
            alone: Array = right / (self.bend + self.own[0])
            return alone
        scaled = right / self.own
        ones = 1.0 / self.own
        shared = self.bend * scaled.sum(axis=0) / (1.0 + self.bend * ones.sum(axis=0))
        result: Array = scaled - ones * shared
        return result

    def direction(self, target: float, guess: _Step | None = None) -> _Step:
        """Return the step to a complementarity, with second-order terms of a guess."""
        at, p, ball = self.at, self.at.ratios.p, self.at.ratios.divergence
        bow_low, bow_zero, bow_high = np.zeros(1), np.zeros(1), np.zeros(1)
        bow_rate = 0.0
        if guess is not None:
            bow_low = guess.low * guess.x.sum(axis=0)
            bow_zero = guess.zero * guess.x
            bow_high = -guess.high * guess.x
            bow_rate = guess.rate * guess.rest
        low = (target - bow_low) / self.room
        right = -(at.slope + at.mass[:, None] - low)
        if self.bent is not None:
            right = right - at.rate * self.bent
        if self.K > 1:
            right = right + (target - bow_zero) / at.x
        finite = np.isfinite(at.ratios.caps)[:, None]
        right = right - np.where(finite, (target - bow_high) / self.below, 0.0)
        plain = self.solve(right)
        needs = [at.ratios.masses[k] - float(p @ at.x[k]) for k in range(self.K)]
        if ball is not None:
            spread = float(p @ ball.value(at.u))
            needs.append(ball.radius - spread - (target - bow_rate) / at.rate)
        have = np.array([float(((side * plain) @ p).sum()) for side in self.sides])
        if len(have) == 1:
            multipliers = (have - needs) / self.matrix[0]
        else:
            scale = 1.0 / np.sqrt(np.diag(self.matrix))
            matrix = scale[:, None] * self.matrix * scale
            multipliers = scale * np.linalg.lstsq(matrix, scale * (have - needs), rcond=None)[0]
        x = plain - sum(
            (m * image for m, image in zip(multipliers, self.images, strict=True)),
            np.zeros_like(plain),
        )
        rate = float(multipliers[-1]) if ball is not None else 0.0
        rest = 0.0
        if ball is not None:
            rest = (target - bow_rate - at.rate * at.rest - at.rest * rate) / at.rate
        return _Step(
            x,
            low - at.low - at.low / self.room * x.sum(axis=0),
            (target - bow_zero) / at.x - at.zero - at.zero / at.x * x if self.K > 1 else 0.0 * x,
            np.where(
                finite, (target - bow_high) / self.below - at.high + at.high / self.below * x, 0.0
            ),
            multipliers[: self.K],
            rate,
            rest,
        )

    def longest(self, step: _Step) -> float:
        """Return the share of a step, at most 1, at which something becomes 0."""
        at = self.at
        pairs = [(self.room, step.x.sum(axis=0)), (at.low, step.low)]
        if self.K > 1:
            pairs += [(at.x, step.x), (at.zero, step.zero)]
        if np.isfinite(at.ratios.caps).any():
            finite = np.isfinite(at.ratios.caps)
            pairs += [(self.below[finite], -step.x[finite]), (at.high[finite], step.high[finite])]
        if at.ratios.divergence is not None:
            pairs.append((np.array([at.rest, at.rate]), np.array([step.rest, step.rate])))
        share = 1.0
        for value, change in pairs:
            falling = change < 0.0
            if falling.any():
                share = min(share, float(np.min(-value[falling] / change[falling])))
        return share
