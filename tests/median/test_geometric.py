"""The geometric median, against cones, against the line's own median and against itself."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.median.bound import proof
from convexnn.median.forms import NARROW, Location, Sight, median_form, view

TOL = 1e-9
LEAST = 1e-12  # relative rounding of two sums of the same distances


def cloud(n: int, d: int, seed: int = 0) -> Array:
    """Return a stretched cloud with a fifth of outliers."""
    rng = np.random.default_rng(seed)
    B = rng.standard_normal((n, d)) * np.logspace(0.0, -1.0, d)
    B[: n // 5] = 10.0 + 5.0 * rng.standard_normal((n // 5, d))
    return rng.permutation(B)


def distances(problem: cx.GeometricMedian, x: Array) -> float:
    points = np.asarray(problem.points, dtype=np.float64)
    weights = np.ones(len(points)) if problem.weights is None else np.asarray(problem.weights)
    return float(weights @ np.linalg.norm(points - x, axis=1))


def duplicates() -> cx.GeometricMedian:
    B = cloud(500, 4)
    B[:300] = B[7]
    return cx.GeometricMedian(B)


def some_duplicates() -> cx.GeometricMedian:
    B = cloud(4000, 3)
    B[::5], B[1::5] = B[7], [3.0, -1.0, 0.5]
    return cx.GeometricMedian(B)


def lattice() -> cx.GeometricMedian:
    return cx.GeometricMedian(np.round(cloud(3000, 2, 5)))


def heavy_anchor() -> cx.GeometricMedian:
    weights = np.ones(60)
    weights[11] = 70.0
    return cx.GeometricMedian(cloud(60, 5), weights=weights)


def equal() -> cx.GeometricMedian:
    return cx.GeometricMedian(np.full((40, 3), 0.1))


def cauchy() -> cx.GeometricMedian:
    return cx.GeometricMedian(np.random.default_rng(1).standard_cauchy((3000, 6)))


def offset() -> cx.GeometricMedian:
    return cx.GeometricMedian(cloud(800, 5) + 1e8)


def anchor_far_off() -> cx.GeometricMedian:
    B = cloud(41, 5) + 1e8
    return cx.GeometricMedian(np.concatenate([B, np.tile(B[3], (60, 1))]))


def collinear() -> cx.GeometricMedian:
    t = np.random.default_rng(2).standard_normal(101)
    return cx.GeometricMedian(np.outer(t, [1.0, 2.0, -3.0]) + np.array([5.0, 0.0, 1.0]))


def collinear_even() -> cx.GeometricMedian:
    return cx.GeometricMedian(np.outer(np.arange(10.0), [1.0, 1.0]))


def nearly_collinear() -> cx.GeometricMedian:
    rng = np.random.default_rng(3)
    t = rng.standard_normal(300)
    return cx.GeometricMedian(np.outer(t, [1.0, 2.0]) + 1e-6 * rng.standard_normal((300, 2)))


def line_of_weights() -> cx.GeometricMedian:
    rng = np.random.default_rng(4)
    return cx.GeometricMedian(rng.standard_normal((200, 1)), weights=rng.random(200))


def even_steps() -> cx.GeometricMedian:
    return cx.GeometricMedian(np.full((400, 3), 0.1) + np.arange(400)[:, None] * [0.0, 0.0, 1.0])


def weighted() -> cx.GeometricMedian:
    weights = np.random.default_rng(5).exponential(size=700)
    weights[::3] = 0.0
    return cx.GeometricMedian(cloud(700, 8), weights=weights)


def wide() -> cx.GeometricMedian:
    return cx.GeometricMedian(np.random.default_rng(6).standard_normal((20, 3000)))


def wide_anchor() -> cx.GeometricMedian:
    B = np.random.default_rng(7).standard_normal((20, 500))
    B[:12] = B[0]
    return cx.GeometricMedian(B)


def wider_than_the_sample() -> cx.GeometricMedian:
    return cx.GeometricMedian(cloud(900, 600))


def tiny() -> cx.GeometricMedian:
    return cx.GeometricMedian(1e-120 * cloud(100, 3))


def huge() -> cx.GeometricMedian:
    return cx.GeometricMedian(1e120 * cloud(100, 3))


HARD: list[Callable[[], cx.GeometricMedian]] = [
    *(duplicates, some_duplicates, lattice, heavy_anchor, equal, cauchy, offset, anchor_far_off),
    *(collinear, collinear_even, nearly_collinear, line_of_weights, even_steps, weighted, wide),
    *(wide_anchor, wider_than_the_sample, tiny, huge),
    lambda: cx.GeometricMedian([[3.0, 4.0]]),
    lambda: cx.GeometricMedian([[0.0, 0.0], [3.0, 4.0]]),
    lambda: cx.GeometricMedian([[0.0, 0.0], [1.0, 0.0], [0.2, 0.1]]),
    lambda: cx.GeometricMedian(cloud(1000, 40).astype(np.float32)),
    lambda: cx.GeometricMedian(cloud(1000, 4).astype(np.float32)),
]
NAMES = [
    *(build.__name__ for build in HARD[:-5]),
    *("one", "two", "three", "float32", "float32_narrow"),
]
FINEST = {nearly_collinear: 1e-8}  # where rounding of the objective leaves no more
hard = pytest.mark.parametrize("build", HARD, ids=NAMES)


@hard
@pytest.mark.parametrize("tol", [1e-6, 1e-10])
def test_hard_input_is_solved_with_proof(
    build: Callable[[], cx.GeometricMedian], tol: float
) -> None:
    problem, tol = build(), max(tol, FINEST.get(build, 0.0))
    solution = cx.solve(problem, tol=tol)
    assert solution.backend == "newton"
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    assert -1e-13 <= solution.gap <= tol
    assert solution.bound <= solution.objective
    exact = distances(problem, solution.model.point)
    assert solution.model.value == solution.objective == pytest.approx(exact, rel=1e-12)
    assert solution.history[-1].iteration <= 60
    again = cx.solve(problem, tol=tol, start=solution)
    assert again.status is cx.Status.OPTIMAL


@hard
def test_interior_point_agrees(build: Callable[[], cx.GeometricMedian]) -> None:
    problem = build()
    if problem.points.size > 10_000 or build in (tiny, huge, cauchy):
        pytest.skip("too much for cones")
    ours = cx.solve(problem, tol=TOL)
    theirs = cx.solve(problem, "cvxpy:clarabel", tol=1e-6)
    assert theirs.status is cx.Status.OPTIMAL, repr(theirs)
    room = (max(theirs.gap, 0.0) + TOL) * max(1.0, ours.objective)
    assert abs(ours.objective - theirs.objective) <= room
    assert theirs.bound <= ours.objective * (1.0 + LEAST)


def exact_value(problem: cx.GeometricMedian, point: Any) -> Decimal:
    """Return the sum of distances to 60 digits."""
    with localcontext(prec=60):
        n = len(problem.points)
        weights = np.ones(n) if problem.weights is None else problem.weights
        x, total = [Decimal(float(c)) for c in point], Decimal(0)
        for w, row in zip(weights, problem.points, strict=True):
            away = [Decimal(float(b)) - c for b, c in zip(row, x, strict=True)]
            total += Decimal(float(w)) * sum((a * a for a in away), Decimal(0)).sqrt()
        return total


@pytest.mark.parametrize(
    "build", [duplicates, heavy_anchor, equal, anchor_far_off, collinear, wide_anchor]
)
def test_gap_is_rounding_at_an_optimal_data_point(build: Callable[[], cx.GeometricMedian]) -> None:
    problem = build()
    form = problem.canonical(type(median_form(np.eye(2), np.ones(1), np.zeros(2))))
    solution = cx.solve(problem, tol=1e-12)
    at = form.row(int(np.argmin(np.linalg.norm(form.points - solution.primal.offset, axis=1))))
    certificate = problem.certify(Location(at), Sight(at))
    assert 0.0 <= certificate.objective - certificate.bound <= 1e-12 * certificate.objective
    assert certificate.objective <= solution.objective
    assert Decimal(certificate.bound) <= exact_value(problem, solution.model.point)
    assert solution.model.point.tolist() in np.asarray(problem.points).tolist()


def test_dual_point_near_the_anchor_proves_as_much_as_the_anchor() -> None:
    problem = heavy_anchor()
    best = cx.solve(problem, tol=1e-12)
    for size in (1e-12, 1e-9, 1e-6):
        near = best.primal.offset + size * np.ones(5)
        bound = problem.certify(best.primal, Sight(near)).bound
        assert abs(best.objective - bound) <= 200.0 * size + 1e-12 * best.objective


@pytest.mark.parametrize("seed", range(12))
def test_one_dimension_against_every_point(seed: int) -> None:
    rng = np.random.default_rng(seed)
    t = np.round(rng.standard_normal(rng.integers(1, 30)), int(rng.integers(0, 3)))
    weights = rng.integers(1, 4, len(t)).astype(float) if seed % 2 else None
    problem = cx.GeometricMedian(t[:, None], weights=weights)
    solution = cx.solve(problem, tol=1e-12)
    w = [Fraction(1)] * len(t) if weights is None else [Fraction(u) for u in weights]
    b = [Fraction(at) for at in t]
    least = min(sum(u * abs(c - at) for u, c in zip(w, b, strict=True)) for at in b)
    assert solution.objective == pytest.approx(float(least), rel=1e-14)
    assert Fraction(solution.bound) <= least
    assert solution.bound >= float(least) * (1.0 - 1e-13)


@settings(max_examples=200)
@given(seed=st.integers(0, 10**6), offset=st.sampled_from([0.0, 1.0, 1e4, 1e8, 1e12]))
def test_no_bound_is_above_the_optimum_by_any_bit(seed: int, offset: float) -> None:
    """On a line, in fractions: at each data point, between them, and beside remote ones."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 40))
    t = (rng.standard_normal(n) + offset) * 10.0 ** rng.integers(-9, 9)
    t[rng.random(n) < 0.1] *= 10.0 ** rng.integers(2, 16)
    weights = 10.0 ** rng.uniform(-3.0, 3.0, n) if seed % 2 else None
    problem = cx.GeometricMedian(t[:, None], weights=weights)
    w = [Fraction(1)] * n if weights is None else [Fraction(u) for u in weights]
    b = [Fraction(at) for at in t]
    least = min(sum(u * abs(c - at) for u, c in zip(w, b, strict=True)) for at in b)
    form = problem._form
    tried = [*form.points, form.mean, form.points[0] * (1.0 + 1e-15), 0.5 * form.mean]
    for at in tried:
        certificate = problem.certify(Location(form.mean), Sight(np.asarray(at)))
        assert Fraction(certificate.bound) <= least


