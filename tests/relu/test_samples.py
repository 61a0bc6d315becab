"""Many examples: searches and relaxations begin on samples, and the bound has time of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.backend import Options
from convexnn.relu import samples
from convexnn.relu.forms import NetworkForm, Neurons, PooledNetworkForm
from convexnn.relu.relaxation import improve, relaxed_bound
from convexnn.solvers.relu import batches, cell_walk, lbfgs
from convexnn.solvers.relu.layers import layers_of


def declared(n: int = 400, d: int = 6, **more: Any) -> cx.ReluTraining:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    y = np.maximum(X @ rng.standard_normal((d, 3)), 0.0).sum(axis=1)
    return cx.ReluTraining(X, y + 0.1 * rng.standard_normal(n), beta=2.0, **more)


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "LONG", 300)
    monkeypatch.setattr(samples, "FEWEST", 50)
    monkeypatch.setattr(lbfgs, "LONG", 300)


class Free:
    """The reporter of a run without a limit."""

    def report(self, iteration: int, primal: Any, dual: Any) -> bool:
        return False

    def expired(self) -> bool:
        return False

    def remaining(self) -> float | None:
        return None


@pytest.mark.parametrize("more", [{}, {"skip": True}, {"weights": np.linspace(0.5, 2.0, 400)}])
def test_a_sample_of_every_example_is_the_problem(more: dict[str, Any]) -> None:
    form = declared(**more).canonical(NetworkForm)
    rng = np.random.default_rng(1)
    V, W = rng.standard_normal((2, form.X.shape[1], 2))
    network = Neurons(V, W, form.still() + 0.1)
    order = rng.permutation(400)
    assert form.sampled(order).objective(network) == pytest.approx(form.objective(network))
    half = form.sampled(order[:200])
    assert half.beta == 0.5 * form.beta
    assert np.array_equal(half.predict(network), form.predict(network)[order[:200]])


def test_a_sample_keeps_the_rows_of_each_bag() -> None:
    images = np.random.default_rng(0).standard_normal((6, 4, 4))
    y = images.sum(axis=(1, 2))
    form = cx.ConvReluTraining(images, y, beta=0.1, filter_size=2).canonical(PooledNetworkForm)
    network = Neurons(np.ones((form.X.shape[1], 1)), np.zeros((form.X.shape[1], 0)), form.still())
    rows = np.array([4, 1])
    assert form.sampled(rows).predict(network) == pytest.approx(form.predict(network)[rows])


KINDS: list[dict[str, Any]] = [
    {},
    {"penalty": "l1"},
    {"skip": True},
    {"leak": 0.1, "bias": True},
    {"loss": "huber", "weights": np.linspace(0.5, 2.0, 400)},
    {"loss": "absolute"},
    {"monotone": [1, -1, 0, 0, 1, 0]},
    {"risk": cx.Cvar(0.5)},
]


@pytest.mark.usefixtures("long")
@pytest.mark.parametrize("more", KINDS, ids=str)
def test_batches_lead_to_a_network_as_good(
    more: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "BATCH", 64)
    monkeypatch.setattr(batches, "STEPS", 300)
    form = declared(**more).canonical(NetworkForm)
    plain = Options(1e-6, None, 0, {})
    quick = next(lbfgs.search(form, 1, 20, plain, Free()))
    begin = lbfgs.random_network(form, 20, np.random.default_rng(0))
    monkeypatch.setattr(lbfgs, "LONG", 1_000)
    whole = lbfgs.descend(form, begin, lbfgs.MAX_ITER, Free())
    assert form.objective(quick) <= 1.02 * form.objective(whole)
    if form.monotone is not None:
        for weights, side in ((quick.V, 1.0), (quick.W, -1.0)):
            assert (weights * side * form.monotone[:, None] >= 0.0).all()


def test_batches_alone_lower_the_objective(monkeypatch: pytest.MonkeyPatch) -> None:
    form = declared().canonical(NetworkForm)
    begin = lbfgs.random_network(form, 20, np.random.default_rng(0))
    monkeypatch.setattr(batches, "STEPS", 300)
    reached = batches.by_batches(form, begin, 0, Free())
    assert form.objective(reached) < 0.7 * form.objective(begin)
    # and what overflows in single precision is not taken
    huge = form._replace(X=1e60 * form.X)
    begin = lbfgs.random_network(huge, 20, np.random.default_rng(0))
    assert batches.by_batches(huge, begin, 0, Free()) is begin
    monkeypatch.setattr(lbfgs, "LONG", 300)
    assert huge.objective(lbfgs.descend(huge, begin, 50, Free())) <= huge.objective(begin)


def test_every_pass_sees_every_example_once(monkeypatch: pytest.MonkeyPatch) -> None:
    form = declared().canonical(NetworkForm)
    begin = lbfgs.random_network(form, 4, np.random.default_rng(0))
    monkeypatch.setattr(batches, "BATCH", 100)
    feed = batches.Batches(form, begin, np.random.default_rng(0))
    seen = []
    for _ in range(8):
        feed.slope(feed.start)
        seen.append(feed.layers.form.y)
    for once in (seen[:4], seen[4:]):
        assert np.array_equal(np.sort(np.concatenate(once)), np.sort(form.y))
    assert not np.array_equal(seen[0], seen[4])


@pytest.mark.parametrize("more", KINDS, ids=str)
def test_single_precision_has_the_same_slopes(more: dict[str, Any]) -> None:
    form = declared(**more).canonical(NetworkForm)
    begin = lbfgs.random_network(form, 5, np.random.default_rng(0))
    values, slopes = [], []
    for kind in (form, form.single_precision()):
        layers = layers_of(kind, begin)
        value, slope = layers.value(layers.pack(begin), form.loss)
        assert slope.dtype == np.float64
        values.append(value)
        slopes.append(slope)
    assert values[0] == pytest.approx(values[1], rel=1e-5)
    assert np.abs(slopes[0] - slopes[1]).max() <= 1e-4 * np.abs(slopes[0]).max()


def test_the_relaxation_begun_on_a_sample_proves_as_much(monkeypatch: pytest.MonkeyPatch) -> None:
    form = declared().canonical(NetworkForm)
    whole = relaxed_bound(form, improve(form, form.y))
    monkeypatch.setattr(samples, "LONG", 300)
    monkeypatch.setattr(samples, "FEWEST", 50)
    assert relaxed_bound(form, improve(form, form.y)) >= 0.95 * whole
    # and some of it when time is up at once
    assert relaxed_bound(form, improve(form, form.y, expired=lambda: True)) > 0.0


class Ticking(Free):
    """The reporter of a run whose time is the looks that are taken at the clock."""

    def __init__(self, looks: int) -> None:
        self.left = looks

    def expired(self) -> bool:
        self.left -= 1
        return self.left <= 0

    def remaining(self) -> float:
        return 1.0 * max(self.left, 0)


def test_a_search_without_end_leaves_time_for_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(form: Any, begin: Neurons, limit: int, reporter: Any, **more: Any) -> Neurons:
        while not reporter.expired():
            pass
        return begin

    class Reached(Exception):
        pass

    def reached(*given: Any, **more: Any) -> None:
        raise Reached

    monkeypatch.setattr(lbfgs, "descend", endless)
    monkeypatch.setattr(cell_walk, "improve", reached)
    form, plain = declared().canonical(NetworkForm), Options(1e-6, None, 0, {})
    walk = cell_walk.Walk(form, plain, Ticking(100), 10, 10)
    with pytest.raises(Reached):
        walk.run(cell_walk.DEFAULTS, None)


@pytest.mark.parametrize(("d", "proofs"), [(4, 1), (8, 0)])
def test_rounds_without_end_leave_a_proof_where_one_closes(
    d: int, proofs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def turn(walk: cell_walk.Walk, matrix: Any, network: Neurons) -> cell_walk.Turn:
        walk.best = 0.5 * min(walk.best, 1e12)
        dual = lbfgs.slope_dual(walk.form, network)
        return cell_walk.Turn(dual, network, np.ones((400, 1), bool), 2.0)

    monkeypatch.setattr(cell_walk.Walk, "turn", turn)
    monkeypatch.setattr(cell_walk.Walk, "proof", lambda walk, turn: asked.append(turn))
    form, plain = declared(d=d).canonical(NetworkForm), Options(1e-6, None, 0, {})
    walk = cell_walk.Walk(form, plain, Ticking(7), 10, 10)
    walk.lifts = True
    begin = lbfgs.random_network(form, 4, np.random.default_rng(0))
    message, _ = walk.rounds(np.ones((400, 1), bool), begin, 50)
    assert message.startswith("Half of the time")
    assert len(asked) == proofs
