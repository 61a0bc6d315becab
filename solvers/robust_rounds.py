"""Robust training over all patterns: local adversarial training, then majorants over its patterns.

A network trained on examples that are attacked as it learns gives the first patterns; the majorant
over them is solved, the patterns of its solution give the next majorant (robust training's slopes
depend on the patterns, so that a round may be worse than the one before: the best is kept).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.arrays import Array, BoolArray
from convexnn.backend import Options, Raw, Reporter
from convexnn.forms import Neurons
from convexnn.norms import NORMS
from convexnn.robust import RobustDual, RobustForm, RobustNetworkForm
from convexnn.solvers import robust
from convexnn.solvers.lbfgs import Layers, descend, random_network
from convexnn.solvers.pool import alive, distinct, gathered

ADAM = 400  # steps of adversarial training
RATE = 0.05
PUSH = 0.5  # of the radius: an attack's step
SEARCHES = 3  # local networks whose patterns are pooled
WARM = 100  # steps of L-BFGS on clean examples before
PAYS = 1e-4  # relative fall of the objective from which a round has paid
PUSHES = 6  # of the attacks on a network that is reported
EVERY = 20  # steps of ADMM between looks at the network


def corner(g: Array, ball: str) -> Array:
    """Return the point of each row's unit ball that is farthest along the row.

    Examples
    --------
    >>> corner(np.array([[3.0, -4.0]]), "l1")
    array([[ 0., -1.]])
    """
    if ball == "linf":
        return np.sign(g)
    if ball == "l2":
        length = NORMS["l2"].value(g)[:, None]
        return g / np.where(length > 0.0, length, 1.0)
    out = np.zeros_like(g)
    rows, best = np.arange(len(g)), np.argmax(np.abs(g), axis=1)
    out[rows, best] = np.sign(g[rows, best])
    return out


def adversarial(
    form: RobustNetworkForm, begin: Neurons, steps: int, reporter: Reporter
) -> Neurons:
    """Train by Adam on examples that are attacked anew at each step; one start, both layers."""
    attack = np.zeros_like(form.X)
    layers = Layers(form.attacked(attack), begin)
    x = layers.pack(begin)
    first, second = np.zeros_like(x), np.zeros_like(x)
    for k in range(1, steps + 1):
        attack = pushed(form.program, layers.unpack(x), attack)
        layers.form = form.attacked(attack)
        _, slope = layers.value(x, layers.form.loss)
        first += 0.1 * (slope - first)
        second += 0.001 * (np.square(slope) - second)
        rate = RATE * 0.5 * (1.0 + np.cos(np.pi * k / steps))
        x = x - rate * first / (1.0 - 0.9**k) / (np.sqrt(second / (1.0 - 0.999**k)) + 1e-8)
        if k % 20 == 0 and reporter.expired():
            break
    return layers.unpack(x)


def pushed(form: RobustForm, network: Neurons, attack: Array) -> Array:
    """Move each example's attack up the loss by a step, and back into the ball."""
    X = form.X + attack
    hidden_v, hidden_w = X @ network.V, X @ network.W
    z = np.maximum(hidden_v, 0.0).sum(axis=1) - np.maximum(hidden_w, 0.0).sum(axis=1)
    slope = (hidden_v > 0.0) @ network.V.T - (hidden_w > 0.0) @ network.W.T
    uphill = form.loss.gradient(z, form.y)[:, None] * slope * form.moved
    step = PUSH * form.radius * corner(uphill, form.ball)
    return NORMS[form.ball].project((attack + step) * form.moved, form.radius)


class Rounds:
    """One run: the best network so far, and the rounds that look for a better one.

    Parameters
    ----------
    form : RobustNetworkForm
    options : Options
    reporter : Reporter
    chosen : dict
        ``refreshes``, ``patterns``, ``steps``, ``local`` and ``width``.
    """

    def __init__(
        self,
        form: RobustNetworkForm,
        options: Options,
        reporter: Reporter,
        chosen: dict[str, Any],
    ) -> None:
        self.form, self.options, self.reporter, self.chosen = form, options, reporter, chosen
        self.rng = np.random.default_rng(options.seed)
        d = form.X.shape[1]
        self.best = Neurons(np.zeros((d, 0)), np.zeros((d, 0)), np.zeros(d))
        self.value = np.inf
        self.iteration = 0

    def show(self, network: Neurons) -> bool:
        """Report a network, with attacks of its own; keep it if it is the best."""
        self.iteration += 1
        value = self.form.objective(network)
        if value < self.value:
            self.best, self.value = network, value
        return self.reporter.report(self.iteration, network, attacked_dual(self.form, network))

    def locally(self) -> bool:
        """Train networks on clean and on attacked examples; True asks to stop."""
        form = self.form
        for _ in range(SEARCHES):
            network = random_network(form.plain(), self.chosen["width"], self.rng)
            network = descend(form.plain(), network, WARM, self.reporter)
            if form.program.radius > 0.0:
                network = adversarial(form, network, ADAM, self.reporter)
            if self.show(alive(form.plain(), network)) or self.reporter.expired():
                return True
        return False

    def majorant(self, begin: Neurons) -> Neurons:
        """Solve the majorant that touches at a network, some neurons added at zero."""
        d = self.form.X.shape[1]
        extra = np.zeros((d, 0))
        begin = Neurons(np.hstack([begin.V, extra]), np.hstack([begin.W, extra]), begin.skip)
        program = self.form.touching(begin)
        state = robust.State.begin(program, (begin, None))
        tuner = robust.Tuner()
        best, value = begin, program.objective(begin)
        for k in range(1, self.chosen["steps"] + 1):
            tuner.update(k, state, robust.step(state, robust.RELAX))
            if k % EVERY == 0:
                network, _ = state.points()
                met = program.objective(network)
                if met < value:
                    best, value = network, met
                if self.reporter.expired():
                    break
        return best


def run(
    form: RobustNetworkForm,
    chosen: dict[str, Any],
    options: Options,
    reporter: Reporter,
    start: Any = None,
) -> Raw:
    """Train locally, then take majorants until they no longer lower the objective."""
    rounds = Rounds(form, options, reporter, chosen)
    if start is not None:
        rounds.show(start[0])
    elif rounds.locally():
        return Raw("stopped")
    for _ in range(options.max_iter or chosen["refreshes"]):
        before = rounds.value
        network = rounds.majorant(alive(form.plain(), rounds.best))
        if rounds.show(network):
            return Raw("stopped")
        if before - rounds.value <= PAYS * max(1.0, abs(rounds.value)):
            return Raw("finished", "One more majorant does not lower the objective.")
    return Raw("max_iter")


def attacked_dual(form: RobustNetworkForm, network: Neurons) -> RobustDual:
    """Return attacks on a network, and the multipliers of training on them."""
    (n, d), attack = form.X.shape, np.zeros_like(form.X)
    for _ in range(PUSHES):
        attack = pushed(form.program, network, attack)
    plain = form.attacked(attack)
    none = np.zeros((n, 0))
    mu = -plain.loss.gradient(plain.predict(network), plain.y)
    return RobustDual(mu, np.zeros(n), attack, none, none)
