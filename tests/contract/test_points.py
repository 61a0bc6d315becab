"""Only points of a problem are graded; any other is refused by the name of what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.grading import grader_of
from convexnn.contract.points import fitted
from convexnn.forms import Cover, Dual, Facets, Location, Neurons

SAVED = sorted((Path(__file__).parents[1] / "driver" / "saved").glob("*.npz"))
NAMES = [path.stem for path in SAVED if path.stem != "network"]
PLAIN: dict[str, Any] = {"none": None, "text": "x", "object": object(), "dict": {}}
RAGGED = [[1.0], [1.0, 2.0]]

saved = pytest.mark.parametrize("name", NAMES)


@cache
def solution_of(name: str) -> cx.Solution:
    found: cx.Solution = cx.load(SAVED[0].parent / f"{name}.npz")
    return found


def arrays_of(point: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield each array of a point, and the names and numbers that lead to it."""
    if isinstance(point, np.ndarray):
        yield where, point
    elif isinstance(point, tuple):
        for place, part in zip(getattr(point, "_fields", range(len(point))), point, strict=True):
            yield from arrays_of(part, (*where, place))


def put(point: Any, where: tuple[Any, ...], value: Any) -> Any:
    """Return a point with another value in one place."""
    if not where:
        return value
    place, *rest = where
    if hasattr(point, "_fields"):
        return point._replace(**{place: put(getattr(point, place), tuple(rest), value)})
    return (*point[:place], put(point[place], tuple(rest), value), *point[place + 1 :])


def no_arrays(array: Any) -> dict[str, Any]:
    """Return what is no array of real numbers."""
    kinds = {"ragged": RAGGED, "complex": array.astype(complex), "text": array.astype(str)}
    if not array.size:
        return PLAIN | kinds
    objects, masked = np.full(array.shape, None, dtype=object), np.ma.array(array, mask=True)
    return PLAIN | kinds | {"objects": objects, "masked": masked}


def other_shapes(array: Any) -> list[Any]:
    """Return arrays of shapes that are wrong wherever a problem tells the shape."""
    if not array.ndim:
        return [np.zeros(1), np.zeros((1, 1))]
    longer = [np.concatenate([array, array[:1]])] if len(array) else []
    return [array[..., None], np.array(1.0), *longer]


def test_every_problem_is_tried() -> None:
    kinds = {type(solution_of(name).problem).__name__ for name in NAMES}
    assert kinds == set(cx.PROBLEMS)


@saved
@pytest.mark.parametrize("half", ["primal", "dual"])
def test_what_is_no_point_is_refused(name: str, half: str) -> None:
    found = solution_of(name)
    points = {"primal": found.primal, "dual": found.dual}
    own = type(points[half]).__name__
    for what, value in {**PLAIN, "arrays": tuple(points[half]), "empty": ()}.items():
        if half == "dual" and what == "none":
            continue
        with pytest.raises(cx.ProblemError, match=f"^{half} must be an? {own}, got "):
            found.problem.certify(**(points | {half: value}))


@saved
@pytest.mark.parametrize("half", ["primal", "dual"])
def test_parts_that_are_no_real_arrays_are_refused(name: str, half: str) -> None:
    found = solution_of(name)
    points = {"primal": found.primal, "dual": found.dual}
    for where, array in arrays_of(points[half]):
        for value in no_arrays(array).values():
            if value is None and where[-1] in ("common", "kinks", "matrix"):
                continue  # nothing is said there
            with pytest.raises(cx.ProblemError, match=f"^{half}[.]{where[0]}"):
                found.problem.certify(**(points | {half: put(points[half], where, value)}))


@saved
def test_arrays_of_other_shapes_are_no_answer_and_prove_nothing(name: str) -> None:
    found = solution_of(name)
    for where, array in arrays_of(found.primal):
        for value in other_shapes(array):
            with pytest.raises(cx.ProblemError, match=f"^primal[.]{where[0]} must have shape"):
                found.problem.certify(put(found.primal, where, value), found.dual)
    for where, array in arrays_of(found.dual):
        if where[0] in ("facets", "covers"):
            continue
        for value in other_shapes(array):
            certificate = found.problem.certify(found.primal, put(found.dual, where, value))
            assert certificate.bound == -np.inf
            assert certificate.objective == found.objective
            assert certificate.covers == found.certificate.covers


@saved
def test_a_missing_dual_point_is_the_trivial_one(name: str) -> None:
    found = solution_of(name)
    trivial = found.problem.initial()[1]
    assert found.problem.certify(found.primal, None) == found.problem.certify(found.primal, trivial)


@saved
def test_lists_and_whole_numbers_are_read_as_floats(name: str) -> None:
    found = solution_of(name)
    points = {"primal": found.primal, "dual": found.dual}
    for half, point in points.items():
        for where, array in arrays_of(point):
            if array.dtype == np.float64:
                points[half] = put(points[half], where, array.tolist())
    again = found.problem.certify(**points)  # sums in another order, where it was no C array
    assert again.objective == pytest.approx(found.objective, rel=1e-12, abs=1e-12)
    assert again.bound == pytest.approx(found.bound, rel=1e-12, abs=1e-12)


