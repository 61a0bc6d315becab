"""Local search on many examples: Adam on shuffled batches of them, in single precision.

A batch costs what its examples cost, so that thousands of steps are made in the time of a few
passes over all; where they lead, a descent on all examples begins.
"""

from __future__ import annotations

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Reporter
from convexnn.relu.forms import NetworkForm, Neurons
from convexnn.solvers.relu.adam import adam
from convexnn.solvers.relu.layers import layers_of

BATCH = 256  # examples of one
STEPS = 3_000
RATE = 0.2  # length of the first step, in units of the variables' root mean square


def by_batches(form: NetworkForm, begin: Neurons, seed: int, reporter: Reporter) -> Neurons:
    """Return where the steps lead from a network; the network itself where they gain nothing.

    A risk is of all examples, and not the mean of that of batches: its network is returned as is.
    """
    if not form.loss.additive:
        return begin
    with np.errstate(over="ignore", invalid="ignore"):  # what diverges is not taken
        batches = Batches(form.single_precision(), begin, np.random.default_rng(seed))
        x, bounds = batches.start, batches.bounds
        rate = RATE * float(np.sqrt(np.mean(np.square(x)))) if len(x) else 0.0
        x = adam(batches.slope, x, STEPS, reporter, rate=rate, bounds=bounds)
        if not np.isfinite(x).all():
            return begin
        reached = batches.unpack(x)
        return reached if form.objective(reached) < form.objective(begin) else begin


class Batches:
    """The batches of one search: all examples in random order, and again in another."""

    def __init__(self, form: NetworkForm, begin: Neurons, rng: np.random.Generator) -> None:
        self.form, self.rng = form, rng
        self.size = min(BATCH, len(form.y))
        self.at = self.reach = 0
        self.shuffled = form
        self.layers = layers_of(form.sampled(slice(0, self.size)), begin)
        self.bounds = self.layers.bounds()
        x = self.layers.pack(begin)
        self.start = x if self.bounds is None else np.clip(x, *self.bounds.T)
        self.unpack = self.layers.unpack

    def slope(self, x: Array) -> Array:
        """Return the gradient of the next batch's problem."""
        if self.at + self.size > self.reach:
            n = len(self.form.y)
            order = self.rng.permutation(n)[: STEPS * self.size]  # no more than are looked at
            self.shuffled, self.at, self.reach = self.form.sampled(order), 0, len(order)
        form = self.shuffled.sampled(slice(self.at, self.at + self.size))
        self.at += self.size
        self.layers.form = form
        return self.layers.value(x, form.loss)[1]
