"""Tables of examples: scikit-learn's, OpenML's by name, and .npz files of a folder."""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError
from convexnn.contract.system.optional import need
from convexnn.datasets import load_table, split_at_random

FOLDER = "CONVEXNN_BENCH_DATA"
ROWS = 1_000  # drawn from longer tables


def table(name: str, rows: int = ROWS) -> tuple[Array, Array, bool]:
    """Return standardised columns, targets, and whether these are two classes.

    Of more than `rows` examples that many are drawn; of more than two classes the first two kept.

    Parameters
    ----------
    name : str
        One of `convexnn.datasets.NAMES`, or the path of a .npz file with arrays X and y.
    rows : int

    Examples
    --------
    >>> X, y, classes = table("diabetes", rows=100)
    >>> X.shape, classes
    ((100, 10), False)
    """
    loaded = load_table(name)
    classes = None if loaded.target is None else loaded.target.classes
    if classes is not None and len(classes) > 2:
        loaded = loaded.of_classes(tuple(str(label) for label in classes[:2]))
    split = split_at_random(loaded, test_share=0.0)
    return drawn(split.X, split.y, rows, split.classification)


def drawn(X: Array, y: Any, rows: int, classes: bool) -> tuple[Array, Array, bool]:
    """Return at most `rows` examples, without columns that are constant among them."""
    some = np.sort(np.random.default_rng(0).permutation(len(X))[:rows])
    X, y = X[some], y[some]
    X = X[:, X.std(axis=0) > 0.0]
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    targets = np.where(y == np.unique(y)[-1], 1.0, -1.0) if classes else np.asarray(y, dtype=float)
    return X, targets, classes


def files() -> list[Path]:
    """Return the .npz files of the folder that `FOLDER` names, none if it names none."""
    given = os.environ.get(FOLDER)
    found = sorted(Path(given).glob("*.npz")) if given else []
    if given and not found:
        raise ProblemError(f"{FOLDER} must name a folder that holds .npz files, got {given!r}")
    return found


def summary(path: Path) -> tuple[int, int, str]:
    """Return the rows and columns of a file's `table`, and the loss that suits its targets.

    Raises
    ------
    ProblemError
        If it holds no table.
    """
    X, _, classes = table(str(path))
    return *X.shape, "logistic" if classes else "squared"


@lru_cache(maxsize=8)
def openml(name: str, rows: int = ROWS) -> tuple[Array, Array, bool]:
    """Return a table of OpenML, as `table` does; its numerical columns, gaps at their median.

    Raises
    ------
    OSError
        If it cannot be fetched.
    """
    found = need("sklearn.datasets", "data").fetch_openml(
        name, version=1, as_frame=True, parser="auto", n_retries=1
    )
    frame = found.data.select_dtypes("number")
    X = frame.fillna(frame.median()).to_numpy(dtype=np.float64)
    y = found.target.to_numpy()
    kinds = np.unique(y.astype(str)) if y.dtype.kind not in "fi" else np.unique(y)
    classes = found.target.dtype.kind not in "fi" or len(kinds) == 2
    if classes:
        y = y.astype(str)
        keep = np.isin(y, np.unique(y)[:2])
        X, y = X[keep], y[keep]
    else:
        y = (y - y.mean()) / y.std()
    return drawn(X, y, rows, classes)


def unreachable(name: str) -> str:
    """Return why a table of OpenML cannot be had, empty if it can."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a retry
            openml(name)
    except Exception as error:  # whatever keeps it away, the sweep goes on without it
        return f"OpenML's {name} cannot be fetched: {type(error).__name__}: {error}"
    return ""
