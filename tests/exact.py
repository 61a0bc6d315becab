"""Objectives in rational numbers, from above: what no bound may exceed, by no bit.

Square roots, exponentials and logarithms are rounded up at far more digits than a float has.
"""

from __future__ import annotations

from decimal import Context, Decimal
from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.functions.losses import Absolute, Hinge, Huber, Logistic, Loss, Quantile, Squared
from convexnn.functions.norms import L1, L2, Linf, Norm

DIGITS = 60
ABOVE = 1 + Fraction(1, 10**50)
CONTEXT = Context(prec=DIGITS, Emin=-(10**9), Emax=10**9)

Row = list[Fraction]


def fractions(a: Any) -> Any:
    """Return nested lists of fractions of the same numbers."""
    array = np.asarray(a, dtype=np.float64)
    return Fraction(float(array)) if array.ndim == 0 else [fractions(row) for row in array]


def dot(a: Row, b: Row) -> Fraction:
    return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))


def root(x: Fraction) -> Fraction:
    """Return the square root, from above."""
    shift = 10 ** max(2 * DIGITS, 2 * len(str(x.denominator)))
    return Fraction(isqrt(x.numerator * shift**2 // x.denominator) + 1, shift)


def length(norm: Norm, row: Row) -> Fraction:
    """Return a norm of a row."""
    if isinstance(norm, L1):
        return sum(map(abs, row), Fraction(0))
    if isinstance(norm, Linf):
        return max(map(abs, row), default=Fraction(0))
    assert isinstance(norm, L2)
    square = dot(row, row)
    return root(square) if square else Fraction(0)


def softplus(x: Fraction) -> Fraction:
    """Return ``log(1 + exp(x))``, from above."""
    big = CONTEXT.divide(Decimal(x.numerator), Decimal(x.denominator))
    small = CONTEXT.exp(-abs(big))
    more = CONTEXT.ln(CONTEXT.add(1, small)) if small > Decimal(10) ** -(DIGITS // 2) else small
    return max(x, Fraction(0)) + Fraction(more) * ABOVE


def loss_value(loss: Loss, z: Fraction, y: Fraction) -> Fraction:
    """Return the loss of one prediction."""
    r = z - y
    if isinstance(loss, Squared):
        return r * r / 2
    if isinstance(loss, Huber):
        inside = min(abs(r), Fraction(loss.delta))
        return inside * (abs(r) - inside / 2)
    if isinstance(loss, Hinge):
        return max(Fraction(0), 1 - y * z)
    if isinstance(loss, Absolute):
        return abs(r)
    if isinstance(loss, Quantile):
        tau = Fraction(loss.tau)
        return max(-tau * r, (1 - tau) * r)
    assert isinstance(loss, Logistic)
    return softplus(-y * z)


def total_loss(loss: Loss, z: Row, y: Array) -> Fraction:
    """Return the sum of the losses."""
    return sum((loss_value(loss, a, b) for a, b in zip(z, fractions(y), strict=True)), Fraction(0))
