"""Mangled points of every problem: no bound above an objective, no figure that is no number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import convexnn as cx
from convexnn.bench import mangled
from convexnn.bench.instances import FAMILIES, instance
from convexnn.bench.mangled import GOOD, WAYS, Known, campaign, changed, declared, judged, rounded
from convexnn.commands.app import app
from convexnn.forms import Order, Slopes

FEW = 12  # points of each family
MEDIAN = list(FAMILIES).index("median")


@pytest.mark.parametrize("number", range(len(FAMILIES)), ids=list(FAMILIES))
def test_mangled_points_prove_nothing_false(number: int) -> None:
    assert [one for one in judged(0, number, FEW) if one.verdict not in GOOD] == []


@pytest.mark.slow
def test_two_thousand_mangled_points() -> None:
    found = campaign(2000, 1)
    assert [one for one in found if one.verdict not in GOOD] == []
    assert {one.family for one in found} == set(FAMILIES)


def broken(found: cx.Certificate) -> cx.Certificate:
    raise IndexError("of an array")


WRONG: dict[str, Callable[[cx.Certificate], cx.Certificate]] = {
    "above": lambda found: replace(found, bound=found.bound * (1.0 + 1e-6)),
    "nan": lambda found: replace(found, objective=np.nan),
    "raw": broken,
}


@pytest.mark.parametrize("verdict", WRONG)
def test_what_is_wrong_is_found(verdict: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = cx.GeometricMedian.certify

    def wrong(self: cx.GeometricMedian, primal: Any, dual: Any) -> cx.Certificate:
        return WRONG[verdict](right(self, primal, dual))

    monkeypatch.setattr(cx.GeometricMedian, "certify", wrong)
    monkeypatch.setattr(mangled, "instance", lambda seed, number: instance(seed, MEDIAN))
    done = CliRunner().invoke(app, ["bench", "check", "--mangled", "40", "--seed", "0"])
    assert done.exit_code == 1
    assert f"{verdict}: problem " in done.output


@pytest.mark.parametrize("way", WAYS)
def test_points_are_changed_in_all_their_arrays_or_in_one(way: str) -> None:
    rng = np.random.default_rng(0)
    point = Slopes(np.array([1.5, -2.5, 0.5]), np.array([0.1, 0.2, 0.7])), np.arange(3), None
    counts = set()
    for _ in range(20):
        other, whole, none = changed(point, WAYS[way], rng)
        assert whole is point[1]
        assert none is None
        counts.add(sum(bool((a != b).any()) for a, b in zip(other, point[0], strict=True)))
    assert {1, 2} <= counts
    assert isinstance(changed(Order(np.array(3.0)), WAYS[way], rng).quantity, np.ndarray)


def test_rounded_numbers_are_next_to_those_they_were() -> None:
    a = np.array([[1.0, 0.0], [1.0, 3.0]])
    near = rounded(a, np.random.default_rng(0))
    assert near[0, 0] == near[1, 0] != 1.0
    assert near[0, 1] == 0.0
    assert near == pytest.approx(a, rel=1e-15)


def test_some_data_are_far_off_and_some_parameters_are_huge() -> None:
    texts = [declared(0, k, np.random.default_rng(k))[0] for k in range(200)]
    for word in ("shift=1e+09", "unit=1e-100", "unit=1e+100", "e+1", "e-1"):
        assert any(word in text for text in texts), word


def test_points_are_judged_by_what_not_all_pay() -> None:
    """A bound that is too high by less than the rounding of the whole sum is found."""
    problem = cx.GeometricMedian(np.array([[0.0], [1.0], [3.0], [4.0], [1e14]]))
    known = Known(problem, np.random.default_rng(0))
    best = cx.solve(problem)
    assert known.above(best.certificate) is None
    assert best.certificate.net is not None
    objective, bound = best.certificate.net
    assert known.above(replace(best.certificate, net=(objective, bound + 1e-6))) is not None
