"""Monotone networks: the optimum, its proof for all x, bounds, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cvxpy as cp
import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.arrays import Array
from convexnn.relu.bound import Side, lower_bound, network_bound, proved_worth, sides
from convexnn.relu.cones import no_facets, project_blocks
from convexnn.relu.forms import Dual, GroupForm, NetworkForm
from convexnn.relu.network import TwoLayerNetwork
from convexnn.relu.pricing.signed_pricing import priced_form, priced_side
from convexnn.relu.search_bound import covers

ASKED = np.array([1, -1, 0])


def data(n: int = 24, d: int = 3, seed: int = 0) -> tuple[Array, Array]:
    """Examples whose target falls in the first column for some, and is free in the last."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return X, np.abs(X[:, 0]) - X[:, 1] + 0.3 * rng.standard_normal(n)


def declared(**kind: Any) -> cx.ReluTraining:
    """Training over a few patterns, with signs."""
    X, y = data()
    return cx.ReluTraining(X, y, **{"beta": 0.5, "monotone": ASKED, "patterns": 12, **kind})


def optimum(problem: cx.ReluTraining) -> float:
    """The program in raw data by Clarabel, written down once more."""
    X, y, matrix = problem.data, np.asarray(problem.y, np.float64), problem.matrix
    assert matrix is not None
    assert problem.monotone is not None
    E, S = 2.0 * matrix - 1.0, np.where(matrix, 1.0, problem.leak)
    V, W = (cp.Variable((X.shape[1], matrix.shape[1])) for _ in "VW")
    z = cp.sum(cp.multiply(S, X @ (V - W)), axis=1)
    ord_ = 2 if problem.penalty == "l2" else 1
    penalty = cp.sum(cp.norm(V, ord_, axis=0)) + cp.sum(cp.norm(W, ord_, axis=0))
    inside = [cp.multiply(E, X @ V) >= 0, cp.multiply(E, X @ W) >= 0]
    for k, sign in enumerate(problem.monotone):
        inside += [int(sign) * V[k] >= 0, int(sign) * W[k] <= 0]
    program = cp.Problem(cp.Minimize(cp.sum_squares(z - y) / 2 + problem.beta * penalty), inside)
    return float(program.solve(solver="CLARABEL"))


@pytest.mark.parametrize(("penalty", "leak"), [("l2", 0.0), ("l2", 0.1), ("l1", 0.0)])
@pytest.mark.parametrize("backend", ["admm", "fista", "ipm", "semismooth", "cvxpy:clarabel"])
def test_engines_reach_the_optimum_of_the_program_written_once_more(
    backend: str, penalty: str, leak: float
) -> None:
    problem = declared(penalty=penalty, leak=leak, bias=True)
    best, found = optimum(problem), cx.solve(problem, backend, tol=1e-7)
    assert found.gap <= 1e-6
    assert found.objective == pytest.approx(best, rel=2e-6)
    assert found.bound <= best * (1.0 + 1e-7)
    assert found.model.monotone(ASKED)
    assert not cx.solve(declared(penalty=penalty, leak=leak, monotone=None)).model.monotone(ASKED)


def test_columns_in_other_units_keep_their_signs() -> None:
    X, y = data()
    wide = X * [1e4, 1.0, 1e-2]
    problem = cx.ReluTraining(wide, y, beta=0.5, monotone=ASKED, patterns=12)
    found = cx.solve(problem, "admm", tol=1e-5)
    assert found.gap <= 1e-5
    assert found.model.monotone(ASKED)
    assert found.objective == pytest.approx(optimum(problem), rel=2e-5)


@pytest.mark.parametrize("backend", ["cell-walk", "lbfgs"])
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_the_network_goes_as_asked_between_any_two_points(backend: str, penalty: str) -> None:
    X, y = data(n=20)
    problem = cx.ReluTraining(X, y, beta=0.5, penalty=penalty, leak=0.1, monotone=ASKED)
    found = cx.solve(problem, backend, starts=2, width=10)
    rng = np.random.default_rng(1)
    low = 10.0 * rng.standard_normal((500, 3))
    high = low + np.abs(rng.standard_normal((500, 3))) * ASKED
    net = found.model
    rise = net.decision_function(high) - net.decision_function(low)
    assert (rise >= -1e-12).all()
    assert rise.max() > 0.1
    free = cx.solve(cx.ReluTraining(X, y, beta=0.5, penalty=penalty, leak=0.1))
    assert found.objective > free.bound + 0.1  # the price that is paid
    best = cx.solve(problem, "cvxpy:clarabel")  # over all patterns, which are listed
    assert found.bound <= best.objective
    assert found.objective >= best.bound
    if backend == "cell-walk":
        assert found.objective == pytest.approx(best.objective, rel=1e-6)
        assert found.gap <= 1e-6


