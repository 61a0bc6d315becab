"""EXTRA for a median over a graph.

With ``W~ = (I + W) / 2``, step ``a`` and g in the subdifferential

    x = (I + W) x - W~ x_previous - a (g - g_previous)

(Shi, Ling, Wu & Yin 2015, "EXTRA"). It is for smooth functions, and a distance is one only away
from its point: with the automatic step it looks after 100, 200, 400, ... rounds whether it
settles, and starts again with a quarter of the step if not. Where the optimum is a data point no
step will do, and the certificate says so.
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
from convexnn.solvers.rounds import State, alone, drive, products
from convexnn.solvers.rounds import crowd as crowd
from convexnn.solvers.rounds import warm_up as warm_up

FIRST_LOOK = 100  # rounds after which it looks whether it settles; then twice as many, and so on
STALLED = 0.7  # of the last look's movement, above which it does not


class Extra(Mixing):
    """The method; the subgradient of the round before is carried as ``G``."""

    doubt = "EXTRA does not settle where the optimum is at or near data: pg-extra does."

    def start(self, talk: Exchange, point: Array | None) -> State:
        """Mix once, then a subgradient step."""
        x = self.b.copy() if point is None else point
        return {
            **self._first(talk, x, self.a),
            "step": np.array([self.a, np.inf]),  # and the movement at the last look
            "t": np.zeros(1),
        }

    def _first(self, talk: Exchange, x: Array, a: float) -> State:
        lap, g = self.lap(talk, x), self.slope(x)
        return {"X": x - lap - a * g, "Before": x, "Lap": lap, "G": g}

    def step(self, talk: Exchange, state: State) -> None:
        """Make one round; one more where it starts again."""
        x, a = state["X"], float(state["step"][0])
        lap, g = self.lap(talk, x), self.slope(x)
        mixed = 2.0 * x - lap - (state["Before"] - 0.5 * state["Lap"])
        fresh = mixed - a * (g - state["G"])
        state.update(X=fresh, Before=x, Lap=lap, G=g, t=state["t"] + 1.0)
        looks, rest = divmod(int(state["t"][0]), FIRST_LOOK)
        if self.tunes and rest == 0 and looks & (looks - 1) == 0:
            self._look(talk, state)

    def _look(self, talk: Exchange, state: State) -> None:
        move, square = state["X"] - state["Before"], np.empty((len(state["X"]), 1))
        products(move, move, square[:, 0])
        moved, (a, held) = float(np.sqrt(talk.allreduce(square)[0])), state["step"]
        if moved > STALLED * held:
            a = 0.25 * a
            state.update(self._first(talk, state["X"], a))
        state["step"] = np.array([a, moved])

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
        of the graph if left out; smaller where data lie near the optimum.
    checkpoint : path, optional
        Where the state is kept and resumed from.
    every : int, default 100
        Rounds between checkpoints.
    """
    method = Extra(form, talk.block, own)
    return drive("extra", method, talk, form, own, options, reporter, start)


def run(
    form: ConsensusForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Make the rounds of all agents, in this process."""
    return share(alone(form), form, own, options, reporter, start)
