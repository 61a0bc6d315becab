"""Newton's method for a portfolio against a Wasserstein ball: a primal-dual interior point.

O(n d^2) a step, some twenty steps. `layouts` lays the form out, `interior` takes the steps.
"""

from __future__ import annotations

from typing import Any

from convexnn.contract.backend import Options, Raw, Reporter
from convexnn.solvers.wasserstein import interior
from convexnn.solvers.wasserstein.layouts import portfolio
from convexnn.solvers.wasserstein.steps import follow
from convexnn.wasserstein.portfolio import PortfolioForm


def warm_up(form: PortfolioForm) -> None:
    """Compile the kernels."""
    interior.warm_up()


def run(
    form: PortfolioForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Iterate until the reporter is satisfied or nothing moves."""
    return follow(portfolio(form), options, reporter)[0]