finite = st.floats(-1e3, 1e3, allow_nan=False)
anything = st.floats(allow_nan=True, allow_infinity=True)


@given(
    rows=st.lists(st.tuples(finite, finite), min_size=1, max_size=7),
    weights=st.lists(st.floats(0.01, 100.0), min_size=7, max_size=7),
    guess=st.tuples(finite | anything, finite | anything),
    shift=st.sampled_from([0.0, 1e8]),
)
@settings(max_examples=150)
def test_any_point_proves_a_lower_bound(
    rows: list[tuple[float, float]],
    weights: list[float],
    guess: tuple[float, float],
    shift: float,
) -> None:
    problem = cx.GeometricMedian(np.array(rows) + shift, weights=weights[: len(rows)])
    best = cx.solve(problem, tol=1e-9)
    room = 1e-12 * best.objective + 1e-140  # squares of shorter distances underflow
    for at in [np.array(guess), *(np.array(row) for row in rows)]:
        certificate = problem.certify(best.primal, Sight(at))
        assert 0.0 <= certificate.bound <= best.objective + room
        assert not certificate.objective < best.bound - room
        own = problem.certify(Location(at), Sight(at))
        assert not own.objective < best.bound - room


@pytest.mark.parametrize("d", [1, 3, NARROW, NARROW + 1, 70])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("equal_weights", [True, False])
def test_pass_over_the_data_against_plain_arrays(d: int, kind: Any, equal_weights: bool) -> None:
    rng = np.random.default_rng(d)
    B = rng.standard_normal((5003, d)).astype(kind)
    B[17] = B[4000]
    weights = np.full(1, 2.0) if equal_weights else rng.exponential(size=5003)
    if not equal_weights:
        weights[17] = weights[4000]
    form = median_form(B, weights, np.zeros(d))
    w = np.broadcast_to(weights, 5003)
    np.testing.assert_allclose(form.mean, np.average(B.astype(np.float64), axis=0, weights=w))
    for x in (rng.standard_normal(d), B[17].astype(np.float64), B[17] + 1e-7):
        seen = view(form, x)
        Y = B.astype(np.float64) - x
        r = np.linalg.norm(Y, axis=1)
        group = r <= r.min() * (1.0 + 1e-9)
        inverse = np.divide(w, r, out=np.zeros(5003), where=r > 0.0)
        assert seen.value == pytest.approx(float(w @ r), rel=1e-12)
        assert seen.slack == pytest.approx(float(inverse.sum()), rel=1e-9)
        assert group[seen.nearest]
        assert seen.distance == pytest.approx(r.min(), rel=1e-9)
        assert seen.weight == pytest.approx(float(w[group].sum()), rel=1e-12)
        np.testing.assert_allclose(seen.pull, inverse @ Y, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(seen.lean, (w[group] @ Y[group]), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(seen.own, inverse[group] @ Y[group], rtol=1e-9, atol=1e-12)
        assert proof(form, x, seen) <= float(w @ r)


def test_bound_is_the_dual_value_of_the_repaired_directions() -> None:
    problem = cx.GeometricMedian(cloud(50, 4))
    B = np.asarray(problem.points)
    x = B.mean(axis=0)
    Z = (B - x) / np.linalg.norm(B - x, axis=1)[:, None]
    excess = Z.sum(axis=0)
    repaired = (Z - excess / 50) / (1.0 + np.linalg.norm(excess) / 50)
    assert np.linalg.norm(repaired.sum(axis=0)) <= 1e-12
    assert np.linalg.norm(repaired, axis=1).max() <= 1.0
    bound = problem.certify(Location(x), Sight(x)).bound
    assert bound >= float(np.sum(repaired * B)) * (1.0 - 1e-12)
    assert bound <= cx.solve(problem, tol=TOL).objective


COLD = """
import numpy as np
import convexnn as cx
from convexnn.median import bound, forms
points = np.random.default_rng(0).standard_normal({shape}).astype({kind!r})
ready = cx.compile(cx.GeometricMedian(points, weights={weights}))
kernels = (forms._columns, forms._rows, bound._proof)
before = [len(kernel.signatures) for kernel in kernels]
ready.run(tol=1e-9)
assert [len(kernel.signatures) for kernel in kernels] == before, before
"""


@pytest.mark.parametrize(
    ("shape", "kind", "weights"),
    [
        ((300, 3), "float64", None),
        ((2000, 3), "float32", "np.arange(2000.0)"),
        ((1500, 40), "float64", None),
        ((20, 90), "float32", None),
    ],
)
def test_compiling_leaves_no_kernel_to_the_run(shape: Any, kind: str, weights: str | None) -> None:
    code = COLD.format(shape=shape, kind=kind, weights=weights)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_points_of_weight_zero_do_not_count() -> None:
    problem = weighted()
    counts = np.asarray(problem.weights) > 0.0
    fewer = cx.GeometricMedian(problem.points[counts], weights=np.asarray(problem.weights)[counts])
    a, b = cx.solve(problem, tol=TOL), cx.solve(fewer, tol=TOL)
    assert a.objective == b.objective
    lone = cx.GeometricMedian([[1.0, 2.0], [3.0, 4.0]], weights=[0.0, 5.0])
    assert cx.solve(lone).model.point.tolist() == [3.0, 4.0]


def test_weights_are_repetitions() -> None:
    B = cloud(40, 3)
    counts = np.random.default_rng(0).integers(1, 5, 40)
    a = cx.solve(cx.GeometricMedian(B, weights=counts), tol=TOL)
    b = cx.solve(cx.GeometricMedian(np.repeat(B, counts, axis=0)), tol=TOL)
    np.testing.assert_allclose(a.model.point, b.model.point, rtol=1e-6, atol=1e-6)
    assert a.objective == pytest.approx(b.objective, rel=1e-8)


def test_minority_cannot_drag_the_median_away() -> None:
    B = np.random.default_rng(0).standard_normal((101, 4))
    B[:50] = 1e9
    assert np.linalg.norm(cx.solve(cx.GeometricMedian(B)).model.point) < 30.0


def test_shift_turn_and_scale_go_with_the_median() -> None:
    B = cloud(300, 6)
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))
    x = cx.solve(cx.GeometricMedian(B), tol=1e-11).model.point
    y = cx.solve(cx.GeometricMedian(3.0 * B @ turn + 5.0), tol=1e-11).model.point
    np.testing.assert_allclose(y, 3.0 * x @ turn + 5.0, atol=1e-6)


