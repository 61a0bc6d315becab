"""The hybrid for the program over all patterns: local search, convex solves, pricing, a bound.

Local search finds good patterns; the convex program on the pooled patterns of several networks
holds those networks among its feasible points, so its optimum can only improve on them. Then,
in rounds (column generation): descend from the convex solution, whose neurons may now leave
their cells; price the dual point over all patterns; solve again on the patterns of the
network and of the neurons worth more than beta. When none is found, an exact search over all
patterns (`pricing_bound`) proves the bound or names the pattern that was missed, where the rank
allows one; elsewhere a relaxation bounds what no search can exclude, and a tighter one, lifted to
the products of activations, closes in on the network in the time that is left: its dual point is
priced, too, and its cells are split while there is time.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import positive_int
from convexnn.contract.clock import OutOfTime
from convexnn.contract.grading import objective_of
from convexnn.contract.system.memory import Size
from convexnn.relu.bound import exactly, grounded, lower_bound, repaired, scaled_value, sides
from convexnn.relu.forms import (
    Dual,
    GroupForm,
    NetworkForm,
    Neurons,
    outputs_of,
)
from convexnn.relu.lift import Lifted
from convexnn.relu.patterns import active_patterns
from convexnn.relu.pricing.cell_pricing import price
from convexnn.relu.pricing.pricing_bound import bracket
from convexnn.relu.pricing.signed_pricing import of_examples, priced_form, priced_side
from convexnn.relu.relaxation import Relaxed, improve
from convexnn.relu.search_bound import searches_of
from convexnn.solvers.relu import admm, ipm, lbfgs, semismooth
from convexnn.solvers.relu.lbfgs import STARTS, WIDTH, descend, search, slope_dual
from convexnn.solvers.relu.lift import Lifting
from convexnn.solvers.relu.pattern_pool import alive, distinct, gathered
from convexnn.solvers.schedule import First, iterate

POOLED = 3  # networks whose patterns the first convex solve is over
ROUNDS = 30  # of pricing, if max_iter is not given
PROBES = 300  # random starts of a pricing, for each sign
NEAR = (0.1, 0.3, 1.0)  # distances at which neurons of the network are perturbed
THOROUGH = 4  # times the probes, before pricing is taken to have found all
ADDED = 60  # patterns a pricing may add, for each sign
KEPT = 500  # patterns of the last round that stay where the dual point is not unique
PATIENCE = 2  # rounds that end the rounds by gaining next to nothing
GAIN = 3e-5  # relative to the objective, where no proof is in reach
POLISH = 300  # steps of the descent from a convex solution
SHARPEST = 1e-8  # relative gap of a convex solve, at the least
ROUGH = 1.02  # largest worth, over beta, above which a convex solve need not be sharp
NEWTON_WORK = 4e10  # products in a step, up to which the convex solves are by interior point
CONVEX_ITER = 300  # ADMM steps of the convex solve beyond
NEWTON_ITER = 100  # steps of semismooth Newton in its place, of several outputs
SEARCHED = 0.7  # share of the time that remains, where it is limited, for the local search
MENDING_ITER = 2_000  # ADMM steps from where rounding ends the interior point too early
EASY, CLOSED = 4, 6  # ranks up to which the search for a proof is expected to end at once, at all
RELAXED = 100_000_000  # n d^2 up to which a relaxation is solved
PROVABLE = 12  # rank up to which all patterns are searched for a proof
FIRST_NODES, GROWTH = 2_000, 4  # cones of that search at first, and how fast they grow
HOPELESS = 1.5  # bound on the worth, over beta, that a few more cones will not bring down
ROUNDED = 0.5  # share of the time that remains, where it is limited, for rounds before the lift
UNLIMITED = 300  # lines in the data up to which it is made without a time limit
SETTLED, DONE = 0.25, 0.05  # shares of what is open that it may still close, to split, to end
WORTH = 0.02  # share of the open interval that a point must close to be shown
FEWEST = 40  # times an early step: when there is a first bound of use
WAITED = 60  # steps that show nothing after which it counts as settled
PAUSE = 1.5  # times the last step that must be left for another one
BRANCHED = 0.3  # share of the time that remains for a branch and bound before the lift
MODEST_NODES, MOST_NODES = 40_000, 400_000  # cones in that case, and in any
DEFAULTS = {
    "starts": STARTS,
    "width": WIDTH,
    "pooled": POOLED,
    "probes": PROBES,
    "nodes": MOST_NODES,
    "cells": None,
}


def warm_up(form: NetworkForm) -> None:
    """Compile the kernels of every part that a run goes through.

    Those of the lift are compiled when it begins, and what proves a cover anew when it is asked:
    within a run a proof is known from its search.
    """
    lbfgs.warm_up(form)
    single = form.over(np.ones((len(form.X), 1), np.bool_))
    (ipm if by_newton(single) else admm).warm_up(single)
    if outputs_of(form.y) > 1 and single.bag == 1:
        semismooth.warm_up(single)
    lower_bound(single, Dual(np.zeros_like(form.y)))
    price(form, next(sides(form, form.y)).mu, form.X[:1])
    if provable(form):
        mixed = np.array([1.0, -1.0])
        l1 = not form.norm.rotates
        bracket(np.eye(2), mixed, leak=form.leak, l1=l1, nodes=8)


def memory(size: Size) -> dict[str, float]:
    """Return the search's and the convex solves', with the patterns of a few rounds."""
    found = size._replace(patterns=size.outputs * (POOLED * WIDTH + 2 * ADDED))
    work = size.outputs * newton_work(size.n, size.d, found.patterns)
    inner = ipm.memory if work <= NEWTON_WORK and size.bag == 1 else admm.memory
    parts = lbfgs.memory(size) | inner(found)
    parts["the patterns it finds"] = 62.0 * size.n * size.bag * found.patterns
    if size.bag > 1:
        parts["their pooled features"] = 24.0 * size.n * size.d * found.patterns
    elif size.outputs > 1 and size.smooth:  # it starts from the neurons of a network
        parts = semismooth.memory(size._replace(patterns=WIDTH)) | parts
    return parts


def run(
    form: NetworkForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Search, then rounds of solving and pricing, then the proof.

    ``max_iter`` counts the rounds of pricing.

    Options
    -------
    starts : int, default 6
        Random starts of the local search.
    width : int, default 50
        Hidden neurons of each.
    pooled : int, default 3
        How many of the best networks lend their patterns.
    probes : int, default 300
        Random starts of each pricing.
    nodes : int, default 400_000
        Cones that a proof may bound, for each sign.
    cells : int, optional
        Into which the lifted relaxation may split the balls of neurons, 0 for no such relaxation;
        if not given as many as the time limit allows, and none are split where there is none.
    """
    if own["cells"] is not None and own["cells"] != 0:
        positive_int("cells", own["cells"])
    for name in ("pooled", "probes", "nodes"):
        positive_int(name, own[name])
    walk = Walk(form, options, reporter, own["probes"], own["nodes"], lifted=own["cells"] != 0)
    try:
        return Raw(Outcome.FINISHED, walk.run(own, None if start is None else start[0]))
    except Ended:
        return Raw(Outcome.STOPPED)


