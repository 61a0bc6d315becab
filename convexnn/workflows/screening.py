"""Which patterns of a two-layer program are zero in every solution: proofs from one dual point.

Block ``b`` of ``min loss(F w + X s, y) + beta sum_b ||w_b||``, ``w_b`` in ``K_b``, is zero in every
solution where its response to the dual optimum is short,

    max {(F_b' mu*)'w : w in K_b, ||w|| <= 1} < beta.

A loss of curvature at most L makes the dual objective ``1 / L``-strongly concave. So a feasible
``theta`` and a primal value ``gap`` above its bound leave ``||mu* - theta||^2 <= 2 L gap`` (the gap
safe sphere of Ndiaye, Fercoq, Gramfort & Salmon 2017, "Gap safe screening rules for sparsity
enforcing penalties"; a cone only makes the maximum smaller), and a response is Lipschitz:

    response of theta + ||F_b|| sqrt(2 L gap) < beta      drops the block.

The smallest beta whose solution is the zero network is the largest response to the residual of
the free part alone, `critical`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convexnn.contract.arrays import Array, BoolArray
from convexnn.functions.losses import Softmax
from convexnn.relu.bound import balanced, correlations
from convexnn.relu.class_counts import Counts
from convexnn.relu.cones import Facets, no_facets, project_blocks
from convexnn.relu.forms import Dual, GroupForm, Neurons
from convexnn.relu.pricing.pricing_bound import ROUNDING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Index = NDArray[np.intp]

MARGIN = 1e-9  # share of beta by which a response must be short: rounding is far below
NEWTON = 200  # steps of the fit of the free part
VANISHING = 1e-9  # slope of the loss, relative to that at zero, from which a fit is perfect
ROUNDS = 100  # of the search for the largest response in the l1 norm


class Critical(NamedTuple):
    """Where the zero network stops being optimal.

    Attributes
    ----------
    beta : float
        Largest response to `mu`, from above: from here on the zero network is optimal.
    below : float
        What a feasible direction proves: below it the zero network is not optimal.
    mu : array of shape (n,), or (n, k) of k outputs
        Minus the loss's slope at the fit of the free part, with ``X' mu = 0`` where there is one.
    skip : array of shape (d,), or (d, k)
        That fit.
    """

    beta: float
    below: float
    mu: Array
    skip: Array


def critical(form: GroupForm, slack: float = 0.0) -> Critical:
    """Return the smallest beta at which the network without neurons is optimal.

    Parameters
    ----------
    form : GroupForm
        Its beta plays no part. A loss with kinks must have no free part.
    slack : float, default 0.0
        Frobenius norm of the part of the data that ``form.X`` leaves out.

    Returns
    -------
    Critical
    """
    skip = free_fit(form) if form.skip else form.still()
    mu = -form.loss.gradient(form.free(skip), form.y)
    if form.skip:
        mu = balanced(form, mu)
    rows = form.correlate(mu)
    below = 0.0
    if form.signs is None:
        below = float(np.max(form.norm.dual(rows)))
    else:
        facets = no_facets(*rows.shape)
        level = 0.0
        for _ in range(ROUNDS):
            inside = project_blocks(*form.cones, rows, facets, tau=level)
            size = form.norm.value(inside)
            alive = size > 0.0
            if not alive.any():
                break
            reached = np.einsum("ij,ij->i", rows[alive], inside[alive]) / size[alive]
            below = max(below, float(np.max(reached)))
            if form.norm.rotates or below <= level:
                break
            level = below
    above = float(np.max(correlations(form, mu, None, slack, below)))
    return Critical(max(above, below), below, mu, skip)


def free_fit(form: GroupForm) -> Array:
    """Return ``argmin_s loss(X s, y)`` by Newton's method, for losses without kinks.

    Where the loss has no minimum the slope at the answer vanishes. Of softmax s are constants, the
    logarithms of what share of the examples each class has.
    """
    if isinstance(form.loss.plain, Softmax):
        constants = np.log(np.maximum(Counts(form.y, form.loss.weights).share, VANISHING))
        return np.asarray(constants - constants.mean())[None]
    if form.outputs > 1:
        return np.column_stack([free_fit(part) for part in form.single()])
    X, y, loss = form.span, form.y, form.loss
    s = np.zeros(X.shape[1])
    z = X @ s
    first = float(np.linalg.norm(loss.gradient(z, y)))
    for _ in range(NEWTON):
        slope = loss.gradient(z, y)
        right = X.T @ slope
        if np.linalg.norm(slope) <= VANISHING * first:
            break
        damping = 1e-12 * loss.curvature * float(np.sum(np.square(X)))
        value = float(np.sum(loss.value(z, y)))
        for h in (loss.hessian(z, y), np.full_like(z, loss.curvature)):  # the last always falls
            matrix = X.T @ (X * h[:, None]) + damping * np.eye(len(s))
            step, length = np.linalg.lstsq(matrix, -right, rcond=None)[0], 1.0
            while length > 1e-10:
                fresh = X @ (s + length * step)
                fall = 1e-4 * length * float(right @ step)
                if float(np.sum(loss.value(fresh, y))) <= value + fall:
                    break
                length *= 0.5
            else:
                continue
            break
        else:
            break
        s, z = s + length * step, fresh
    return s


def lengths(form: GroupForm, slack: float = 0.0) -> Array:
    """Return how fast the response of each pattern may change with ``mu``, from above.

    ``||S_p * X||`` in the norm from l2 to the dual norm, one entry a pattern.
    """
    P, d = form.slopes.shape[1], form.X.shape[1]
    reach = slack * np.max(np.abs(form.slopes), axis=0)
    if form.norm.rotates:
        grams = np.empty((P, d, d))
        for p in range(P):
            block = form.block(p)
            grams[p] = block.T @ block
        rounding = ROUNDING * len(form.y) * np.trace(grams, axis1=1, axis2=2)
        top = np.linalg.eigvalsh(grams)[:, -1] + rounding
        spectral: Array = np.sqrt(np.maximum(top, 0.0)) + reach
        return spectral
    columns: Array = np.array([np.max(np.sum(np.square(form.block(p)), axis=0)) for p in range(P)])
    result: Array = np.sqrt(columns) + reach
    return result


class Sphere(NamedTuple):
    """A dual point, and what is known around it.

    Attributes
    ----------
    responses : array of shape (P,)
        Of each pattern to ``theta``, from above; the largest of its blocks.
    radius : float
        Of the ball around ``theta`` that holds the dual optimum; inf where there is none.
    """

    responses: Array
    radius: float

    def dropped(self, form: GroupForm, reach: Array) -> BoolArray:
        """Return which patterns are zero in every solution; `reach` as from `lengths`."""
        if not np.isfinite(self.radius):
            return np.zeros(len(reach), np.bool_)
        far: BoolArray = self.responses + self.radius * reach < form.beta * (1.0 - MARGIN)
        return far


def sphere(form: GroupForm, mu: Array, responses: Array, value: float) -> Sphere:
    """Return the ball of the dual optimum from the responses of all blocks to ``mu``.

    Parameters
    ----------
    form : GroupForm
    mu : array of shape (n,)
        In the conjugate's domain, ``X' mu = 0`` where there is a free part, as `repaired` returns.
    responses : array of shape (blocks,)
        Of every block, from above, as `correlations` returns.
    value : float
        Of the program at any feasible point.
    """
    each = responses.reshape(-1, form.slopes.shape[1]).max(axis=0)
    largest = float(np.max(each))
    t = min(1.0, form.beta / largest) if largest > 0.0 else 1.0
    bound = -float(np.sum(form.loss.conjugate(form.loss.clip(-t * mu, form.y), form.y)))
    gap = value - bound + ROUNDING * len(mu) * max(1.0, abs(value))
    return Sphere(t * each, float(np.sqrt(2.0 * form.loss.curvature * max(gap, 0.0))))


def narrowed(form: GroupForm, kept: Index) -> GroupForm:
    """Return the program over some of the patterns."""
    signs = None if form.signs is None else np.ascontiguousarray(form.signs[kept])
    return form._replace(slopes=np.ascontiguousarray(form.slopes[:, kept]), signs=signs)


def copies(form: GroupForm, kept: Index, count: int) -> Index:
    """Return where patterns are in so many rows of all of them, one row after the other."""
    index: Index = (np.arange(count)[:, None] * form.slopes.shape[1] + kept).ravel()
    return index


def narrow(form: GroupForm, kept: Index, primal: Neurons, dual: Dual) -> tuple[Neurons, Dual]:
    """Return a point's part over some of the patterns."""
    columns = copies(form, kept, form.outputs)
    W = primal.W if form.signs is None else primal.W[:, columns]
    facets = dual.facets
    if form.signs is not None and facets is not None and len(facets.example) == form.blocks:
        rows = copies(form, kept, 2 * form.outputs)
        facets = Facets(facets.example[rows], facets.value[rows])
    else:
        facets = None
    return primal._replace(V=primal.V[:, columns], W=W), dual._replace(facets=facets)


def widen(form: GroupForm, kept: Index, primal: Neurons, dual: Dual) -> tuple[Neurons, Dual]:
    """Return a point over some of the patterns as one over all; the inverse of `narrow`."""
    k, P, d = form.outputs, form.slopes.shape[1], form.X.shape[1]
    columns = copies(form, kept, k)

    def wide(part: Array) -> Array:
        all_of_them = np.zeros((d, k * P))
        all_of_them[:, columns] = part
        return all_of_them

    W = primal.W if form.signs is None else wide(primal.W)
    facets = None
    if form.signs is not None and dual.facets is not None:
        rows = copies(form, kept, 2 * k)
        facets = no_facets(form.blocks, d)
        facets.example[rows] = dual.facets.example
        facets.value[rows] = dual.facets.value
    return primal._replace(V=wide(primal.V), W=W), dual._replace(facets=facets)
