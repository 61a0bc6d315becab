"""Pricing of neurons whose weights have signs, as pricing of free ones on a few more rows.

Where the entries ``u_k`` of a neuron must have the signs ``s_k``,

    mu' act(X u) - M sum_k max(-s_k u_k, 0)

is its worth if they have, and less than that if not. So for any ``M >= 0`` the largest value over
all u is an upper bound of what neurons with these signs are worth, and it is their worth itself if
``M >= sum_i |mu_i| ||x_i||``: no more can be gained by a wrong sign. The new terms are concave, and
pricing takes them as they stand: as ``act`` at the rows ``e_k`` and ``-e_k``, with the multiplier
``-M / (1 - leak^2)`` for the wrong sign and leak times that for the right one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array, BoolArray
    from convexnn.relu.forms import NetworkForm


def priced_form(form: NetworkForm, sign: int) -> NetworkForm:
    """Return the form whose rows neurons are priced on; `sign` is 1 of those that add, else -1.

    It is the form itself where weights have no signs.

    Examples
    --------
    >>> import convexnn as cx
    >>> from convexnn.relu.forms import NetworkForm
    >>> problem = cx.ReluTraining([[2.0, 1.0]], [1.0], beta=0.1, monotone=[1, 0])
    >>> priced_form(problem.canonical(NetworkForm), 1).X
    array([[ 1. ,  0.5],
           [ 1. ,  0. ],
           [-1. , -0. ]])
    """
    if form.monotone is None:
        return form
    own = np.flatnonzero(form.monotone)
    unit = np.eye(form.X.shape[1])[own]
    X = np.ascontiguousarray(np.vstack([form.X, unit, -unit]))
    cells = form.cells
    if cells is not None:  # within the signs
        inside = np.tile((sign * form.monotone[own] > 0)[:, None], cells.shape[1])
        cells = np.vstack([cells, inside, ~inside])
    return form._replace(X=X, cells=cells)


def priced_side(form: NetworkForm, mu: Array, sign: int) -> Array:
    """Return the multipliers of those rows, from those of the examples."""
    if form.monotone is None:
        return mu
    own = np.flatnonzero(form.monotone)
    weight = float(np.abs(mu) @ np.sqrt(np.einsum("ij,ij->i", form.X, form.X)))
    up = sign * form.monotone[own] > 0
    wrong, right = -weight / (1.0 - form.leak**2), -weight * form.leak / (1.0 - form.leak**2)
    return np.concatenate([mu, np.where(up, right, wrong), np.where(up, wrong, right)])


def of_examples(form: NetworkForm, matrix: BoolArray) -> BoolArray:
    """Return patterns of those rows as patterns of the examples."""
    return matrix if form.monotone is None else matrix[: len(form.X)]
