"""More columns than samples: systems of the size of the samples, in the memory of the data."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.solvers.scaling import Scaling
from convexnn.solvers.wasserstein import interior
from convexnn.solvers.wasserstein.layouts import linear
from convexnn.solvers.wasserstein.ridge import Ridge
from convexnn.solvers.wasserstein.systems import Dense, System
from convexnn.solvers.wasserstein.wide import Wide, system
from convexnn.wasserstein.bound import _Pulls
from convexnn.wasserstein.forms import WassersteinForm

KINDS: dict[str, dict[str, Any]] = {
    "squared 2": {"loss": "squared"},
    "squared inf": {"loss": "squared", "order": np.inf},
    "absolute": {"loss": "absolute"},
    "huber": {"loss": "huber", "target_cost": 2.0},
    "logistic": {"loss": "logistic"},
    "logistic inf": {"loss": "logistic", "order": np.inf},
    "hinge": {"loss": "hinge"},
    "hinge 2": {"loss": "hinge", "order": 2},
    "logistic flips": {"loss": "logistic", "flip_cost": 1.0},
    "hinge flips": {"loss": "hinge", "flip_cost": 1.0},
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_norm = pytest.mark.parametrize("norm", ["l1", "linf"])


def declared(kind: str, norm: str, n: int = 12, d: int = 40, **more: Any) -> Any:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    y = X[:, 0] - X[:, 1] + 0.5 * rng.standard_normal(n) + 0.3
    options: dict[str, Any] = {"radius": 0.1, "norm": norm} | KINDS[kind] | more
    if options["loss"] in ("logistic", "hinge"):
        return cx.WassersteinClassification(X, np.where(y > 0.0, 1, -1), **options)
    return cx.WassersteinRegression(X, y, **options)


@pytest.fixture
def always_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convexnn.solvers.wasserstein.wide.CALLS", -np.inf)


def solved(
    kind: type[System], core: interior.PiecewiseInterior, right: Array, slope: Array
) -> Array:
    """Return the solution of the system of the next step."""
    n = len(core.share)
    D, rho, out = np.empty((4, n)), np.empty((2, n)), np.zeros((8, n))
    core._curve(0.0, out, D, rho)
    made = kind(core.program, core.share)
    scalings = [Scaling(a, b) for a, b in zip(core.heads, core.duals, strict=True)]
    made.factor(D, core.y / core.slack, scalings)
    return made.solve(right, slope)


@each_norm
@each_kind
@pytest.mark.usefixtures("always_wide")
def test_both_systems_have_the_same_solutions(kind: str, norm: str) -> None:
    weights = np.linspace(0.5, 1.5, 12)
    problem = declared(kind, norm, intercept=kind != "hinge", weights=weights)
    core = interior.PiecewiseInterior(linear(problem.canonical(WassersteinForm)).program)
    rng = np.random.default_rng(1)
    for _ in range(2 if "flips" in kind else 5):  # then all of b is loose
        core.step()
        given = rng.standard_normal(len(core.w)), rng.standard_normal(len(core.share))
        ours, plain = (solved(kind, core, *given) for kind in (Wide, Dense))
        assert ours == pytest.approx(plain, rel=1e-6, abs=1e-7 * np.abs(plain).max())


@each_norm
@each_kind
@pytest.mark.usefixtures("always_wide")
def test_the_wide_system_leads_to_a_tight_certificate(kind: str, norm: str) -> None:
    assert cx.solve(declared(kind, norm), "newton", tol=1e-9).status is cx.Status.OPTIMAL


@each_norm
def test_memory_is_that_of_the_data(norm: str) -> None:
    problem = declared("absolute", norm, n=10, d=20_000, radius=0.5)
    cx.solve(declared("absolute", norm), "newton")  # what is imported and compiled once
    tracemalloc.start()
    solution = cx.solve(problem, "newton", tol=1e-4)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert solution.status is cx.Status.OPTIMAL
    assert peak <= 15.0 * problem.X.nbytes


def test_the_system_of_fewer_operations_is_taken() -> None:
    def taken(n: int, d: int) -> type:
        form = declared("absolute", "linf", n, d).canonical(WassersteinForm)
        program = linear(form).program
        return type(system(program, np.full(n, 1.0 / n)))

    assert taken(20, 2_000) is Wide
    assert taken(2_000, 20) is Dense
    assert taken(5, 10) is Dense  # where calls are all that matters


@pytest.mark.parametrize("kind", ["absolute", "hinge flips"])
@each_norm
def test_splitting_agrees_with_newton(kind: str, norm: str) -> None:
    ours = cx.solve(declared(kind, norm), "admm", tol=1e-4)
    assert ours.status is cx.Status.OPTIMAL
    exact = cx.solve(declared(kind, norm), "newton", tol=1e-8)
    assert exact.objective <= ours.objective <= exact.objective + 1.1e-4


@pytest.mark.parametrize("shape", [(4, 9), (9, 4)])
@pytest.mark.parametrize("free", [0, 1])
def test_a_ridge_system_is_solved_either_way(shape: tuple[int, int], free: int) -> None:
    X = np.random.default_rng(0).standard_normal(shape)
    d = shape[1] - free
    ridge, right = Ridge(X, d), np.linspace(-1.0, 1.0, shape[1])
    ridge.factor(2.0, 0.5)
    w = ridge.solve(right)
    held = np.where(np.arange(shape[1]) < d, 0.5, 0.0)
    assert 2.0 * X.T @ (X @ w) + held * w == pytest.approx(right, abs=1e-9)


def test_slopes_of_few_samples_are_moved_exactly() -> None:
    rng = np.random.default_rng(0)
    X, give = rng.standard_normal((5, 8)), np.array([0.2, 0.0, 1.0, 0.5, 0.3])
    change = rng.standard_normal(4) @ X[give > 0.0]
    pulls = _Pulls(X, give, give / 5.0)
    assert pulls.factor[0].shape == (5, 5)
    step = pulls.step(change)
    assert step[1] == 0.0
    assert step @ X / 5.0 == pytest.approx(change, abs=1e-9)
    spent = np.sum(step[give > 0.0] ** 2 / give[give > 0.0]) / 5.0
    assert pulls.cost(change) @ change == pytest.approx(spent, rel=0.05)
