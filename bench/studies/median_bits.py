"""What messages of agents may cost: rounds and bits of medians over a graph.

``python bench/studies/median_bits.py [--quick]`` prints the table and keeps it as a CSV in
bench/studies/results. Each agent sends its point to its neighbours once a round, through a channel:

- exact: 64 bits a number;
- b bits: each number's change against what the neighbours last heard, rounded to one of
  ``2^b - 1`` even steps between minus and plus the message's largest, which goes along in 32 bits;
- lost: a share of the agents, drawn anew each round, is heard by none and is told so; what was
  heard of them last stays.

Agents reckon with what the others heard of them, so that prices keep the sum 0. The certificate is
that of any other engine: it does not ask where points and prices come from.
"""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
from harness import Table
from median import SETTINGS, Setting
from threadpoolctl import threadpool_limits

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.median.consensus import Agents, ConsensusForm
from convexnn.solvers.exchange import Block, Exchange, Serial
from convexnn.solvers.median import admm
from convexnn.solvers.median.extra import Extra
from convexnn.solvers.median.mixing import Mixing
from convexnn.solvers.median.pg_extra import PgExtra
from convexnn.solvers.rounds import State

ERRORS = (1e-3, 1e-6)  # of all agents' points, relative to that of the data
CAP = 3_000  # rounds
AWAY = 1e3  # error of a method that diverges
SCALE_BITS = 32
SHORTER = 0.1  # step of gradient tracking, times that of the others; by trial


class Channel(NamedTuple):
    """What becomes of a message.

    Attributes
    ----------
    name : str
    bits : int
        Of a number; 64 sends it as it is.
    lost : float
        Share of the agents that are not heard in a round.
    """

    name: str
    bits: int = 64
    lost: float = 0.0


class Heard(Serial):
    """The transport whose messages go through a channel."""

    def __init__(self, form: ConsensusForm, channel: Channel, seed: int) -> None:
        super().__init__(form.edges, form.agents)
        self.channel, self.rng = channel, np.random.default_rng(seed)
        self.held: Array | None = None
        self.bits = 0.0  # sent by one agent

    def exchange(self, own: Array) -> Array:
        """Return what all have heard of each agent."""
        super().exchange(own)
        d = own.shape[1]
        if self.held is None:  # the first message is whole
            self.held, self.bits = own.copy(), 64.0 * d
            return self.held.copy()
        change = own - self.held
        if self.channel.bits < 64:
            change = _rounded(change, self.channel.bits)
            self.bits += self.channel.bits * d + SCALE_BITS
        else:
            self.bits += 64.0 * d
        heard = self.rng.random(len(own)) >= self.channel.lost
        self.held = np.where(heard[:, None], self.held + change, self.held)
        return self.held.copy()


def _rounded(change: Array, bits: int) -> Array:
    largest = np.abs(change).max(axis=1, keepdims=True).astype(np.float32).astype(np.float64)
    step = largest / (2.0 ** (bits - 1) - 1.0)
    even: Array = np.rint(change / np.where(step > 0.0, step, 1.0)) * step
    return even


class Nids(Mixing):
    """``x = W~ (2 x - x_previous - a (g - g_previous))`` (Li, Shi & Yan 2019).

    Their method for functions with a prox alone is PG-EXTRA.
    """

    largest = 1.95

    def start(self, talk: Exchange, point: Array | None) -> State:
        """Make a subgradient step."""
        x = self.b.copy()
        g = self.slope(x)
        return {"X": x - self.a * g, "Before": x, "G": g}

    def step(self, talk: Exchange, state: State) -> None:
        """Make one round."""
        x, g = state["X"], self.slope(state["X"])
        v = 2.0 * x - state["Before"] - self.a * (g - state["G"])
        state.update(X=v - 0.5 * self.lap(talk, v), Before=x, G=g)

    def points(self, state: State) -> tuple[Array, Array]:
        """Return the points, and minus their subgradients as prices."""
        return state["X"], -self.slope(state["X"])


