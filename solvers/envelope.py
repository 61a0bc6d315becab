"""A smooth stand-in for a loss with kinks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.functions.losses import Loss
from convexnn.functions.risked import Risked, Softened


def softened(loss: Loss, width: float, y: Array) -> Any:
    """Return what is nearly the loss, and smooth.

    Where it is a risk, in its ratios too, by a width relative to the losses of the prediction 0.
    """
    kinks = not np.isfinite(loss.plain.curvature)
    each = Envelope(loss.plain, width, np.zeros_like(y)) if kinks else loss.plain
    if isinstance(loss, Risked):
        usual = float(np.mean(loss.plain.value(np.zeros_like(y), y)))
        return Softened(loss, each, width * max(usual, np.finfo(np.float64).tiny))
    return Envelope(loss, width, np.zeros_like(y))


@dataclass
class Envelope:
    """Moreau envelope of a loss around a dual centre, smooth with curvature ``1 / width``.

    ``l_w(z) = max_s s z - l*(s) - width / 2 (s - centre)^2``; its gradient, the maximiser, is in
    the domain of the conjugate.
    """

    loss: Loss
    width: float
    centre: Array

    @property
    def curvature(self) -> float:
        """Return ``1 / width``."""
        return 1.0 / self.width

    def value(self, z: Array, y: Array) -> Array:
        """Return the envelope of each example."""
        s = self.gradient(z, y)
        return s * z - self.loss.conjugate(s, y) - 0.5 * self.width * np.square(s - self.centre)

    def gradient(self, z: Array, y: Array) -> Array:
        """Return the maximising ``s``."""
        shifted = z + self.width * self.centre
        s = (shifted - self.loss.prox(shifted, y, self.width)) / self.width
        return self.loss.clip(s, y)
