"""Every builder writes itself in the forms that it offers, and in no others."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

import convexnn as cx
from convexnn.contract.problem import Builder
from convexnn.contract.program import CvxpyProgram
from convexnn.wasserstein.weight_balls import ChiSquared, Entropy

SAVED = sorted((Path(__file__).parents[1] / "driver" / "saved").glob("*.npz"))
PROBLEMS = [path.stem for path in SAVED if path.stem != "network"]


class Foreign(NamedTuple):
    """A form that no builder knows."""

    n: int


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_builder_writes_its_forms_and_refuses_others(name: str) -> None:
    problem = cx.load(SAVED[0].with_name(f"{name}.npz")).problem
    assert isinstance(problem, Builder)
    assert set(problem.forms()) <= {*problem.FORMS, CvxpyProgram}
    for form in problem.forms():
        assert isinstance(problem.canonical(form), form)
        assert problem.withholds(form) is None
    with pytest.raises(cx.ProblemError, match=r"can be written as .*CvxpyProgram, not as Foreign"):
        problem.canonical(Foreign)


def test_a_builder_of_several_forms_refuses_those_of_other_data() -> None:
    problem = cx.DivergenceReweighting(np.array([1.0, 2.0]), ball="chi2", radius=0.1)
    assert isinstance(problem.canonical(ChiSquared), ChiSquared)
    with pytest.raises(cx.ProblemError, match="form ChiSquared, not the form Entropy"):
        problem.canonical(Entropy)
