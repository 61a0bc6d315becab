"""Factors by panels are those at once, and are left when time is up."""

from __future__ import annotations

import numpy as np
import pytest
from clocks import Ticking
from scipy.linalg import cho_factor, cho_solve

from convexnn.contract.clock import Clock, OutOfTime, timed_by
from convexnn.solvers import cholesky
from convexnn.solvers.cholesky import factored


@pytest.mark.parametrize("n", [1, 7, 30, 32])
@pytest.mark.parametrize("order", ["C", "F"])
def test_panels_give_the_factor(n: int, order: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cholesky, "WHOLE", 0)
    monkeypatch.setattr(cholesky, "PANEL", 7)
    A = np.random.default_rng(n).standard_normal((n, n))
    matrix = A @ A.T + np.eye(n)
    with timed_by(Clock(60.0)):
        factor = factored(np.array(matrix, order="C" if order == "C" else "F"))
    assert np.allclose(np.tril(factor[0]), np.tril(cho_factor(matrix, lower=True)[0]), atol=1e-12)
    assert np.allclose(matrix @ cho_solve(factor, A[0]), A[0])
    with timed_by(Clock(60.0)), pytest.raises(np.linalg.LinAlgError):
        factored(-np.asfortranarray(matrix))


def test_a_large_factor_is_left_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cholesky, "WHOLE", 0)
    monkeypatch.setattr(cholesky, "PANEL", 1)
    with timed_by(Clock(5.0, Ticking())), pytest.raises(OutOfTime):
        factored(np.eye(30, order="F"))
