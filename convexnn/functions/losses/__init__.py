"""Losses per example: one class each, and the tables of their names."""

from __future__ import annotations

from convexnn.contract.checks import choice
from convexnn.functions.losses.base import BinaryLoss, LipschitzLoss, Loss, ScalarLoss
from convexnn.functions.losses.classification import Hinge, Logistic, Softmax
from convexnn.functions.losses.regression import Absolute, Huber, Quantile, Squared

__all__ = [
    "COUPLED",
    "KINDS",
    "LOSSES",
    "Absolute",
    "BinaryLoss",
    "Hinge",
    "Huber",
    "LipschitzLoss",
    "Logistic",
    "Loss",
    "Quantile",
    "ScalarLoss",
    "Softmax",
    "Squared",
    "as_loss",
]

LOSSES: dict[str, Loss] = {
    loss.name: loss for loss in (Squared(), Logistic(), Hinge(), Huber(), Absolute())
}
COUPLED: dict[str, Loss] = {"softmax": Softmax()}  # those that need several outputs
KINDS: dict[str, type[Loss]] = {  # of all losses of this package, by their names
    name: type(loss) for name, loss in (LOSSES | COUPLED).items()
} | {Quantile.name: Quantile}


def as_loss(loss: str | Loss) -> Loss:
    """Return the loss of that name, or the loss itself.

    Raises
    ------
    ProblemError
        If no loss has that name; the message lists those that exist.

    Examples
    --------
    >>> as_loss("huber")
    Huber(delta=1.0)
    """
    if isinstance(loss, Loss):
        return loss
    named = LOSSES | COUPLED
    return named[choice("loss", loss, named)]