def test_lists_of_arrays_are_one_point_each() -> None:
    rng = np.random.default_rng(0)
    updates = [[rng.standard_normal((3, 4)), rng.standard_normal(2)] for _ in range(9)]
    problem = cx.GeometricMedian(updates)
    assert problem.shapes == ((3, 4), (2,))
    model = cx.solve(problem).model
    assert model.arrays is not None
    assert [a.shape for a in model.arrays] == [(3, 4), (2,)]
    np.testing.assert_array_equal(np.concatenate([a.ravel() for a in model.arrays]), model.point)
    flat = np.array([np.concatenate([A.ravel(), b]) for A, b in updates])
    np.testing.assert_array_equal(problem.points, flat)
    assert cx.solve(cx.GeometricMedian(flat)).model.arrays is None
    single_arrays = cx.GeometricMedian([A for A, _ in updates])
    assert single_arrays.shapes == ((3, 4),)
    vectors = cx.GeometricMedian([b for _, b in updates])
    assert vectors.shapes is None


class Tensor:
    """Something that NumPy reads, with a tape as torch has it."""

    def __init__(self, array: Any, *, tape: bool = True) -> None:
        self.array, self.tape = np.asarray(array), tape
        self.shape = self.array.shape

    def detach(self) -> Tensor:
        return Tensor(self.array, tape=False)

    def __dlpack__(self, **keywords: Any) -> Any:
        if self.tape:
            raise BufferError("on a tape")
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def test_tensors_of_other_libraries() -> None:
    B = cloud(30, 3)
    plain = cx.solve(cx.GeometricMedian(B)).model.point
    for given_ in (Tensor(B), [Tensor(b) for b in B], [[Tensor(b)] for b in B]):
        np.testing.assert_array_equal(cx.solve(cx.GeometricMedian(given_)).model.point, plain)
    assert cx.GeometricMedian(Tensor(B.astype(np.float32))).points.dtype == np.float32


