"""The interior point: optimal to 1e-8 on every program, and each Newton step is the true one."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, ClassVar

import cvxpy as cp
import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.functions.losses import ScalarLoss
from convexnn.relu.forms import GroupForm
from convexnn.solvers.relu import ipm
from convexnn.solvers.relu.ipm import Iterate, Newton, System, Targets, path
from convexnn.solvers.scaling import Pair

LOSSES = ("squared", "logistic", "hinge", "huber")
CLASSIFICATION = ("logistic", "hinge")
TOL = 1e-8
KINKED = 1e-7  # of a loss with kinks, where rounding ends a few runs short of 1e-8
STEPS = 60
AGREE = 1e-6  # with another interior point, which is asked for 1e-8 of its own
each_loss = pytest.mark.parametrize("loss", LOSSES)


def data(n: int, d: int, loss: str = "squared", seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    y = 2.0 * np.maximum(X[:, 0], 0.0) - np.maximum(X[:, -1] - X[:, 0], 0.0)
    y += 0.5 * rng.standard_normal(n)
    if loss in CLASSIFICATION:
        labels = np.where(y > np.median(y), 1.0, -1.0)
        labels[::6] *= -1.0  # so that nothing separates them
        return X, labels
    y[:2] += np.array([8.0, -6.0])
    return X, y


def relu(n: int = 24, d: int = 3, loss: str = "squared", **changes: Any) -> cx.ReluTraining:
    X, y = data(n, d, loss)
    return cx.ReluTraining(X, y, loss=loss, **({"beta": 0.3, "patterns": 8} | changes))


def assert_solved(problem: Any, tol: float = TOL) -> cx.Solution:
    if not np.isfinite(problem.loss.curvature):
        tol = max(tol, KINKED)
    solution = cx.solve(problem, "ipm", tol=tol)
    assert solution.status is cx.Status.OPTIMAL, repr(solution)
    assert abs(solution.gap) <= tol
    assert solution.violation <= tol
    assert solution.history[-1].iteration <= STEPS
    return solution


@dataclass(frozen=True)
class SquaredHinge(ScalarLoss):
    """``max(0, 1 - y z)^2 / 2``: its slopes are bounded on one side only."""

    name: ClassVar[str] = "squared-hinge"
    classification: ClassVar[bool] = True
    curvature: ClassVar[float] = 1.0
    dual_curvature: ClassVar[float | None] = 1.0
    cones: ClassVar[frozenset[str]] = frozenset({"qp"})

    def value(self, z: Array, y: Array) -> Array:
        return 0.5 * np.square(np.maximum(0.0, 1.0 - y * z))

    def gradient(self, z: Array, y: Array) -> Array:
        return -y * np.maximum(0.0, 1.0 - y * z)

    def conjugate(self, s: Array, y: Array) -> Array:
        return np.where(-y * s >= 0.0, y * s + 0.5 * np.square(s), np.inf)

    def prox(self, v: Array, y: Array, step: float) -> Array:
        m = y * v
        return y * np.where(m < 1.0, (m + step) / (1.0 + step), m)

    def domain(self, y: Array) -> tuple[Array | float, Array | float]:
        return np.where(y > 0.0, -np.inf, 0.0), np.where(y > 0.0, 0.0, np.inf)

    def cvxpy(self, z: cp.Expression, y: Array) -> cp.Expression:
        return 0.5 * cp.sum_squares(cp.pos(1.0 - cp.multiply(y, z)))


@pytest.mark.parametrize("gated", [False, True])
def test_a_loss_whose_slopes_have_one_end(gated: bool) -> None:
    X, y = data(24, 3, "hinge")
    kind = cx.GatedReluTraining if gated else cx.ReluTraining
    problem = kind(X, y, beta=0.3, patterns=8, loss=SquaredHinge())
    assert assert_solved(problem).objective == pytest.approx(reference(problem), rel=AGREE)


def reference(problem: Any) -> float:
    """The optimum that Clarabel finds, cones and all, checked by its own status."""
    program = problem.to_cvxpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program.problem.solve(solver="CLARABEL", tol_gap_abs=1e-8, tol_gap_rel=1e-8, tol_feas=1e-8)
    assert program.problem.status == "optimal"
    return float(program.problem.value)


def assert_agrees(problem: Any, tol: float = TOL) -> None:
    solution = assert_solved(problem, tol)
    optimum = reference(problem)
    size = max(1.0, abs(optimum))
    assert abs(solution.objective - optimum) <= AGREE * size, (solution.objective, optimum)
    assert solution.bound <= optimum + AGREE * size


@each_loss
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"leak": 0.2},
        {"skip": True},
        {"bias": True},
        {"leak": 0.2, "skip": True, "bias": True},
    ],
    ids=["plain", "leak", "skip", "bias", "all three"],
)
def test_every_relu_program_is_solved_and_agrees_with_clarabel(
    loss: str, penalty: str, changes: dict[str, Any]
) -> None:
    assert_agrees(relu(loss=loss, penalty=penalty, **changes))


@each_loss
@pytest.mark.parametrize("penalty", ["l2", "l1", "nuclear"])
@pytest.mark.parametrize("bias", [False, True])
def test_every_gated_program_is_solved_and_agrees_with_clarabel(
    loss: str, penalty: str, bias: bool
) -> None:
    X, y = data(24, 3, loss)
    problem = cx.GatedReluTraining(
        X, y, beta=0.3, loss=loss, patterns=8, penalty=penalty, bias=bias
    )
    assert_agrees(problem)


@each_loss
@pytest.mark.parametrize("bias", [False, True])
def test_every_sampled_program_is_solved_and_agrees_with_clarabel(loss: str, bias: bool) -> None:
    X, y = data(24, 3, loss)
    assert_agrees(cx.SampledReluTraining(X, y, beta=0.3, loss=loss, neurons=30, bias=bias))


KINDS = ("zero", "duplicate", "opposite", "antipodal", "rank one", "wide", "integer", "constant")


def odd(kind: str, loss: str) -> tuple[Array, Array]:
    X, y = data(12, 3, loss, seed=3)
    if kind == "zero":
        X[::4] = 0.0
    elif kind == "duplicate":
        X[6:] = X[:6]
    elif kind == "opposite":
        X[6:], y[6:] = X[:6], -y[:6]
    elif kind == "antipodal":
        X[6:] = -X[:6]
    elif kind == "rank one":
        X = X[:, :1] * np.array([1.0, -2.0, 0.5])
    elif kind == "wide":
        X, y = data(6, 9, loss, seed=3)
    elif kind == "integer":
        X = np.round(X)
    elif loss not in CLASSIFICATION:
        y = np.full(12, 3.0)
    return X, y


@each_loss
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_degenerate_data_over_random_patterns_are_solved(
    loss: str, kind: str, penalty: str
) -> None:
    X, y = odd(kind, loss)
    assert_agrees(cx.ReluTraining(X, y, beta=0.2, loss=loss, penalty=penalty, patterns=6))


@each_loss
@pytest.mark.parametrize("kind", KINDS)
def test_all_cells_of_degenerate_data_are_solved(loss: str, kind: str) -> None:
    X, y = odd(kind, loss)
    X = X[:, :2] if kind != "wide" else X[:4]
    problem = cx.ReluTraining(X, y[: len(X)], beta=0.2, loss=loss)
    assert problem.matrix is not None
    solution = assert_solved(problem)
    assert solution.certificate.scope == "all patterns"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_examples_are_solved(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X, y = rng.standard_normal((n, 2)), rng.standard_normal(n)
    assert_solved(cx.ReluTraining(X, y, beta=0.05, bias=bool(seed % 2)))


@pytest.mark.parametrize("scale_X", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("scale_y", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_data_of_any_scale_are_solved(scale_X: float, scale_y: float, penalty: str) -> None:
    """Of one problem in other units: the optimum scales with the square of the targets."""
    X, y = data(24, 3)
    plain = assert_solved(cx.ReluTraining(X, y, beta=0.3, patterns=8, penalty=penalty))
    scaled = cx.ReluTraining(
        scale_X * X, scale_y * y, beta=0.3 * scale_X * scale_y, patterns=8, penalty=penalty
    )
    solution = assert_solved(scaled)
    room = 3e-8 * plain.objective * scale_y**2 + TOL
    assert abs(solution.objective - plain.objective * scale_y**2) <= room


@each_loss
@pytest.mark.parametrize("beta", [1e-3, 0.1, 10.0, 1e5])
def test_any_weight_of_the_penalty_is_solved(loss: str, beta: float) -> None:
    problem = relu(loss=loss, beta=beta)
    solution = assert_solved(problem)
    zero = problem.objective(problem.initial()[0])
    if beta == 1e5:
        assert solution.objective == pytest.approx(zero, rel=1e-9)
    else:
        assert solution.objective <= zero * (1.0 + 1e-9)


def test_columns_far_from_zero_beside_large_targets_are_solved() -> None:
    """Gates are then near multiples of one another, and a factor of products loses its 1."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 4)) + np.array([600.0, 200.0, 30.0, 0.0])
    y = 1e6 * (np.maximum(X[:, 3], 0.0) + 0.3 * rng.standard_normal(500))
    problem = cx.GatedReluTraining(X, y, beta=1.0, patterns=20, bias=True)
    assert cx.solve(problem, "ipm").status is cx.Status.OPTIMAL


