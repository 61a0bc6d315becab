"""Copies and pickles of problems and answers are what they were, arrays locked as at first."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convexnn as cx

SAVED = sorted((Path(__file__).parent / "saved").glob("*.npz"))
ANSWERS = [path for path in SAVED if path.stem != "network"]


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


def arrays(value: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(value, np.ndarray):
        yield value
    elif is_dataclass(value):
        for f in fields(value):
            yield from arrays(getattr(value, f.name))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from arrays(part)
    elif hasattr(value, "indptr"):
        yield from (value.data, value.indices, value.indptr)


def test_there_are_answers_of_every_problem() -> None:
    assert {type(cx.load(path).problem).__name__ for path in ANSWERS} == set(cx.PROBLEMS)


@pytest.mark.parametrize("way", [pickled, copy.deepcopy, copy.copy])
@pytest.mark.parametrize("path", ANSWERS, ids=lambda path: path.stem)
def test_a_copy_is_what_it_was(path: Path, way: Callable[[Any], Any]) -> None:
    first = cx.load(path)
    again = way(first)
    problem = again.problem if way is not copy.copy else way(first.problem)
    assert not any(array.flags.writeable for array in arrays(problem))
    assert problem.certify(again.primal, again.dual) == first.certificate
    assert again.certificate == first.certificate
    assert (again.status, again.history) == (first.status, first.history)


def test_a_loss_of_the_user_says_that_it_cannot_be_pickled() -> None:
    pair = (lambda t: np.square(t), lambda t: 2.0 * t)
    problem = cx.WorstCaseMargins(np.arange(5.0), radius=0.1, loss=pair, window=(-9.0, 9.0))
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(problem)
