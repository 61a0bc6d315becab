"""Sparse matrices whose parts do not fit together are named, and nothing reads where they point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import sparse

import convexnn as cx
from convexnn.contract.sparse import real_matrix
from convexnn.terms import SquaredDistance

M, N = 3, 4
FORMATS = ("bsr", "coo", "csc", "csr", "dia", "dok", "lil")


def some() -> Any:
    dense = np.zeros((M, N))
    dense[0, 1], dense[2, 3], dense[1, 0] = 1.0, -2.0, 0.5
    return dense


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("make", [sparse.csr_array, sparse.csr_matrix])
def test_every_format_is_read(kind: str, make: Any) -> None:
    given = make(some()).asformat(kind)
    read: Any = real_matrix("A", given)
    assert read.format == "csr"
    assert np.array_equal(read.toarray(), some())
    assert not any(part.flags.writeable for part in (read.data, read.indices, read.indptr))
    assert np.array_equal(given.toarray(), some())


def broken() -> dict[str, Any]:
    def csr(**parts: Any) -> Any:
        made = sparse.csr_array(some())
        for name, value in parts.items():
            setattr(made, name, np.array(value, dtype=getattr(made, name).dtype))
        return made

    csc = sparse.csc_array(some())
    csc.indices = np.array([10**6, 0, 2], dtype=csc.indices.dtype)
    bsr = sparse.bsr_array(sparse.csr_array(some()), blocksize=(1, 2))
    bsr.indices = bsr.indices + 50
    coo = sparse.coo_array(some())
    coo.coords = (np.array([0, 10**9, 1]), coo.coords[1])
    short = sparse.coo_array(some())
    short.coords = (short.coords[0][:-1], short.coords[1])
    lil = sparse.lil_array(some())
    lil.rows[0] = [10**9]
    uneven = sparse.lil_array(some())
    uneven.data[0] = [1.0, 2.0]
    return {
        "beyond": csr(indices=[1, 0, 10**6]),
        "negative": csr(indices=[-5, 0, 3]),
        "falling": csr(indptr=[0, 3, 1, 3]),
        "long": csr(indptr=[0, 1, 2, 10**6]),
        "not from 0": csr(indptr=[1, 1, 2, 3]),
        "few entries": csr(data=[1.0]),
        "few rows": csr(indptr=[0, 3]),
        "columns": csc,
        "blocks": bsr,
        "places": coo,
        "lengths": short,
        "lists": lil,
        "uneven lists": uneven,
    }


@pytest.mark.parametrize("case", broken())
def test_indices_that_leave_the_matrix_are_named(case: str) -> None:
    with pytest.raises(cx.ProblemError, match="A must be a sparse matrix in order"):
        real_matrix("A", broken()[case])


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (sparse.csr_array((M, 0)), "must not be empty"),
        (sparse.csr_array(some() * 1j), "must hold real numbers"),
        (sparse.csr_array(np.where(some() == 0.5, np.nan, some())), "must be finite"),
        (sparse.coo_array(np.ones(3)), "must have 2 axes"),
    ],
)
def test_what_is_no_real_matrix_is_named(given: Any, words: str) -> None:
    with pytest.raises(cx.ProblemError, match=f"A {words}"):
        real_matrix("A", given)


def test_a_file_with_indices_beyond_its_matrix_is_named(tmp_path: Any) -> None:
    terms = [SquaredDistance(np.ones(N))]
    problem = cx.LinearlyConstrained(terms, sparse.csr_array(some()), np.zeros(M))
    path = tmp_path / "s.npz"
    cx.solve(problem, max_iter=1).save(path)
    with np.load(path) as file:
        members = dict(file)
    members["sparse.A.indices"] = members["sparse.A.indices"] + 10**6
    np.savez_compressed(path, **members)
    with pytest.raises(cx.FileError, match="A must be a sparse matrix in order"):
        cx.load(path)
