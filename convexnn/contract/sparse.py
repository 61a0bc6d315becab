"""Sparse matrices at the door: nothing reads them before their indices are known to lie inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.arrays import Array, frozen
from convexnn.contract.checks import ProblemError, real_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from scipy.sparse import csr_array, sparray, spmatrix

COMPRESSED = ("csr", "csc", "bsr")


def real_matrix(name: str, value: ArrayLike | sparray | spmatrix) -> Array | csr_array[np.float64]:
    """Return a read-only float64 copy: compressed rows of what is sparse, else a plain array.

    Raises
    ------
    ProblemError
        If the matrix is not real, is empty or not finite, or indices of a sparse one leave it.

    Examples
    --------
    >>> from scipy.sparse import eye_array
    >>> real_matrix("A", eye_array(2)).toarray()
    array([[1., 0.],
           [0., 1.]])
    """
    from scipy.sparse import csr_array, issparse

    sparse: Any = value
    if not issparse(value):
        return real_array(name, sparse, 2)
    if len(sparse.shape) != 2:
        raise ProblemError(f"{name} must have 2 axes, got shape {sparse.shape}")
    if 0 in sparse.shape:
        raise ProblemError(f"{name} must not be empty, got shape {sparse.shape}")
    if sparse.dtype.kind not in "fiub":
        raise ProblemError(f"{name} must hold real numbers, got dtype {sparse.dtype}")
    try:
        matrix = csr_array(_whole(sparse.copy()).tocsr(), dtype=np.float64, copy=True)
        matrix.check_format(full_check=True)
        matrix.sum_duplicates()
    except (ValueError, IndexError, TypeError, AttributeError, OverflowError) as error:
        raise ProblemError(f"{name} must be a sparse matrix in order: {error}") from None
    wrong = matrix.data[~np.isfinite(matrix.data)]
    if len(wrong):
        raise ProblemError(f"{name} must be finite, got {wrong[0]} among its entries")
    for part in (matrix.data, matrix.indices, matrix.indptr):
        frozen(part)
    return matrix


def _whole(sparse: Any) -> Any:
    """Return a sparse matrix whose indices lie inside: what converts it reads where they point.

    Raises
    ------
    ValueError
        If they do not.
    """
    if sparse.format in COMPRESSED:
        sparse.check_format(full_check=True)
        return sparse
    if sparse.format in ("lil", "dok"):  # lists and dictionaries of Python: read one by one
        entries = _entries(sparse)
    else:
        entries = sparse if sparse.format == "coo" else sparse.tocoo()
        entries = (entries.data, *entries.coords)
    data, rows, columns = entries
    for axis, at in enumerate((rows, columns)):
        if len(at) != len(data) or np.asarray(at).dtype.kind not in "iu":
            raise ValueError(f"{len(data)} entries, {len(at)} indices of axis {axis}")
        if len(at) and not (at.min() >= 0 and at.max() < sparse.shape[axis]):
            raise ValueError(f"indices of axis {axis} must lie in 0 .. {sparse.shape[axis] - 1}")
    from scipy.sparse import coo_array

    return coo_array((data, (rows, columns)), shape=sparse.shape)


def _entries(sparse: Any) -> tuple[Array, Any, Any]:
    if sparse.format == "dok":
        found = [(value, *place) for place, value in sparse.items()]
    else:
        rows = zip(sparse.rows, sparse.data, strict=True)
        found = [
            (value, i, j)
            for i, (places, values) in enumerate(rows)
            for j, value in zip(places, values, strict=True)
        ]
    data, rows_, columns = zip(*found, strict=True) if found else ((), (), ())
    return (
        np.array(data, dtype=np.float64),
        np.array(rows_, dtype=np.intp),
        np.array(columns, dtype=np.intp),
    )
