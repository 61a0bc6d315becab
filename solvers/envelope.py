"""A smooth stand-in for a loss with kinks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.functions.losses import Loss


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