def test_points_are_copied_and_frozen() -> None:
    B = cloud(30, 3)
    problem = cx.GeometricMedian(B)
    B[:] = 0.0
    assert not (np.asarray(problem.points) == 0.0).any()
    with pytest.raises(ValueError, match="read-only"):
        problem.points[0, 0] = 1.0


@pytest.mark.parametrize("build", [weighted, offset, heavy_anchor])
def test_saved_and_loaded(build: Callable[[], cx.GeometricMedian], tmp_path: Path) -> None:
    solution = cx.solve(build())
    solution.save(tmp_path / "s.npz")
    again = cx.load(tmp_path / "s.npz")
    assert again.certificate == solution.certificate
    np.testing.assert_array_equal(again.model.point, solution.model.point)


def test_shapes_are_saved(tmp_path: Path) -> None:
    updates = [[np.full((2, 2), float(i)), np.full(1, i**2)] for i in range(5)]
    solution = cx.solve(cx.GeometricMedian([[a.astype(np.float32) for a in u] for u in updates]))
    solution.save(tmp_path / "s.npz")
    again = cx.load(tmp_path / "s.npz")
    assert again.problem.shapes == ((2, 2), (1,))
    assert again.problem.points.dtype == np.float32
    assert [a.shape for a in again.model.arrays] == [(2, 2), (1,)]