class Ended(Exception):
    """The reporter asked the run to end."""


class Turn(NamedTuple):
    """What one convex solve, its descent and its pricing found.

    Attributes
    ----------
    dual : Dual
        Of the convex solve.
    network : Neurons
        The descended convex solution.
    violating : array of bool, shape (n, k)
        Patterns of neurons worth more than beta.
    worst : float
        Largest worth found, as a multiple of beta.
    """

    dual: Dual
    network: Neurons
    violating: BoolArray
    worst: float


class Walk:
    """The state of one run: what has been shown, and the best objective."""

    def __init__(
        self,
        form: NetworkForm,
        options: Options,
        reporter: Reporter,
        probes: int,
        nodes: int,
        lifted: bool = True,
    ) -> None:
        self.form, self.options, self.reporter = form, options, reporter
        self.probes, self.nodes = probes, nodes
        self.searches = searches_of(form, reporter)
        self.objective = objective_of(form, reporter)
        self.rng = np.random.default_rng(options.seed)
        self.whitening = whitening(form.X)
        self.shown = 0
        self.relaxed: Relaxed | None = None
        self.lifted: Lifted | None = None
        self.best = self.worst = np.inf
        self.limited = reporter.remaining() is not None
        n, d = form.X.shape
        # the relaxation is over one multiplier for each example
        single = form.y.ndim == 1 and form.cells is None
        self.relaxes = single and n * d * d <= RELAXED
        self.lifts = lifted and Lifting.suits(form, Lifting.MOST if self.limited else UNLIMITED)

    def show(self, network: Neurons, dual: Dual) -> None:
        """Report a network; raises `Ended` if the run is to end."""
        self.shown += 1
        self.best = min(self.best, self.objective(network))
        known = dual._replace(relaxed=self.relaxed, lifted=self.lifted)
        if self.reporter.report(self.shown, network, known):
            raise Ended

    def run(self, chosen: dict[str, Any], first: Neurons | None) -> str:
        """Search, then rounds of solving and pricing; returns why they ended."""
        form = self.form
        plain = Options(self.options.tol, None, self.options.seed, {})
        networks = [] if first is None else [first]
        starts, width = chosen["starts"], chosen["width"]
        early = Early(self.reporter, SEARCHED)
        early.armed = bounded = self.relaxes and form.X.shape[1] > EASY
        for network in search(form, starts, width, plain, early, first, mixed=True):
            networks.append(network)
            self.show(network, slope_dual(form, network))
            early.armed = True  # where no bound comes after, the first start is never cut short
        networks.sort(key=form.objective)
        matrix = distinct(
            form, [active_patterns(form.X, net) for net in networks[: chosen["pooled"]]]
        )
        network = networks[0]
        if bounded:
            self.relax(slope_dual(form, network), network)
        limit = self.options.max_iter or ROUNDS
        message, turn = self.rounds(matrix, network, limit)
        if self.lifts:
            turn = self.lift(turn, chosen["cells"])
        return message

    def rounds(self, matrix: BoolArray, network: Neurons, limit: int) -> tuple[str, Turn]:
        """Solve and price in rounds; returns why they ended, and the last one."""
        form, idle = self.form, 0
        hard = form.X.shape[1] > CLOSED
        enough = max(self.options.tol, GAIN) if hard else 0.1 * self.options.tol
        cycling = not (hard and np.isfinite(form.loss.curvature))
        early = Early(self.reporter, ROUNDED)
        early.armed = self.lifts
        for _ in range(limit):
            before = self.best
            turn = self.turn(matrix, network)
            violating = [turn.violating]
            settled = form.norm.rotates or turn.violating.shape[1] == 0
            if settled and self.optimism(turn) <= 0.5 * self.options.tol:
                missed = self.proof(turn)
                if missed is None:
                    return "No neuron worth more than beta was found over all patterns.", turn
                violating.append(missed)
            gain = (before - self.best) / max(1.0, abs(self.best))
            idle = 0 if gain > enough else idle + 1
            if idle == PATIENCE:
                self.proof(turn)
                return (
                    f"Some neurons are worth up to {turn.worst:.6f} beta, but the rounds of "
                    "pricing no longer improve the network."
                ), turn
            if early.expired():
                if not hard:  # searching all patterns proves more there than a relaxation
                    self.proof(turn)
                return "Half of the time is left to the bound over all patterns.", turn
            network = turn.network
            older = matrix[:, :KEPT] if cycling else matrix[:, :0]
            matrix = distinct(form, [active_patterns(form.X, network), *violating, older])
        self.proof(turn)
        return f"The {limit} rounds of pricing ran out: raise max_iter.", turn

    def lift(self, turn: Turn, cells: int | None) -> Turn:
        """Close in on the best objective by the lifted relaxation, as far as there is time.

        Once it has settled, its dual point is priced: neurons that it finds, and the walk missed,
        go into further rounds. Then its cells are split.
        """
        form, _ = grounded(self.form, turn.dual.mu)
        lifting = Lifting(form, turn.dual.mu, self.best)
        steps, shown, idle, asked = 0, 0.0, 0, form.separable
        most = cells or (np.inf if self.limited else lifting.cells)
        while True:
            if self.reporter.expired():
                raise Ended
            begin = self.reporter.remaining()
            if not lifting.step():
                break
            steps += 1
            lifting.best, value = self.best, lifting.value()
            settled = lifting.settled(SETTLED if lifting.cells < most else DONE) or idle == WAITED
            idle += 1
            if settled or value > shown + WORTH * (self.best - shown) or not form.separable:
                shown, idle = max(shown, value), 0
                self.lifted = lifting.point()
                self.show(turn.network, turn.dual)
            if settled and asked:
                asked = False
                turn = self.priced_again(turn, lifting.point().mu)
            elif settled:
                if lifting.cells >= most:
                    break
                lifting.split()
            left = self.reporter.remaining()
            if left is None or begin is None:
                continue
            if steps == 2 and left < FEWEST * (begin - left):
                return turn  # too few steps for a bound of use
            if left < PAUSE * (begin - left):
                raise OutOfTime  # a step half-way is no use
        self.lifted = lifting.point()
        self.show(turn.network, turn.dual)
        return turn

    def priced_again(self, turn: Turn, mu: Array) -> Turn:
        """Price another dual point, and go into rounds with what the walk has missed."""
        live = alive(self.form, turn.network)
        violating, worst = self.price(repaired(self.form, mu), live, THOROUGH * self.probes)
        if violating.shape[1] == 0 or worst <= 1.0 + self.options.tol:
            return turn
        own = active_patterns(self.form.X, live)
        before = self.best
        following = self.turn(distinct(self.form, [own, violating]), turn.network)
        return following if self.best < before else turn

    def relax(self, dual: Dual, network: Neurons) -> None:
        """Look for the dual point of the best relaxed bound, and show what it proves."""
        if self.relaxes and not self.reporter.expired():
            form, _ = grounded(self.form, dual.mu)
            self.relaxed = improve(form, dual.mu, expired=self.reporter.expired)
            self.show(network, dual)

    def turn(self, matrix: BoolArray, begin: Neurons) -> Turn:
        """Solve over these patterns, descend from there, and price."""
        form = self.form
        primal, dual = self.convex(matrix, begin)
        self.show(primal, dual)
        live = alive(form, primal)
        network = descend(form, live, POLISH, self.reporter)
        violating, worst = self.price(dual.mu, live, self.probes)
        if worst <= 1.0 + self.options.tol and not self.reporter.expired():
            violating, worst = self.price(dual.mu, live, THOROUGH * self.probes)
        self.show(network, dual)
        self.worst = worst
        return Turn(dual, network, violating, worst)

    def price(self, mu: Array, live: Neurons, probes: int) -> tuple[BoolArray, float]:
        """Return patterns of neurons worth more than beta, and the largest worth over beta."""
        form = self.form
        starts = self.starts(live, probes)
        violating, worst = [], 0.0
        for side in sides(form, mu):
            of = priced_form(form, side.sign)
            multipliers = priced_side(form, side.mu, side.sign)
            priced = price(of, multipliers, starts, expired=self.reporter.expired)
            ratio = priced.worth / form.beta
            worst = max(worst, float(np.max(ratio, initial=0.0)))
            above = of_examples(form, priced.matrix[:, ratio > 1.0 + 1e-9])
            violating.append(above[:, :ADDED])
        return np.hstack(violating), worst

    def starts(self, live: Neurons, probes: int) -> Array:
        """Return random directions, half of them whitened, the network's, and some near those."""
        d = self.form.X.shape[1]
        random = self.rng.standard_normal((probes, d))
        random[::2] = random[::2] @ self.whitening
        own = np.vstack([live.V.T, live.W.T])
        own = own[own.any(axis=1)]
        if len(own) == 0:
            return random
        own = own / np.linalg.norm(own, axis=1, keepdims=True)
        distance = np.resize(NEAR, probes)[:, None] / np.sqrt(d)
        near = own[self.rng.integers(len(own), size=probes)]
        return np.vstack([random, own, near + distance * self.rng.standard_normal((probes, d))])

    def convex(self, matrix: BoolArray, begin: Neurons) -> tuple[Neurons, Dual]:
        """Solve the convex program over these patterns, those of the network at hand among them."""
        form = self.form
        group = form.over(matrix)
        tol = min(max(0.01 * self.options.tol, SHARPEST), 1e-6)
        if self.worst > ROUGH:
            tol = max(tol, 1e-4 * min(1.0, self.best))
        work = newton_work(len(form.y), form.X.shape[1], matrix.shape[1]) * group.outputs
        if work <= NEWTON_WORK and by_newton(group):
            front = ipm.Front(group)
            iterate(
                front.step,
                front.points,
                First(self.reporter),
                ipm.MAX_ITER,
                due=lambda k: front.sharp(tol),
            )
            primal, dual = front.points()
            if front.sharp(tol):
                return self.found(matrix, primal, dual)
            if self.reporter.expired():
                raise Ended  # a point half-way is no use
            inner = Inner(group, self.reporter, tol)
            asked = Options(tol, MENDING_ITER, 0, {})
            admm.run(group, admm.DEFAULTS, asked, inner, (primal, dual))
            return self.found(matrix, min(primal, inner.last[0], key=form.objective), dual)
        small = work <= NEWTON_WORK  # there sharpness is cheap
        tol = tol if small else max(tol, 1e-4)
        inner = Inner(group, self.reporter, tol)
        known = gathered(form, begin, matrix)
        if group.outputs > 1 and np.isfinite(form.loss.curvature) and group.bag == 1:
            asked = Options(tol, NEWTON_ITER, 0, {})
            semismooth.run(group, semismooth.DEFAULTS, asked, inner, (known, None))
        else:
            asked = Options(tol, MENDING_ITER if small else CONVEX_ITER, 0, {})
            admm.run(group, admm.DEFAULTS, asked, inner, (known, None))
        primal, dual = inner.last
        return self.found(matrix, min(primal, known, key=form.objective), dual)

    def found(self, matrix: BoolArray, primal: Neurons, dual: Dual) -> tuple[Neurons, Dual]:
        """Return a point of the convex program, fit for pricing."""
        mu = repaired(self.form, dual.mu)
        return primal, dual._replace(mu=mu, matrix=matrix)

    def optimism(self, turn: Turn) -> float:
        """Return the relative gap there would be if pricing has found the largest worth."""
        least = 1e-300 if self.form.norm.rotates else 1.0  # worth in the l1 norm is a lower bound
        form, _ = grounded(self.form, turn.dual.mu)
        found = exactly(form, turn.dual.mu)
        value = scaled_value(form.loss, found, 1.0 / max(turn.worst, least))
        return (self.best - value) / max(1.0, abs(self.best))

    def proof(self, turn: Turn) -> BoolArray | None:
        """Search all patterns for a proof, with ever more effort, where the rank allows it.

        Returns the patterns that pricing had missed, None if none is known.
        """
        form = self.form
        level = form.beta * (1.0 + max(0.1 * self.options.tol, 1e-9))
        if not provable(form):
            return None
        nodes = min(FIRST_NODES, self.nodes)
        early = Early(self.reporter, BRANCHED)
        early.armed = form.X.shape[1] > CLOSED and self.lifts
        while True:
            searched = self.searches.search(turn.dual.mu, nodes, early.remaining())
            covers = tuple(side.cover for side in searched)
            self.show(turn.network, turn.dual._replace(covers=covers))
            missed = [form.X @ side.point >= 0.0 for side in searched if side.value > level]
            if missed:
                return np.stack(missed, axis=1)
            if all(side.nodes < nodes for side in searched) or early.expired():
                return None
            wide = max(side.upper for side in searched) > HOPELESS * form.beta
            if GROWTH * nodes > (min(MODEST_NODES, self.nodes) if wide else self.nodes):
                if self.relaxed is None:
                    self.relax(turn.dual, turn.network)
                return None
            nodes *= GROWTH


