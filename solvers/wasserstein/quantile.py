"""The newsvendor's exact answer: a quantile of the worst distribution of demand."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.backend import Capabilities, Options, Raw, Reporter
from convexnn.contract.memory import Size
from convexnn.contract.problem import Problem
from convexnn.solvers.options import unpack
from convexnn.wasserstein.newsvendor import DemandForm, Order, Shift


class Quantile:
    """The ``1 - cost / price`` quantile of the worst distribution, in O(n) on sorted demands.

    The worst distribution does not depend on the order, so that the best order against it is
    the newsvendor's.
    """

    name = "quantile"
    capabilities = Capabilities(forms=(DemandForm,), best_tol=0.0)

    def available(self) -> str | None:
        """Return None: it is always there."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return None: it takes every `DemandForm`."""
        return None

    def prepare(self, form: DemandForm) -> None:
        """Do nothing: there is nothing to compile."""

    def memory(self, size: Size) -> dict[str, float]:
        """Return the sums of the demands and the shares that move, three numbers a demand."""
        return {"the worst distribution": 24.0 * size.n}

    def run(self, form: DemandForm, options: Options, reporter: Reporter, start: Any = None) -> Raw:
        """Report the order and the distribution that proves it."""
        unpack(self.name, options.extra)
        shift = form.shift()
        quantity = critical(form, shift)
        reporter.report(1, Order(np.asarray(quantity)), shift)
        return Raw("finished")


def critical(form: DemandForm, shift: Shift) -> float:
    """Return the ``1 - cost / price`` quantile of the demands after the shift."""
    n = len(form.demand)
    level = (1.0 - form.cost / form.price) * n
    if np.sum(shift.share) >= level:
        return form.low
    return float(form.demand[min(max(int(np.ceil(level)) - 1, 0), n - 1)])
