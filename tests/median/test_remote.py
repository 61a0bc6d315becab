"""Points far from all others, against sums in 250 digits: they pull, and hide nothing."""

from __future__ import annotations

from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.median.forms import Location, Sight
from convexnn.median.remote import REMOTE, SAMPLE, middle_of

getcontext().prec = 250
FAR = (1e3, 1e6, 1e14, 1e30, 1e100)
ROUNDED = 1e-12  # of sums without what all pay


def spoiled(n: int, d: int, remote: int, far: float, seed: int = 0, shift: float = 0.0) -> Array:
    """Return a cloud with so many points far off, two of them in one direction."""
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, d)) + shift
    B[:remote] = far * rng.standard_normal((remote, d))
    B[1 % remote] = B[0] * 0.5
    return rng.permutation(B)


def exactly(rows: Any) -> list[list[Decimal]]:
    return [[Decimal(float(v)) for v in row] for row in np.atleast_2d(rows)]


def length(v: list[Decimal]) -> Decimal:
    return sum((x * x for x in v), Decimal(0)).sqrt()


class Exact:
    """A sum of distances and its least value, in 250 digits."""

    def __init__(self, problem: Any) -> None:
        self.B = exactly(problem.points)
        w = np.ones(len(self.B)) if problem.weights is None else problem.weights
        self.w = [Decimal(float(v)) for v in w]

    def value(self, x: list[Decimal]) -> Decimal:
        away = [[b - c for b, c in zip(row, x, strict=True)] for row in self.B]
        return sum((w * length(v) for w, v in zip(self.w, away, strict=True)), Decimal(0))

    def least(self, start: Array) -> Decimal:
        """Return the least value found from a point: by data points, then by Newton's method."""
        x = exactly(start)[0]
        best = min([self.value(x), *map(self.value, self.B)])
        for _ in range(12):
            pull, H = [Decimal(0)] * len(x), np.zeros((len(x), len(x)))
            for w, row in zip(self.w, self.B, strict=True):
                away = [b - c for b, c in zip(row, x, strict=True)]
                r = length(away)
                if r == 0 or w == 0:
                    continue
                pull = [p + w * v / r for p, v in zip(pull, away, strict=True)]
                u = np.array([float(v / r) for v in away])
                H += float(w / r) * (np.eye(len(x)) - np.outer(u, u))
            step = np.linalg.lstsq(H, np.array([float(p) for p in pull]), rcond=None)[0]
            x = [c + Decimal(float(s)) for c, s in zip(x, step, strict=True)]
            best = min(best, self.value(x))
        return best


def holds(problem: Any, solution: cx.Solution[Any], tol: float) -> float:
    """Assert that a certificate is true, and return how far the point is from the least value."""
    exact = Exact(problem)
    point = exactly(solution.model.point)[0]
    excess = exact.value(point) - exact.least(solution.model.point)
    assert solution.certificate.net is not None
    objective, bound = solution.certificate.net
    scale = Decimal(max(1.0, objective))
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    assert excess <= (Decimal(objective) - Decimal(bound)) + Decimal(ROUNDED) * scale
    assert excess <= Decimal(tol) * scale * 2
    assert solution.bound <= solution.objective == pytest.approx(float(exact.value(point)))
    return float(excess)


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize(("n", "d", "remote"), [(9, 1, 4), (12, 5, 1), (21, 2, 8), (7, 60, 2)])
def test_remote_points_do_not_decide_what_the_tolerance_means(
    n: int, d: int, remote: int, far: float
) -> None:
    problem = cx.GeometricMedian(spoiled(n, d, remote, far))
    solution = cx.solve(problem, tol=1e-9)
    if solution.certificate.net is None:  # not remote enough beside many dimensions
        assert far <= 1e3
        return
    holds(problem, solution, 1e-9)
    assert solution.certificate.net[0] <= n * (REMOTE + 1.0) * 4.0 * d**0.5


