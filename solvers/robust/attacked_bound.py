"""A lower bound over all networks: plain training on examples attacked in one way costs no more.

Which attacks is free. Those that leave plain training the highest optimum are looked for by steps
up the loss of the network that is best on the attacked examples so far: by the envelope theorem
that is the slope of the optimum. The plain problem is then bounded by the hybrid over all patterns,
its lifted relaxation included.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import Options, Reporter
from convexnn.relu.forms import Dual, Neurons
from convexnn.robust.forms import RobustDual, RobustNetworkForm
from convexnn.solvers.relu import cell_walk
from convexnn.solvers.relu.lbfgs import descend
from convexnn.solvers.relu.lift import Lifting
from convexnn.solvers.robust.local_search import pushed

PUSHES = 15  # steps of the attacks
DESCENT = 40  # steps of the network between two of them
STARTS, WIDTH = 2, 30  # local searches on the attacked examples, and their neurons
TRIED = 0.2  # share of the time that remains for the attacks


def worst_attack(
    form: RobustNetworkForm, network: Neurons, begin: Array, reporter: Reporter
) -> tuple[Array, Neurons]:
    """Return attacks on which plain training stays costly, and a network trained on them."""
    early = cell_walk.Early(reporter, TRIED)
    early.armed = True
    attack, best, kept = begin, -np.inf, (begin, network)
    for _ in range(PUSHES):
        plain = form.attacked(attack)
        network = descend(plain, network, DESCENT, early)
        value = plain.objective(network)
        if value > best:
            best, kept = value, (attack, network)
        if early.expired():
            break
        attack = pushed(form.program, network, attack)
    return kept


def prove(
    form: RobustNetworkForm, network: Neurons, begin: Array, reporter: Reporter, options: Options
) -> None:
    """Report what plain training on attacked examples proves, as the bound rises.

    Where the rounds are limited so are those of plain training, and it is not lifted.
    """
    attack, trained = worst_attack(form, network, begin, reporter)
    plain = form.attacked(attack)
    inner = Inner(reporter, network, attack)
    asked = Options(options.tol, options.max_iter, options.seed, {})
    own = cell_walk.DEFAULTS | {"starts": STARTS, "width": WIDTH}
    if options.max_iter is not None:
        own["cells"] = 0
    cell_walk.run(plain, own, asked, inner, (trained, None))


def suits(form: RobustNetworkForm, limited: bool) -> bool:
    """Tell whether such a bound is to be had at the size of a problem."""
    most = Lifting.MOST if limited else cell_walk.UNLIMITED
    return Lifting.suits(form.plain(), most)


class Inner:
    """Reports the dual points of plain training as those of the robust problem."""

    def __init__(self, reporter: Reporter, network: Neurons, attack: Array) -> None:
        self.whole, self.network, self.attack = reporter, network, attack
        self.shown = 0

    def report(self, iteration: int, primal: Any, dual: Dual) -> bool:
        """Report the best robust network beside a plain dual point."""
        self.shown += 1
        n = len(self.attack)
        none = np.zeros((n, 0))
        point = RobustDual(dual.mu, np.zeros(n), self.attack, none, none, None, dual)
        return self.whole.report(self.shown, self.network, point)

    def expired(self) -> bool:
        """Tell whether the run is to end."""
        return self.whole.expired()

    def remaining(self) -> float | None:
        """Return the seconds left."""
        return self.whole.remaining()
