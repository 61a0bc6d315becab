"""Robust accuracy against the radius, for one network or several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convexnn.contract.brief import shortened
from convexnn.contract.canvas import canvas
from convexnn.contract.checks import ProblemError, flag, non_negative, real_array, shown
from convexnn.contract.system.interrupts import as_interrupt
from convexnn.contract.system.optional import need
from convexnn.relu.network import TwoLayerNetwork
from convexnn.robust.accuracy import Robustness, robustness
from convexnn.robust.floor import RobustFloor, robust_floor

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array

KINDS = ("clean", "fgsm", "pgd", "attacked", "exact", "certified")


@dataclass(frozen=True, eq=False)
class RobustnessCurve:
    """Accuracies along radii.

    Attributes
    ----------
    radii : array of shape (r,)
    found : dict of str to tuple of Robustness
        One a radius, by the network's name.
    floors : tuple of RobustFloor
        Of the errors of any classifier, one a radius; empty if not asked for.
    """

    radii: Array
    found: dict[str, tuple[Robustness, ...]]
    floors: tuple[RobustFloor, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """Return one row per network and radius as a pandas data frame (extra: compare)."""
        rows = [
            {"network": name, "radius": radius} | {kind: getattr(one, kind) for kind in KINDS}
            for name, along in self.found.items()
            for radius, one in zip(self.radii, along, strict=True)
        ]
        frame: pd.DataFrame = need("pandas", "compare").DataFrame(rows)
        return frame

    def __str__(self) -> str:
        return str(self.frame.to_string(index=False))

    def __repr__(self) -> str:
        return shortened(str(self))

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw what is attacked and what is certified against the radius (extra: plot).

        Parameters
        ----------
        ax : matplotlib axes, optional

        Returns
        -------
        matplotlib axes
            The true accuracy lies in the band of each network; at radius 0 it is the clean one.
            No classifier is above the black line.
        """
        ax = canvas(ax, 6.0, 4.0)
        for name, along in self.found.items():
            attacked = [one.attacked for one in along]
            certified = [one.certified for one in along]
            (line,) = ax.plot(self.radii, attacked, marker="o", ms=3, label=f"{name}: attacked")
            color = line.get_color()
            ax.plot(self.radii, certified, ls="--", color=color, label=f"{name}: certified")
            ax.fill_between(self.radii, certified, attacked, color=color, alpha=0.2)
            ax.axhline(along[0].clean, ls=":", color=color, label=f"{name}: clean")
        if self.floors:
            most = [1.0 - floor.rate for floor in self.floors]
            ax.plot(self.radii, most, color="black", lw=1, label="any classifier: at most")
        ax.set(xlabel=f"{next(iter(self.found.values()))[0].norm} radius", ylabel="accuracy")
        ax.grid(alpha=0.3)
        ax.legend()
        return ax


@as_interrupt()
def robustness_curve(
    networks: TwoLayerNetwork | Mapping[str, TwoLayerNetwork],
    X: ArrayLike,
    y: ArrayLike,
    radii: ArrayLike,
    *,
    norm: str = "linf",
    floor: bool = True,
    **settings: Any,
) -> RobustnessCurve:
    """Measure `convexnn.robustness` at each radius, beside what no classifier is above.

    Parameters
    ----------
    networks : TwoLayerNetwork or dict of str to TwoLayerNetwork
    X : array of shape (n, d)
    y : array of shape (n,)
    radii : sequence of float
        ``>= 0``.
    norm : {"linf", "l2", "l1"}, default "linf"
    floor : bool, default True
        Find `convexnn.robust_floor` at each radius as well.
    **settings
        Of `convexnn.robustness`.

    Returns
    -------
    RobustnessCurve

    Raises
    ------
    ProblemError
        As `convexnn.robustness`, or if there is no network.

    Examples
    --------
    >>> import numpy as np
    >>> import convexnn as cx
    >>> net = cx.TwoLayerNetwork(np.eye(2), np.ones((2, 1)), np.zeros(2), classes=np.array([0, 1]))
    >>> cx.robustness_curve(net, [[1.0, 1.0], [1.0, -3.0]], [1, 1], [0.0, 1.5]).frame["certified"]
    0    1.0
    1    0.0
    Name: certified, dtype: float64
    """
    named = dict(networks) if isinstance(networks, Mapping) else {"network": networks}
    if not named:
        raise ProblemError("networks must hold at least one network")
    for one in named.values():
        if not isinstance(one, TwoLayerNetwork):
            raise ProblemError(f"networks must hold TwoLayerNetworks, got {shown(one)}")
    flag("floor", floor)
    steps = real_array("radii", radii, 1)
    for radius in steps.tolist():
        non_negative("radii", radius)
    found = {
        name: tuple(robustness(one, X, y, radius=float(r), norm=norm, **settings) for r in steps)
        for name, one in named.items()
    }
    moves = {name: settings[name] for name in ("box", "perturbed") if name in settings}
    asked = steps if floor else ()
    floors = [robust_floor(X, y, radius=float(r), norm=norm, **moves) for r in asked]
    return RobustnessCurve(steps, found, tuple(floors))
