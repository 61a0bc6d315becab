"""The decentralised subgradient method for a median over a graph.

With step ``a`` and g in the subdifferential

    x = W x - a / sqrt(t) g

(Nedic & Ozdaglar 2009).
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
from convexnn.solvers.rounds import State, alone, drive
from convexnn.solvers.rounds import crowd as crowd
from convexnn.solvers.rounds import warm_up as warm_up


class Subgradient(Mixing):
    """The method, with steps ``a / sqrt(t)``."""

    doubt = "Its error falls like 1 / sqrt(rounds) at best: pg-extra is its exact kin."

    def start(self, talk: Exchange, point: Array | None) -> State:
        """Start from each agent's own data."""
        return {"X": self.b.copy() if point is None else point, "t": np.zeros(1)}

    def step(self, talk: Exchange, state: State) -> None:
        """Make one round."""
        x, t = state["X"], state["t"] + 1.0
        fresh = x - self.lap(talk, x) - (self.a / np.sqrt(t)) * self.slope(x)
        state.update(X=fresh, t=t)

    def points(self, state: State) -> tuple[Array, Array]:
        """Return the points, and minus their subgradients as prices."""
        return state["X"], -self.slope(state["X"])


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
    method = Subgradient(form, talk.block, own)
    return drive("subgradient", method, talk, form, own, options, reporter, start)


def run(
    form: ConsensusForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Make the rounds of all agents, in this process."""
    return share(alone(form), form, own, options, reporter, start)
