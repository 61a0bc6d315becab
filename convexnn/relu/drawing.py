"""Networks as figures: over one input the output and its knots, over two its regions and lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.canvas import canvas
from convexnn.contract.checks import ProblemError
from convexnn.contract.labels import known_labels, several_targets
from convexnn.contract.system.optional import need

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, IndexArray, LabelArray
    from convexnn.relu.network import Network

MARGIN = 0.1  # of the drawn range on each side, as a share of it
FINE = 400  # points along a line
MESH = 200  # points along each side of a plane
THIN, WIDE = 0.3, 2.5  # lines of the neurons that weigh nothing and most, in points
MANY = 10  # colours there are
DOTS: dict[str, Any] = {"edgecolors": "black", "linewidths": 0.5, "s": 22, "zorder": 3}


def on_line(
    network: Network, knots: Array, X: Array | None, y: ArrayLike | None, ax: Axes | None
) -> Axes:
    """Draw the output of a network of one input, a line for each, with its knots.

    Parameters
    ----------
    network : Network
    knots : array of shape (k,)
        Where neurons switch, in order.
    X : array of shape (n,) or None
        Examples; without them the range is that of the knots.
    y : array of shape (n,) or (n, outputs), or None
        Targets are points, labels marks in the colour of their output at the foot.
    ax : matplotlib axes or None

    Raises
    ------
    ProblemError
        If y does not fit X or the network.
    """
    targets = _targets(network, X, y)
    ax = canvas(ax, 6.4, 4.5)
    low, high = _range(knots if X is None else X)
    inside = knots[(knots >= low) & (knots <= high)]
    near = 1e-9 * (high - low)  # either side of a jump
    beside = [np.linspace(low, high, FINE), inside - near, inside, inside + near]
    at = np.unique(np.concatenate(beside))
    output = _columns(network.decision_function(at[:, None]))
    for k, height in enumerate(output.T):
        colour = f"C{k % MANY}"
        ax.plot(at, height, color=colour, label=_name(network, k, output.shape[1]))
        if X is not None and targets is not None and network.classes is None:
            ax.plot(X, targets[:, k], ".", color=colour, alpha=0.5, zorder=1)
    if len(inside):
        bent = _columns(network.decision_function(inside[:, None]))
        where = np.repeat(inside, bent.shape[1])
        ax.plot(where, bent.ravel(), "ks", ms=4, label=f"{len(inside)} knots")
    if X is not None and network.classes is not None and targets is not None:
        ax.axhline(0.0, color="black", lw=0.5)
        foot = ax.get_xaxis_transform()
        for k, label in enumerate(network.classes):
            held = X[targets[:, 0] == k]
            marks: dict[str, Any] = {
                "color": f"C{k % MANY}",
                "ms": 9,
                "transform": foot,
                "label": f"class {label}",
            }
            ax.plot(held, np.full(len(held), 0.03), "|", **marks)
    ax.set(xlim=(low, high), xlabel=_input(network, 0, "x"), ylabel="output")
    ax.grid(alpha=0.3)
    ax.legend()
    return ax


def in_plane(
    network: Network,
    normals: Array,
    offsets: Array,
    weight: Array,
    X: Array | None,
    y: ArrayLike | None,
    ax: Axes | None,
) -> Axes:
    """Draw the regions of a network of two inputs, or its height, and the lines of its neurons.

    Parameters
    ----------
    network : Network
    normals : array of shape (2, m)
    offsets : array of shape (m,)
        Neuron j switches where ``normals[:, j]'x + offsets[j] = 0``.
    weight : array of shape (m,)
        What a neuron weighs: the width of its line.
    X : array of shape (n, 2) or None
        Examples; without them the range is that of the lines' points nearest to 0.
    y : array of shape (n,) or None
        Their colours.
    ax : matplotlib axes or None

    Raises
    ------
    ProblemError
        If y does not fit X or the network, or the network has several outputs and no classes.
    """
    targets = _targets(network, X, y)
    feet = (-offsets / np.square(normals).sum(axis=0) * normals).T
    low, high = np.transpose(
        [_range(side) for side in (np.vstack([feet, -feet]) if X is None else X).T]
    )
    mesh = np.stack(np.meshgrid(*np.linspace(low, high, MESH).T), axis=-1)
    output = _columns(network.decision_function(mesh.reshape(-1, 2)))
    if network.classes is None and output.shape[1] > 1:
        raise ProblemError(
            f"{type(network).__name__}.plot draws one output over two inputs, this network has "
            f"{output.shape[1]}"
        )
    ax = canvas(ax, 6.4, 4.5)
    if network.classes is None:
        _height(mesh, output, X, targets, ax)
    else:
        _regions(network.classes, mesh, output, X, targets, ax)
    _lines(feet, normals, weight, 2.0 * float(np.linalg.norm(np.abs([low, high]))), ax)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    ax.set(xlabel=_input(network, 0, "x1"), ylabel=_input(network, 1, "x2"))
    if ax.get_legend_handles_labels()[1]:
        ax.legend()
    return ax


def _height(mesh: Array, output: Array, X: Any, targets: Any, ax: Any) -> None:
    """Draw the output as a surface seen from above, targets in its colours."""
    sides, height = (mesh[0, :, 0], mesh[:, 0, 1]), output.reshape(MESH, MESH)
    surface = ax.contourf(*sides, height, levels=20, cmap="viridis")
    ax.figure.colorbar(surface, ax=ax, label="output")
    if targets is not None:
        ax.scatter(*X.T, c=targets[:, 0], norm=surface.norm, cmap="viridis", **DOTS)
    elif X is not None:
        ax.scatter(*X.T, color="white", **DOTS)


def _regions(
    classes: LabelArray, mesh: Array, output: Array, X: Any, targets: Any, ax: Any
) -> None:
    """Draw which class is predicted where, labels in the colours of their classes."""
    found = output.argmax(axis=1) if output.shape[1] > 1 else output[:, 0] > 0.0
    colours = [f"C{k % MANY}" for k in range(len(classes))]
    regions = np.asarray(found, dtype=float).reshape(MESH, MESH)
    look = {"cmap": need("matplotlib.colors", "plot").ListedColormap(colours), "alpha": 0.3}
    ax.pcolormesh(mesh[0, :, 0], mesh[:, 0, 1], regions, vmin=0, vmax=len(classes) - 1, **look)
    if X is not None and targets is None:
        ax.scatter(*X.T, color="white", **DOTS)
    for k, label in enumerate(classes):
        held = np.zeros((0, 2)) if targets is None else X[targets[:, 0] == k]
        ax.scatter(*held.T, color=colours[k], label=f"class {label}", **DOTS)


def _lines(feet: Array, normals: Array, weight: Array, reach: float, ax: Any) -> None:
    """Draw where neurons switch, each through its point nearest to 0, as wide as it weighs."""
    along = (normals[::-1] * [[-1.0], [1.0]] / np.linalg.norm(normals, axis=0)).T
    along = along * (reach + np.linalg.norm(feet, axis=1))[:, None]
    share = weight / weight.max(initial=np.finfo(float).tiny)
    for k, at in enumerate(feet):
        name = f"lines of {len(feet)} neurons" if k == share.argmax() else None
        width = THIN + (WIDE - THIN) * share[k]
        ends = np.stack([at - along[k], at + along[k]])
        ax.plot(*ends.T, color="black", ls="--", lw=width, alpha=0.6, label=name)


def _targets(network: Network, X: Array | None, y: ArrayLike | None) -> Array | IndexArray | None:
    """Return targets by columns; of labels the numbers of their classes."""
    if y is None:
        return None
    if X is None:
        raise ProblemError("y goes with X, which is None")
    if network.classes is not None:
        held = known_labels("y", y, len(X), network.classes)
        codes: IndexArray = (held[:, None] == network.classes).argmax(axis=1)[:, None]
        return codes
    targets = _columns(several_targets("y", y, len(X)).targets)
    outputs = _columns(network.decision_function(X.reshape(len(X), -1)[:1])).shape[1]
    if targets.shape[1] != outputs:
        raise ProblemError(f"y must have {outputs} columns, one an output, got {targets.shape[1]}")
    return targets


def _columns(values: Array) -> Array:
    return values.reshape(len(values), -1)


def _range(values: Array) -> tuple[float, float]:
    """Return the ends of what is drawn: those of the values, and a margin."""
    low, high = (float(values.min()), float(values.max())) if values.size else (-1.0, 1.0)
    if low == high:
        low, high = low - max(1.0, abs(low)), high + max(1.0, abs(high))
    room = MARGIN * (high - low)
    return low - room, high + room


def _name(network: Network, k: int, outputs: int) -> str:
    if outputs == 1:
        return "network"
    return f"output {k}" if network.classes is None else f"output of {network.classes[k]}"


def _input(network: Any, k: int, otherwise: str) -> str:
    name: str = otherwise if network.feature_names is None else network.feature_names[k]
    return name
