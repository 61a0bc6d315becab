"""What PG-EXTRA, EXTRA and the subgradient method share: the mixing matrix and the step.

``I - W`` is that of Metropolis-Hastings weights, stretched as far as each method allows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import positive
from convexnn.median.consensus import ConsensusForm
from convexnn.solvers.exchange import Block, Exchange
from convexnn.solvers.rounds import OWN, differences, slopes
from convexnn.solvers.spectrum import degrees, mixing, of_block, spectrum

STEP = 1.3  # times spread over weight, times the root of the least eigenvalue; by trial
DEFAULTS = {**OWN, "step": None}


class Mixing:
    """What the three share: the mixing matrix, the step and the data of the block."""

    doubt = ""
    largest = 1.5  # eigenvalue of I - W

    def __init__(self, form: ConsensusForm, block: Block, chosen: dict[str, Any]) -> None:
        n, edges = len(form.points), form.edges
        _, weights = of_block(edges, n, block)
        ends = spectrum(edges, n, mixing(degrees(edges, n), edges[:, 0], edges[:, 1]))
        self.coef = weights * (self.largest / ends.largest)
        least = ends.least * self.largest / ends.largest
        given = chosen["step"]
        self.a = STEP * float(np.sqrt(least)) if given is None else positive("step", given)
        self.tunes = given is None
        self.block = block
        self.b = form.points[block.own].copy()
        self.w = form.weights[block.own].copy()

    def lap(self, talk: Exchange, x: Array) -> Array:
        """Return ``(I - W) x``, after an exchange."""
        out = np.empty_like(x)
        differences(self.block.indptr, self.block.indices, self.coef, talk.exchange(x), out)
        return out

    def slope(self, x: Array) -> Array:
        """Return a subgradient of each agent's function."""
        out = np.empty_like(x)
        slopes(x, self.b, self.w, out)
        return out
