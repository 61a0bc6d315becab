"""PG-EXTRA for a median over a graph.

With ``W~ = (I + W) / 2`` and step ``a``

    z += W x - W~ x_previous,   x = prox_{a f}(z)

(Shi, Ling, Wu & Yin 2015, "A proximal gradient algorithm for decentralized composite
optimization"). NIDS, for a function with a prox alone, takes the same step (Li, Shi & Yan 2019,
"A decentralized proximal-gradient method with network independent step-sizes").
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.median.consensus import ConsensusForm
from convexnn.solvers.exchange import Exchange
from convexnn.solvers.median.mixing import DEFAULTS as DEFAULTS
from convexnn.solvers.median.mixing import Mixing
from convexnn.solvers.rounds import State, alone, drive, nearer
from convexnn.solvers.rounds import crowd as crowd
from convexnn.solvers.rounds import warm_up as warm_up


class PgExtra(Mixing):
    """The method; z is carried as ``Z``, ``(I - W) x`` of the round before as ``Lap``."""

    largest = 1.95

    def start(self, talk: Exchange, point: Array | None) -> State:
        """Mix once, then a proximal step."""
        x = self.b.copy() if point is None else point
        lap = self.lap(talk, x)
        z = x - lap
        fresh = np.empty_like(x)
        nearer(z, self.b, self.a * self.w, fresh)
        return {"X": fresh, "Z": z, "Before": x, "Lap": lap}

    def step(self, talk: Exchange, state: State) -> None:
        """Make one round."""
        x, z = state["X"], state["Z"]
        lap = self.lap(talk, x)
        z = z + (x - lap) - (state["Before"] - 0.5 * state["Lap"])
        fresh = np.empty_like(x)
        nearer(z, self.b, self.a * self.w, fresh)
        state.update(X=fresh, Z=z, Before=x, Lap=lap)

    def points(self, state: State) -> tuple[Array, Array]:
        """Return the points, and minus the subgradients of the proximal step as prices."""
        return state["X"], (state["X"] - state["Z"]) / self.a


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
    step : float, optional
        The step a, in units of the spread of the data over their mean weight; from the spectrum
        of the graph if left out.
    checkpoint : path, optional
        Where the state is kept and resumed from.
    every : int, default 100
        Rounds between checkpoints.
    """
    method = PgExtra(form, talk.block, own)
    return drive("pg-extra", method, talk, form, own, options, reporter, start)


def run(
    form: ConsensusForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Make the rounds of all agents, in this process."""
    return share(alone(form), form, own, options, reporter, start)
