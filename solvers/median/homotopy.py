"""Primal-dual homotopy smoothing for a median over a graph (Wei, Yu, Ling & Neely 2018).

    nuh    = nu + theta (1 / theta_before - 1) (nu - nu_before)
    x      = argmin f(x) + <nuh, x> + mu/2 ||x - x~||^2
    nu     = nuh + mu / sigma^2 A'A x

for ``A x = 0``, which is consensus for ``A = I - W`` ("laplacian", two exchanges a round) and for
``A = (I - W)^(1/2)`` ("root", one exchange): only ``A'A`` and ``nu = A'lam`` are needed. In the
paper's scheme mu is halved and x~ moved to the stage's average on a schedule; the adaptive one
keeps mu, moves x~ to the last iterate whenever ``||A x||`` has dropped by 30 %, and drops the
momentum where it points uphill (O'Donoghue & Candes 2015): two sums over all agents a round.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.contract.checks import choice, positive
from convexnn.median.consensus import ConsensusForm
from convexnn.solvers.exchange import Block, Exchange
from convexnn.solvers.rounds import (
    OWN,
    State,
    alone,
    differences,
    drive,
    nearer,
    products,
    tensions,
)
from convexnn.solvers.rounds import crowd as crowd
from convexnn.solvers.rounds import warm_up as warm_up
from convexnn.solvers.spectrum import degrees, mixing, of_block, spectrum

SMOOTHING = {"adaptive": 1.5, "paper": 1.0}  # first mu, in units of weight over spread
FIRST_STAGE = 20.0  # rounds
LONGER = 2.0**0.8  # a stage than the one before, as mu is halved
ENOUGH = 0.7  # drop of ||A x|| after which the adaptive scheme re-centres
PATIENCE = 200  # rounds after which it re-centres all the same: ||A x|| may be rounding alone
DEFAULTS = {**OWN, "scheme": "adaptive", "splitting": "root", "smoothing": None}


class MedianHomotopy:
    """The method, in either scheme and splitting."""

    doubt = ""

    def __init__(self, form: ConsensusForm, block: Block, chosen: dict[str, Any]) -> None:
        self.adaptive = choice("scheme", chosen["scheme"], ["adaptive", "paper"]) == "adaptive"
        self.splitting = choice("splitting", chosen["splitting"], ["root", "laplacian"])
        given = chosen["smoothing"]
        self.mu = SMOOTHING[chosen["scheme"]] if given is None else positive("smoothing", given)
        self.block = block
        self.b = form.points[block.own].copy()
        self.w = form.weights[block.own].copy()
        n, edges = len(form.points), form.edges
        _, self.coef = of_block(edges, n, block)
        largest = spectrum(edges, n, mixing(degrees(edges, n), edges[:, 0], edges[:, 1])).largest
        self.sigma2 = largest if self.splitting == "root" else largest**2

    def lap(self, talk: Exchange, x: Array, tension: Array | None = None) -> Array:
        """Return ``(I - W) x`` after an exchange; fill each agent's share of ``<x, (I - W) x>``."""
        out, rows = np.empty_like(x), talk.exchange(x)
        differences(self.block.indptr, self.block.indices, self.coef, rows, out)
        if tension is not None:
            tensions(self.block.indptr, self.block.indices, self.coef, rows, tension)
        return out

    def start(self, talk: Exchange, point: Array | None) -> State:
        """Start from each agent's own data and prices of 0."""
        x = self.b.copy() if point is None else point
        none = np.zeros_like(x)
        return {
            "X": x,
            "Nu": none,
            "Before": none.copy(),
            "Centre": x.copy(),
            "Sum": none.copy(),
            "theta": np.ones(2),
            "mu": np.array([self.mu]),
            "stage": np.array([0.0, FIRST_STAGE, 0.0]),  # round, length, weight of the average
            "level": np.array([np.inf, 0.0]),  # ||A x|| where it was last re-centred, rounds since
            "stages": np.array([[self.mu, 0.0]]),  # mu of each and its rounds
        }

    def step(self, talk: Exchange, state: State) -> None:
        """Make one round."""
        nu, (theta, before), mu = state["Nu"], state["theta"], float(state["mu"][0])
        state["stages"][-1, 1] += 1.0
        ahead = nu + theta * (1.0 / before - 1.0) * (nu - state["Before"])
        x = np.empty_like(nu)
        nearer(state["Centre"] - ahead / mu, self.b, self.w / mu, x)
        square = np.empty((len(x), 2))
        slope = self.lap(talk, x, square[:, 0] if self.adaptive else None)
        if self.splitting == "laplacian":
            products(slope, slope, square[:, 0])
            slope = self.lap(talk, slope)
        fresh = ahead + (mu / self.sigma2) * slope
        root = np.sqrt(theta**4 + 4.0 * theta**2)
        state.update(X=x, Nu=fresh, Before=nu, theta=np.array([0.5 * (root - theta**2), theta]))
        if self.adaptive:
            products(x, fresh - nu, square[:, 1])
            self._recentre(state, talk.allreduce(square))
        else:
            self._schedule(state, 1.0 / theta)

    def _recentre(self, state: State, sums: Array) -> None:
        level, (held, age) = float(np.sqrt(sums[0])), state["level"]
        state["level"] = np.array([level if held == np.inf else held, age + 1.0])
        if held < np.inf and (level <= ENOUGH * held or age >= PATIENCE):
            state.update(Centre=state["X"].copy(), level=np.array([level, 0.0]))
            self._next_stage(state)
        elif held < np.inf and sums[1] >= 0.0:
            return
        state.update(Before=state["Nu"].copy(), theta=np.ones(2))

    def _schedule(self, state: State, weight: float) -> None:
        t, length, mass = state["stage"]
        state["Sum"] = state["Sum"] + weight * state["X"]
        t, mass = t + 1.0, mass + weight
        state["stage"] = np.array([t, length, mass])
        if t >= length:
            state.update(
                Centre=state["Sum"] / mass,
                Sum=np.zeros_like(state["Sum"]),
                Before=state["Nu"].copy(),
                theta=np.ones(2),
                mu=0.5 * state["mu"],
                stage=np.array([0.0, np.ceil(length * LONGER), 0.0]),
            )
            self._next_stage(state)

    def _next_stage(self, state: State) -> None:
        state["stages"] = np.vstack([state["stages"], [float(state["mu"][0]), 0.0]])

    def points(self, state: State) -> tuple[Array, Array]:
        """Return the last points and prices."""
        return state["X"], state["Nu"]


def share(
    talk: Exchange,
    form: ConsensusForm,
    own: dict[str, Any],
    options: Options,
    reporter: Reporter,
    start: Any,
) -> Raw:
    """Make the rounds of this process's agents.

    Options
    -------
    scheme : "adaptive" or "paper", default "adaptive"
        Re-centre the smoothing when the constraints' residual has dropped; or halve it on the
        paper's schedule and restart from averages. ``solution.stages`` tells mu, iterations and
        gap of each stage: of each mu in the paper's scheme, of each centre in the adaptive one.
    splitting : "root" or "laplacian", default "root"
        One exchange a round with ``A'A = I - W``, or two with ``A = I - W``.
    smoothing : float, optional
        The first mu, in units of mean weight over spread.
    checkpoint : path, optional
        Where the state is kept and resumed from.
    every : int, default 100
        Rounds between checkpoints.
    """
    method = MedianHomotopy(form, talk.block, own)
    return drive("homotopy", method, talk, form, own, options, reporter, start)


def run(
    form: ConsensusForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Make the rounds of all agents, in this process."""
    return share(alone(form), form, own, options, reporter, start)
