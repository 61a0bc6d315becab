"""The prox that ADMM and the accelerated gradient method share: norm and cone of each block."""

from __future__ import annotations

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.functions.norms import Linf
from convexnn.relu.boxes import Boxes
from convexnn.relu.cones import Facets, no_facets, project_blocks
from convexnn.relu.forms import Dual, GroupForm


class BlockProx:
    """``argmin_u step beta ||u|| + ||u - row||^2 / 2`` over the cone of each block.

    Exact, and warm: the facets on which each block ended are where its next call starts.

    Parameters
    ----------
    form : GroupForm
    """

    def __init__(self, form: GroupForm) -> None:
        self.form = form
        conic = form.signs is not None
        self.facets = no_facets(form.blocks, form.X.shape[1]) if conic else None
        self.cones = form.cones if conic else None
        self.boxes: Boxes | None = None
        if self.cones is not None and isinstance(form.norm, Linf):
            self.boxes = Boxes(*self.cones)
            self.facets, self.largest = self.boxes.start(form.blocks), np.zeros(form.blocks)

    def __call__(self, rows: Array, step: float) -> Array:
        """Return the prox of each row."""
        form, weight = self.form, step * self.form.beta
        if self.facets is None or self.cones is None:
            return form.norm.prox(rows, weight)
        if self.boxes is not None:
            return self.boxes.prox(rows, weight, self.facets, self.largest)
        if not form.norm.rotates:
            return project_blocks(*self.cones, rows, self.facets, tau=weight)
        cone = project_blocks(*self.cones, rows, self.facets, zero_below=weight)
        return form.norm.prox(cone, weight)

    def dual(self, mu: Array, step: float) -> Dual:
        """Return a dual point with the facets at hand, their multipliers freed of the step."""
        if self.facets is None:
            return Dual(mu)
        return Dual(mu, Facets(self.facets.example.copy(), self.facets.value / step))

    def start(self, dual: Dual, step: float) -> None:
        """Start from the facets of a dual point."""
        guess = dual.facets
        if self.facets is None or guess is None or guess.example.shape != self.facets.example.shape:
            return
        self.facets = Facets(guess.example.astype(np.int32), guess.value * step)


def warm_up(form: GroupForm) -> None:
    """Run every kernel once, so that none is compiled while the clock runs."""
    rows = form.correlate(np.zeros_like(form.y))  # writable, as the slopes of a loss are
    form.predict(rows)
    BlockProx(form)(np.zeros_like(rows), 1.0)