@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("kind", [cx.GatedReluTraining, cx.ReluTraining])
def test_a_factor_by_reflections_is_that_of_products(
    monkeypatch: pytest.MonkeyPatch, loss: str, kind: Any
) -> None:
    X, y = data(60, 3, loss)
    newton = Newton(kind(X, y, beta=0.3, loss=loss, patterns=5).canonical(GroupForm))
    state = newton.begin()
    z = newton.output(state)

    def lower() -> Array:
        factor = System(newton, state, z, newton.residuals(state, z)).factor[0]
        L = np.tril(factor)
        return np.asarray(L @ L.T)

    expected = lower()
    monkeypatch.setattr(ipm, "factored", refused)
    np.testing.assert_allclose(lower(), expected, rtol=1e-10, atol=1e-10)


def refused(matrix: Array) -> Any:
    raise np.linalg.LinAlgError


def test_more_patterns_never_cost_more() -> None:
    values = [assert_solved(relu(40, 4, patterns=count)).objective for count in (2, 5, 10, 20, 40)]
    assert all(b <= a * (1.0 + 2e-8) for a, b in pairwise(values))
    assert values[-1] < 0.9 * values[0]


def test_near_coincident_patterns_of_local_search_are_solved() -> None:
    X, y = data(60, 5)
    problem = cx.ReluTraining(X, y, beta=0.3)
    pooled = cx.local_patterns(problem, starts=3, width=25)
    local = cx.solve(problem, "lbfgs", starts=3, width=25)
    solution = assert_solved(cx.ReluTraining(X, y, beta=0.3, patterns=pooled), 1e-7)
    assert solution.objective <= local.objective * (1.0 + 2e-7)


