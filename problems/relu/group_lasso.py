"""What the builders share whose network is a sum of given features: a program without cones."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from convexnn.contract.grading import Grade
from convexnn.problems.relu.formulas import group_lasso_formula
from convexnn.problems.relu.training import Training
from convexnn.relu.forms import Dual, GroupForm, Neurons
from convexnn.relu.free_part import FreePart

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array
    from convexnn.contract.program import CvxpyProgram


class GroupLasso(Training):
    """Base of the builders of ``minimise sum_i l(z_i; y_i) + beta sum_p ||u_p||``, z linear."""

    FORMS: ClassVar[dict[type, str]] = {GroupForm: "_group_form"}

    @property
    @abstractmethod
    def _group_form(self) -> GroupForm:
        """Return the group lasso."""

    def _over(self, X: Array, slopes: Array) -> GroupForm:
        """Return the group lasso over data in the coordinates of the design, and slopes."""
        beta = self.beta / self.design.scale
        slopes = np.ascontiguousarray(slopes)
        free = self._constant
        columns = np.ones((len(X), 1)) if free else None
        targets, loss, norm = self.labels.targets, self._loss, self._norm
        return GroupForm(X, targets, slopes, None, loss, norm, beta, free, columns)

    @cached_property
    def _free(self) -> FreePart | None:
        return FreePart(self._group_form) if self._constant else None

    def _offset(self, primal: Neurons) -> Array | None:
        """Return the free constant of each output, None where there is none."""
        return primal.skip[0:1].reshape(-1) if self._constant else None

    def needs(self) -> frozenset[str]:
        """Return the cones of the loss and of the penalty."""
        return self._loss.cones | self._norm.cones

    def to_cvxpy(self) -> CvxpyProgram:
        """Return the formula in CVXPY, with variables U and z."""
        return group_lasso_formula(self._group_form, self.needs())

    def initial(self) -> tuple[Neurons, Dual]:
        """Return the zero network and the loss's slope there."""
        form = self._group_form
        d = form.X.shape[1]
        mu = -form.loss.gradient(np.zeros_like(form.y), form.y)
        return Neurons(np.zeros((d, form.blocks)), np.zeros((d, 0)), form.still()), Dual(mu)

    def grade(self, primal: Neurons) -> Grade:
        """Return the objective of the network; there are no constraints to violate."""
        if primal.V.shape[1] == 0:
            return Grade(self._idle())
        form = self._group_form
        rows = form.rows(primal)
        z = form.predict(rows) + form.free(primal.skip)
        fit = form.loss.value(z, form.y).sum()
        return Grade(float(fit + form.beta * form.norm.value(rows).sum()))