@saved
def test_numbers_that_are_none_prove_nothing(name: str) -> None:
    found = solution_of(name)
    best = found.objective + 1e-6 * max(1.0, abs(found.objective))
    if found.status is cx.Status.INFEASIBLE:
        best = np.inf
    for value in (np.nan, np.inf, -np.inf):
        for half in ("primal", "dual"):
            points = {"primal": found.primal, "dual": found.dual}
            for where, array in arrays_of(points[half]):
                if array.dtype == np.float64:
                    points[half] = put(points[half], where, np.full(array.shape, value))
            certificate = found.problem.certify(**points)
            assert certificate.bound <= best
            assert not np.isnan(certificate.objective)


def relu(**more: Any) -> cx.ReluTraining:
    X = np.random.default_rng(0).standard_normal((6, 2))
    return cx.ReluTraining(X, X[:, 0], beta=0.1, **more)


def neurons(p: int, q: int) -> Neurons:
    return Neurons(np.ones((2, p)), np.ones((2, q)), np.zeros(2))


def test_the_number_of_neurons_is_open_over_all_patterns_alone() -> None:
    some, every = relu(patterns=3), relu()
    own = some.initial()[0].V.shape[1]
    for p, q in ((own, own), (0, 0)):
        assert np.isfinite(some.certify(neurons(p, q), None).objective)
    for p, q in ((own + 1, own), (own, 0)):
        with pytest.raises(cx.ProblemError, match=rf"must have shape \(2, {own}\), got"):
            some.certify(neurons(p, q), None)
    for p, q in ((1, 0), (4, 7)):
        assert np.isfinite(every.certify(neurons(p, q), None).objective)


def test_each_output_has_as_many_neurons() -> None:
    X = np.random.default_rng(0).standard_normal((6, 2))
    problem = cx.ReluTraining(X, X, beta=0.1)
    with pytest.raises(cx.ProblemError, match=r"primal.W must have as many columns for each of 2"):
        problem.certify(neurons(2, 3)._replace(skip=np.zeros((2, 2))), None)


PROOFS: dict[str, tuple[Any, str]] = {
    "facets": (Facets(np.zeros((2, 2)), np.zeros((2, 2))), "facets.example must be an int array"),  # type: ignore[arg-type]
    "matrix": (np.zeros((6, 2)), "matrix must be an array of bool"),
    "covers": ([None, None], "covers must be a tuple"),
    "covers, other": ((None, 3), r"covers\[1\] must be a Cover or None"),
    "covers, tree": (
        (Cover(np.eye(2), np.zeros(1), 1.0),),  # type: ignore[arg-type]
        r"covers\[0\].tree must be a uint16",
    ),
    "covers, limit": (
        (Cover(np.eye(2), np.zeros(1, np.uint16), "1"),),  # type: ignore[arg-type]
        r"covers\[0\].limit must be a float",
    ),
    "relaxed": (Location(np.zeros(6)), "relaxed must be a Relaxed or None"),
}


@pytest.mark.parametrize("what", PROOFS)
def test_what_belongs_to_a_proof_is_refused_by_name(what: str) -> None:
    value, said = PROOFS[what]
    dual = Dual(np.zeros(6))._replace(**{what.partition(",")[0]: value})
    with pytest.raises(cx.ProblemError, match=f"^dual.{said}"):
        relu().certify(neurons(1, 1), dual)


OTHERS: dict[str, Any] = {
    "facets": Facets(np.zeros((2, 2), np.int32), np.zeros((3, 2))),
    "matrix": np.zeros((5, 2), bool),
    "common": np.zeros(5),
    "kinks": np.zeros((5, 2)),
    "covers": (Cover(np.eye(2)[0], np.zeros(1, np.uint16), 1.0),),
}


@pytest.mark.parametrize("what", OTHERS)
def test_a_proof_of_other_shapes_proves_nothing(what: str) -> None:
    dual = Dual(np.zeros(6))._replace(**{what: OTHERS[what]})
    assert relu().certify(neurons(1, 1), dual).bound == -np.inf


def test_a_plain_tuple_is_held_against_one() -> None:
    like = (np.zeros(2), 3, "own")
    assert fitted("primal", ([1, 2], 0, None), like)[2] is None
    with pytest.raises(cx.ProblemError, match=r"^primal\[0\] must have shape \(2,\), got \(1,\)"):
        fitted("primal", (np.zeros(1), 0, None), like)
    with pytest.raises(cx.ProblemError, match=r"^primal must be a tuple"):
        fitted("primal", (np.zeros(1),), like)


def test_a_run_is_told_of_a_point_that_is_none() -> None:
    grader = grader_of(relu(patterns=3))
    grader.certify(*relu(patterns=3).initial())
    with pytest.raises(cx.ProblemError, match=r"^primal[.]V must have shape"):
        grader.again().certify(neurons(1, 1), Dual(np.zeros(6)))
    assert grader.again().certify(neurons(0, 0), Dual(np.zeros(5))).bound == -np.inf
