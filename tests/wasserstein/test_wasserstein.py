"""Linear models against Wasserstein balls: every backend, and an adversary found independently."""

from __future__ import annotations

import warnings
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy import inf
from positions import positioned
from scipy.optimize import linprog, minimize
from sklearn.linear_model import LogisticRegression

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.wasserstein.forms import Linear

TOL = 1e-6
LOOSE = {"admm": 1e-4, "cvxpy:highs": 1e-5}  # HiGHS solves a quadratic program to 1e-7 of its own
NORM = {"l1": 1, "l2": 2, "linf": inf}


class Case(NamedTuple):
    """A problem by its keywords, hashable; ``cost`` is that of a flip or of a unit of the target.

    The radius and the costs are those of the data of `data`.
    """

    loss: str
    norm: str
    order: float
    cost: float
    radius: float
    intercept: bool = True

    @property
    def classification(self) -> bool:
        return self.loss in ("logistic", "hinge")

    def __str__(self) -> str:
        parts = [self.loss, self.norm, f"{self.order:g}", f"{self.cost:g}", f"{self.radius:g}"]
        return "-".join(parts) + ("" if self.intercept else "-origin")


KINDS = [
    ("logistic", 1, inf),
    ("logistic", 1, 1.0),
    ("logistic", 1, 0.3),
    ("logistic", inf, inf),
    ("hinge", 1, inf),
    ("hinge", 1, 1.0),
    ("hinge", 1, 0.3),
    ("hinge", 2, inf),
    ("hinge", inf, inf),
    ("squared", 2, inf),
    ("squared", 2, 0.1),
    ("squared", inf, inf),
    ("squared", inf, 1.0),
    ("absolute", 1, inf),
    ("absolute", 1, 0.1),
    ("huber", 1, inf),
    ("huber", 1, 1.0),
    ("quantile", 1, inf),
    ("quantile", 1, 0.1),
]
NEWTON = [
    Case(loss, norm, order, cost, radius, intercept)
    for (loss, order, cost), norm, radius, intercept in product(
        KINDS, NORM, (0.0, 1e-6, 0.05, 0.4, 5.0), (True, False)
    )
]
CASES = [Case(*kind[:1], norm, *kind[1:], 0.05) for kind in KINDS for norm in NORM] + [
    Case(*kind[:1], "l2", *kind[1:], radius) for kind in KINDS for radius in (0.0, 0.4)
]
each = pytest.mark.parametrize("case", CASES, ids=str)
every = pytest.mark.parametrize("case", NEWTON, ids=str)


@cache
def data(classification: bool, n: int = 30, d: int = 3) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    X, w = rng.standard_normal((n, d)), rng.standard_normal(d)
    if not classification:
        return X, X @ w + rng.standard_normal(n) + 3.0
    y = np.sign(X @ w + 0.5 * rng.standard_normal(n) + 0.3)
    y[rng.random(n) < 0.1] *= -1.0
    return X, y


