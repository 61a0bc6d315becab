"""The lifted relaxation of training over all networks, step by step, for one output or several."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from convexnn.contract.arrays import Array, IntArray
from convexnn.contract.system.memory import shortage
from convexnn.relu.bound import sides
from convexnn.relu.forms import NetworkForm, outputs_of
from convexnn.relu.lift import (
    Lifted,
    LiftedSide,
    leading_rows,
    lines,
    signed_rows,
    signed_sides,
)
from convexnn.solvers.relu.lift_interior import Interior
from convexnn.solvers.relu.lift_prices import Fit, Ray
from convexnn.solvers.relu.lift_rest import Rest

LISTED = 3_000  # rows up to which the lines in the data are counted
FLAT = 1e-10  # of the largest singular value: directions that the data do not have
ASIDE = 0.2  # times beta: sum of the multipliers of the lines that are bounded on their own
WORTHWHILE = 0.25  # share of the lines from which on they are
SETTLED = 0.05  # share of its worth up to which a neuron's bound may be off where that is known
SMALLEST = 1e-300  # objective of a network


class Lifting:
    """The lifted relaxation of a training problem, step by step.

    A dual point is sought for each output where the problem is one for each. Where the loss couples
    the outputs, that at hand is kept, and what its neurons are worth is bounded.

    Parameters
    ----------
    form : NetworkForm
    mu : array of shape (n,), or (n, k)
        A dual point at hand.
    best : float
        Objective of a network.
    """

    MOST: ClassVar[int] = 1_000  # lines in the data up to which it is solved

    def __init__(self, form: NetworkForm, mu: Array, best: float) -> None:
        X = np.asarray(signed_rows(form), np.float64)
        self.form, self.best = form, best
        self.given, self.rows = mu, leading_rows(X)
        of = lines(X, self.rows)
        _, size, right = np.linalg.svd(of.unit, full_matrices=False)
        unit = of.unit @ right[size > FLAT * np.max(size, initial=0.0)].T
        factors = of.factors(form.leak)[:, : len(form.X)] / form.beta
        known = tuple(signed_sides(form, self.rows, sign) for sign in (1, -1))
        self.parts: list[Interior] = []
        if form.separable:
            spread = sp.csr_array(form.spread(np.eye(len(form.y))))
            shared = max(best, SMALLEST) / outputs_of(form.y)
            columns = np.asarray(mu, np.float64).reshape(len(mu), -1).T
            for single, column in zip(form.single(), columns, strict=True):
                of_examples = sp.csr_array(factors @ spread)
                own = -single.loss.clip(-column, single.y)
                inner = self._inner(of_examples, own)
                if inner is None:
                    prices: Fit | Ray = Fit(single, of_examples, shared)
                    self.parts.append(Interior(unit, prices, shared, known))
                    continue
                fixed = np.where(np.isin(of.owner[: len(own)], inner), np.nan, own)
                kept = np.where(np.isnan(fixed), 0.0, fixed)
                both = np.concatenate([inner, len(unit) + inner])
                prices = Fit(single, of_examples[both], shared, fixed)
                rest = Rest(unit, np.asarray(of_examples @ kept), inner)
                within = tuple(side[inner] for side in known)
                self.parts.append(Interior(unit[inner], prices, shared, within, rest))
        else:
            for way in sides(form, mu):
                prices = Ray(way.mu, sp.csr_array(factors))
                self.parts.append(Interior(unit, prices, 1.0, known[:1]))

    def _inner(self, factors: sp.csr_array, mu: Array) -> IntArray | None:
        """Return the lines whose multipliers count, None where that is most of them."""
        form = self.form
        m = factors.shape[0] // 2
        each = np.asarray(abs(factors) @ np.abs(mu)).reshape(2, m).sum(axis=0)
        each[self.rows >= len(form.X)] = np.inf  # those of the signs
        if form.skip or form.cells is not None or not np.sum(each, where=np.isfinite(each)) > 1.0:
            return None
        order = np.argsort(each, kind="stable")
        few = int(np.searchsorted(np.cumsum(each[order]), ASIDE))
        return np.sort(order[few:]) if few >= WORTHWHILE * m else None

    @staticmethod
    def suits(form: NetworkForm, most: int = MOST) -> bool:
        """Tell whether a problem is of a size that the relaxation is for, and memory allows it."""
        if form.cells is not None or len(form.X) > LISTED:
            return False
        m = len(leading_rows(np.asarray(signed_rows(form), np.float64)))
        outputs = outputs_of(form.y)
        tables = 8.0 * (5 * (4 * m + 1) ** 2 + 2 * outputs * (12 * m) ** 2)
        return 0 < m <= most and shortage({"the tables of its relaxation": tables}) is None

    @property
    def cells(self) -> int:
        """Return how many cells there are."""
        return sum(len(part.blocks) for part in self.parts)

    def step(self) -> bool:
        """Take a step where most is to be gained; False where rounding allows none."""
        part = max(self.parts, key=lambda part: (np.isinf(part.gap()), part.gap()))
        try:
            part.step()
        except np.linalg.LinAlgError:
            part.stuck = True
        return not all(part.stuck for part in self.parts)

    def value(self) -> float:
        """Return about what the dual point at hand proves."""
        if self.form.separable:
            return sum(part.prices.value() for part in self.parts)
        return -np.inf

    def settled(self, share: float) -> bool:
        """Tell whether the relaxation has no more to give than a share of what is open."""
        if not self.form.separable:
            return all(part.gap() <= share * SETTLED for part in self.parts)
        return sum(part.gap() for part in self.parts) <= share * (self.best - self.value())

    def split(self) -> None:
        """Split a third of the cells, those from which most is to be gained."""
        for _ in range(max(1, self.cells // 3)):
            max(self.parts, key=lambda part: max(found[0] for found in part.promises())).split()

    def point(self) -> Lifted:
        """Return the dual point at hand."""
        found: list[LiftedSide] = []
        for part in self.parts:
            scale = 1.0 if self.form.separable else max(part.prices.value(), 1e-300)
            found.extend(part.sides(self.form.beta / scale))
        mu = self.given
        if self.form.separable:
            columns = [part.prices.mu() for part in self.parts]
            mu = columns[0] if self.form.y.ndim == 1 else np.column_stack(columns)
        return Lifted(mu, self.rows, tuple(found))
