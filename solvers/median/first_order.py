"""PG-EXTRA, EXTRA and the decentralised subgradient method for a median over a graph.

With ``W~ = (I + W) / 2`` and step ``a``, where ``I - W`` is that of Metropolis-Hastings weights
stretched as far as each method allows:

    PG-EXTRA     z += W x - W~ x_previous,   x = prox_{a f}(z)
    EXTRA        x = (I + W) x - W~ x_previous - a (g - g_previous),   g in the subdifferential
    subgradient  x = W x - a / sqrt(t) g

(Shi, Ling, Wu & Yin 2015, "EXTRA" and "A proximal gradient algorithm for decentralized composite
optimization"; Nedic & Ozdaglar 2009.) EXTRA is for smooth functions, and a distance is one only
away from its point: with the automatic step it looks after 100, 200, 400, ... rounds whether it
settles, and starts again with a quarter of the step if not. Where the optimum is a data point no
step will do, and the certificate says so.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Capabilities, Options, Raw, Reporter
from convexnn.contract.checks import positive
from convexnn.contract.problem import Problem
from convexnn.median.consensus import ConsensusForm
from convexnn.solvers.exchange import Block, Transport
from convexnn.solvers.rounds import (
    Maker,
    State,
    differences,
    nearer,
    products,
    serial,
    slopes,
    warm_up,
)
from convexnn.solvers.spectrum import degrees, mixing, of_block, spectrum

LARGEST = {"pg-extra": 1.95, "extra": 1.5, "subgradient": 1.5}  # eigenvalue of I - W
FIRST_LOOK = 100  # rounds after which EXTRA looks whether it settles; then twice as many, and so on
STALLED = 0.7  # of the last look's movement, above which it does not
STEP = 1.3  # times spread over weight, times the root of the least eigenvalue; by trial


class Mixing:
    """What the three share: the mixing matrix, the step and the data of the block."""

    doubt = ""

    def __init__(
        self, form: ConsensusForm, block: Block, chosen: dict[str, Any], largest: float
    ) -> None:
        n, edges = len(form.points), form.edges
        _, weights = of_block(edges, n, block)
        ends = spectrum(edges, n, mixing(degrees(edges, n), edges[:, 0], edges[:, 1]))
        self.coef = weights * (largest / ends.largest)
        least = ends.least * largest / ends.largest
        given = chosen["step"]
        self.a = STEP * float(np.sqrt(least)) if given is None else positive("step", given)
        self.tunes = given is None
        self.block = block
        self.b = form.points[block.own].copy()
        self.w = form.weights[block.own].copy()

    def lap(self, talk: Transport, x: Array) -> Array:
        """Return ``(I - W) x``, after an exchange."""
        out = np.empty_like(x)
        differences(self.block.indptr, self.block.indices, self.coef, talk.exchange(x), out)
        return out

    def slope(self, x: Array) -> Array:
        """Return a subgradient of each agent's function."""
        out = np.empty_like(x)
        slopes(x, self.b, self.w, out)
        return out


class PgExtra(Mixing):
    """The method; z is carried as ``Z``, ``(I - W) x`` of the round before as ``Lap``."""

    def start(self, talk: Transport, point: Array | None) -> State:
        """Mix once, then a proximal step."""
        x = self.b.copy() if point is None else point
        lap = self.lap(talk, x)
        z = x - lap
        fresh = np.empty_like(x)
        nearer(z, self.b, self.a * self.w, fresh)
        return {"X": fresh, "Z": z, "Before": x, "Lap": lap}

    def step(self, talk: Transport, state: State) -> None:
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


class Extra(Mixing):
    """The method; the subgradient of the round before is carried as ``G``."""

    doubt = "EXTRA does not settle where the optimum is at or near data: pg-extra does."

    def start(self, talk: Transport, point: Array | None) -> State:
        """Mix once, then a subgradient step."""
        x = self.b.copy() if point is None else point
        return {
            **self._first(talk, x, self.a),
            "step": np.array([self.a, np.inf]),  # and the movement at the last look
            "t": np.zeros(1),
        }

    def _first(self, talk: Transport, x: Array, a: float) -> State:
        lap, g = self.lap(talk, x), self.slope(x)
        return {"X": x - lap - a * g, "Before": x, "Lap": lap, "G": g}

    def step(self, talk: Transport, state: State) -> None:
        """Make one round; one more where it starts again."""
        x, a = state["X"], float(state["step"][0])
        lap, g = self.lap(talk, x), self.slope(x)
        mixed = 2.0 * x - lap - (state["Before"] - 0.5 * state["Lap"])
        fresh = mixed - a * (g - state["G"])
        state.update(X=fresh, Before=x, Lap=lap, G=g, t=state["t"] + 1.0)
        looks, rest = divmod(int(state["t"][0]), FIRST_LOOK)
        if self.tunes and rest == 0 and looks & (looks - 1) == 0:
            self._look(talk, state)

    def _look(self, talk: Transport, state: State) -> None:
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


class Subgradient(Mixing):
    """The method, with steps ``a / sqrt(t)``."""

    doubt = "Its error falls like 1 / sqrt(rounds) at best: pg-extra is its exact kin."

    def start(self, talk: Transport, point: Array | None) -> State:
        """Start from each agent's own data."""
        return {"X": self.b.copy() if point is None else point, "t": np.zeros(1)}

    def step(self, talk: Transport, state: State) -> None:
        """Make one round."""
        x, t = state["X"], state["t"] + 1.0
        fresh = x - self.lap(talk, x) - (self.a / np.sqrt(t)) * self.slope(x)
        state.update(X=fresh, t=t)

    def points(self, state: State) -> tuple[Array, Array]:
        """Return the points, and minus their subgradients as prices."""
        return state["X"], -self.slope(state["X"])


METHODS: dict[str, type[PgExtra] | type[Extra] | type[Subgradient]] = {
    "pg-extra": PgExtra,
    "extra": Extra,
    "subgradient": Subgradient,
}


DEFAULTS = {"step": None}


def maker(name: str) -> Maker:
    """Return what makes the method of a name."""
    return partial(METHODS[name], largest=LARGEST[name])


class FirstOrder:
    """One of the three as a backend.

    Options
    -------
    step : float, optional
        The step a, in units of the spread of the data over their mean weight; from the spectrum
        of the graph if left out. EXTRA needs a smaller one where data lie near the optimum, and
        looks for it if left out.
    checkpoint : path, optional
        Where the state is kept and resumed from.
    every : int, default 100
        Rounds between checkpoints.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        best = {"subgradient": 1e-3, "extra": 1e-6}.get(name, 1e-9)
        self.capabilities = Capabilities(forms=(ConsensusForm,), warm_start=True, best_tol=best)

    def available(self) -> str | None:
        """Return None: it is always there."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return None: it takes every `ConsensusForm`."""
        return None

    def prepare(self, form: ConsensusForm) -> None:
        """Compile the kernels."""
        warm_up()

    def run(
        self, form: ConsensusForm, options: Options, reporter: Reporter, start: Any = None
    ) -> Raw:
        """Iterate until the reporter is satisfied."""
        return serial(self.name, maker(self.name), form, options, reporter, start, **DEFAULTS)


def first_order() -> list[FirstOrder]:
    """Return the three backends."""
    return [FirstOrder(name) for name in METHODS]
