"""Data for the command line: by scikit-learn's name, or from a .npz or .csv file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, is_zipfile

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError
from convexnn.contract.optional import need

NAMES = ("breast_cancer", "diabetes", "digits", "iris", "wine")


class Split(NamedTuple):
    """Standardised examples, split into two parts.

    Attributes
    ----------
    X, X_test : arrays
        Each column less its training mean, over its training standard deviation.
    y, y_test : arrays
        Labels; real targets are standardised like the columns.
    name : str
    classification : bool
        Whether y holds classes.
    """

    X: Array
    y: Any
    X_test: Array
    y_test: Any
    name: str
    classification: bool


def load_data(
    source: str, *, test_share: float = 0.25, seed: int = 0, several: bool = False
) -> Split:
    """Load, split and standardise a data set.

    Parameters
    ----------
    source : str
        A name from `NAMES` (extra: data), or the path of a ``.npz`` file with arrays X and y, or
        of a ``.csv`` file with a header and the target in the last column.
    test_share : float, default 0.25
    seed : int, default 0
    several : bool, default False
        Keep all classes; else, of a target with more than two, the first two.

    Returns
    -------
    Split

    Raises
    ------
    ProblemError
        If the source does not exist, cannot be read, or its target has neither two values
        nor is real, or is of many classes.

    Examples
    --------
    >>> data = load_data("breast_cancer")
    >>> data.X.shape, data.X_test.shape
    ((427, 30), (142, 30))
    """
    X, y = _read(source)
    kinds = np.unique(y)
    classes = y.dtype.kind not in "fc" and len(kinds) > 2
    if classes and not several:
        keep = np.isin(y, kinds[:2])
        X, y, kinds = X[keep], y[keep], kinds[:2]
    classification = len(kinds) == 2 or (classes and several)
    if len(y) < 4:
        raise ProblemError(f"{source} must have at least 4 examples, got {len(y)}")
    if len(kinds) < 2:
        raise ProblemError(f"the target of {source} must have at least two values")
    order = np.random.default_rng(seed).permutation(len(y))
    cut = round(len(y) * (1.0 - test_share))
    train, test = order[:cut], order[cut:]
    mean, spread = X[train].mean(axis=0), X[train].std(axis=0)
    X = (X - mean) / np.where(spread > 0.0, spread, 1.0)
    if not classification:
        y = y.astype(np.float64)
        y = (y - y[train].mean()) / (y[train].std() or 1.0)
    return Split(X[train], y[train], X[test], y[test], Path(source).stem, classification)


def _read(source: str) -> tuple[Array, Any]:
    path = Path(source)
    if source in NAMES:
        datasets = need("sklearn.datasets", "data")
        bunch = getattr(datasets, f"load_{source}")()
        return np.asarray(bunch.data, dtype=np.float64), np.asarray(bunch.target)
    if path.suffix not in (".npz", ".csv"):
        raise ProblemError(
            f"data must be one of {', '.join(NAMES)}, or a .npz or .csv file, got {source!r}"
        )
    if not path.is_file():
        raise ProblemError(f"data file {source} does not exist")
    try:
        X, y = _read_npz(path) if path.suffix == ".npz" else _read_csv(path)
    except (ValueError, OSError, KeyError, EOFError, TypeError, BadZipFile) as error:
        raise ProblemError(f"data file {source} cannot be read: {error}") from None
    if X.ndim != 2 or y.shape != X.shape[:1]:
        raise ProblemError(
            f"data file {source} must hold X (n, d) and y (n,), got {X.shape} and {y.shape}"
        )
    for name, values in (("X", X), ("y", y)):
        if values.dtype.kind == "c":
            raise ProblemError(f"data file {source} has complex entries in {name}")
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise ProblemError(f"data file {source} has missing or infinite entries in {name}")
    return np.asarray(X, dtype=np.float64), y


def _read_npz(path: Path) -> tuple[Array, Any]:
    if not is_zipfile(path):
        raise ValueError("it is no archive of arrays, or not a whole one")
    with np.load(path, allow_pickle=False) as file:
        missing = [name for name in ("X", "y") if name not in file.files]
        if missing:
            raise ValueError(f"it has no array {missing[0]!r}")
        X = np.asarray(file["X"])
        return X if X.dtype.kind == "c" else X.astype(np.float64), np.asarray(file["y"])


def _read_csv(path: Path) -> tuple[Array, Any]:
    frame = need("pandas", "compare").read_csv(path)
    y = frame.iloc[:, -1].to_numpy()
    if y.dtype.kind == "O":
        y = y.astype(str)
    return frame.iloc[:, :-1].to_numpy(dtype=np.float64), y
