"""ADMM for the network lasso, one exchange a round (Hallac, Leskovec & Boyd 2015).

    x_i  = prox_{f_i / (rho d_i)} (mean_j (z_ij - u_ij))
    z_ij = theta a + (1 - theta) b,   a = x_i + u_ij,  b = x_j + u_ji,
           theta = max(1 - penalty_ij / (rho ||a - b||), 1/2)
    u_ij = a - z_ij

Both ends of an edge keep its two copies, so that the points alone are sent.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.contract.checks import positive
from convexnn.functions.term_sums import Terms
from convexnn.median.graphs import edge_rows
from convexnn.median.network_lasso import LassoForm
from convexnn.solvers.exchange import Block, Exchange
from convexnn.solvers.rounds import OWN, State, alone, drive
from convexnn.solvers.rounds import crowd as crowd
from convexnn.solvers.rounds import warm_up as warm_up
from convexnn.solvers.schedule import Tuner
from convexnn.solvers.spectrum import degrees

DEFAULTS = {**OWN, "rho": None}
TOLERATED = 2.0**0.5  # root of the ratio of residuals, beyond which rho changes


class LassoAdmm:
    """The method, of one block; rows of ``U``, ``Other`` and ``Z`` are directed edges."""

    doubt = ""

    def __init__(self, form: LassoForm, block: Block, chosen: dict[str, Any]) -> None:
        given = chosen["rho"]
        self.rho = float(np.mean(form.penalty)) if given is None else positive("rho", given)
        self.tuner = Tuner(given is None, rarer=2.0, tolerated=TOLERATED)
        self.penalty, self.block = form.penalty, block
        if isinstance(form.penalty, np.ndarray):
            self.penalty = form.penalty[edge_rows(form.edges, block.tail, block.head)]
        self.terms = (
            form.terms if block.own == slice(0, form.agents) else Terms(form.terms[block.own])
        )
        anchors = form.terms.anchors.reshape(form.agents, -1)
        self.middle = anchors.mean(axis=0)
        self.degree = degrees(form.edges, form.agents)[block.own]
        self.owner = block.tail - block.start
        self.forward = block.tail < block.head

    def start(self, talk: Exchange, point: Array | None) -> State:
        """Start from what each term alone makes of the mean of their anchors."""
        x = self._prox(np.tile(self.middle, (len(self.terms), 1)), 1.0) if point is None else point
        u = np.zeros((len(self.owner), x.shape[1]))
        return {
            "X": x,
            "U": u,
            "Other": u.copy(),
            "Z": x[self.owner],
            "rho": np.array([self.rho]),
            "round": np.zeros(1),
        }

    def step(self, talk: Exchange, state: State) -> None:
        """Make one round."""
        rho, owner = float(state["rho"][0]), self.owner
        total = self._gathered(state["Z"] - state["U"])
        steps = 1.0 / (rho * self.degree)
        centres = total / self.degree[:, None]
        x = self._prox(centres, steps)
        rows = talk.exchange(x)
        a, b = x[owner] + state["U"], rows[self.block.indices] + state["Other"]
        apart = np.sqrt(np.cumsum((a - b) ** 2, axis=1)[:, -1])
        level = self.penalty / rho
        share = np.divide(level, apart, out=np.ones(len(apart)), where=apart > level)
        theta = np.maximum(1.0 - share, 0.5)[:, None]
        z, mirror = theta * a + (1.0 - theta) * b, theta * b + (1.0 - theta) * a
        moved = rho * (z - state["Z"])
        state.update(X=x, U=a - z, Other=b - mirror, Z=z, round=state["round"] + 1.0)
        if self.tuner.due(int(state["round"][0])):
            self._tune(talk, state, x[owner] - z, moved)

    def _prox(self, rows: Array, steps: float | Array) -> Array:
        """Return the prox of each agent's term at its row."""
        return self.terms.prox(rows.ravel(), steps).reshape(rows.shape)

    def _gathered(self, rows: Array) -> Array:
        """Return the sum of each agent's rows, which it has: no agent is without neighbours."""
        total: Array = np.add.reduceat(rows, self.block.indptr[:-1], axis=0)
        return total

    def _tune(self, talk: Exchange, state: State, primal: Array, dual: Array) -> None:
        square = np.empty((len(state["X"]), 4))
        rho = float(state["rho"][0])
        sized = (primal, state["Z"] - self.middle, dual, rho * state["U"])
        for k, part in enumerate(sized):
            square[:, k] = self._gathered(np.cumsum(part**2, axis=1)[:, -1])
        r, z, s, u = np.sqrt(talk.allreduce(square)).tolist()
        by = self.tuner.factor(float(np.sqrt(r / (z or 1.0))), float(np.sqrt(s / (u or 1.0))))
        if by != 1.0:
            state.update(rho=state["rho"] * by, U=state["U"] / by, Other=state["Other"] / by)

    def points(self, state: State) -> tuple[Array, Array]:
        """Return the points, and the price of each edge as its two copies have it in the mean."""
        both = 0.5 * float(state["rho"][0]) * (state["U"] - state["Other"])
        return state["X"], both[self.forward]


def share(
    talk: Exchange,
    form: LassoForm,
    own: dict[str, Any],
    options: Options,
    reporter: Reporter,
    start: Any,
) -> Raw:
    """Make the rounds of this process's agents.

    Options
    -------
    rho : float, optional
        Penalty of the copies; tuned on the way if left out.
    checkpoint : path, optional
        Where the state is kept and resumed from.
    every : int, default 100
        Rounds between checkpoints.
    """
    method = LassoAdmm(form, talk.block, own)
    return drive("admm", method, talk, form, own, options, reporter, start)


def run(
    form: LassoForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Make the rounds of all agents, in this process."""
    return share(alone(form), form, own, options, reporter, start)