@each_loss
def test_reported_points_come_near_the_cones_and_the_optimum(loss: str) -> None:
    steps = cx.solve(relu(loss=loss), "ipm", tol=TOL).history
    assert steps[-1].violation <= 1e-9
    bounds = [step.bound for step in steps]
    assert all(b >= a for a, b in pairwise(bounds))
    assert steps[-1].objective == min(step.objective for step in steps)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_every_iterate_keeps_its_products_positive(penalty: str) -> None:
    form = relu(loss="huber", penalty=penalty, skip=True).canonical(GroupForm)
    for k, (newton, x) in enumerate(path(form)):
        u, c = newton.grouped(x.u), newton.grouped(x.c)
        assert (x.t > np.linalg.norm(u, axis=-1)).all()
        assert (form.beta > np.linalg.norm(c, axis=-1)).all()
        for part in (x.r, x.lam, x.above, x.below, newton.high - x.a, x.a - newton.low):
            assert (part > 0.0).all()
        if k == 12:
            return
    pytest.fail("the path ended before the iterates were tight")


@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_dual_system_of_few_unknowns_gives_the_same_answer(loss: str, penalty: str) -> None:
    """Both sides of ``d P <= n``, which pick the factor of n or of d P unknowns."""
    few = assert_solved(relu(60, 2, loss, patterns=3, penalty=penalty, beta=0.5))
    form = few.problem.canonical(GroupForm)
    newton = Newton(form)
    start = newton.begin()
    z = newton.output(start)
    small = System(newton, start, z, newton.residuals(start, z))
    assert small.few
    b = np.random.default_rng(0).standard_normal(60)
    found = small.solve(b)
    dense = np.diag(small.D) + np.column_stack(
        [newton.predict(small.over_blocks(newton.correlate(e))) for e in np.eye(60)]
    )
    np.testing.assert_allclose(found, np.linalg.solve(dense, b), atol=1e-9 * np.abs(found).max())
    assert_pairs(newton, small)
    large = relu(20, 2, loss, patterns=12, penalty=penalty).canonical(GroupForm)
    other = Newton(large)
    begin = other.begin()
    z = other.output(begin)
    wide = System(other, begin, z, other.residuals(begin, z))
    assert not wide.few
    assert_pairs(other, wide)


