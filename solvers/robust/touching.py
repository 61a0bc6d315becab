"""Robust training over all patterns: local adversarial training, then majorants that touch.

Networks trained on examples that are attacked as they learn are where it begins. A majorant whose
slopes touch the best network's bound on its own worst case can only improve on it; beside them it
has the slopes of the other networks, of random neurons and of the best network's own ones moved a
little, so that it may take from those what helps. Its solution is where the next one touches. Last
comes the bound over all networks, by plain training on attacked examples.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import positive_int
from convexnn.contract.grading import objective_of
from convexnn.contract.system.memory import Size
from convexnn.relu.forms import Neurons
from convexnn.robust.forms import RobustDual, RobustNetworkForm
from convexnn.solvers.relu import cell_walk, lbfgs
from convexnn.solvers.relu.cell_walk import Early
from convexnn.solvers.relu.lbfgs import WIDTH, random_network
from convexnn.solvers.relu.pattern_pool import alive
from convexnn.solvers.robust import admm as robust
from convexnn.solvers.robust import attacked_bound
from convexnn.solvers.robust.local_search import adversarial, attacked_dual
from convexnn.solvers.schedule import Best, Tuner, iterate

EVERY = 20  # steps of ADMM between looks at the network
PAYS = 1e-4  # relative fall of the objective from which a round has paid
NEAR = 0.3  # of a neuron's length: how far its copies are moved
SMALL = 0.01  # of the largest neuron's length: those that may be left out
FEW, WARM_WIDTH = 8, 6  # examples and neurons that kernels are compiled on
ROUNDED = 0.6  # share of the time that remains, where it is limited, before the bound
POOLED = 3  # local networks whose slopes join the first round
PATIENCE = 2  # rounds that have not
DEFAULTS = {"refreshes": 20, "steps": 600, "width": WIDTH, "searches": 6, "fresh": 10}


class Rounds:
    """One run: the best network so far, and the rounds that look for a better one.

    Parameters
    ----------
    form : RobustNetworkForm
    options : Options
    reporter : Reporter
    chosen : dict
        Values for the names of ``DEFAULTS``.
    start : Neurons, optional
        Takes the place of the local searches.
    """

    def __init__(
        self,
        form: RobustNetworkForm,
        options: Options,
        reporter: Reporter,
        chosen: dict[str, Any],
        start: Neurons | None,
    ) -> None:
        self.form, self.options, self.reporter, self.chosen = form, options, reporter, chosen
        self.objective = objective_of(form, reporter)
        self.given = start
        self.searches: int = chosen["searches"] if start is None else 1
        self.rng = np.random.default_rng(options.seed)
        d = form.X.shape[1]
        self.network = self.best = Neurons(np.zeros((d, 0)), np.zeros((d, 0)), np.zeros(d))
        self.value = np.inf
        self.beaten: list[tuple[float, Neurons]] = []
        self.penalty: dict[str, float] = {}
        self.since = 0

    def step(self, k: int) -> Raw | None:
        """Find the next network: the first ones by local training, the others by majorants."""
        before, local = self.value, k <= self.searches
        if local:
            self.network = self.locally() if self.given is None else self.given
        else:
            others = [*self.runners_up(), self.nearby(), self.fresh()]
            steps = self.chosen["steps"] * 2**self.since  # a round in vain may have ended early
            self.network = self.majorant(self.best, others, steps)
        self.keep()
        paid = local or before - self.value > PAYS * max(1.0, abs(self.value))
        self.since = 0 if paid else self.since + 1
        if self.since == PATIENCE:
            return Raw(Outcome.FINISHED, "More majorants do not lower the objective.")
        return None

    def points(self) -> tuple[Neurons, RobustDual]:
        """Return the network at hand, with attacks of its own."""
        return self.network, attacked_dual(self.form, self.network, self.reporter.expired)

    def keep(self) -> None:
        """Keep the network at hand if it is the best."""
        value = self.objective(self.network)
        worse = (value, self.network)
        if value < self.value:
            worse = (self.value, self.best)
            self.best, self.value = self.network, value
        self.beaten.append(worse)

    def locally(self) -> Neurons:
        """Train a random network on attacked examples."""
        plain = self.form.plain()
        network = random_network(plain, self.chosen["width"], self.rng)
        return alive(plain, adversarial(self.form, network, self.reporter))

    def runners_up(self) -> list[Neurons]:
        """Return the best networks beaten since the last call."""
        ranked = sorted(self.beaten, key=lambda pair: pair[0])
        self.beaten = []
        return [network for _, network in ranked[: POOLED - 1]]

    def majorant(self, begin: Neurons, others: list[Neurons], steps: int) -> Neurons:
        """Solve the majorant that touches at a network, with the slopes of others beside it."""
        programs = [self.form.touching(network) for network in (begin, *others)]
        slopes_v = [program.slopes[:, : program.added] for program in programs]
        slopes_w = [program.slopes[:, program.added :] for program in programs]
        V = np.hstack([begin.V, *(np.zeros_like(network.V) for network in others)])
        W = np.hstack([begin.W, *(np.zeros_like(network.W) for network in others)])
        program = programs[0]._replace(slopes=np.hstack([*slopes_v, *slopes_w]), added=V.shape[1])
        begin = Neurons(V, W, begin.skip)
        state = robust.State.begin(program, (begin, None), self.penalty)
        best, tuner = Best(program.objective, begin, self.reporter), Tuner()
        iterate(
            lambda k: robust.step(state, robust.RELAX),
            state.points,
            best,
            steps,
            due=lambda k: k % EVERY == 0,
            after=lambda k: robust.balance(state, tuner, k),
        )
        self.penalty = state.penalty
        return self.lighter(alive(self.form.plain(), best.point))

    def lighter(self, network: Neurons) -> Neurons:
        """Return the network without its small neurons, if that costs next to nothing."""
        size_v, size_w = (np.linalg.norm(part, axis=0) for part in (network.V, network.W))
        level = SMALL * max(np.max(size_v, initial=0.0), np.max(size_w, initial=0.0))
        light = Neurons(network.V[:, size_v > level], network.W[:, size_w > level], network.skip)
        room = 0.1 * PAYS * max(1.0, abs(self.value))
        objective = self.objective
        return light if objective(light) <= objective(network) + room else network

    def fresh(self) -> Neurons:
        """Return random neurons, of either sign."""
        d = self.form.X.shape[1]
        V, W = self.rng.standard_normal((2, d, self.chosen["fresh"]))
        return Neurons(V, W, np.zeros(d))

    def nearby(self) -> Neurons:
        """Return the best network, each neuron moved by a share of its length."""
        best = self.best
        return Neurons(self._moved(best.V), self._moved(best.W), best.skip)

    def _moved(self, weights: Array) -> Array:
        length = np.linalg.norm(weights, axis=0) / np.sqrt(len(weights))
        step: Array = NEAR * length * self.rng.standard_normal(weights.shape)
        return weights + step


def warm_up(form: RobustNetworkForm) -> None:
    """Run every kernel once, on few examples, so that none is compiled while the clock runs."""
    program = form.program
    some = slice(FEW)
    X, y, loss = program.X[some].copy(), program.y[some].copy(), program.loss.part(some)
    widths = None if program.widths is None else program.widths[some].copy()
    few = RobustNetworkForm(program._replace(X=X, y=y, loss=loss, widths=widths))
    network = random_network(few.plain(), WARM_WIDTH, np.random.default_rng(0))
    robust.warm_up(few.touching(network))
    few.objective(network)
    attacked_dual(few, network)
    cell_walk.warm_up(few.plain())


def memory(size: Size) -> dict[str, float]:
    """Return ``8 w (5 n + 50 d)`` for the search and 160 for each entry of its products."""
    return lbfgs.memory(size) | {"its products": 160.0 * size.n * WIDTH}


def run(
    form: RobustNetworkForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Train locally, then take majorants until they no longer lower the objective.

    Options
    -------
    refreshes : int, default 20
        Majorants at most; `max_iter` takes its place if given.
    steps : int, default 600
        ADMM steps on each.
    width : int, default 50
        Hidden neurons of the local searches.
    searches : int, default 6
        Local networks trained on attacked examples.
    fresh : int, default 10
        Random neurons of either sign that join each majorant.
    """
    for name in own:
        positive_int(name, own[name])
    bounded = attacked_bound.suits(form, reporter.remaining() is not None)
    rounds = Rounds(form, options, reporter, own, None if start is None else start[0])
    early = Early(reporter, ROUNDED)
    early.armed = bounded
    rounds.reporter = early
    limit = rounds.searches + (options.max_iter or own["refreshes"])
    raw = iterate(rounds.step, rounds.points, early, limit, due=lambda k: True)
    if bounded and not reporter.expired():
        last = attacked_dual(form, rounds.best, reporter.expired)
        attacked_bound.prove(form, rounds.best, last.attack, reporter, options)
    return raw
