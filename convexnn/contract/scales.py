"""What the scaling of data says of an answer that is not proved: the columns, a row, the targets.

Engines change coordinates where they can, but certificates are in the units of the data, and so is
what a penalty means in them: where these are far apart, digits are lost that a tolerance may need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from convexnn.contract.arrays import Array
    from convexnn.contract.features import Names

APART = 1e3  # ratio from which scales are said to be apart
OFF = 1e4  # how far from 1 the scale of all of X, or of the targets, is said
FAINT = 1e-8  # share of a penalty that leaves nothing from which it is lost beside the loss
ENTRIES = 10_000_000  # of X that are looked at, every so many rows of them


def scaling(X: Any, y: Any = None, names: Names = None, share: float = 1.0) -> str:
    """Return a sentence on data whose scales are far apart, empty where none are.

    Parameters
    ----------
    X : array of shape (n, d)
    y : array of shape (n,) or (n, k), optional
        Targets; labels have no scale.
    names : tuple of str, optional
        Of the columns.
    share : float, default 1.0
        The penalty's weight as a share of one that leaves no weight but 0.

    Examples
    --------
    >>> X = np.random.default_rng(0).uniform(1.0, 2.0, (40, 2))
    >>> scaling(X), scaling(X * [1.0, 1e5], names=("age", "salary"))
    ('', "The scaling of the data stands in the way: 'age' goes to 2 beside 'salary' to 2e+05.")
    """
    X = np.asarray(X, dtype=np.float64).reshape(len(X), -1)
    X = X[:: max(1, X.size // ENTRIES)]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = [*_columns(X, names), *_rows(X), *_targets(y), *_penalty(share)]
    return f"The scaling of the data stands in the way: {'; '.join(found)}." if found else ""


def _columns(X: Array, names: Names) -> Iterator[str]:
    largest = np.max(np.abs(X), axis=0)
    used = np.flatnonzero(largest > 0.0)
    if len(used) == 0:
        return

    def called(j: int) -> str:
        return f"column {j} of X" if names is None else repr(names[j])

    low, high = used[np.argmin(largest[used])], used[np.argmax(largest[used])]
    if largest[high] > APART * largest[low]:
        yield (
            f"{called(int(low))} goes to {largest[low]:.0g} beside {called(int(high))} "
            f"to {largest[high]:.0g}"
        )
    elif not 1.0 / OFF < largest[high] < OFF:
        yield f"X goes to {largest[high]:.0g}"
    spread = np.std(X[:, used], axis=0)
    varies = spread > 0.0
    off = np.abs(np.mean(X[:, used], axis=0)[varies]) / spread[varies]
    if len(off) and np.max(off) > APART:
        j = int(used[varies][np.argmax(off)])
        yield f"{called(j)} lies {np.max(off):.0g} times as far from zero as it varies"


def _rows(X: Array) -> Iterator[str]:
    unit = np.median(np.abs(X), axis=0)
    lengths = np.max(np.abs(X) / np.where(unit > 0.0, unit, np.inf), axis=1)
    middle = float(np.median(lengths))
    if middle > 0.0 and np.max(lengths) > APART * middle:
        i = int(np.argmax(lengths))
        yield f"row {i} of X is {lengths[i] / middle:.0g} times as large as others"


def _targets(y: Any) -> Iterator[str]:
    if y is None or np.asarray(y).dtype.kind != "f" or not np.size(y):
        return
    largest = float(np.max(np.abs(y)))
    if largest > 0.0 and not 1.0 / OFF < largest < OFF:
        yield f"y goes to {largest:.0g}"


def _penalty(share: float) -> Iterator[str]:
    if share < FAINT:
        yield (
            f"beta is {share:.0g} of one that leaves no neuron, so that a proof has to tell slopes "
            "of the loss from 0 to as many digits"
        )
