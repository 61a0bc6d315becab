"""Exact worst weights in a ball around the uniform ones: a sort, or a search in one variable.

Losses enter as their distances below the largest one, in units of their range, so that neither
a large offset nor a large scale is rounded into the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.wasserstein.weight_balls import (
    Adversary,
    ChiSquared,
    Choice,
    Entropy,
    EntropyPenalty,
    Tail,
    Variation,
    entropy,
    normal,
)

Answer: TypeAlias = tuple[float, Array]  # multiplier and weights

STEPS = 400  # of the search for a temperature: far more than bisection needs
TIGHT = 1e-14  # relative error of the temperature at which it stops


def run(form: Any, own: dict[str, Any], options: Options, reporter: Reporter, start: Any) -> Raw:
    """Find the worst weights of a ball to rounding, and report once."""
    multiplier, weights = METHODS[type(form)](form)
    reporter.report(1, Adversary(np.array([multiplier]), weights), Choice(weights))
    return Raw(Outcome.FINISHED)


def tilt(form: Entropy) -> Answer:
    """Find ``tau = 1 / lam`` where the weights ``exp(tau l)`` have the entropy of the radius.

    Safeguarded Newton in logarithms: the entropy grows with ``log tau`` by ``tau^2 var_w(l)``.
    Past the entropy of the uniform weights on the largest losses, these are the answer.
    """
    below, scale = _below(form.losses)
    n, ties = len(below), int(np.count_nonzero(below == 0.0))
    if ties == n:
        return 0.0, np.full(n, 1.0 / n)
    if form.radius == 0.0:
        return np.inf, np.full(n, 1.0 / n)
    if form.radius >= np.log(n / ties):
        return 0.0, normal(np.where(below == 0.0, 1.0, 0.0))
    low, high = 0.0, np.inf
    tau = float(np.sqrt(2.0 * form.radius / np.var(below)))
    for _ in range(STEPS):
        with np.errstate(under="ignore"):
            w = normal(np.exp(tau * below))
        spread = entropy(w)
        low, high = (tau, high) if spread <= form.radius else (low, tau)
        growth = tau * tau * (w @ np.square(below - w @ below))
        step = np.log(form.radius / spread) * spread / growth if spread * growth > 0.0 else 2.0
        if abs(step) <= TIGHT or high <= low * (1.0 + TIGHT):
            break
        tau *= float(np.exp(np.clip(step, -2.0, 2.0)))
        if not low < tau < high:
            tau = float(np.sqrt(low) * np.sqrt(high))
    with np.errstate(under="ignore"):
        return scale / tau, normal(np.exp(tau * below))


def softmax(form: EntropyPenalty) -> Answer:
    """Return the weights ``exp(l / penalty)``, normalised."""
    with np.errstate(under="ignore", over="ignore"):
        return form.penalty, normal(np.exp((form.losses - form.losses.max()) / form.penalty))


def truncate(form: ChiSquared) -> Answer:
    """Find the weights ``(l - eta)_+``, normalised.

    With m losses above it, ``eta = mean_m - sqrt(n var_m / ((1 + radius) m - n))`` in the mean
    and the variance of these m.
    """
    below, scale = _below(form.losses)
    top = float(form.losses.max())
    n, ties = len(below), int(np.count_nonzero(below == 0.0))
    if form.radius >= n / ties - 1.0:
        return top, normal(np.where(below == 0.0, 1.0, 0.0))
    if form.radius == 0.0:
        return -np.inf, np.full(n, 1.0 / n)
    h = np.sort(below)[::-1]
    count = np.arange(1, n)
    first, second = np.cumsum(h)[:-1] - count * h[1:], np.cumsum(np.square(h))[:-1]
    second += h[1:] * (count * h[1:] - 2.0 * np.cumsum(h)[:-1])
    # ratio of the mean square to the squared mean of (l - eta)_+ at eta = h[m], falling in m
    enough = n * second <= (1.0 + form.radius) * np.square(first)
    m = int(np.argmax(enough & (first > 0.0))) + 1 if np.any(enough & (first > 0.0)) else n
    centre = float(np.mean(h[:m]))
    room = (1.0 + form.radius) * m - n if m < n else n * form.radius
    gap = float(np.sqrt(n * np.var(h[:m]) / room)) if room > 0.0 else np.inf
    if m < n:
        gap = min(gap, centre - float(h[m]))
    return top + scale * (centre - gap), normal(np.maximum((below - centre) + gap, 0.0))


def tail(form: Tail) -> Answer:
    """Fill the largest losses with ``1 / (level n)`` each until the weights sum to one."""
    n = len(form.losses)
    order = np.argsort(-form.losses, kind="stable")
    full = form.level * n
    w = np.empty(n)
    w[order] = np.clip(full - np.arange(n), 0.0, 1.0)
    last = min(int(np.ceil(full)), n) - 1
    return float(form.losses[order[last]]), normal(w)


def shift(form: Variation) -> Answer:
    """Take the mass ``radius`` from the smallest losses and share it among the largest."""
    n, top = len(form.losses), form.losses.max()
    order = np.argsort(form.losses, kind="stable")
    taken = form.radius * n
    w = np.empty(n)
    w[order] = 1.0 - np.clip(taken - np.arange(n), 0.0, 1.0)
    largest = form.losses == top
    w[largest] += taken / np.count_nonzero(largest)
    first = min(int(np.floor(taken)), n - 1)
    return float(form.losses[order[first]]), normal(w)


METHODS: dict[type, Callable[[Any], Answer]] = {
    Entropy: tilt,
    EntropyPenalty: softmax,
    ChiSquared: truncate,
    Tail: tail,
    Variation: shift,
}


def _below(losses: Array) -> tuple[Array, float]:
    """Return ``(l - max l) / scale`` and the scale, the range of the losses."""
    scale = float(np.ptp(losses)) or 1.0
    return (losses - losses.max()) / scale, scale
