"""The robust accuracy of a two-layer classifier, from above, from below and exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.brief import shortened
from convexnn.contract.checks import flag, seconds
from convexnn.contract.clock import Clock
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.contract.system.optional import need
from convexnn.robust.attacks import attack, moves
from convexnn.robust.branching import keeps_label
from convexnn.robust.margin_bounds import interval_bound, linear_bound, relaxation
from convexnn.robust.rectified import correct

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray, SignArray
    from convexnn.relu.network import TwoLayerNetwork

FAILED, KEPT, UNDECIDED = 0, 1, -1
ENTRIES = 2_000_000  # examples times neurons whose bounds are found at a time


@dataclass(frozen=True, eq=False)
class Robustness:
    """Share of examples whose label holds, by what was tried; always in this order.

    ``certified <= exact <= attacked <= clean``, for every example too.

    Attributes
    ----------
    radius : float
    norm : str
    margins : dict of str to array of shape (n,)
        By how much the true class leads at the examples ("clean"; of one output the output, times
        -1 for the first class), the least of it that an attack found ("fgsm", "pgd"), and what it
        cannot be below in the ball ("interval", "linear"; the latter is refined only where that
        may settle the label).
    holds : dict of str to array of bool, shape (n,)
        Whose label holds: "clean", "fgsm", "pgd", "attacked", "certified".
    verdict : int array of shape (n,) or None
        1 where the label holds in the whole ball, 0 where it does not, -1 where the search for
        the exact answer ran out of time, or the worst margin is zero up to rounding; None
        without that search.
    """

    radius: float
    norm: str
    margins: dict[str, Array]
    holds: dict[str, BoolArray]
    verdict: SignArray | None

    @property
    def clean(self) -> float:
        """Accuracy without an adversary."""
        return float(self.holds["clean"].mean())

    @property
    def fgsm(self) -> float:
        """Accuracy under one step."""
        return float(self.holds["fgsm"].mean())

    @property
    def pgd(self) -> float:
        """Accuracy under projected gradient descent with restarts."""
        return float(self.holds["pgd"].mean())

    @property
    def attacked(self) -> float:
        """Accuracy under the stronger attack on each example: no less than the true one."""
        return float(self.holds["attacked"].mean())

    @property
    def certified(self) -> float:
        """Accuracy that is proven for the whole balls."""
        return float(self.holds["certified"].mean())

    @property
    def exact(self) -> float | None:
        """Accuracy over the whole balls; None where it was not computed, or not for all."""
        if self.verdict is None or self.undecided:
            return None
        return float((self.verdict == KEPT).mean())

    @property
    def undecided(self) -> int:
        """Number of examples that neither an attack nor a bound, nor the search, settled."""
        if self.verdict is None:
            return int((self.holds["attacked"] & ~self.holds["certified"]).sum())
        return int((self.verdict == UNDECIDED).sum())

    @property
    def table(self) -> pd.DataFrame:
        """Return one row per example as a pandas data frame (extra: compare).

        Columns ``margin``, ``fgsm margin``, ``pgd margin``, ``interval bound`` and
        ``linear bound`` hold numbers; ``clean``, ``attacked``, ``exact`` and ``certified`` tell
        whether the label holds, ``exact`` being ``<NA>`` where that is not known.
        """
        pandas: Any = need("pandas", "compare")
        columns: dict[str, Any] = {"margin": self.margins["clean"]}
        columns |= {f"{name} margin": self.margins[name] for name in ("fgsm", "pgd")}
        columns |= {f"{name} bound": self.margins[name] for name in ("interval", "linear")}
        columns |= {name: self.holds[name] for name in ("clean", "fgsm", "pgd", "attacked")}
        exact = np.full(len(columns["margin"]), UNDECIDED) if self.verdict is None else self.verdict
        columns["exact"] = pandas.array(
            [None if value == UNDECIDED else bool(value) for value in exact], dtype="boolean"
        )
        columns["certified"] = self.holds["certified"]
        frame: pd.DataFrame = pandas.DataFrame(columns)
        return frame

    def __str__(self) -> str:
        head = f"accuracy of {len(self.margins['clean'])} examples, {self.norm} {self.radius:g}"
        rows = [(name, getattr(self, name)) for name in ("clean", "fgsm", "pgd", "attacked")]
        rows += [] if self.exact is None else [("exact", self.exact)]
        rows.append(("certified", self.certified))
        lines = [f"  {name:<10}{value:8.2%}" for name, value in rows]
        lines += [f"  undecided {self.undecided:>8}"] if self.undecided else []
        return "\n".join([head, *lines])

    def __repr__(self) -> str:
        return shortened(str(self))


@as_interrupt()
def robustness(
    network: TwoLayerNetwork,
    X: ArrayLike,
    y: ArrayLike,
    *,
    radius: float,
    norm: str = "linf",
    steps: int = 50,
    restarts: int = 10,
    step: float | None = None,
    exact: bool = False,
    time_limit: float | None = 60.0,
    seed: int = 0,
    box: tuple[ArrayLike, ArrayLike] | Array | None = None,
    perturbed: ArrayLike | None = None,
) -> Robustness:
    """Measure how many labels ``sign f(x + u)`` hold for all ``||u|| <= radius``.

    From above by attacks (`convexnn.attack`), each at a true point of the ball. From below by
    two bounds of the margin that are sound in floating point: intervals of every neuron, and the
    best lines through the neurons' ranges. Exactly, if asked, by branch and bound on the neurons
    that no line covers, for the examples that are open still. Offsets (a bias column) are not
    perturbed. Of several outputs, one for each class, the difference of the true class and each
    other is bounded and searched by itself; the label holds where all are won.

    Parameters
    ----------
    network : TwoLayerNetwork
        A classifier without gates, of two classes or more; trained here or built from any
        weights.
    X : array of shape (n, d)
    y : array of shape (n,)
        Labels, of the network's classes.
    radius : float
        ``>= 0``, of the ball in `norm`.
    norm : {"linf", "l2", "l1"}, default "linf"
    steps, restarts, step, seed
        Of `convexnn.attack`.
    exact : bool, default False
        Search for the exact answer, in every norm; meant for small networks.
    time_limit : float or None, default 60.0
        Seconds for that search, all examples together.
    box : pair of floats or arrays of shape (d,), optional
        Range ``(low, high)`` of the columns that the adversary cannot leave, in the norm linf; X
        must lie in it.
    perturbed : array of bool, or of names or indices of columns, optional
        Columns that the adversary may change, all by default.

    Returns
    -------
    Robustness

    Raises
    ------
    ProblemError
        If the network is no such classifier, or an argument breaks its rule.

    References
    ----------
    Gowal et al. (2018), arXiv 1810.12715 (intervals); Zhang et al. (2018), NeurIPS, and Salman
    et al. (2019), NeurIPS (lines).

    Examples
    --------
    >>> import convexnn as cx
    >>> rng = np.random.default_rng(0)
    >>> X, U, alpha = (rng.standard_normal(shape) for shape in ((200, 2), (2, 6), (6, 1)))
    >>> net = cx.TwoLayerNetwork(U, alpha, np.zeros(6), classes=np.array([0, 1]))
    >>> found = cx.robustness(net, X, net.predict(X), radius=0.1, exact=True)
    >>> found.certified <= found.exact <= found.attacked <= found.clean
    True
    """
    data, region = moves(network, X, y, radius=radius, norm=norm, box=box, perturbed=perturbed)
    radius, norm = region.radius, region.norm
    flag("exact", exact)
    clock = Clock.started(None if time_limit is None else seconds("time_limit", time_limit))
    clean, right = data.judge(data.X)
    settings: dict[str, Any] = {"radius": radius, "norm": norm, "steps": steps, "box": box}
    settings |= {"restarts": restarts, "step": step, "seed": seed, "perturbed": perturbed}
    margins, holds = {"clean": clean}, {"clean": right}
    for method in ("fgsm", "pgd"):
        found = attack(network, X, y, method=method, **settings)
        margins[method], holds[method] = found.margins, ~found.success
    holds["attacked"] = holds["fgsm"] & holds["pgd"]
    if radius == 0.0:
        margins |= {"interval": clean, "linear": clean}
        holds["certified"] = holds["clean"]
        return Robustness(radius, norm, margins, holds, holds["clean"].astype(np.int8))
    n = len(clean)
    margins |= {"interval": np.full(n, np.inf), "linear": np.full(n, np.inf)}
    holds["certified"] = holds["attacked"].copy()
    verdict = np.where(holds["attacked"], KEPT, FAILED).astype(np.int8) if exact else None
    for contest in data.contests:
        count = max(1, ENTRIES // (len(contest.form.W) + 1))
        for first in range(0, len(contest.rows), count):
            rows = contest.rows[first : first + count]
            side, attacked = contest.side[first : first + count], holds["attacked"][rows]
            own = region.part(rows)
            relaxed = relaxation(contest.form, own, side)
            interval = interval_bound(relaxed)
            linear = linear_bound(relaxed, attacked & ~correct(interval, side))
            certified = attacked & correct(np.maximum(interval, linear), side)
            for name, bound in (("interval", interval), ("linear", linear)):
                margins[name][rows] = np.minimum(margins[name][rows], bound)
            holds["certified"][rows] &= certified
            if verdict is None:
                continue
            for i in np.flatnonzero(attacked & ~certified & (verdict[rows] != FAILED)):
                answer = keeps_label(contest, own, relaxed, int(i), clock)
                if not answer:
                    verdict[rows[i]] = UNDECIDED if answer is None else FAILED
    return Robustness(radius, norm, margins, holds, verdict)