def test_limits_and_options() -> None:
    problem = cx.GeometricMedian(cloud(3000, 5))
    assert cx.solve(problem, max_iter=1, tol=1e-12).status is cx.Status.MAX_ITER
    assert cx.solve(problem, time_limit=1e-9, tol=1e-12).status is cx.Status.TIME_LIMIT
    stopped = cx.solve(problem, tol=1e-12, callback=lambda step: True)
    assert stopped.status is cx.Status.STOPPED
    with pytest.raises(ValueError, match="no option 'rho'"):
        cx.solve(problem, rho=1.0)
    with pytest.raises(cx.ProblemError, match=r"start must have offset of shape \(5,\)"):
        cx.solve(problem, start=Location(np.zeros(3)))


def test_same_seed_same_answer_and_other_seeds_agree() -> None:
    problem = cx.GeometricMedian(cloud(40_000, 5))
    a, b = cx.solve(problem), cx.solve(problem)
    np.testing.assert_array_equal(a.model.point, b.model.point)
    c = cx.solve(problem, seed=1)
    assert abs(a.objective - c.objective) <= 1e-6 * a.objective


def test_sorted_data_are_sampled_fairly() -> None:
    B = cloud(40_000, 3)
    solution = cx.solve(cx.GeometricMedian(B[np.argsort(B[:, 0])]), tol=TOL)
    assert solution.status is cx.Status.OPTIMAL
    assert solution.history[-1].iteration <= 12


