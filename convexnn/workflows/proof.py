"""What somebody else needs to check a lower bound over all networks: plain arrays, no classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.checks import ProblemError
from convexnn.problems.relu.two_layer import ReluTraining
from convexnn.relu.bound import grounded, repaired
from convexnn.relu.forms import Dual, NetworkForm

LOSSES = ("squared", "huber", "logistic", "hinge")


def proof(problem: ReluTraining, dual: Dual) -> dict[str, Any]:
    """Return the data, a dual point and the multipliers that prove a bound, by name.

    Parameters
    ----------
    problem : ReluTraining
        Over all patterns, of one output and without a free part.
    dual : Dual
        With a lifted dual point.

    Returns
    -------
    dict of str to array
        ``X`` (n, d) with its column of ones, ``y`` (n,), ``weights`` (n,), ``beta``, ``leak``,
        ``loss``, ``delta``, the multipliers ``mu`` (n,), ``signs`` (d,) that the weights of neurons
        that add have, or 0, and ``rows`` (m,) that stand for all: of X and, below it, the unit
        vectors of columns with signs.
        For the neurons that add (s = 0) and those that subtract (s = 1) ``tree{s}`` and of each of
        its cells j ``first{s}.{j}``, ``second{s}.{j}``, ``weight{s}.{j}``, ``equal{s}.{j}`` and
        ``share{s}.{j}``, as in `convexnn.relu.lift`.

    Raises
    ------
    ProblemError
        If there is no lifted dual point, or the problem is not of that kind.
    """
    form = problem.canonical(NetworkForm)
    if dual.lifted is not None:
        form, _ = grounded(form, dual.lifted.mu)
    if dual.lifted is None:
        raise ProblemError(
            "the bound must rest on the lifted relaxation for a proof to be written, which "
            "cell-walk makes over all patterns of data of more than a few columns; got none"
        )
    if form.y.ndim > 1 or form.skip or form.loss.plain.name not in LOSSES:
        raise ProblemError(
            f"a proof is written for one output, a loss among {', '.join(LOSSES)} and no skip or "
            f"intercept; got {form.loss.name!r} with {'a' if form.skip else 'no'} free part"
        )
    scale, weights = problem.design.scale, form.loss.weights
    held: dict[str, Any] = {
        "X": problem.data,
        "y": form.y,
        "weights": np.ones_like(form.y) if weights is None else weights,
        "beta": problem.beta,
        "leak": form.leak,
        "loss": form.loss.plain.name,
        "delta": getattr(form.loss.plain, "delta", 1.0),
        "signs": np.zeros(form.X.shape[1], np.int8) if form.monotone is None else form.monotone,
        "mu": repaired(form, dual.lifted.mu),
        "rows": dual.lifted.rows,
    }
    for s, side in enumerate(dual.lifted.sides):
        held[f"tree{s}"] = side.tree
        for j, cell in enumerate(side.cells):
            held |= {f"first{s}.{j}": cell.first, f"second{s}.{j}": cell.second}
            held |= {f"weight{s}.{j}": scale * cell.weight, f"equal{s}.{j}": scale * cell.equal}
            held[f"share{s}.{j}"] = scale * cell.share
    return held
