"""Local search against an adversary: Adam on examples that are attacked as a network learns."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Reporter
from convexnn.relu.forms import Neurons
from convexnn.relu.relaxation import relaxed
from convexnn.robust.forms import RobustDual, RobustForm, RobustNetworkForm
from convexnn.solvers.relu.adam import adam
from convexnn.solvers.relu.layers import Layers

STEPS = 1_000
PUSH = 0.5  # of the radius: an attack's step
PUSHES = 6  # of the attacks on a network that is reported


def adversarial(
    form: RobustNetworkForm, begin: Neurons, reporter: Reporter, steps: int = STEPS
) -> Neurons:
    """Train by Adam on examples that are attacked anew at each step; one start, both layers."""
    attack = np.zeros_like(form.X)
    layers = Layers(form.attacked(attack), begin)

    def slope(x: Array) -> Array:
        nonlocal attack
        attack = pushed(form.program, layers.unpack(x), attack)
        layers.form = form.attacked(attack)
        return layers.value(x, layers.form.loss)[1]

    return layers.unpack(adam(slope, layers.pack(begin), steps, reporter))


def pushed(form: RobustForm, network: Neurons, attack: Array) -> Array:
    """Move each example's attack up the loss by a step, and back into the ball."""
    X = form.X + attack
    hidden_v, hidden_w = X @ network.V, X @ network.W
    z = np.maximum(hidden_v, 0.0).sum(axis=1) - np.maximum(hidden_w, 0.0).sum(axis=1)
    slope = (hidden_v > 0.0) @ network.V.T - (hidden_w > 0.0) @ network.W.T
    uphill = form.loss.gradient(z, form.y)[:, None] * slope * form.moved
    step = PUSH * form.worst_attack(uphill)
    return form.projected(attack + step)


def attacked_dual(
    form: RobustNetworkForm, network: Neurons, expired: Callable[[], bool] | None = None
) -> RobustDual:
    """Return attacks on a network, and the multipliers of training on them.

    What they prove is looked for until the time is over.
    """
    n, attack = len(form.X), np.zeros_like(form.X)
    for _ in range(PUSHES):
        attack = pushed(form.program, network, attack)
    plain = form.attacked(attack)
    none = np.zeros((n, 0))
    mu = -plain.loss.gradient(plain.predict(network), plain.y)
    return RobustDual(mu, np.zeros(n), attack, none, none, relaxed(plain, mu, expired=expired))