def test_memory_of_cones_is_told_beforehand() -> None:
    problem = cx.GeometricMedian(cloud(2000, 5))
    limit = cx.memory_limit()
    try:
        cx.memory_limit(1e-3)
        with pytest.raises(cx.MemoryLimitError, match="non-zeros of its constraints"):
            cx.solve(problem, "cvxpy:clarabel")
        assert cx.solve(problem).status is cx.Status.OPTIMAL
    finally:
        cx.memory_limit(limit)


PROBLEMS = {
    "cloud": cx.GeometricMedian(cloud(40, 3)),
    "weights": cx.GeometricMedian(cloud(40, 3), weights=np.arange(40.0)),
    "anchor": cx.GeometricMedian(np.concatenate([cloud(20, 3), np.zeros((9, 3))])),
    "line": cx.GeometricMedian(np.arange(7.0)[:, None]),
    "arrays": cx.GeometricMedian([[b.reshape(2, 2)] for b in cloud(30, 4)]),
}
EXCUSED = {"cvxpy:scs": 1e-3}  # a first-order method


@pytest.mark.parametrize(
    ("name", "backend"),
    [(name, backend) for name, p in PROBLEMS.items() for backend in cx.backends(p).names],
)
def test_every_backend_agrees(name: str, backend: str) -> None:
    problem = PROBLEMS[name]
    tol = EXCUSED.get(backend, 1e-6)
    solution, best = cx.solve(problem, backend, tol=tol), cx.solve(problem, tol=1e-11)
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    assert abs(solution.objective - best.objective) <= tol * max(1.0, best.objective)
    assert solution.bound <= best.objective * (1.0 + LEAST)


def test_cones_are_asked_of_solvers_that_know_them() -> None:
    names = cx.backends(PROBLEMS["cloud"]).names
    assert {"newton", "cvxpy:clarabel", "cvxpy:scs"} <= set(names)
    assert not {"cvxpy:osqp", "cvxpy:highs", "admm"} & set(names)
    result = cx.compare(PROBLEMS["cloud"], ["newton", "cvxpy:clarabel"])
    assert result.agree(1e-6)