def build(case: Case, X: Array, y: Any, scale: float = 1.0) -> Any:
    common: dict[str, Any] = {
        "radius": scale * case.radius,
        "norm": case.norm,
        "order": case.order,
        "loss": case.loss,
        "intercept": case.intercept,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of small flip costs
        if case.classification:
            return cx.WassersteinClassification(X, y, flip_cost=scale * case.cost, **common)
        common |= {"target_cost": scale * case.cost, "quantile": 0.8}
        return cx.WassersteinRegression(X, y, **common)


@cache
def problem(case: Case) -> Any:
    return build(case, *data(case.classification))


@cache
def names(case: Case) -> tuple[str, ...]:
    return tuple(cx.backends(problem(case)).names)


@cache
def answer(case: Case, backend: str = "newton") -> cx.Solution:
    return cx.solve(problem(case), backend, tol=LOOSE.get(backend, TOL))


def loss_by_hand(name: str, z: Array, y: Array) -> Array:
    r = z - y
    if name == "logistic":
        return np.logaddexp(0.0, -y * z)
    if name == "hinge":
        return np.maximum(0.0, 1.0 - y * z)
    if name == "squared":
        return r**2
    if name == "absolute":
        return np.abs(r)
    if name == "quantile":
        return np.maximum(-0.8 * r, 0.2 * r)
    return np.where(np.abs(r) <= 1.0, 0.5 * r**2, np.abs(r) - 0.5)


# -- the product of problems and backends


PRODUCT = [
    pytest.param(case, backend, id=f"{case}-{backend}")
    for case in CASES
    for backend in names(case)
    if backend != "cvxpy:scs"
]


@pytest.mark.parametrize(("case", "backend"), PRODUCT)
def test_backend_meets_the_tolerance_and_agrees(case: Case, backend: str) -> None:
    solution, reference = answer(case, backend), answer(case, "cvxpy:clarabel")
    assert solution.status is cx.Status.OPTIMAL, (repr(solution), solution.message)
    size = max(1.0, abs(reference.objective))
    room = (max(solution.gap, 0.0) + max(reference.gap, 0.0) + 1e-9) * size
    assert abs(solution.objective - reference.objective) <= room


@each
def test_no_bound_exceeds_any_objective(case: Case) -> None:
    answers = [answer(case, backend) for backend in names(case) if backend != "cvxpy:scs"]
    assert len(answers) >= 2
    for a, b in combinations(answers, 2):
        slack = 1e-12 * max(1.0, abs(a.objective))
        assert a.bound <= b.objective + slack, (a, b)
        assert b.bound <= a.objective + slack, (a, b)


@each
def test_a_problem_is_offered_to_the_solvers_of_its_cone_class(case: Case) -> None:
    offered = set(names(case))
    ball = case.radius > 0.0
    cone = (ball and (case.order == 2 or case.norm == "l2")) or case.loss == "logistic"
    linear = not cone and case.loss in ("hinge", "absolute", "quantile")
    assert {"newton", "cvxpy:clarabel"} <= offered
    assert ("cvxpy:osqp" in offered) == (not cone)
    assert ("cvxpy:highs" in offered) == (not cone)
    assert ("cvxpy:scipy" in offered) == linear
    least_squares = case.loss == "squared" and not ball
    assert ("admm" in offered) == (not least_squares and (case.order == 1 or not ball))
    assert not {"lbfgs", "cell-walk", "convex-concave", "ipm", "fista"} & offered


@every
def test_newton_is_optimal_with_a_worst_distribution(case: Case) -> None:
    solution = answer(case)
    assert solution.status is cx.Status.OPTIMAL, (repr(solution), solution.message)
    check_worst_case(case, problem(case), solution)


def check_worst_case(case: Case, declared: Any, solution: cx.Solution) -> None:
    """Within the ball by the definition of its distance, and as bad as is said."""
    model = solution.model
    worst = model.worst_case
    atoms = worst.atoms
    X, y = np.asarray(declared.X), np.asarray(declared.y)
    n = len(X)
    assert (atoms.mass > 0.0).all()
    np.testing.assert_allclose(np.bincount(atoms.source, atoms.mass, n), 1.0 / n, rtol=1e-9)
    assert atoms.target is not None
    cost = np.linalg.norm(atoms.location - X[atoms.source], ord=NORM[case.norm], axis=1)
    moved = atoms.target != y[atoms.source]
    if case.classification:
        if moved.any():
            cost = cost + np.where(moved, declared.flip_cost, 0.0)
        sign = np.where(atoms.target == model.classes[1], 1.0, -1.0)
    else:
        if moved.any():
            cost = cost + declared.target_cost * np.abs(atoms.target - y[atoms.source])
        sign = atoms.target
    np.testing.assert_allclose(cost, atoms.cost, rtol=1e-9, atol=1e-9)
    if np.isfinite(case.order):
        transport = float(atoms.mass @ cost**case.order) ** (1.0 / case.order)
    else:
        transport = float(cost.max())
    assert transport <= declared.radius * (1.0 + 1e-9) + 1e-12
    z = atoms.location @ model.coef + model.intercept
    expected = float(atoms.mass @ loss_by_hand(case.loss, z, sign))
    assert abs(expected - worst.value) <= 2e-9 * max(1.0, abs(worst.value)), worst.attained
    assert worst.value == pytest.approx(solution.objective, rel=1e-9)
    assert (worst.ray is None) == worst.attained


# -- an independent adversary: the transport problem over a grid, as a linear program


def transport(case: Case, X: Array, y: Array, z_of: Any, span: float, steps: int) -> float:
    """Return the largest expected loss over distributions on a grid around the samples."""
    n, d = X.shape
    axes = np.linspace(-span, span, steps)
    grid = np.stack(np.meshgrid(*[axes] * d), -1).reshape(-1, d)
    if np.isfinite(case.cost):
        few = steps if d == 1 else 11
        labels = [-1.0, 1.0] if case.classification else list(np.linspace(-span, span, few) * 2)
    else:
        labels = [None]
    costs, gains = [], []
    for i in range(n):
        at = X[i] + grid  # every sample carries its own grid, which holds itself
        distance = np.linalg.norm(grid, ord=NORM[case.norm], axis=1)
        for label in labels:
            if label is None:
                target, extra = y[i], 0.0
            elif case.classification:
                target, extra = label, case.cost * (label != y[i])
            else:
                target, extra = y[i] + label, case.cost * abs(label)
            power = case.order if np.isfinite(case.order) else 1.0
            costs.append((distance + extra) ** power)
            gains.append(loss_by_hand(case.loss, z_of(at), np.full(len(at), target)))
    cost, gain = np.concatenate(costs), np.concatenate(gains)
    each_source = np.repeat(np.arange(n), len(grid) * len(labels))
    if np.isinf(case.order):
        gain = np.where(cost <= case.radius * (1.0 + 1e-12), gain, -1.0)
        return float(np.mean([gain[each_source == i].max() for i in range(n)]))
    rows = (each_source[None, :] == np.arange(n)[:, None]).astype(np.float64)
    found = linprog(
        -gain,
        A_ub=cost[None, :],
        b_ub=[n * case.radius**case.order],
        A_eq=rows,
        b_eq=np.ones(n),
        method="highs",
    )
    assert found.status == 0
    return float(np.mean(np.bincount(each_source, gain * np.asarray(found.x), n)))


@pytest.mark.parametrize(
    ("loss", "order", "cost"), KINDS, ids=["-".join(map(str, kind)) for kind in KINDS]
)
@pytest.mark.parametrize("norm", list(NORM))
@pytest.mark.parametrize("d", [1, 2])
def test_worst_case_is_that_of_a_transport_program(
    loss: str, order: float, cost: float, norm: str, d: int
) -> None:
    rng = np.random.default_rng(5)
    for radius in (0.05, 0.5):
        case = Case(loss, norm, order, cost, radius)
        X, y = rng.standard_normal((4, d)), rng.standard_normal(4)
        if case.classification:
            y = np.array([1.0, -1.0, 1.0, -1.0])
        declared = build(case, X, y)
        # exact in one dimension, where grids hold the steepest direction; wide, as mass goes far
        coef, intercept = rng.standard_normal(d), float(rng.standard_normal())
        where = declared.coordinates
        primal = Linear(coef * where.scale, np.array([intercept + float(where.mean @ coef)]))
        value = declared.objective(primal)

        def predict(at: Array, coef: Array = coef, intercept: float = intercept) -> Array:
            return np.asarray(at @ coef + intercept)

        steps = 2001 if d == 1 else 31
        if d == 1 and np.isfinite(cost) and not case.classification:
            steps = 101
        spans = (4.0 * radius * 4, 60.0) if np.isfinite(order) else (radius, 0.5 * radius)
        found = max(transport(case, X, y, predict, span, steps) for span in spans)
        start = float(np.mean(loss_by_hand(loss, predict(X), y)))
        assert start - 1e-12 <= found <= value * (1.0 + 1e-9) + 1e-12
        coarse = 0.02 if d == 1 else 0.2  # what a grid of this width may lack of the rise
        assert value - found <= coarse * (value - start) + 1e-12, (found, value, start)


@pytest.mark.parametrize(
    ("loss", "order", "cost"), KINDS, ids=["-".join(map(str, kind)) for kind in KINDS]
)
@pytest.mark.parametrize("norm", list(NORM))
def test_multiplier_at_radius_0_is_the_rate_to_the_right(
    loss: str, order: float, cost: float, norm: str
) -> None:
    case = Case(loss, norm, order, cost, 0.0)
    worst = answer(case).model.worst_case
    model, h = answer(case).model, 1e-7
    ball = build(case._replace(radius=h), *data(case.classification))
    where = ball.coordinates
    primal = Linear(model.coef * where.scale, np.array([model.intercept + where.mean @ model.coef]))
    rise = (ball.objective(primal) - worst.value) / h
    if order == 2:
        assert worst.multiplier == inf
        assert rise > 1e-2  # of the radius, where the rate is that of its square
    elif loss == "hinge" and order == inf:
        assert 0.0 < worst.multiplier <= rise + 1e-6  # of samples on kinks, the lower
    else:
        assert worst.multiplier == pytest.approx(rise, rel=1e-5)


# -- invariances, limits and derivatives


REGULAR = [case for case in CASES if case.radius == 0.05]
regular = pytest.mark.parametrize("case", REGULAR, ids=str)


@regular
def test_units_of_the_features_do_not_matter(case: Case) -> None:
    X, y = data(case.classification)
    solution, scaled = answer(case), cx.solve(build(case, 100.0 * X, y, 100.0))
    room = TOL * max(1.0, solution.objective)
    assert abs(solution.objective - scaled.objective) <= 2.0 * room
    np.testing.assert_allclose(
        solution.problem.objective(
            Linear(
                100.0 * scaled.model.coef * solution.problem.coordinates.scale,
                np.array(
                    [
                        scaled.model.intercept
                        + 100.0 * (solution.problem.coordinates.mean @ scaled.model.coef)
                    ]
                ),
            )
        ),
        scaled.objective,
        rtol=1e-9,
    )


@regular
def test_worst_case_grows_with_the_radius_and_is_concave_in_its_power(case: Case) -> None:
    """Of order p finite the worst case of a model is concave in ``radius ** p``."""
    X, y = data(case.classification)
    primal = answer(case).primal
    radii = np.linspace(0.0, 2.0, 41)[1:]
    power = case.order if np.isfinite(case.order) else 1.0
    values = [build(case._replace(radius=float(r ** (1.0 / power))), X, y) for r in radii]
    worst = np.array([p.objective(primal) for p in values])
    assert (np.diff(worst) >= -1e-12).all()
    if np.isfinite(case.order):
        assert (np.diff(worst, 2) <= 1e-9).all()
    slopes = np.array([p.worst_case(primal).multiplier for p in values[1:]])
    rises = np.diff(worst) / np.diff(radii)
    if np.isfinite(case.order):  # the slope on the right of a cell, and on its left
        assert (slopes <= rises + 1e-9).all()
        assert (slopes[:-1] >= rises[1:] - 1e-9).all()
    else:
        assert (slopes >= rises - 1e-9).all()


@regular
def test_envelope_gradient_is_that_of_differences(case: Case) -> None:
    """In ``y z`` for labels, in ``z`` for real targets; weights relate it to the plain loss."""
    declared = problem(case)
    form, primal = declared.form, answer(case).primal
    rng = np.random.default_rng(7)  # off the optimum, where no sample sits on a kink
    primal = Linear(primal.coef + 0.1 * rng.standard_normal(3), primal.intercept + 0.05)
    worst = declared.worst_case(primal)
    z = form.predict(primal)
    h = 1e-6

    class Moved(type(form)):  # type: ignore[misc]  # predictions moved by hand
        shift = np.zeros(len(z))

        def predict(self, point: Linear) -> Array:
            return np.asarray(z + self.shift)

    moved = Moved(*form)
    plain = loss_by_hand(case.loss, z + h, form.y) - loss_by_hand(case.loss, z - h, form.y)
    for i in range(0, len(z), 3):
        values = []
        for sign in (1.0, -1.0):
            Moved.shift = np.zeros(len(z))
            Moved.shift[i] = sign * h * (form.y[i] if case.classification else 1.0)
            values.append(moved.risk(primal))
        found = (values[0] - values[1]) / (2.0 * h)
        assert worst.gradient[i] == pytest.approx(found, rel=1e-5, abs=1e-8)
        own = plain[i] / (2.0 * h) * (form.y[i] if case.classification else 1.0) / len(z)
        if np.isfinite(worst.weights[i]):
            assert worst.weights[i] * own == pytest.approx(found, rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("loss", ["logistic", "hinge", "huber", "absolute", "quantile"])
def test_envelope_weights_are_1_where_nothing_but_distance_moves(loss: str) -> None:
    case = Case(loss, "l2", 1, inf, 0.05)
    assert (answer(case).model.worst_case.weights == 1.0).all()


@pytest.mark.parametrize("norm", list(NORM))
def test_radius_0_is_logistic_regression(norm: str) -> None:
    X, y = data(True)
    solution = cx.solve(cx.WassersteinClassification(X, y, radius=0.0, norm=norm), tol=1e-8)
    peer = LogisticRegression(C=np.inf, tol=1e-10, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(solution.model.coef, peer.coef_[0], rtol=2e-3, atol=2e-3)
    risk = np.mean(np.logaddexp(0.0, -y * (X @ peer.coef_[0] + peer.intercept_[0])))
    assert solution.objective == pytest.approx(float(risk), abs=1e-7)
    assert (solution.model.predict(X) == peer.predict(X)).all()


@pytest.mark.parametrize("loss", ["squared", "huber"])
def test_radius_0_is_plain_regression(loss: str) -> None:
    X, y = data(False)
    declared = cx.WassersteinRegression(
        X, y, radius=0.0, loss=loss, order=2 if loss == "squared" else 1
    )

    def risk(w: Array) -> float:
        return float(np.mean(loss_by_hand(loss, X @ w[:3] + w[3], y)))

    found = minimize(risk, np.zeros(4), tol=1e-12)
    assert cx.solve(declared, tol=1e-8).objective == pytest.approx(float(found.fun), abs=1e-7)


@pytest.mark.parametrize(
    ("loss", "order", "cost"), KINDS, ids=["-".join(map(str, kind)) for kind in KINDS]
)
def test_small_radii_tend_to_radius_0(loss: str, order: float, cost: float) -> None:
    at_0 = answer(Case(loss, "l2", order, cost, 0.0)).objective
    gaps = []
    for radius in (1e-2, 1e-4, 1e-6):
        gaps.append(answer(Case(loss, "l2", order, cost, radius)).objective - at_0)
    assert gaps[0] > gaps[1] > gaps[2] - 2e-6
    assert -2e-6 <= gaps[2] <= 1e-4


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_dear_flips_are_no_flips(loss: str) -> None:
    dear, never = (answer(Case(loss, "l2", 1, cost, 0.05)) for cost in (1e6, inf))
    assert dear.objective == pytest.approx(never.objective, abs=2e-6)
    np.testing.assert_allclose(dear.model.coef, never.model.coef, atol=2e-2)


@pytest.mark.parametrize(
    ("loss", "order", "cost"),
    [kind for kind in KINDS if kind[0] in ("logistic", "hinge") or np.isinf(kind[2])],
)
@pytest.mark.parametrize("norm", list(NORM))
def test_a_huge_radius_gives_exactly_the_constant_model(
    loss: str, order: float, cost: float, norm: str
) -> None:
    X, y = data(loss in ("logistic", "hinge"))
    solution = cx.solve(build(Case(loss, norm, order, cost, 50.0), X, y))
    assert solution.status is cx.Status.OPTIMAL
    assert (solution.model.coef == 0.0).all()


def test_cheap_flips_warn_and_give_the_zero_model() -> None:
    X, y = data(True)
    for loss in ("logistic", "hinge"):
        with pytest.warns(UserWarning, match="flip_cost 0.2 <= 2 radius"):
            declared = cx.WassersteinClassification(X, y, radius=0.1, flip_cost=0.2, loss=loss)
        solution = cx.solve(declared)
        assert solution.status is cx.Status.OPTIMAL
        assert (solution.model.coef == 0.0).all()
        assert solution.model.intercept == 0.0
        expected = np.log(2.0) if loss == "logistic" else 1.0
        assert solution.objective == pytest.approx(expected, rel=1e-12)


# -- hard data


HARD = [
    ("logistic", 1, inf),
    ("logistic", 1, 1.0),
    ("hinge", 1, 1.0),
    ("hinge", 2, inf),
    ("hinge", inf, inf),
    ("squared", 2, inf),
    ("squared", inf, 1.0),
    ("huber", 1, inf),
    ("quantile", 1, 1.0),
]
each_hard = pytest.mark.parametrize(
    ("loss", "order", "cost"), HARD, ids=["-".join(map(str, kind)) for kind in HARD]
)


def solved(case: Case, X: Array, y: Array, tol: float = TOL) -> cx.Solution:
    declared = build(case, X, y)
    with np.errstate(over="raise"):
        solution = cx.solve(declared, tol=tol)
    assert solution.status is cx.Status.OPTIMAL, (repr(solution), solution.message)
    check_worst_case(case, declared, solution)
    return solution


@each_hard
def test_an_offset_of_the_features_costs_nothing(loss: str, order: float, cost: float) -> None:
    case = Case(loss, "l2", order, cost, 0.05)
    X, y = data(case.classification)
    moved = cx.solve(build(case, X + 1e8, y))
    assert moved.status is cx.Status.OPTIMAL
    assert moved.objective == pytest.approx(answer(case).objective, abs=1e-5)


@each_hard
@pytest.mark.parametrize("norm", list(NORM))
@pytest.mark.parametrize("radius", [0.0, 0.05])
@pytest.mark.parametrize(
    "kind", ["wide", "two", "duplicates", "constant", "all constant", "unbalanced", "scaled rows"]
)
def test_degenerate_data(
    loss: str, order: float, cost: float, norm: str, radius: float, kind: str
) -> None:
    case = Case(loss, norm, order, cost, radius)
    X, y = data(case.classification)
    rng = np.random.default_rng(9)
    if kind == "wide":
        X = rng.standard_normal((len(X), 2 * len(X)))
    elif kind == "two":
        first = [int(np.argmin(y)), int(np.argmax(y))]
        X, y = X[first], y[first]
    elif kind == "duplicates":
        X, y = np.repeat(X[:6], 5, axis=0), np.repeat(y[:6], 5)
        y[0] = -y[0]
    elif kind == "constant":
        X = np.column_stack([X, np.ones(len(X)), X[:, 0], np.zeros(len(X))])
    elif kind == "all constant":
        X = np.ones_like(X)
    elif kind == "unbalanced":
        y = np.where(np.arange(len(y)) == 3, 1.0, -1.0) if case.classification else np.abs(y) ** 3
    else:
        X = X * 10.0 ** rng.uniform(-1.5, 1.5, (len(X), 1))
    solved(case, X, y)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_separable_data_at_radius_0_end_with_a_remark(loss: str) -> None:
    X, _ = data(True)
    solution = solved(Case(loss, "l2", 1, inf, 0.0), X, np.sign(X[:, 0]))
    assert solution.objective <= 1e-6
    assert ("separable" in solution.message) == (loss == "logistic")


def test_an_exact_fit_costs_its_length() -> None:
    """``(0 + radius ||b||)^2``: at the kink of the root, where squared risks meet."""
    X, _ = data(False)
    for order in (2, inf):
        solution = solved(Case("squared", "l2", order, inf, 1e-3), X, X[:, 0])
        assert 0.99e-6 <= solution.objective <= 2.1e-6


@pytest.mark.parametrize("kind", ["antipodal", "scaled", "zero", "duplicate"])
@pytest.mark.parametrize(("loss", "order", "cost"), HARD)
def test_rows_in_every_position(kind: str, loss: str, order: float, cost: float) -> None:
    for seed, norm, radius in product(range(2), NORM, (1e-9, 1e-3, 0.4)):
        rng = np.random.default_rng(seed)
        X = positioned(kind, 40, 3, rng, spread=2.0)
        y = X @ rng.standard_normal(3) + rng.standard_normal(40)
        case = Case(loss, norm, order, cost, radius)
        if case.classification:
            y = np.where(y > 0.0, 1.0, -1.0)
            y[:2] = 1.0, -1.0
        assert cx.solve(build(case, X, y)).status is cx.Status.OPTIMAL, case


# -- what the user receives


def test_labels_of_text_come_back_and_files_keep_everything(tmp_path: Path) -> None:
    X, y = data(True)
    text = np.where(y > 0.0, "yes", "no")
    declared = cx.WassersteinClassification(X, text, radius=0.05, flip_cost=1.0)
    never = cx.WassersteinClassification(X, text, radius=0.05, order=inf)
    for problem_ in (declared, never):
        solution = cx.solve(problem_)
        solution.save(tmp_path / "one.npz")
        again = cx.load(tmp_path / "one.npz")
        assert again.certificate == solution.certificate
        assert again.problem.flip_cost == problem_.flip_cost
        assert again.problem.order == problem_.order
        assert (again.model.predict(X) == solution.model.predict(X)).all()
        assert set(again.model.predict(X)) == {"yes", "no"}
        assert set(again.model.worst_case.atoms.target) == {"yes", "no"}
        assert again.model.worst_case.value == pytest.approx(solution.objective, rel=1e-12)
        agree = np.mean(again.model.predict(X) == text)
        assert agree >= 0.7


def test_regression_survives_a_file(tmp_path: Path) -> None:
    X, y = data(False)
    declared = cx.WassersteinRegression(X, y, radius=0.05, loss="quantile", quantile=0.8)
    solution = cx.solve(declared)
    solution.save(tmp_path / "one.npz")
    again = cx.load(tmp_path / "one.npz")
    assert again.certificate == solution.certificate
    assert again.problem.target_cost == inf
    np.testing.assert_array_equal(again.model.coef, solution.model.coef)


def test_coordinates_give_back_the_data() -> None:
    rng = np.random.default_rng(0)
    for n, d, norm, intercept in product((5, 30), (3, 12), NORM, (True, False)):
        X = 1e3 * rng.standard_normal((n, d)) + 50.0
        declared = cx.WassersteinRegression(
            X, rng.standard_normal(n), radius=1.0, norm=norm, intercept=intercept
        )
        where = declared.coordinates
        rotated = where.basis is not None
        assert rotated == (norm == "l2" and d > n)
        moved = where.matrix if where.basis is None else where.matrix @ where.basis.T
        np.testing.assert_allclose(where.scale * moved + where.mean, X, rtol=1e-12, atol=1e-9)
        assert np.log2(where.scale) == np.round(np.log2(where.scale))
        assert 0.5 <= np.sqrt(np.mean((X - where.mean) ** 2)) / where.scale <= 2.0
        b = np.asarray(rng.standard_normal(where.matrix.shape[1]))
        np.testing.assert_allclose(
            where.matrix @ b, (X - where.mean) @ where.coef(b), rtol=1e-9, atol=1e-9
        )
        if norm == "l2":
            length = np.linalg.norm(where.coef(b)) * where.scale
            assert length == pytest.approx(float(np.linalg.norm(b)), rel=1e-12)


def test_data_off_the_model_are_refused() -> None:
    model = answer(Case("logistic", "l2", 1, inf, 0.05)).model
    with pytest.raises(cx.ProblemError, match=r"X must have 3 columns, got shape \(2, 4\)"):
        model.predict(np.ones((2, 4)))
    plain = cx.LinearModel(np.ones(2), 0.0)
    with pytest.raises(cx.ProblemError, match="was not trained against a ball"):
        _ = plain.worst_case


@pytest.mark.parametrize("classification", [True, False])
def test_intercept_that_the_model_has_not_is_not_graded(classification: bool) -> None:
    X, y = data(classification)
    kind = cx.WassersteinClassification if classification else cx.WassersteinRegression
    declared = kind(X + 1.0, y, radius=0.1, intercept=False)
    solution = cx.solve(declared)
    shifted = solution.primal._replace(intercept=np.array([3.0]))
    assert declared.certify(shifted, solution.dual) == solution.certificate
    assert declared.build_model(shifted).intercept == 0.0
    for backend in cx.backends(declared).names:
        assert cx.solve(declared, backend, tol=1e-4).primal.intercept[0] == 0.0, backend
