"""The convex-concave procedure: majorise at a network's own patterns, minimise, repeat.

The majorant over patterns that hold every neuron's own touches the non-convex objective at the
network, so that any point that lowers the majorant is a better network (Lipp & Boyd 2016,
"Variations and extension of the convex-concave procedure"). It has no cones: unlike in the
exact program over the same patterns, a neuron may leave the cell that it started in.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import BoolArray
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import flag, positive_int
from convexnn.contract.system.memory import Size
from convexnn.relu.forms import NetworkForm, Neurons
from convexnn.relu.patterns import active_patterns
from convexnn.solvers.relu import lbfgs
from convexnn.solvers.relu import majorant_admm as majorant
from convexnn.solvers.relu.interval_prox import unknown
from convexnn.solvers.relu.lbfgs import WIDTH, search, slope_dual
from convexnn.solvers.relu.pattern_pool import distinct, gathered
from convexnn.solvers.schedule import Best, Tuner, iterate

REFRESHES = 20
PATTERNS = 50
STEPS = 300
EVERY = 20  # steps of ADMM between looks at the network
RELAX = 1.6
DEFAULTS = {
    "refreshes": REFRESHES,
    "patterns": PATTERNS,
    "steps": STEPS,
    "local": True,
    "width": WIDTH,
}


def refusal(form: NetworkForm) -> str | None:
    """Return that it takes one output, or what the majorants cannot take: signs, some losses."""
    if form.monotone is not None:
        return "its majorants have no cones, whose further rows the signs of monotone are"
    return "takes one output" if form.y.ndim > 1 else unknown(form.loss)


def warm_up(form: NetworkForm) -> None:
    """Compile the kernels."""
    majorant.warm_up(form.majorant(np.ones((len(form.y), 1), np.bool_)))


def memory(size: Size) -> dict[str, float]:
    """Return ``8 w (5 n + 50 d)`` for the search and 80 for each entry of its products."""
    return lbfgs.memory(size) | {"its products": 160.0 * size.n * max(PATTERNS, WIDTH)}


def run(
    form: NetworkForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Refresh until the objective stops falling.

    Majorants come one after the other, each by ADMM; every network reported is at least as good
    as the one before.

    Options
    -------
    refreshes : int, default 20
        Majorants at most; `max_iter` takes its place if given.
    patterns : int, default 50
        Columns of each majorant: the network's own patterns, all of them, filled up with random
        ones.
    steps : int, default 300
        ADMM steps on each.
    local : bool, default True
        Without a start, begin at one local search; if False, at zero with random patterns.
    width : int, default 50
        Hidden neurons of the local search.
    """
    for name in ("refreshes", "patterns", "steps", "width"):
        positive_int(name, own[name])
    flag("local", own["local"])
    rng = np.random.default_rng(options.seed)
    descent = Descent(
        form, first_network(form, options, reporter, own, start), own["steps"], reporter
    )

    def step(k: int) -> Raw | None:
        if k == 1:  # the first network is reported as it is
            return None
        before = descent.value
        descent.over(columns(form, descent.network, own["patterns"], rng))
        if before - descent.value <= options.tol * max(1.0, abs(descent.value)):
            return Raw(Outcome.FINISHED, "One more majorant does not lower the objective.")
        return None

    return iterate(
        step,
        lambda: (descent.network, slope_dual(form, descent.network)),
        reporter,
        1 + (options.max_iter or own["refreshes"]),
        due=lambda k: True,
    )


def first_network(
    form: NetworkForm, options: Options, reporter: Reporter, own: dict[str, Any], start: Any
) -> Neurons:
    """Return the network to begin at."""
    d = form.X.shape[1]
    if start is not None:
        given: Neurons = start[0]
        return given
    if not own["local"]:
        return Neurons(np.zeros((d, 0)), np.zeros((d, 0)), form.still())
    plain = Options(options.tol, None, options.seed, {})
    return next(search(form, 1, own["width"], plain, reporter))


def columns(form: NetworkForm, network: Neurons, count: int, rng: np.random.Generator) -> BoolArray:
    """Return the network's own patterns and as many random ones as make `count` in all."""
    own = distinct(form, [active_patterns(form.X, network)])
    missing = max(count - own.shape[1], 0)
    return distinct(form, [own, form.X @ rng.standard_normal((form.X.shape[1], missing)) >= 0.0])


class Descent:
    """One majorant after the other; the penalties of each run are where the next begins.

    Parameters
    ----------
    form : NetworkForm
    network : Neurons
        Where to begin.
    steps : int
        Of ADMM on each majorant.
    reporter : Reporter
        Asked for the time.

    Attributes
    ----------
    network, value
        The best network met and its objective.
    """

    def __init__(self, form: NetworkForm, network: Neurons, steps: int, reporter: Reporter) -> None:
        self.form, self.steps, self.reporter = form, steps, reporter
        self.network, self.value = network, form.objective(network)
        self.rho: float | None = None
        self.sigma: float | None = None

    def over(self, matrix: BoolArray) -> None:
        """Look for a better network by the majorant over these patterns."""
        program = self.form.majorant(matrix)
        begin = gathered(self.form, self.network, matrix)
        state = majorant.State.begin(program, self.rho, self.sigma, (begin, None))
        best, tuner = Best(self.form.objective, self.network, self.reporter), Tuner()
        iterate(
            lambda k: majorant.step(program, state, RELAX),
            state.points,
            best,
            self.steps,
            due=lambda k: k % EVERY == 0,
            after=lambda k: majorant.balance(state, tuner, k),
        )
        self.rho, self.sigma = state.rho, state.sigma
        self.network, self.value = best.point, best.value