def assert_pairs(newton: Newton, system: System) -> None:
    """Check the steps of blocks and outputs against the two equations that they solve."""
    rng = np.random.default_rng(1)
    load = rng.standard_normal(system.x.u.shape)
    rest = rng.standard_normal(len(system.D))
    du, da = system.pair(load, rest)
    expected = system.over_blocks(load - newton.correlate(da))
    np.testing.assert_allclose(du, expected, atol=1e-9 * np.abs(expected).max())
    lacking = system.D * da - newton.predict(du) - rest
    np.testing.assert_allclose(lacking, 0.0, atol=1e-8 * np.abs(du).max())


@pytest.mark.parametrize("loss", ["squared", "hinge"])
def test_products_that_are_not_kept_change_nothing(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = relu(loss=loss)
    kept = assert_solved(problem)
    assert Newton(problem.canonical(GroupForm)).products is not None
    monkeypatch.setattr(ipm, "FEATURES", 0)
    assert Newton(problem.canonical(GroupForm)).products is None
    assert assert_solved(problem).objective == pytest.approx(kept.objective, rel=1e-8)


def test_one_step_is_not_enough_but_certified() -> None:
    solution = cx.solve(relu(), "ipm", max_iter=1)
    assert solution.status is cx.Status.MAX_ITER
    assert solution.bound <= solution.objective
    assert np.isfinite(solution.bound)


def test_more_steps_leave_a_smaller_gap() -> None:
    gaps = [cx.solve(relu(), "ipm", tol=1e-12, max_iter=k).gap for k in (4, 10, 13)]
    assert gaps[0] > 10.0 * gaps[1] > 1000.0 * gaps[2]


def test_a_time_limit_keeps_a_certified_answer() -> None:
    problem = relu()
    solution = cx.solve(problem, "ipm", time_limit=1e-9)
    assert solution.status is cx.Status.TIME_LIMIT
    assert solution.bound <= solution.objective
    assert problem.certify(solution.primal, solution.dual) == solution.certificate


def test_a_callback_stops_it_with_a_certified_answer() -> None:
    problem = relu()
    solution = cx.solve(problem, "ipm", tol=TOL, callback=lambda step: step.iteration >= 2)
    assert solution.status is cx.Status.STOPPED
    assert solution.objective < solution.history[0].objective
    assert solution.bound <= solution.objective
    assert problem.certify(solution.primal, solution.dual) == solution.certificate


def test_unknown_options_are_refused() -> None:
    with pytest.raises(ValueError, match="stepsize"):
        cx.solve(relu(), "ipm", stepsize=1.0)


# One Newton direction against a dense solve of the whole linearised system


class Layout:
    """Positions of the unknowns of a tiny program in one vector, in the order of `Iterate`."""

    def __init__(self, x: Iterate) -> None:
        self.parts = [x.u, x.t, x.c, x.r, x.lam, x.s, x.a, x.above, x.below]
        self.ends = np.cumsum([0, *(part.size for part in self.parts)])

    def split(self, v: Array) -> list[Array]:
        return [
            v[a:b].reshape(part.shape)
            for a, b, part in zip(self.ends[:-1], self.ends[1:], self.parts, strict=True)
        ]

    def joined(self, x: Iterate) -> Array:
        parts = [x.u, x.t, x.c, x.r, x.lam, x.s, x.a, x.above, x.below]
        return np.concatenate([np.ravel(part) for part in parts])


def arrow(head: float, tail: Array) -> Array:
    L = head * np.eye(len(tail) + 1)
    L[0, 1:] = L[1:, 0] = tail
    return L


def scaling_matrix(newton: Newton, x: Iterate, index: tuple[int, ...]) -> Array:
    """W of one cone, from its definition ``W y = W^-1 s`` through quadratic representations."""
    s = np.append(x.t[index], newton.grouped(x.u)[index])
    y = np.append(newton.form.beta, newton.grouped(x.c)[index])
    J = np.diag([1.0, *([-1.0] * (len(s) - 1))])
    s_unit, y_unit = s / np.sqrt(s @ J @ s), y / np.sqrt(y @ J @ y)
    w = (s_unit + J @ y_unit) / np.sqrt(2.0 * (1.0 + s_unit @ y_unit))
    size = ((s @ J @ s) / (y @ J @ y)) ** 0.25
    root = w.copy()
    root[0] += 1.0
    W: Array = size * (np.outer(root, root) / root[0] - J)
    return W


def lacking_by_definition(
    form: GroupForm, newton: Newton, x: Iterate, move: Iterate, targets: Targets
) -> Array:
    """What a step leaves of every linearised condition, each written out by loops."""
    X, n, d = form.X, len(form.y), form.X.shape[1]
    rows: list[Array] = []
    cones = form.signs is not None
    u, c = x.u + move.u, x.c + move.c
    a, s = x.a + move.a, x.s + move.s
    lam, r = x.lam + move.lam, x.r + move.r
    output = np.zeros(n)
    blocks = list(product(range(newton.h), range(u.shape[1])))
    for h, p in blocks:
        sign = -1.0 if h else 1.0
        block = X.T @ (form.slopes[:, p] * a) * sign - c[h, p]
        if cones:
            assert form.signs is not None
            E = form.signs[p][newton.facets].astype(np.float64)
            block = block - newton.G.T @ (E * lam[h, p])
            rows.append(r[h, p] - E * (newton.G @ u[h, p]))
            rows.append(x.r[h, p] * move.lam[h, p] + x.lam[h, p] * move.r[h, p])
            rows[-1] = rows[-1] - targets.facet[h, p]
        rows.append(block)
        output += sign * form.slopes[:, p] * (X @ u[h, p])
        for g in range(newton.g):
            index = (h, p, g)
            W = scaling_matrix(newton, x, index)
            primal = np.append(move.t[index], newton.grouped(move.u)[index])
            dual = np.append(0.0, newton.grouped(move.c)[index])
            target = np.append(targets.cone.head[index], targets.cone.tail[index])
            rows.append(np.linalg.solve(W, primal) + W @ dual - target)
    z = output + (X @ s if form.skip else 0.0)
    q = form.loss.dual_curvature
    if q is None and not newton.bounded:
        before = newton.output(x)
        slope = form.loss.gradient(before, form.y)
        rows.append(a - slope - form.loss.hessian(before, form.y) * (z - before))
    else:
        if q is None:  # the logistic loss: z = y log((1 - c) / c), c = -y a
            chance = -form.y * x.a
            balance = form.y * np.log((1.0 - chance) / chance) - z
            balance = balance + move.a / (chance * (1.0 - chance))
        else:
            balance = q * a + form.y - z
        if newton.bounded:
            balance = balance + x.above + move.above - x.below - move.below
            width = newton.high - x.a
            rows.append(width * move.above - x.above * move.a - targets.above)
            width = x.a - newton.low
            rows.append(width * move.below + x.below * move.a - targets.below)
        rows.append(balance)
    if form.skip:
        rows.append(X.T @ a)
    assert d == u.shape[2]
    return np.concatenate([np.ravel(row) for row in rows])


def middle_of_the_path(form: GroupForm) -> tuple[Newton, Iterate]:
    for k, (newton, x) in enumerate(path(form)):
        if k == 3:
            return newton, x
    raise AssertionError("the path is too short")


TINY = [
    {"loss": loss, "penalty": penalty, "leak": leak, "skip": skip}
    for loss, penalty, (leak, skip) in product(
        LOSSES, ("l2", "l1"), ((0.0, False), (0.2, False), (0.0, True))
    )
]


@pytest.mark.parametrize("changes", TINY, ids=lambda c: "-".join(map(str, c.values())))
@pytest.mark.parametrize("cones", [True, False])
def test_a_direction_solves_the_whole_linearised_system(
    changes: dict[str, Any], cones: bool
) -> None:
    """The dense system is read off the conditions, column by column, and solved as a whole."""
    X, y = data(9, 2, changes["loss"], seed=1)
    X[4] = 0.0  # a row that bounds no cone
    form = cx.ReluTraining(X, y, beta=0.3, patterns=3, **changes).canonical(GroupForm)
    form = form if cones else form._replace(signs=None)
    newton, x = middle_of_the_path(form)
    z = newton.output(x)
    system = System(newton, x, z, newton.residuals(x, z))
    rng = np.random.default_rng(5)
    targets = Targets(
        Pair(rng.standard_normal(x.t.shape), rng.standard_normal((*x.t.shape, newton.k))),
        rng.standard_normal(x.r.shape),
        rng.standard_normal(x.above.shape),
        rng.standard_normal(x.below.shape),
    )
    found = system.direction(targets)
    layout = Layout(x)

    def lacking(v: Array) -> Array:
        return lacking_by_definition(form, newton, x, Iterate(*layout.split(v)), targets)

    size = int(layout.ends[-1])
    origin = lacking(np.zeros(size))
    dense = np.column_stack([lacking(e) - origin for e in np.eye(size)])
    # without a free part its step is undetermined, and the engine's is zero
    used = np.ones(size, np.bool_)
    if not form.skip:
        used[layout.ends[5] : layout.ends[6]] = False
    assert dense.shape[0] == int(used.sum())
    expected = np.zeros(size)
    expected[used] = np.linalg.solve(dense[:, used], -origin)
    assert np.linalg.norm(expected) > 0.1
    np.testing.assert_allclose(
        layout.joined(found), expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max()
    )


# Programs whose cones have no interior, and other corners that break it


def arbitrary(seed: int, **changes: Any) -> cx.ReluTraining:
    """Patterns that no neuron has: most of their cones have no interior, or are {0}."""
    rng = np.random.default_rng(seed)
    X, y = data(9, 2, seed=seed)
    return cx.ReluTraining(X, y, patterns=rng.random((9, 6)) < 0.5, **({"beta": 0.3} | changes))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_arbitrary_patterns_are_solved(seed: int, penalty: str) -> None:
    problem = arbitrary(seed, penalty=penalty)
    solution = assert_solved(problem)
    admm = cx.solve(problem, "admm", tol=1e-7)
    assert solution.objective == pytest.approx(admm.objective, rel=1e-6)


@pytest.mark.parametrize("leak", [0.0, 0.9])
def test_a_cone_that_is_the_origin_alone_leaves_the_zero_network(leak: float) -> None:
    X = np.array([[1.0], [2.0], [-1.0]])
    pattern = np.array([[True], [False], [True]])
    problem = cx.ReluTraining(X, [1.0, 2.0, 3.0], beta=0.1, patterns=pattern, leak=leak)
    solution = assert_solved(problem)
    assert solution.objective == pytest.approx(7.0, rel=1e-9)


@pytest.mark.parametrize("beta", [3e-3, 1e-3])
@pytest.mark.parametrize("bias", [False, True])
def test_logistic_loss_of_classes_that_are_almost_separated_is_solved(
    beta: float, bias: bool
) -> None:
    X = np.array([[1.0], [2.0], [3.0], [-1.0], [0.5]])
    y = np.array([1.0, 1.0, 1.0, -1.0, -1.0])
    gates = cx.GatedReluTraining(X, y, beta=beta, loss="logistic", patterns=4, bias=bias)
    assert_agrees(gates, 1e-7)


@pytest.mark.parametrize("seed", range(6))
def test_hinge_loss_of_repeated_integers_is_solved(seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = rng.integers(-2, 3, (5, 1)).astype(np.float64)
    X[0] = 1.0
    y = rng.choice([-1.0, 1.0], 5)
    y[:2] = [-1.0, 1.0]
    assert_solved(cx.ReluTraining(X, y, beta=0.01, loss="hinge", leak=0.9))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(200))
def test_any_program_over_drawn_patterns_is_solved(seed: int) -> None:
    rng = np.random.default_rng(seed)
    loss, kind = str(rng.choice(LOSSES)), str(rng.choice(KINDS))
    X, y = odd(kind, loss)
    shared: dict[str, Any] = {"beta": 10.0 ** rng.uniform(-2.0, 1.0), "loss": loss}
    shared |= {"bias": bool(rng.integers(2)), "patterns": int(rng.integers(1, 12))}
    penalty = str(rng.choice(["l2", "l1"]))
    leak, skip = float(rng.choice([0.0, 0.2])), bool(rng.random() < 0.3)
    gated = cx.GatedReluTraining(X, y, penalty=penalty, **shared)
    relu = cx.ReluTraining(X, y, penalty=penalty, leak=leak, skip=skip, **shared)
    assert_solved(gated if seed % 3 == 0 else relu, 1e-7 if loss == "hinge" else TOL)
