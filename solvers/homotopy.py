"""Primal-dual homotopy smoothing, for every form that it reads."""

from __future__ import annotations

from typing import Any

from convexnn.contract.backend import Capabilities, Options, Raw, Reporter
from convexnn.contract.problem import Problem
from convexnn.median.consensus import ConsensusForm
from convexnn.median.linear_sum import LinearSum
from convexnn.solvers.median import homotopy as median_homotopy
from convexnn.solvers.median import linear_homotopy
from convexnn.solvers.rounds import serial, warm_up


class Homotopy:
    """Primal-dual homotopy smoothing (Wei, Yu, Ling & Neely 2018).

    ``solution.stages`` tells mu, iterations and gap of each stage: of each mu in the paper's
    scheme, of each centre in the adaptive one.

    Options
    -------
    scheme : "adaptive" or "paper", default "adaptive"
        Re-centre the smoothing when the constraints' residual has dropped; or halve it on the
        paper's schedule and restart from averages.
    smoothing : float, optional
        The first mu, of a graph in units of mean weight over spread; of ``A x = b`` the only
        one if given, else it starts at 1 and is turned on the way.
    splitting : "root" or "laplacian", default "root"
        Of a graph: one exchange a round with ``A'A = I - W``, or two with ``A = I - W``.
    checkpoint : path, optional
        Of a graph: where the state is kept and resumed from.
    every : int, default 100
        Rounds between checkpoints.
    """

    name = "homotopy"
    capabilities = Capabilities(forms=(ConsensusForm, LinearSum), warm_start=True)

    def available(self) -> str | None:
        """Return None: it is always there."""
        return None

    def refuses(self, problem: Problem[Any]) -> str | None:
        """Return None: it takes every form that it reads."""
        return None

    def prepare(self, form: ConsensusForm | LinearSum) -> None:
        """Compile the kernels."""
        if isinstance(form, ConsensusForm):
            warm_up()

    def run(
        self,
        form: ConsensusForm | LinearSum,
        options: Options,
        reporter: Reporter,
        start: Any = None,
    ) -> Raw:
        """Iterate until the reporter is satisfied."""
        if isinstance(form, LinearSum):
            return linear_homotopy.run(form, options, reporter, start)
        return serial(
            self.name,
            median_homotopy.MedianHomotopy,
            form,
            options,
            reporter,
            start,
            **median_homotopy.DEFAULTS,
        )