@pytest.mark.parametrize("far", FAR[1:])
def test_every_point_proves_a_bound_that_is_true(far: float) -> None:
    problem = cx.GeometricMedian(spoiled(11, 3, 4, far), weights=1.0 + np.arange(11.0) % 3)
    best = cx.solve(problem, tol=1e-12)
    holds(problem, best, 1e-12)
    assert best.certificate.net is not None
    least = best.certificate.net[0]
    rng = np.random.default_rng(1)
    form = problem._form
    tried = [*form.points, *(10.0**k * rng.standard_normal(3) for k in range(-9, 12))]
    for at in tried:
        certificate = problem.certify(Location(at), Sight(at))
        assert certificate.net is not None
        objective, bound = certificate.net
        assert 0.0 <= bound <= least * (1.0 + ROUNDED)
        assert objective >= best.certificate.net[1] * (1.0 - ROUNDED)


def test_weight_decides_where_the_others_are_not_the_count() -> None:
    B = spoiled(9, 2, 6, 1e14)
    honest = np.abs(B).max(axis=1) < 1e6
    problem = cx.GeometricMedian(B, weights=np.where(honest, 10.0, 1.0))
    holds(problem, cx.solve(problem, tol=1e-9), 1e-9)


def test_remote_points_on_the_line_of_the_others() -> None:
    t = np.array([0.0, 1.0, 2.0, 3.5, 7.0, 1e14, -1e20])
    problem = cx.GeometricMedian(np.outer(t, [3.0, 4.0]))
    solution = cx.solve(problem, tol=1e-9)
    np.testing.assert_allclose(solution.model.point, [6.0, 8.0], rtol=1e-12)
    assert 0.0 <= solution.gap <= 1e-13
    value = Exact(problem).value(exactly(solution.model.point)[0])
    assert Decimal(solution.bound) <= value


@pytest.mark.parametrize("backend", ["newton", "cvxpy:clarabel"])
def test_engines_agree_and_answers_are_kept(backend: str, tmp_path: Any) -> None:
    problem = cx.GeometricMedian(spoiled(15, 3, 3, 1e14, shift=1e3))
    solution = cx.solve(problem, backend, tol=1e-5)
    holds(problem, solution, 1e-5)
    solution.save(tmp_path / "s.npz")
    assert cx.load(tmp_path / "s.npz").certificate == solution.certificate
    assert cx.compare(problem, ["newton", "cvxpy:clarabel"], tol=1e-5).agree(1e-5)


@pytest.mark.parametrize("engine", ["admm", "pg-extra", "homotopy", "extra"])
@pytest.mark.parametrize("far", FAR[1:4])
def test_agents_with_remote_points(engine: str, far: float) -> None:
    ring = [(i, (i + 1) % 12) for i in range(12)] + [(0, 6), (3, 9)]
    problem = cx.DistributedMedian(spoiled(12, 2, 3, far), ring)
    solution = cx.solve(problem, engine, tol=1e-5)
    holds(problem, solution, 1e-5)


@pytest.mark.parametrize("far", FAR)
@pytest.mark.parametrize("kind", ["equal", "alone"])
def test_aggregate_of_honest_clients(far: float, kind: str) -> None:
    B = spoiled(12, 5, 1 if kind == "alone" else 4, far)
    honest = B[np.abs(B).max(axis=1) < 50.0]
    merged = cx.aggregate(B)
    spread = np.linalg.norm(honest - honest.mean(axis=0), axis=1).mean()
    assert np.linalg.norm(merged - honest.mean(axis=0)) <= 2.0 * spread
    exact = Exact(cx.GeometricMedian(B))
    excess = exact.value(exactly(merged)[0]) - exact.least(merged)
    assert excess <= Decimal("1e-8") * Decimal(12 * 101 * spread)


def test_many_points_are_asked_where_a_sample_does_not_tell() -> None:
    rng = np.random.default_rng(0)
    B = rng.standard_normal((4 * SAMPLE, 2))
    B[::4] = 1e14  # a sample of every fourth would be these alone
    found = middle_of(B, np.ones(1), float(B.min()), float(B.max()))
    assert found.remote is not None
    assert found.remote.sum() == SAMPLE
    assert found.unit < 3.0


def test_ordinary_points_have_no_tail() -> None:
    B = np.random.default_rng(0).standard_normal((300, 4))
    solution = cx.solve(cx.GeometricMedian(B))
    assert solution.certificate.net is None
    assert solution.gap == (solution.objective - solution.bound) / solution.objective
