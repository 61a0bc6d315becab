"""An engine on few patterns at a time: those that matter, and more where the certificate asks.

Screening takes away the patterns that a gap safe sphere proves to be zero in every solution
(`screening`). Of the others the engine first sees those in use and those whose response comes
within reach of beta, as the strong rule guesses (Tibshirani et al. 2012, "Strong rules for
discarding predictors in lasso-type problems"); every pattern with a response above beta then
joins. Each answer is certified by the problem over all of its patterns, so that no guess can make
it wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray
from convexnn.contract.backend import Backend, Capabilities, Options, Outcome, Raw, Reporter
from convexnn.contract.problem import Problem
from convexnn.relu.bound import correlations, largest_correlation, repaired
from convexnn.relu.forms import Dual, GroupForm, Neurons
from convexnn.workflows.screening import Sphere, critical, lengths, narrow, narrowed, sphere, widen

TIGHTER = 0.2  # tolerance of the smaller program from one round to the next
SHARE = 0.5  # of the tolerance that the smaller program is first solved to
BEYOND = 1e-10  # share of beta by which a response must exceed it for a pattern to join
REACHED = 0.8  # share of beta below which a response need not be known exactly
ROUNDS = 30


class Known(NamedTuple):
    """What the last point of a path tells of the next.

    Attributes
    ----------
    beta : float
    mu : array of shape (n,)
    responses : array of shape (blocks,)
        To mu, from above.
    loss, norm : float
        Of a feasible primal point.
    used : array of bool, shape (P,)
        Patterns with a neuron there.
    """

    beta: float
    mu: Array
    responses: Array
    loss: float
    norm: float
    used: BoolArray

    def each(self, P: int) -> Array:
        """Return the larger response of each pattern's blocks."""
        larger: Array = self.responses.reshape(-1, P).max(axis=0)
        return larger

    def around(self, form: GroupForm) -> Sphere:
        """Return the sphere that this proves at the beta of a form."""
        value = self.loss + form.beta * self.norm
        return sphere(form, self.mu, self.responses, value)


class WorkingSet:
    """A backend that hands another few patterns at a time; for one path, smooth losses only.

    Parameters
    ----------
    inner : Backend
        Reads `GroupForm`.
    form : GroupForm
        Any of the path's: they differ in beta alone.
    slack : float
        Frobenius norm of the part of the data that ``form.X`` leaves out.

    Attributes
    ----------
    dropped : array of bool, shape (P,)
        Patterns proved to be zero in every solution at the last beta.
    solved : int
        Patterns in the last program that the engine saw.
    """

    def __init__(self, inner: Backend, form: GroupForm, slack: float) -> None:
        self.inner, self.slack = inner, slack
        self.name = inner.name
        self.capabilities: Capabilities = inner.capabilities
        self.reach = lengths(form, slack)
        self.known: Known | None = None
        self.dropped = np.zeros(form.slopes.shape[1], np.bool_)
        self.solved = 0

    def available(self) -> str | None:
        """Return what the engine says."""
        return self.inner.available()

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return what the engine says."""
        return self.inner.refuses(problem)

    def prepare(self, form: GroupForm) -> None:
        """Do as the engine does."""
        self.inner.prepare(form)

    def run(self, form: GroupForm, options: Options, reporter: Reporter, start: Any = None) -> Raw:
        """Solve over more and more patterns until the reporter is satisfied."""
        if start is None:
            start = self.origin(form)
            if reporter.report(0, *start):
                return Raw(Outcome.STOPPED)
        primal, dual = start
        working = self.first(form)
        tol, done = SHARE * options.tol, 0
        for _ in range(ROUNDS):
            kept = np.flatnonzero(working)
            point = narrow(form, kept, primal, dual)
            inside = Inside(narrowed(form, kept), self.slack, tol, reporter, point)
            raw = self.inner.run(inside.form, replace(options, tol=tol), inside, point)
            done += inside.iterations
            primal, dual = widen(form, kept, *inside.point)
            self.solved = len(kept)
            each = self.learn(form, primal, dual)
            missing = (each > max(form.beta, inside.limit) * (1.0 + BEYOND)) & ~working
            late = reporter.expired()
            if (late or not missing.any()) and (reporter.report(done, primal, dual) or late):
                return Raw(Outcome.STOPPED, raw.message)
            working |= missing
            if not missing.any():
                if raw.outcome != Outcome.STOPPED:
                    return raw
                tol *= TIGHTER
        return Raw(Outcome.FINISHED, "No further step is possible at this accuracy.")

    def origin(self, form: GroupForm) -> tuple[Neurons, Dual]:
        """Return, and learn, the network without neurons."""
        found = critical(form, self.slack)
        primal = form.neurons(np.zeros((form.blocks, form.X.shape[1])), found.skip)
        self.learn(form, primal, Dual(found.mu))
        return primal, Dual(found.mu)

    def first(self, form: GroupForm) -> BoolArray:
        """Return the patterns to start with."""
        P, known = form.slopes.shape[1], self.known
        assert known is not None
        likely = known.used | (known.each(P) >= 2.0 * form.beta - known.beta)
        working: BoolArray = likely & ~known.around(form).dropped(form, self.reach)
        if not working.any():
            working[int(np.argmax(known.each(P)))] = True
        return working

    def learn(self, form: GroupForm, primal: Neurons, dual: Dual) -> Array:
        """Remember a feasible point, drop what it proves to be zero; return the responses."""
        rows = form.rows(primal)
        z = form.predict(rows) + form.free(primal.skip)
        loss = float(np.sum(form.loss.value(z, form.y)))
        norms = form.norm.value(rows)
        P = form.slopes.shape[1]
        mu = repaired(form, dual.mu)
        responses = correlations(form, mu, dual.facets, self.slack, REACHED * form.beta)
        used: BoolArray = np.any(norms.reshape(-1, P) > 0.0, axis=0)
        known = Known(form.beta, mu, responses, loss, float(np.sum(norms)), used)
        self.known = known
        self.dropped = known.around(form).dropped(form, self.reach)
        return known.each(P)


class Inside:
    """The driver as an engine sees it that works on few patterns: it asks for their gap only."""

    def __init__(
        self,
        form: GroupForm,
        slack: float,
        tol: float,
        outer: Reporter,
        point: tuple[Neurons, Dual],
    ) -> None:
        self.form, self.slack, self.tol, self.outer, self.point = form, slack, tol, outer, point
        self.iterations, self.limit = 0, 0.0

    def report(self, iteration: int, primal: Neurons, dual: Dual) -> bool:
        """Keep the point; True once the gap over these patterns is small, or time is up."""
        form = self.form
        rows = form.rows(primal)
        z = form.predict(rows) + form.free(primal.skip)
        norms = float(np.sum(form.norm.value(rows)))
        value = float(np.sum(form.loss.value(z, form.y))) + form.beta * norms
        mu = repaired(form, dual.mu)
        self.point, self.iterations = (primal, dual), iteration
        self.limit = largest_correlation(form, mu, dual.facets, self.slack)
        t = min(1.0, form.beta / self.limit) if self.limit > 0.0 else 1.0
        terms = form.loss.conjugate(form.loss.clip(-t * mu, form.y), form.y)
        gap = value + float(np.sum(terms))
        return gap <= self.tol * max(1.0, abs(value)) or self.outer.expired()

    def expired(self) -> bool:
        """Tell whether time is up."""
        return self.outer.expired()

    def remaining(self) -> float | None:
        """Return the seconds left."""
        return self.outer.remaining()
