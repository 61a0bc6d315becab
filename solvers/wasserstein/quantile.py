"""The newsvendor's exact answer: the ``1 - cost / price`` quantile of the worst demands.

The worst distribution does not depend on the order, so that the best order against it is the
newsvendor's. O(n) on sorted demands.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.system.memory import Size
from convexnn.wasserstein.newsvendor import DemandForm, Order, Shift


def memory(size: Size) -> dict[str, float]:
    """Return the sums of the demands and the shares that move, three numbers a demand."""
    return {"the worst distribution": 24.0 * size.n}


def run(
    form: DemandForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Report the order and the distribution that proves it."""
    shift = form.shift()
    quantity = critical(form, shift)
    reporter.report(1, Order(np.asarray(quantity)), shift)
    return Raw(Outcome.FINISHED)


def critical(form: DemandForm, shift: Shift) -> float:
    """Return the ``1 - cost / price`` quantile of the demands after the shift."""
    n = len(form.demand)
    level = (1.0 - form.cost / form.price) * n
    if np.sum(shift.share) >= level:
        return form.low
    return float(form.demand[min(max(int(np.ceil(level)) - 1, 0), n - 1)])