def test_signs_that_the_optimum_has_anyway_cost_nothing() -> None:
    X, _ = data()
    y, matrix = 2.0 * np.maximum(X[:, 0], 0.0), X[:, :1] >= 0.0
    found = {
        asked: cx.solve(cx.ReluTraining(X, y, beta=2.0, patterns=matrix, monotone=asked), tol=1e-8)
        for asked in (None, (1, 0, 0), (0, 0, 0), (-1, 0, 0))
    }
    plain = found[None]
    assert plain.model.monotone([1, 0, 0])
    assert found[1, 0, 0].objective == pytest.approx(plain.objective, rel=1e-7)
    assert found[0, 0, 0].objective == plain.objective
    assert found[-1, 0, 0].objective > 1.1 * plain.objective


@pytest.mark.parametrize(("penalty", "leak"), [("l2", 0.0), ("l2", 0.2), ("l1", 0.2)])
def test_no_dual_point_bounds_above_the_optimum(penalty: str, leak: float) -> None:
    X, y = data(n=10, d=2)
    problem = cx.ReluTraining(X, y, beta=0.4, penalty=penalty, leak=leak, monotone=[1, -1])
    solved = cx.solve(problem, "ipm", tol=1e-9)
    group, form = problem.canonical(GroupForm), problem.canonical(NetworkForm)
    rng = np.random.default_rng(0)
    for mu in [solved.dual.mu, *(solved.dual.mu + 0.1 * rng.standard_normal((8, 10)))]:
        proof = covers(form, mu, 2_000)
        assert lower_bound(group, Dual(mu)) <= solved.objective
        assert network_bound(form, mu) <= network_bound(form, mu, proof) <= solved.objective
    tight = network_bound(form, solved.dual.mu, covers(form, solved.dual.mu, 2_000))
    assert tight == pytest.approx(solved.objective, rel=1e-6)


@pytest.mark.parametrize("leak", [0.0, 0.2])
def test_pricing_on_more_rows_is_pricing_within_the_signs(leak: float) -> None:
    X, y = data(n=9, d=3)
    problem = cx.ReluTraining(X, y, beta=0.1, leak=leak, monotone=ASKED)
    form = problem.canonical(NetworkForm)
    assert form.cells is not None
    for side, cover in zip(sides(form, y), covers(form, y, 20_000), strict=True):
        rows = np.vstack([form.X, np.diag(ASKED)[:2]])
        signs = np.where(form.cells.T, 1, -1)
        signs = np.hstack([signs, np.full((len(signs), 2), side.sign)]).astype(np.int8)
        slopes = np.where(form.cells.T, side.mu, leak * side.mu) @ form.X
        inside = project_blocks(rows, signs, slopes, no_facets(*slopes.shape))
        worth = float(np.linalg.norm(inside, axis=1).max())
        assert proved_worth(form, side, cover) == pytest.approx(worth, rel=1e-6)
        assert proved_worth(form, side, cover) >= worth
        other = Side(side.mu, -side.sign)  # a cover of other signs proves no less than the truth
        assert proved_worth(form, side, None) >= worth
        assert proved_worth(form, other, cover) >= 0.0
        free = form._replace(monotone=None)
        assert priced_form(free, 1) is free
        assert priced_side(free, side.mu, 1) is side.mu


def test_a_solution_is_saved_with_its_signs(tmp_path: Path) -> None:
    found = cx.solve(declared())
    found.save(tmp_path / "one.npz")
    again = cx.load(tmp_path / "one.npz")
    assert again.problem.monotone.tolist() == ASKED.tolist()
    assert again.problem.certify(again.primal, again.dual).gap == found.gap
    assert again.model.monotone(ASKED)


def test_signs_go_by_the_names_of_columns_and_along_a_path() -> None:
    X, y = data()
    names = ("dose", "age", "other")
    problem = cx.ReluTraining(
        X, y, beta=0.5, patterns=12, monotone={"age": -1, "dose": 1}, feature_names=names
    )
    np.testing.assert_array_equal(problem.monotone, ASKED)
    for found in cx.path(problem, betas=[3.0, 0.5], tol=1e-6).solutions:
        assert found.gap <= 1e-6
        assert found.model.monotone({"dose": 1, "age": -1})


def test_certify_takes_networks_that_the_signs_prove_and_no_others() -> None:
    problem = declared(patterns=None)
    own = cx.TwoLayerNetwork(U=[[1.0], [-1.0], [3.0]], alpha=[[0.5]], bias=[0.0])
    assert problem.point_of(own).V.shape == (3, 1)
    for U, alpha in (([[-1.0], [-1.0], [3.0]], 0.5), ([[1.0], [-1.0], [3.0]], -0.5)):
        other = cx.TwoLayerNetwork(U=U, alpha=[[alpha]], bias=[0.0])
        with pytest.raises(cx.ProblemError, match="proved monotone by the signs"):
            cx.certify(problem, other)