class Tracking(Nids):
    """``x = W~ x - a y, y = W~ y + g - g_previous``: two exchanges a round."""

    def __init__(self, form: ConsensusForm, block: Block, chosen: dict[str, Any]) -> None:
        super().__init__(form, block, chosen)
        self.a *= SHORTER

    def start(self, talk: Exchange, point: Array | None) -> State:
        """Track the subgradients at the data."""
        x = self.b.copy()
        g = self.slope(x)
        return {"X": x, "Y": g.copy(), "G": g}

    def step(self, talk: Exchange, state: State) -> None:
        """Make one round."""
        x, y = state["X"], state["Y"]
        x = x - 0.5 * self.lap(talk, x) - self.a * y
        g = self.slope(x)
        state.update(X=x, Y=y - 0.5 * self.lap(talk, y) + g - state["G"], G=g)


METHODS: dict[str, Any] = {
    "admm": lambda form, block: admm.DecentralisedAdmm(form, block, admm.DEFAULTS),
    "pg-extra": lambda form, block: PgExtra(form, block, {"step": None}),
    "extra": lambda form, block: Extra(form, block, {"step": None}),
    "NIDS": lambda form, block: Nids(form, block, {"step": None}),
    "gradient tracking": lambda form, block: Tracking(form, block, {"step": None}),
}
EXACT = Channel("exact")
CHANNELS = (
    *(Channel(f"{bits} bits", bits) for bits in (8, 4, 3, 2)),
    *(Channel(f"{lost:.0%} lost", lost=lost) for lost in (0.1, 0.3)),
    Channel("4 bits, 10% lost", 4, 0.1),
)
RUNS = [(name, EXACT) for name in METHODS] + [("admm", channel) for channel in CHANNELS]


def run(setting: Setting, seed: int, method: str, channel: Channel) -> list[float]:
    """Return rounds and bits of an agent to each error, and the certified gap at the end."""
    drawn = setting.form(seed)
    problem = cx.DistributedMedian(drawn.points, drawn.edges)
    form = problem.canonical(ConsensusForm)
    best = cx.solve(cx.GeometricMedian(form.points), tol=1e-13).model.point
    talk = Heard(form, channel, seed)
    engine = METHODS[method](form, talk.block)
    state = engine.start(talk, None)
    first = np.linalg.norm(form.points - best)
    found: list[float] = []
    while len(found) < 2 * len(ERRORS) and talk.rounds < CAP:
        engine.step(talk, state)
        error = float(np.linalg.norm(state["X"] - best) / first)
        if not error < AWAY:
            break
        for target in ERRORS[len(found) // 2 :]:
            if error <= target:
                found += [talk.rounds, talk.bits]
    found += [np.inf] * (2 * len(ERRORS) - len(found))
    X, nu = engine.points(state)
    return [*found, problem.certify(Agents(X, 0, 0), form.dual(X, nu)).gap]


def table(quick: bool) -> Table:
    """Fill the table: medians over seeds."""
    columns = ["graph", "n", "d", "edges", "engine", "channel"]
    columns += [f"{what} to {error:g}" for error in ERRORS for what in ("rounds", "kbit")]
    result = Table("bits", (*columns, "gap", "seeds"), quick, "median")
    seeds = 1 if quick else 3
    for setting in SETTINGS[:1] if quick else SETTINGS[:4]:
        for method, channel in RUNS:
            found = [run(setting, seed, method, channel) for seed in range(seeds)]
            *counts, gap = np.median(found, axis=0)
            cells = [
                "-" if not np.isfinite(count) else int(count) if k % 2 == 0 else count / 1e3
                for k, count in enumerate(counts)
            ]
            given = [setting.name, setting.n, setting.d, setting.edges, method, channel.name]
            result.add(**dict(zip(columns, [*given, *cells], strict=True)), gap=gap, seeds=seeds)
    return result


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one graph, one seed")
    quick = parser.parse_args().quick
    with threadpool_limits(limits=1):
        table(quick).show()


if __name__ == "__main__":
    main()