def whitening(X: Array) -> Array:
    """Return ``(X'X)^(-1/2)``: columns of very different scale are then cut equally often."""
    values, vectors = np.linalg.eigh(X.T @ X)
    root = np.sqrt(np.maximum(values, 1e-24 * values[-1]))
    result: Array = (vectors * (root[-1] / root)) @ vectors.T
    return result


def newton_work(n: int, d: int, patterns: int) -> float:
    """Return the products that the example system of one interior-point step takes."""
    side = min(n, 2 * d * patterns)
    return float(side) * side * max(n, d * patterns)


class Early:
    """Ends a part of the run, once armed, when it has had its share of the time that remained."""

    def __init__(self, reporter: Reporter, share: float) -> None:
        self.whole, self.armed = reporter, False
        remaining = reporter.remaining()
        self.end = None if remaining is None else (1.0 - share) * remaining

    def report(self, iteration: int, primal: Neurons, dual: Dual) -> bool:
        """Report to the whole."""
        return self.whole.report(iteration, primal, dual) or self.expired()

    def remaining(self) -> float | None:
        """Return the seconds left."""
        left = self.whole.remaining()
        return left if left is None or self.end is None or not self.armed else left - self.end

    def expired(self) -> bool:
        """Tell whether they are used up."""
        left = self.remaining()
        return self.whole.expired() or (left is not None and left <= 0.0)