def test_what_a_network_proves() -> None:
    up = TwoLayerNetwork(U=[[1.0, -1.0]], alpha=[[2.0], [-1.0]], bias=[1.0, 2.0])
    assert up.monotone([1])
    assert not up.monotone([-1])
    assert not TwoLayerNetwork(up.U, up.alpha, up.bias, skip=[-0.1]).monotone([1])
    assert not TwoLayerNetwork(up.U, up.alpha, up.bias, leak=-0.1).monotone([1])
    gated = TwoLayerNetwork(up.U, up.alpha, up.bias, gates=[[1.0, 1.0]])
    assert not gated.monotone([1])
    assert gated.monotone([0])
    tiny = TwoLayerNetwork(U=[[-1e-200]], alpha=[[1e-200]], bias=[0.0])  # no product tells
    assert not tiny.monotone([1])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"monotone": [1, 0]}, "monotone must have 3 entries"),
        ({"monotone": [1, 0, 2]}, "monotone must have entries -1, 0 or 1"),
        ({"monotone": [1, 0, np.nan]}, "monotone"),
        ({"monotone": "up"}, "monotone"),
        ({"monotone": {"age": 1}}, "named columns"),
        ({"monotone": {"age": 1}, "feature_names": ("a", "b", "c")}, "monotone must name columns"),
        ({"monotone": {"a": 3}, "feature_names": ("a", "b", "c")}, "entries -1, 0 or 1"),
        ({"skip": True}, "skip must be False with monotone"),
        ({"formulation": "majorant"}, "formulation must be 'cones' with monotone"),
        ({"y": np.ones((24, 2))}, "more than one output"),
    ],
)
def test_what_is_refused(kind: dict[str, Any], said: str) -> None:
    X, y = data()
    with pytest.raises(cx.ProblemError, match=said):
        cx.ReluTraining(X, **{"y": y, "beta": 0.5, "monotone": ASKED, "patterns": 12, **kind})


def test_gates_and_majorants_are_refused_with_the_reason() -> None:
    X, y = data()
    gated: Any = cx.GatedReluTraining
    with pytest.raises(cx.ProblemError, match="they prove nothing"):
        gated(X, y, beta=0.5, monotone=ASKED)
    with pytest.raises(ValueError, match="no cones"):
        cx.solve(declared(patterns=None), "convex-concave")


@pytest.mark.parametrize("norm", ["l2", "l1", "linf"])
def test_a_network_in_a_ball_may_have_signs(norm: str) -> None:
    X, y = data()
    problem = cx.WassersteinReluTraining(X, y, radius=0.05, norm=norm, patterns=8, monotone=ASKED)
    found = cx.solve(problem, "admm" if norm == "l1" else "ipm", tol=1e-5)
    assert found.gap <= 1e-4
    assert found.model.monotone(ASKED)
    twin = cx.solve(problem, "cvxpy:clarabel")
    assert found.objective == pytest.approx(twin.objective, rel=1e-4)
    assert found.bound <= twin.objective * (1.0 + 1e-7)


def test_estimators_go_as_asked_in_raw_columns() -> None:
    pd = pytest.importorskip("pandas")
    X, y = data(n=40)
    frame = pd.DataFrame(100.0 * X + 7.0, columns=["dose", "age", "other"])
    asked = {"dose": 1, "age": -1}
    fit = cx.ReluRegressor(alpha=0.02, monotone=asked, patterns=15).fit(frame, y)
    assert fit.model_.monotone(ASKED)
    assert fit.solution_.gap <= 1e-3
    assert not cx.ReluRegressor(alpha=0.02, patterns=15).fit(frame, y).model_.monotone(ASKED)
    names = np.where(y > 0.5, "yes", "no")
    chosen = cx.ReluClassifierCV([0.1, 0.01], cv=2, monotone=asked).fit(frame, names)
    assert chosen.model_.monotone(ASKED)
    low, high = frame[:20], frame[:20] + np.array([200.0, -200.0, 0.0])
    assert (chosen.predict_proba(high)[:, 1] >= chosen.predict_proba(low)[:, 1]).all()


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ({"monotone": {"weight": 1}}, "named columns"),
        ({"monotone": [1]}, "monotone must have 3 entries"),
        ({"monotone": ASKED, "activation": "gated"}, "they prove nothing"),
    ],
)
def test_estimators_refuse_what_the_problem_refuses(kind: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        cx.ReluRegressor(**kind).fit(*data())
