"""Proximal decentralised ADMM for a median over a graph: one exchange a round.

    x_i     = prox_{f_i / (2 c d_i)} [(c sum_j (x_i + x_j) - nu_i) / (2 c d_i)]
    nu_i   += c sum_j (x_i - x_j)

over the neighbours j of agent i, of which it has ``d_i`` (Shi et al. 2014, "On the linear
convergence of the ADMM in decentralized consensus optimization"). The prices sum to 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.contract.checks import positive
from convexnn.median.consensus import ConsensusForm
from convexnn.solvers.exchange import Block, Exchange
from convexnn.solvers.rounds import OWN, State, alone, differences, drive, nearer
from convexnn.solvers.rounds import crowd as crowd
from convexnn.solvers.rounds import warm_up as warm_up
from convexnn.solvers.spectrum import of_block, spectrum

PENALTY = 0.65  # times weight over spread, over the geometric mean of the spectrum's ends; by trial
DEFAULTS = {**OWN, "penalty": None}


class DecentralisedAdmm:
    """The method; its option `penalty` is c, in units of mean weight over spread."""

    doubt = ""

    def __init__(self, form: ConsensusForm, block: Block, chosen: dict[str, Any]) -> None:
        self.c = (
            automatic(form) if chosen["penalty"] is None else positive("penalty", chosen["penalty"])
        )
        self.block = block
        self.b = form.points[block.own].copy()
        self.degree, _ = of_block(form.edges, len(form.points), block)
        self.ones = np.ones(len(block.tail))
        self.reach = form.weights[block.own] / (2.0 * self.c * self.degree)

    def start(self, talk: Exchange, point: Array | None) -> State:
        """Start from each agent's own data."""
        x = self.b.copy() if point is None else point
        lap = np.empty_like(x)
        differences(self.block.indptr, self.block.indices, self.ones, talk.exchange(x), lap)
        return {"X": x, "Nu": np.zeros_like(x), "Lap": lap}

    def step(self, talk: Exchange, state: State) -> None:
        """Make one round."""
        x, nu, lap = state["X"], state["Nu"], state["Lap"]
        v = x - (0.5 * lap + nu / (2.0 * self.c)) / self.degree[:, None]
        nearer(v, self.b, self.reach, x)
        differences(self.block.indptr, self.block.indices, self.ones, talk.exchange(x), lap)
        nu += self.c * lap

    def points(self, state: State) -> tuple[Array, Array]:
        """Return the agents' points and prices."""
        return state["X"], state["Nu"]


def automatic(form: ConsensusForm) -> float:
    """Return the penalty that balances the graph's slowest and fastest modes."""
    ends = spectrum(form.edges, len(form.points), np.ones(len(form.edges)))
    return float(PENALTY / np.sqrt(ends.least * ends.largest))


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
    penalty : float, optional
        Of the consensus, in units of mean weight over spread; by default from the graph's
        spectrum.
    checkpoint : path, optional
        Where the state is kept and resumed from.
    every : int, default 100
        Rounds between checkpoints.
    """
    method = DecentralisedAdmm(form, talk.block, own)
    return drive("admm", method, talk, form, own, options, reporter, start)


def run(
    form: ConsensusForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Make the rounds of all agents, in this process."""
    return share(alone(form), form, own, options, reporter, start)
