"""Linear decisions whose worst case is smooth but at ``b = 0``: Newton's method on the risk itself.

Without flips, of order 1 and in the l2 norm, the risk of a smooth loss is

    mean_i l(x_i'b + c; y_i) + price ||b||

and Newton's method with a line search takes a few steps of O(n d^2). For squared residuals of
order 2 the risk is ``(rms(X b + c - y) + radius ||b||)^2``: its minimiser is the ridge regression
whose weight is ``radius rms / ||b||``, one equation in one unknown. Where either fails, as at
``b = 0``, the interior point takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import brentq

from convexnn.wasserstein.distribution_ball import DistributionBall
from convexnn.wasserstein.forms import Linear, WassersteinForm
from convexnn.wasserstein.order_one import Regularised
from convexnn.wasserstein.order_two import RootSquares

STEPS = 20
HALVINGS = 10  # of a step
ENOUGH = 1e-4  # share of the promised fall that a step must bring
RIDGE = 1e-12  # relative to the trace
LIGHTEST = 1e-16  # ridge weight to begin with, relative to the largest eigenvalue
FLAT = 1e-14  # fall relative to the risk that rounding hides


def suits(form: WassersteinForm) -> bool:
    """Tell whether the risk is one of these."""
    smooth = type(form.ball) in METHODS and bool(np.isfinite(form.ball.loss.curvature))
    return smooth and form.norm.rotates and form.ball.floor == 0.0


def models(form: WassersteinForm, start: Linear | None = None) -> Iterator[tuple[Linear, float]]:
    """Yield better and better models, as long as steps lower the risk.

    Beside each stands the fall that the step to it promised, relative to the risk.
    """
    return METHODS[type(form.ball)](form, start)


def exact(form: WassersteinForm, start: Linear | None = None) -> Iterator[tuple[Linear, float]]:
    """Yield the minimiser of the root of squared residuals, unless it has a kink there."""
    found = ridge(form)
    if found is not None:
        yield found, 0.0


def ridge(form: WassersteinForm) -> Linear | None:
    """Return the minimiser of ``rms(X b + c - y) + radius ||b||``, None where it has a kink."""
    X, y, n = form.X, form.y, len(form.y)
    middle, level = np.zeros(X.shape[1]), 0.0
    if form.intercept:
        mass = form.ball.counted(np.ones(n))
        middle, level = mass @ X / n, float(mass @ y) / n
        X, y = X - middle, y - level
    if form.ball.weights is not None:
        root = np.sqrt(form.ball.weights)
        X, y = root[:, None] * X, root * y
    sizes, basis = np.linalg.eigh(X.T @ X / n)
    sizes = np.maximum(sizes, 0.0)
    pull = basis.T @ (y @ X / n)
    power = float(y @ y) / n

    def excess(weight: float) -> float:
        a = pull / (sizes + weight)
        square = power - float(a @ (2.0 * pull - sizes * a))
        return weight * float(np.sqrt(a @ a)) - form.ball.radius * float(np.sqrt(max(square, 0.0)))

    low, high = LIGHTEST * float(sizes[-1]), float(sizes[-1])
    while high > 0.0 and excess(high) <= 0.0 and high < sizes[-1] / LIGHTEST:
        high *= 10.0
    if not low > 0.0 or excess(low) >= 0.0 or excess(high) <= 0.0:
        return None
    b = basis @ (pull / (sizes + float(brentq(excess, low, high, xtol=low))))
    return Linear(b, np.array([level - float(middle @ b)]))


def descent(form: WassersteinForm, start: Linear | None = None) -> Iterator[tuple[Linear, float]]:
    """Yield the points of Newton's method, as long as steps lower the risk."""
    n, d = form.X.shape
    ball, loss, y, price = form.ball, form.ball.loss, form.y, form.ball.price
    Z = np.column_stack([form.X, np.ones(n)]) if form.intercept else form.X
    w = np.zeros(Z.shape[1])
    if start is not None:
        w[:d] = start.coef
        w[d:] = start.intercept[: len(w) - d]
    z = Z @ w
    size = float(np.linalg.norm(w[:d]))
    value = ball.mean(loss.value(z, y)) + price * size
    for _ in range(STEPS):
        slope = ball.counted(loss.gradient(z, y)) @ Z / n
        rows = Z * np.sqrt(ball.counted(loss.hessian(z, y)) / n)[:, None]
        H = rows.T @ rows
        if size > 0.0:
            unit = w[:d] / size
            slope[:d] += price * unit
            H[:d, :d] -= (price / size) * np.outer(unit, unit)
            H[np.arange(d), np.arange(d)] += price / size
        H[np.diag_indices_from(H)] += RIDGE * np.trace(H)
        try:
            step = -cho_solve(cho_factor(H, check_finite=False), slope, check_finite=False)
        except np.linalg.LinAlgError:
            return
        fall = -float(slope @ step)
        dz, length = Z @ step, 1.0
        for _ in range(HALVINGS):
            moved, there = w + length * step, z + length * dz
            away = float(np.linalg.norm(moved[:d]))
            reached = ball.mean(loss.value(there, y)) + price * away
            if reached <= value - ENOUGH * length * fall:
                break
            length *= 0.5
        else:
            return
        w, z, size, value = moved, there, away, reached
        fall /= max(1.0, value)
        yield Linear(w[:d].copy(), w[d:].copy() if form.intercept else np.zeros(1)), fall
        if fall <= FLAT:
            return


METHODS: dict[type[DistributionBall], Callable[..., Iterator[tuple[Linear, float]]]] = {
    RootSquares: exact,
    Regularised: descent,
}
