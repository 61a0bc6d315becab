"""The loop of every engine over a graph: rounds, reports, checkpoints; and its kernels.

The kernels go row by row in a fixed order, so that a row does not depend on which others are in
the same process.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import positive_int
from convexnn.contract.system.kernels import kernel
from convexnn.median.consensus import Agents
from convexnn.solvers.checkpoint import Checkpoint
from convexnn.solvers.exchange import Exchange, Serial
from convexnn.solvers.schedule import common, iterate

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_ITER = 20_000
OWN = {"checkpoint": None, "every": 100}  # options that every engine over a graph has

State = dict[str, Array]


class Method(Protocol):
    """One algorithm: a start, a round, and the points to report.

    The state is a record of arrays: those whose name begins with a capital have one row for each
    agent of the block, or for each of its edges, the others are the same in every process. With
    the round's number it is all that a checkpoint holds.

    Attributes
    ----------
    doubt : str
        What to say where the rounds have run out.
    """

    doubt: str

    def start(self, talk: Exchange, point: Array | None) -> State:
        """Return the state before the first round."""
        ...

    def step(self, talk: Exchange, state: State) -> None:
        """Make one round."""
        ...

    def points(self, state: State) -> tuple[Array, Array]:
        """Return the primal and the dual rows of the block."""
        ...


def crowd(form: Any, own: dict[str, Any]) -> tuple[NDArray[np.int64], int, str]:
    """Return the edges between agents, how many agents there are, and what they are called."""
    return form.edges, form.agents, "agents"


def alone(form: Any) -> Serial:
    """Return the transport of a process that has every agent."""
    return Serial(form.edges, form.agents)


def drive(
    engine: str,
    method: Method,
    talk: Exchange,
    form: Any,
    chosen: dict[str, Any],
    options: Options,
    reporter: Reporter,
    start: Any,
) -> Raw:
    """Make rounds until the reporter is satisfied, from a checkpoint if there is one."""
    every = positive_int("every", chosen["every"])
    rows = form.first() if start is None else start[0].X
    point = None if rows is None else rows[talk.block.own].copy()
    state = method.start(talk, point)
    done = 0
    saved = None
    if chosen["checkpoint"] is not None:
        saved = Checkpoint(Path(chosen["checkpoint"]), engine, form, chosen)
        done = saved.restore(talk, state)

    def step(t: int) -> None:
        method.step(talk, state)
        if saved is not None and t % every == 0:
            saved.write(talk, state, t)

    def points() -> tuple[Agents, Any]:
        X, nu = (talk.gather(rows) for rows in method.points(state))
        return Agents(X, talk.rounds, talk.messages), form.dual(X, nu)

    limit = options.max_iter or MAX_ITER
    raw = iterate(step, points, common(reporter, talk), limit, done=done)
    doubt = method.doubt if raw.outcome == Outcome.MAX_ITER else raw.message
    trouble = "" if saved is None else saved.trouble
    return raw._replace(message=f"{doubt} {trouble}".strip(), stages=stages(state))


def stages(state: State) -> tuple[tuple[float, int], ...]:
    """Return the stages of a method that keeps them in its state, as rows of mu and rounds."""
    return tuple((mu, int(rounds)) for mu, rounds in state.get("stages", np.empty((0, 2))).tolist())


@kernel()
def differences(indptr: Any, indices: Any, coef: Array, rows: Array, out: Array) -> None:
    """Fill ``out_i = sum_j coef_ij (x_i - x_j)`` over the neighbours of each agent."""
    for i in range(out.shape[0]):
        for c in range(out.shape[1]):
            out[i, c] = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            j, weight = indices[k], coef[k]
            for c in range(out.shape[1]):
                out[i, c] += weight * (rows[i, c] - rows[j, c])


@kernel()
def tensions(indptr: Any, indices: Any, coef: Array, rows: Array, out: Array) -> None:
    """Fill ``out_i = sum_j coef_ij ||x_i - x_j||^2 / 2``, without cancellation."""
    for i in range(out.shape[0]):
        value = 0.0
        for k in range(indptr[i], indptr[i + 1]):
            j, square = indices[k], 0.0
            for c in range(rows.shape[1]):
                square += (rows[i, c] - rows[j, c]) ** 2
            value += 0.5 * coef[k] * square
        out[i] = value


@kernel()
def nearer(v: Array, b: Array, step: Array, out: Array) -> None:
    """Fill ``out_i = argmin step_i ||x - b_i|| + ||x - v_i||^2 / 2``."""
    for i in range(v.shape[0]):
        square = 0.0
        for c in range(v.shape[1]):
            square += (v[i, c] - b[i, c]) ** 2
        r = np.sqrt(square)
        share = 0.0 if r <= step[i] else 1.0 - step[i] / r
        for c in range(v.shape[1]):
            out[i, c] = b[i, c] + share * (v[i, c] - b[i, c])


@kernel()
def products(a: Array, b: Array, out: Array) -> None:
    """Fill ``out_i = <a_i, b_i>``."""
    for i in range(a.shape[0]):
        value = 0.0
        for c in range(a.shape[1]):
            value += a[i, c] * b[i, c]
        out[i] = value


@kernel()
def slopes(x: Array, b: Array, w: Array, out: Array) -> None:
    """Fill ``out_i = w_i (x_i - b_i) / ||x_i - b_i||``, 0 at the data point."""
    for i in range(x.shape[0]):
        square = 0.0
        for c in range(x.shape[1]):
            square += (x[i, c] - b[i, c]) ** 2
        scale = 0.0 if square == 0.0 else w[i] / np.sqrt(square)
        for c in range(x.shape[1]):
            out[i, c] = scale * (x[i, c] - b[i, c])


def warm_up(form: Any) -> None:
    """Compile the kernels, which are the same for every form."""
    one, v = np.ones((1, 1)), np.ones(1)
    none = np.zeros(0, dtype=np.int64)
    differences(np.zeros(2, dtype=np.int64), none, np.zeros(0), one, one.copy())
    tensions(np.zeros(2, dtype=np.int64), none, np.zeros(0), one, np.ones((1, 2))[:, 0])
    nearer(one, one, v, one.copy())
    products(one, one, v.copy())
    products(one, one, np.ones((1, 2))[:, 0])
    slopes(one, one, v, one.copy())