@pytest.mark.parametrize(
    ("points", "changes", "says"),
    [
        ([], {}, "points must"),
        (np.zeros((0, 3)), {}, "points must not be empty"),
        (np.zeros((3, 0)), {}, "points must not be empty"),
        ([1.0, 2.0], {}, r"points must have 2 axes, one row a point, got shape \(2,\)"),
        (np.zeros((2, 2, 2)), {}, "points must have 2 axes"),
        (5.0, {}, "points must have 2 axes"),
        ("text", {}, "points must hold real numbers"),
        ([[1.0, np.nan]], {}, r"points must be finite, got nan at index \(0, 1\)"),
        ([[np.inf, 1.0]], {}, r"points must be finite, got inf at index \(0, 0\)"),
        ([[1e150, 1.0]], {}, "points must have entries of size at most 1e\\+140"),
        ([[1.0], [1.0, 2.0]], {}, "points must be an array of real numbers"),
        ([np.zeros(2), np.zeros(3)], {}, r"points\[1\] must have the shape of points\[0\]"),
        ([[1j, 0.0]], {}, "points must hold real numbers, got dtype complex"),
        ([[np.zeros(2)], [np.zeros(3)]], {}, r"points\[1\] must have the shapes of points\[0\]"),
        ([[np.zeros(2), np.ones(2)], [np.zeros(2)]], {}, r"points\[1\] must have the shapes"),
        ([[np.array(["a"])]], {}, r"points\[0\] must hold real numbers"),
        ([[np.array([np.nan])]], {}, "points must be finite, got nan"),
        (None, {"weights": [1.0]}, r"weights must have one entry per point \(2\), got 1"),
        (None, {"weights": [1.0, -2.0]}, "weights must be >= 0, got -2 at index 1"),
        (None, {"weights": [0.0, 0.0]}, "weights must have a finite sum > 0, got 0"),
        (None, {"weights": [1.0, np.nan]}, "weights must be finite, got nan"),
        (None, {"weights": [[1.0, 2.0]]}, "weights must have 1 axes"),
        (None, {"weights": "heavy"}, "weights must hold real numbers"),
        (None, {"shapes": ((3,),)}, "shapes must hold 2 entries, as each point does"),
        (None, {"shapes": 7}, "shapes must be a tuple of shapes, got 7"),
    ],
)
def test_bad_input_is_named(points: Any, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(cx.ProblemError, match=says):
        cx.GeometricMedian([[0.0, 1.0], [2.0, 3.0]] if points is None else points, **changes)


@pytest.mark.parametrize("weights", [(1.83709497e06, 9.07247724e-05), (3e-200, 1e-200)])
def test_bound_with_weights_of_very_different_or_tiny_sizes(weights: tuple[float, float]) -> None:
    B = np.array([[1.42784362, -0.52977985, -0.85280826], [1.35081356, 0.6958981, 0.75365031]])
    problem = cx.GeometricMedian(B, weights=weights)
    best = min(weights) * float(np.linalg.norm(B[0] - B[1]))
    form = problem._form
    for offset in (form.mean, *form.points, np.zeros(3), np.array([0.5, -2.0, 1.0])):
        bound = problem.certify(Location(offset), Sight(offset)).bound
        assert bound <= best * (1.0 + 1e-12)


def test_masked_entries_are_refused() -> None:
    points = np.ma.array(np.eye(3), mask=np.eye(3) > 0.0)
    with pytest.raises(cx.ProblemError, match="points must have no masked entries, got 3"):
        cx.GeometricMedian(points)
    with pytest.raises(cx.ProblemError, match="points must have no masked entries, got 3"):
        cx.DistributedMedian(points, [[0, 1], [1, 2]])
    unmasked = cx.GeometricMedian(np.ma.array(np.eye(3)))
    assert cx.solve(unmasked).model.point == pytest.approx(np.full(3, 1.0 / 3.0), abs=1e-5)
