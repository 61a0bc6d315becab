"""The free linear part of a two-layer program: which multipliers leave it no choice.

``X s`` costs nothing, so that a dual point must have ``X'mu = 0``, of each output where there are
several. Then ``mu'y = mu'(y - X s)`` for every s: where the loss is one of the residual, the dual
value may be taken at targets that are near 0, however far from the origin the given ones are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.functions.losses import Softmax
from convexnn.functions.null_space import Near, NullSpace, exact_products
from convexnn.relu.class_counts import Counts

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.functions.losses import Loss
    from convexnn.relu.forms import GroupForm, MajorantForm, NetworkForm


class FreePart:
    """What a bound needs to know of the free part of a program, made once for all bounds.

    Parameters
    ----------
    form : GroupForm, MajorantForm or NetworkForm
        With a free part.

    Attributes
    ----------
    target : array of shape (n,), or (n, k)
        Targets less their best fit by the free part, if the loss is one of the residual.
    blur : array of the same shape
        How far off those may be for rounding.
    """

    def __init__(self, form: GroupForm | MajorantForm | NetworkForm) -> None:
        self.loss: Loss = form.loss
        self.space = NullSpace(form.span)
        # of a loss that couples outputs the free part is a constant in each
        softmax = isinstance(form.loss.plain, Softmax)
        self.counts = Counts(form.y, form.loss.weights) if softmax else None
        self.target, self.blur = form.y, np.zeros_like(form.y)
        if form.loss.residual:
            columns = [_rest(form.span, y) for y in np.atleast_2d(form.y.T)]
            rest, blur = (
                np.stack(p, axis=-1).reshape(form.y.shape) for p in zip(*columns, strict=True)
            )
            if np.isfinite(rest).all() and np.isfinite(blur).all():
                self.target, self.blur = rest, blur

    def near(self, mu: Array) -> Near | None:
        """Return a point near `mu` that is itself near a dual feasible one; None if none is known.

        `mu` is in the domain that the conjugate has for ``-mu``.
        """
        if self.counts is not None:
            return self.counts.near(mu)
        low, high = (np.broadcast_to(side, mu.shape) for side in self.loss.domain(self.target))
        if mu.ndim == 1:
            return self.space.near(mu, -high, -low)
        sides = (np.ascontiguousarray(part.T) for part in (mu, -high, -low))
        found = [self.space.near(*column) for column in zip(*sides, strict=True)]
        if any(part is None for part in found):
            return None
        point, spread = (np.column_stack(p) for p in zip(*filter(None, found), strict=True))
        return Near(point, spread)


def _rest(X: Array, y: Array) -> tuple[Array, Array]:
    """Return targets less their best fit, and how far off those may be for rounding."""
    s = np.linalg.lstsq(X, y, rcond=None)[0].astype(np.float64)
    fit, error = exact_products(X, s)
    rest = (y - fit[0]) - fit[1]
    blur = error + np.spacing(np.abs(y - fit[0])) + np.spacing(np.abs(fit[1]))
    return rest, blur + np.spacing(np.abs(rest))
