"""From the name of a data set or of a file to its columns."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import partial
from lzma import LZMAError
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np

from convexnn.contract.checks import ProblemError
from convexnn.contract.system.optional import need
from convexnn.contract.words import few
from convexnn.datasets.arff import read_arff
from convexnn.datasets.cells import settled
from convexnn.datasets.raw import Raw
from convexnn.datasets.reading import Reading
from convexnn.datasets.text import PACKED, read_text, unique

NAMES = ("breast_cancer", "diabetes", "digits", "iris", "wine")
TEXT = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")
ENDINGS = (*TEXT, ".arff", ".parquet", ".npz", ".npy")
SHEETS = (".xls", ".xlsx", ".ods")
UNREADABLE = (
    *(ValueError, OSError, KeyError, EOFError, TypeError, RuntimeError),
    *(BadZipFile, zlib.error, LZMAError),
)
WRITTEN = ("separator", "decimal", "header", "missing")  # what is said of delimited text


def read(source: str, reading: Reading) -> tuple[str, Raw]:
    """Read a data set by scikit-learn's name (extra: data), or a file; return its name as well.

    Raises
    ------
    ProblemError
        If the source does not exist or cannot be read.
    """
    if source in NAMES:
        reading.refuse(*WRITTEN, why=f"goes with delimited text, not with {source}")
        return source, bundled(source)
    path = Path(source)
    packed = path.suffix.lower() in (*PACKED, ".zip")
    plain = path.with_suffix("") if packed else path
    suffix = plain.suffix.lower()
    if suffix in SHEETS:
        raise ProblemError(f"data file {source} is a spreadsheet: save the sheet as .csv")
    if suffix not in ENDINGS or (packed and suffix not in (*TEXT, ".arff")):
        raise ProblemError(
            f"data must be one of {', '.join(NAMES)}, or a file {', '.join(ENDINGS)}, "
            f"text also packed as .gz, .bz2, .xz or .zip; got {source!r}"
        )
    if not path.is_file():
        raise ProblemError(f"data file {source} does not exist")
    if suffix not in TEXT:
        kept = ("decimal", "missing") if suffix == ".arff" else ()
        others = [name for name in WRITTEN if name not in kept]
        reading.refuse(*others, why=f"goes with delimited text, not with {suffix} files")
    try:
        raw = READERS.get(suffix, read_text)(path, reading)
    except ProblemError:
        raise
    except UNREADABLE as error:
        raise ProblemError(f"data file {source} cannot be read: {error}") from None
    if suffix in TEXT:
        return plain.stem, raw
    for axis, what in enumerate(("row", "column")):
        if not raw.frame.shape[axis]:
            raise ProblemError(f"{source} has no {what}")
    frame = need("pandas", "data").DataFrame({k: settled(raw.frame[k]) for k in raw.frame})
    return plain.stem, raw._replace(frame=frame, target=settled(raw.target))


def bundled(name: str) -> Raw:
    """Return a data set that comes with scikit-learn."""
    pd = need("pandas", "data")
    bunch = getattr(need("sklearn.datasets", "data"), f"load_{name}")()
    names = [str(entry) for entry in bunch.feature_names]
    frame = pd.DataFrame(np.asarray(bunch.data, np.float64), columns=names)
    return Raw(frame, pd.Series(bunch.target, name="target"))


def read_parquet(path: Path, reading: Reading) -> Raw:
    """Read a Parquet file (extra: bench); an index that it keeps is no column."""
    need("pyarrow", "bench")
    frame = need("pandas", "data").read_parquet(path)
    named = frame.index.name is not None
    notes = (f"left out the index {frame.index.name!r}",) if named else ()
    return Raw(renamed(frame).reset_index(drop=True), None, notes)


def read_npz(path: Path, reading: Reading) -> Raw:
    """Read the arrays X, y and feature_names of a .npz file; y and names may be left out."""
    pd = need("pandas", "data")
    if not is_zipfile(path):
        raise ValueError("it is no archive of arrays, or not a whole one")
    with np.load(path, allow_pickle=False) as file:
        if "X" not in file.files:
            raise ValueError(f"it has no array 'X', its arrays are {few(file.files)}")
        arrays = {
            name: loaded(name, partial(file.__getitem__, name))
            for name in ("X", "y", "feature_names")
            if name in file.files
        }
    X, y, names = matrix("X", arrays["X"]), arrays.get("y"), arrays.get("feature_names")
    notes: list[str] = []
    frame = pd.DataFrame(X)
    if names is not None and names.shape == X.shape[1:]:
        frame.columns = unique([str(name) for name in names], notes)
    if y is None:
        return Raw(renamed(frame), None, tuple(notes))
    if y.shape not in ((len(X),), (len(X), 1)):
        raise ValueError(f"it must hold X (n, d) and y (n,), got {X.shape} and {y.shape}")
    return Raw(renamed(frame), pd.Series(y.ravel(), name="y"), tuple(notes))


def read_npy(path: Path, reading: Reading) -> Raw:
    """Read the rows of a .npy file."""
    array = loaded("it", partial(np.load, path, allow_pickle=False))
    return Raw(renamed(need("pandas", "data").DataFrame(matrix("it", array))))


def renamed(frame: Any) -> Any:
    """Return a frame whose columns are named by text."""
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def loaded(name: str, load: Callable[[], Any]) -> Any:
    """Load an array of real numbers or of text."""
    try:
        array = load()
    except ValueError:
        raise ValueError(
            f"{name} must be an array of numbers or text and not of Python objects: save it as "
            "X.astype(float) or y.astype(str)"
        ) from None
    if array.dtype.kind == "c":
        raise ValueError(f"{name} has complex entries")
    return array


def matrix(name: str, array: Any) -> Any:
    """Return an array of rows and columns, or one whose fields are its columns."""
    if array.ndim != 2 and not (array.ndim == 1 and array.dtype.names):
        raise ValueError(f"{name} must hold one row an example, got shape {array.shape}")
    return array


READERS: dict[str, Callable[[Path, Reading], Raw]] = {
    ".arff": read_arff,
    ".parquet": read_parquet,
    ".npz": read_npz,
    ".npy": read_npy,
}