class Inner:
    """Ends a convex solve by the gap over its own patterns, and keeps its last point."""

    def __init__(self, group: GroupForm, reporter: Reporter, tol: float) -> None:
        self.group, self.tol = group, tol
        self.expired, self.remaining = reporter.expired, reporter.remaining
        self.last: tuple[Neurons, Dual] = (
            group.neurons(np.zeros((group.blocks, group.X.shape[1])), group.still()),
            Dual(np.zeros_like(group.y)),
        )

    def report(self, iteration: int, primal: Neurons, dual: Dual) -> bool:
        """Keep the point; True if it is good enough or time is up."""
        self.last = primal, dual
        group = self.group
        rows = group.rows(primal)
        loss = group.loss.value(group.predict(rows) + group.free(primal.skip), group.y).sum()
        value = float(loss + group.beta * group.norm.value(rows).sum())
        gap = (value - lower_bound(group, dual)) / max(1.0, abs(value))
        return gap <= self.tol or self.expired()


def by_newton(group: GroupForm) -> bool:
    """Tell whether interior point takes a convex program."""
    return group.separable and group.bag == 1 and group.loss.additive


def provable(form: NetworkForm) -> bool:
    """Tell whether all patterns are searched for a proof: not where they are listed anyway."""
    return form.cells is None and form.X.shape[1] <= PROVABLE
