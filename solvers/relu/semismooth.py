"""Semismooth Newton on the augmented Lagrangian of ``loss(F u + X s) + sum_b penalty_b(u_b)``.

The outer loop is the proximal point method, with ``p`` the penalties and cones of all blocks:

    u, s  <-  argmin  l(F u + X s) + p(u) + (||u - u_k||^2 + ||s - s_k||^2) / (2 sigma)

whose dual in ``mu = -l'(z)`` is smooth: minimise ``l*(-mu) + (||v||^2 + ||t||^2) / (2 sigma)`` for
``v = prox_{sigma p}(u_k + sigma F'mu)`` and ``t = s_k + sigma X'mu``. Its slope is
``F v + X t - z`` and one of its generalised Jacobians ``H^-1 + sigma (F J F' + X X')``, where
``H = l''(z)`` and J is the derivative of the prox. On the face of a cone on which a block ends,
of basis N,

    J_b = N (a I + (1 - a) q q') N',    a = ||v_b|| / (||v_b|| + sigma beta),   q = N'v_b / ||v_b||

for the Euclidean norm and ``N N'`` for the l1 norm, and 0 where ``v_b = 0``: a Newton step costs
one matrix of the free dimensions of the active blocks, or of the examples if those are fewer,
whatever the number of patterns, for each output (Li, Sun & Toh 2018, "A highly efficient semismooth
Newton augmented Lagrangian method for solving lasso problems"; the projection on a face is the
Jacobian of Han & Sun 1997). It starts best from a solution of a neighbouring problem. The free part
costs nothing, so s is written in a basis in which X has orthogonal columns of one length.

The softmax loss couples the outputs, ``H = R (I - r r') R`` at each example with ``r`` the roots
of its probabilities and ``R = diag(r)``, or the root of the example's weight times that. Its Newton
step ``R w`` solves

    (I + sigma R A A' R) w + r lambda = R (z - F v - X t),    r'w = 0    at each example

the matrix of which is one for each output but for lambda, one number an example: what is left is
one more system, of the examples or of the free dimensions of all outputs together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dpotrf, dpotri

from convexnn.contract.arrays import Array, readonly
from convexnn.contract.backend import Options, Outcome, Raw, Reporter
from convexnn.contract.checks import positive
from convexnn.contract.system.kernels import kernel
from convexnn.contract.system.memory import Size
from convexnn.functions.losses import Softmax
from convexnn.functions.norms import Linf
from convexnn.relu.forms import GroupForm, Neurons
from convexnn.solvers.relu.block_prox import BlockProx
from convexnn.solvers.relu.block_prox import warm_up as warm_up_prox
from convexnn.solvers.schedule import NO_FURTHER, Falling, iterate

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Index = NDArray[np.intp]

MAX_ITER = 500
FIRST = 300.0  # first sigma, in units of one over the mean curvature of a weight
NEARBY = 30.0  # the same from a given start in the l1 norm, on whose faces more entries change
GROWTH = 5.0  # of sigma from one outer step to the next
LARGEST = 1e8  # sigma, in the same units
INNER = 0.2  # gap of an outer step's program, as a share of the squared step, that ends it
DECREASE = 1e-4  # share of the predicted decrease that a step must bring
FLATTER = 0.9  # slope after a step, as a share of that before, that shows progress
CLEAR = 1e3  # roundings by which the merit must fall to show progress
PATIENCE = 5  # steps in a row without, after which sigma is too large
SHORTEST = 1e-8  # step below which sigma is too large for Newton's method
RETREAT = 0.1  # by which it is then multiplied
ROUNDING = 1e-14
SPARSE = 0.5  # patterns in use, as a share of all, below which the others' products are left out
CROWDED = 0.7  # weights in use, as a share of the examples, from which these are the smaller side
DEPENDENT = 1e-10  # a facet whose rest is this short adds nothing to the span of the others
DEPENDENT_COLUMNS = 1e-13  # a direction of the data this short, relative to the longest, is none
FLAT = 1e-300  # smallest second derivative that is told from 0
DEFAULTS = {"sigma": None}


def refusal(form: GroupForm) -> str | None:
    """Return None, or that the loss has kinks or what couples the outputs is unknown to it."""
    if not form.loss.additive:
        return "its risk couples the examples"
    if not np.isfinite(form.loss.curvature):
        return f"the {form.loss.name} loss has kinks"
    if isinstance(form.norm, Linf):
        return "it is for neurons in the l2 and the l1 norm, not in linf"
    if not form.norm.separable:
        return f"the {form.norm.name} norm couples the outputs"
    if not (form.loss.separable or isinstance(form.loss.plain, Softmax)):
        return f"the {form.loss.name} loss couples the outputs"
    return None


def warm_up(form: GroupForm) -> None:
    """Compile the kernels."""
    warm_up_prox(form)
    d = form.X.shape[1]
    _conic(readonly(form.X), np.zeros((0, d), np.int32), np.zeros((0, d)), np.zeros(0))


def memory(size: Size) -> dict[str, float]:
    """Return ``24 m^2`` for the matrix, m the fewer of examples and weights, and its rows."""
    unknowns = size.weights
    side = min(size.n, unknowns)
    return {
        f"its {side:,} x {side:,} matrix and factor": 24.0 * side**2,
        "the rows behind its matrix": 24.0 * size.n * unknowns,
        "its blocks": 80.0 * size.weights,
    }


def run(
    form: GroupForm, own: dict[str, Any], options: Options, reporter: Reporter, start: Any
) -> Raw:
    """Step until the reporter is satisfied or no step helps.

    Options
    -------
    sigma : float, optional
        First weight of the proximal point method; from the data if left out.
    """
    if own["sigma"] is not None:
        positive("sigma", own["sigma"])
    newton = Newton(form, own["sigma"], start)
    falling, moved = Falling(newton.gap, options.tol), True

    def step(k: int) -> Raw | None:
        nonlocal moved
        moved = newton.step()
        return None if moved or newton.can_retreat else Raw(Outcome.FINISHED, NO_FURTHER)

    def after(k: int) -> None:
        if not moved:
            newton.retreat()
        newton.advance()

    return iterate(
        step,
        newton.points,
        reporter,
        options.max_iter or MAX_ITER,
        due=lambda k: falling(k) or not moved,
        after=after,
    )


@dataclass(frozen=True)
class Point:
    """Outputs, their multipliers, and what the prox makes of these.

    ``fit`` is the output of ``v`` and ``t``, ``z`` at the minimum of the merit ``value``.
    """

    z: Array
    mu: Array
    v: Array
    t: Array
    fit: Array
    value: float

    @property
    def lacking(self) -> Array:
        """Return minus the slope of the merit."""
        return self.z - self.fit


class Newton:
    """Iterates of one run: ``u`` and ``s`` are the centre, ``at`` is the point at hand."""

    def __init__(self, form: GroupForm, sigma: float | None, start: Any) -> None:
        self.form, self.prox = form, BlockProx(form)
        self.rows = form.X if self.prox.cones is None else self.prox.cones[0]
        d = form.X.shape[1]
        scale = float(np.sum(np.square(form.X))) / d * float(np.mean(np.square(form.slopes)))
        self.unit = 1.0 / max(form.loss.curvature * scale, 1e-300)
        first = FIRST if start is None or form.norm.rotates else NEARBY
        self.sigma = sigma or first * self.unit
        self.straight = Straight(form.span) if form.skip else None
        free = 0 if self.straight is None else self.straight.columns.shape[1]
        self.u, self.s = np.zeros((form.blocks, d)), np.zeros((free, *form.y.shape[1:]))
        self.gram: Array | None = None
        self.stale = 0
        guess: Array | None = None
        if start is not None:
            primal, dual = start
            self.u = form.rows(primal)
            if self.straight is not None:
                self.s = self.straight.there(primal.skip)
            if dual is not None:
                self.prox.start(dual, self.sigma)
                guess = dual.mu
        self.at = self.point(self.fit(self.u, self.s))
        if guess is not None:
            self.try_multipliers(guess)

    def try_multipliers(self, mu: Array) -> None:
        """Begin at these multipliers where the merit is less there.

        Along a path the outputs of the last weights are not feasible for a smaller penalty: blocks
        join by the hundred, to leave again. The multipliers that a path foresees nearly are.
        """
        loss, y = self.form.loss, self.form.y
        before = self.prox.dual(mu, 1.0).facets
        tried = self.point(loss.touching(loss.clip(-mu, y), y))
        if tried.value < self.at.value:
            self.at = tried
        else:
            self.prox.facets = before

    def point(self, z: Array) -> Point:
        """Return what the outputs z stand for."""
        form, sigma = self.form, self.sigma
        slope = form.loss.gradient(z, form.y)
        mu = -slope
        v = self.prox(self.u + sigma * form.correlate(mu), sigma)
        t = self.s
        if self.straight is not None:
            t = t + sigma * (self.straight.columns.T @ mu)
        squares = float(np.vdot(v, v)) + float(np.vdot(t, t))
        conjugate = float(np.sum(z * slope)) - float(np.sum(form.loss.value(z, form.y)))
        return Point(z, mu, v, t, self.fit(v, t), conjugate + squares / (2.0 * sigma))

    def fit(self, v: Array, t: Array) -> Array:
        """Return the outputs of blocks, few of them not zero, and of the free part."""
        form = self.form
        P = form.slopes.shape[1]
        used = np.flatnonzero(v.reshape(-1, P, v.shape[1]).any(axis=(0, 2)))
        if len(used) < SPARSE * P:
            form = form._replace(slopes=np.ascontiguousarray(form.slopes[:, used]))
            v = np.concatenate([v[first + used] for first in range(0, len(v), P)])
        z = form.predict(v)
        return z if self.straight is None else z + self.straight.columns @ t

    def step(self) -> bool:
        """Make one Newton step with a line search; False where none is long enough.

        Nor are there many in a row whose decrease is lost in rounding and that flatten nothing.
        """
        at = self.at
        lacking = at.lacking
        try:
            change, move = self.direction(lacking)
        except np.linalg.LinAlgError:  # sigma is too large for the matrix to be told from singular
            return False
        slope = -float(np.vdot(lacking, change))
        room = ROUNDING * max(1.0, abs(at.value))
        steep = float(np.linalg.norm(lacking))
        length = 1.0
        while length >= SHORTEST:
            fresh = self.point(at.z + length * move)
            enough = at.value + DECREASE * length * slope
            if fresh.value <= enough + room:
                clear = fresh.value <= at.value - CLEAR * room
                flatter = np.linalg.norm(fresh.lacking) <= FLATTER * steep
                self.stale = 0 if clear or flatter else self.stale + 1
                self.at = fresh
                return self.stale < PATIENCE
            length *= 0.5
        return False

    def direction(self, lacking: Array) -> tuple[Array, Array]:
        """Solve ``(H^-1 + sigma A A') dmu = lacking``; return dmu and the outputs' move."""
        form, z = self.form, self.at.z
        used = np.flatnonzero(self.at.v.any(axis=1))
        output = used // form.slopes.shape[1] % form.outputs
        actives = [used[output == k] for k in range(form.outputs)]
        loss, weights = form.loss.plain, form.loss.weights
        if isinstance(loss, Softmax):
            unit = np.sqrt(np.maximum(loss.probabilities(z), FLAT))
            root = unit if weights is None else np.sqrt(weights)[:, None] * unit
            change, image = self._together(actives, root, unit, root * lacking)
            return change, self.sigma * image - lacking
        root = np.sqrt(np.maximum(form.loss.hessian(z, form.y), FLAT))
        columns = zip(actives, np.atleast_2d(root.T), np.atleast_2d(lacking.T), strict=True)
        solved = [self._alone(*column) for column in columns]
        change, image = (
            np.stack(part, axis=-1).reshape(z.shape) for part in zip(*solved, strict=True)
        )
        return change, self.sigma * image - lacking

    def _alone(self, active: Index, root: Array, lacking: Array) -> tuple[Array, Array]:
        """Return dmu of one output and its image ``A A' dmu``."""
        sigma, n = self.sigma, len(self.form.X)
        if self._crowded([active]):
            matrix, product = self._by_examples(active, root)
            change = root * _solve(matrix, root * lacking)
            return change, product(change)
        rows = self.square_root(active)
        m = rows.shape[1]
        scaled = np.asfortranarray(root[:, None] * rows)
        if m == 0:
            return root * root * lacking, np.zeros(n)
        if m <= n:
            inner = _solve(_gram(scaled, 1.0 / sigma), scaled.T @ (root * lacking))
            change = root * (root * lacking - scaled @ inner)
        else:
            matrix = dsyrk(sigma, scaled, lower=1)
            matrix.flat[:: n + 1] += 1.0
            change = root * _solve(matrix, root * lacking)
        return change, rows @ (rows.T @ change)

    def _together(
        self, actives: list[Index], root: Array, unit: Array, right: Array
    ) -> tuple[Array, Array]:
        """Return dmu of coupled outputs and its image: ``unit' w = 0`` at each example.

        ``(I + sigma S S')^-1 = I - Y Y'`` for each output, with ``Y = S L^-T`` and ``L`` the factor
        of ``I / sigma + S'S``.
        """
        if self._crowded(actives):
            return self._inverted(actives, root, unit, right)
        rows = [self.square_root(active) for active in actives]
        factors = [_shortened(root[:, k, None] * part, self.sigma) for k, part in enumerate(rows)]

        def solve(given: Array) -> Array:
            away = [Y @ (Y.T @ g) for Y, g in zip(factors, given.T, strict=True)]
            return given - np.stack(away, axis=1, dtype=np.float64)

        joint = np.asfortranarray(
            np.hstack([r[:, None] * Y for r, Y in zip(unit.T, factors, strict=True)])
        )
        n, m = joint.shape
        level = np.sum(unit * solve(right), axis=1)
        if 0 < m <= n:
            level += joint @ _solve(_complement(joint, trans=1), joint.T @ level)
        elif m > n:
            level = _solve(_complement(joint, trans=0), level)
        change = root * solve(right - unit * level[:, None])
        image = [part @ (part.T @ column) for part, column in zip(rows, change.T, strict=True)]
        return change, np.stack(image, axis=1)

    def _inverted(
        self, actives: list[Index], root: Array, unit: Array, right: Array
    ) -> tuple[Array, Array]:
        """Do as `_together` does, by the inverse of each output's matrix of examples."""
        parts = [self._by_examples(*part) for part in zip(actives, root.T, strict=True)]
        inverses = [_inverse(matrix) for matrix, _ in parts]
        joint = np.zeros(inverses[0].shape)
        for u, inverse in zip(unit.T, inverses, strict=True):
            joint += u[:, None] * inverse * u

        def solve(given: Array) -> Array:
            away = [inverse @ g for inverse, g in zip(inverses, given.T, strict=True)]
            return np.stack(away, axis=1, dtype=np.float64)

        level = _solve(joint, np.sum(unit * solve(right), axis=1))
        change = root * solve(right - unit * level[:, None])
        image = [product(part) for (_, product), part in zip(parts, change.T, strict=True)]
        return change, np.stack(image, axis=1)

    def _crowded(self, actives: list[Index]) -> bool:
        """Tell whether the matrix of the examples is the smaller one, and has a short formula."""
        form = self.form
        n, d = form.X.shape
        used = sum(map(len, actives)) / len(actives)
        return form.signs is None and form.norm.rotates and used * d > CROWDED * n

    def square_root(self, active: Index) -> Array:
        """Return A with ``A A' = F J F' + X X'``, the last where there is a free part."""
        form = self.form
        v, weight = self.at.v[active], self.sigma * form.beta
        tall = np.linalg.norm(v, axis=1)
        a = np.sqrt(tall / (tall + weight)) if form.norm.rotates else np.ones(len(active))
        q = v / tall[:, None]
        d, facets, P = form.X.shape[1], self.prox.facets, form.slopes.shape[1]
        if facets is not None:
            factors, owner = _conic(readonly(self.rows), facets.example[active], q, a)
        elif form.norm.rotates:
            factors = (1.0 - a)[:, None, None] * q[:, :, None] * q[:, None, :]
            factors += a[:, None, None] * np.eye(d)
            factors, owner = factors.reshape(-1, d), np.repeat(np.arange(len(active)), d)
        else:
            owner, entry = np.nonzero(v)
            factors = np.eye(d)[entry]
        blocks = (form.X @ factors.T) * form.slopes[:, active[owner] % P]
        return blocks if self.straight is None else np.hstack([blocks, self.straight.columns])

    def _by_examples(self, active: Index, root: Array) -> tuple[Array, Callable[[Array], Array]]:
        """Return ``I + sigma R A A' R``, its lower triangle, and the product with ``A A'``.

        Without cones ``F J F' = (S a S') * (X X') + Z Z'`` is a few thin products.
        """
        form, sigma = self.form, self.sigma
        if self.gram is None:
            self.gram = np.asfortranarray(form.X @ form.X.T)
        v = self.at.v[active]
        tall = np.linalg.norm(v, axis=1)
        a, q = tall / (tall + sigma * form.beta), v / tall[:, None]
        slopes = np.ascontiguousarray(form.slopes[:, active % form.slopes.shape[1]])
        lengths = np.sqrt(sigma) * root[:, None] * slopes
        matrix = dsyrk(1.0, np.asfortranarray(lengths * np.sqrt(a)), lower=1)
        matrix *= self.gram
        along = lengths * (form.X @ q.T) * np.sqrt(1.0 - a)
        straight = np.empty((len(root), 0)) if self.straight is None else self.straight.columns
        thin = np.hstack([along, np.sqrt(sigma) * root[:, None] * straight])
        matrix = dsyrk(1.0, np.asfortranarray(thin), beta=1.0, c=matrix, overwrite_c=1, lower=1)
        matrix.flat[:: len(matrix) + 1] += 1.0

        def product(mu: Array) -> Array:
            some = form._replace(slopes=slopes, y=mu)
            g = some.correlate(mu)
            inner = a[:, None] * g + ((1.0 - a) * np.einsum("ij,ij->i", g, q))[:, None] * q
            return some.predict(np.ascontiguousarray(inner)) + straight @ (straight.T @ mu)

        return matrix, product

    def advance(self) -> None:
        """Move the centre to the point at hand once its own program is solved well enough."""
        at, sigma = self.at, self.sigma
        moved = float(np.sum(np.square(at.v - self.u)) + np.sum(np.square(at.t - self.s)))
        held = float(np.sum(np.square(self.u)) + np.sum(np.square(self.s)))
        inner = self.value() + 0.5 * (moved - held) / sigma + at.value
        if inner <= INNER * 0.5 * moved / sigma + ROUNDING * max(1.0, abs(at.value)):
            self._centre(min(GROWTH, max(LARGEST * self.unit / sigma, 1.0)))

    @property
    def can_retreat(self) -> bool:
        """Tell whether sigma is large enough to be made smaller."""
        return bool(self.sigma > self.unit)

    def retreat(self) -> None:
        """Start again from the point at hand with a smaller sigma."""
        self._centre(RETREAT)

    def _centre(self, factor: float) -> None:
        self.u, self.s = self.at.v, self.at.t
        self.sigma *= factor
        self.stale = 0
        if self.prox.facets is not None:
            self.prox.facets.value[...] *= factor
        self.at = self.point(self.at.z)

    def value(self) -> float:
        """Return the objective at the primal point."""
        form, at = self.form, self.at
        loss = float(np.sum(form.loss.value(at.fit, form.y)))
        return loss + form.beta * float(np.sum(form.norm.value(at.v)))

    def gap(self) -> float:
        """Return an estimate of the relative gap: the dual point is scaled by what it may lack."""
        form, at = self.form, self.at
        excess = float(np.max(form.norm.dual(at.v - self.u), initial=0.0)) / self.sigma
        scaled = form.loss.clip(-at.mu * (form.beta / (form.beta + excess)), form.y)
        value = self.value()
        gap = value + float(np.sum(form.loss.conjugate(scaled, form.y)))
        return abs(gap) / max(1.0, abs(value))

    def points(self) -> tuple[Neurons, Any]:
        """Return the primal and the dual point at hand."""
        at, form = self.at, self.form
        skip = form.still() if self.straight is None else self.straight.back(at.t)
        return form.neurons(at.v, skip), self.prox.dual(at.mu, self.sigma)


class Straight:
    """Coordinates of a free linear part in which the data has orthogonal columns of one length.

    Examples
    --------
    >>> there = Straight(np.array([[1e3, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    >>> s = np.array([2.0, 3.0])
    >>> np.allclose(there.columns @ there.there(s), [2e3, 3.0, 3.0])
    True
    >>> np.allclose(there.back(there.there(s)), s)
    True
    """

    def __init__(self, X: Array) -> None:
        left, sizes, right = np.linalg.svd(X, full_matrices=False)
        rank = int(np.sum(sizes > DEPENDENT_COLUMNS * sizes[0]))
        length = float(np.linalg.norm(sizes)) / np.sqrt(X.shape[1])
        self.columns = np.ascontiguousarray(length * left[:, :rank])
        self._right, self._stretch = right[:rank], sizes[:rank] / length

    def there(self, s: Array) -> Array:
        """Return the coordinates of weights; what the data does not see is lost."""
        there: Array = (self._stretch * (self._right @ s).T).T
        return there

    def back(self, t: Array) -> Array:
        """Return the weights."""
        back: Array = self._right.T @ (t.T / self._stretch).T
        return back


def _gram(scaled: Array, ridge: float) -> Array:
    """Return the lower triangle of ``S'S + ridge I``."""
    matrix: Array = dsyrk(1.0, np.asfortranarray(scaled), trans=1, lower=1)
    matrix.flat[:: len(matrix) + 1] += ridge
    return matrix


def _complement(joint: Array, trans: int) -> Array:
    """Return the lower triangle of ``I - Z'Z`` or ``I - Z Z'``, kept from being singular."""
    matrix: Array = dsyrk(-1.0, joint, trans=trans, lower=1)
    matrix.flat[:: len(matrix) + 1] += 1.0 + ROUNDING
    return matrix


def _shortened(scaled: Array, sigma: float) -> Array:
    """Return Y with ``(I + sigma S S')^-1 = I - Y Y'``, of no more columns than rows."""
    n, m = scaled.shape
    if m == 0:
        return scaled
    if m > n:
        scaled = np.asarray(np.linalg.qr(scaled.T, mode="r")).T
    factor = np.linalg.cholesky(_gram(scaled, 1.0 / sigma))
    Y: Array = solve_triangular(factor, scaled.T, lower=True, check_finite=False).T
    return Y


def _solve(matrix: Array, right: Array) -> Array:
    factor = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
    solved: Array = cho_solve(factor, right, check_finite=False)
    return solved


def _inverse(matrix: Array) -> Array:
    """Return the inverse of a positive definite matrix from its lower triangle."""
    factor, failed = dpotrf(matrix, lower=1, overwrite_a=1)
    if not failed:
        inverse, failed = dpotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise np.linalg.LinAlgError("The matrix is singular but for rounding.")
    lower = np.tril(inverse)
    whole: Array = lower + np.tril(lower, -1).T
    return whole


@kernel(inner=True, error_model="numpy", fastmath={"reassoc", "contract"})
def _reflect(mirror, row, begin):  # type: ignore[no-untyped-def]
    """Reflect a row at the plane orthogonal to a mirror of squared length 2, zero before begin."""
    t = 0.0
    for j in range(begin, len(row)):
        t += mirror[j] * row[j]
    for j in range(begin, len(row)):
        row[j] -= t * mirror[j]


@kernel(inner=True, error_model="numpy")
def _mirrors(X, facets, H):  # type: ignore[no-untyped-def]
    """Put mirrors that take the facets' normals to the first axes into H; return their number."""
    n, d = X.shape
    k = np.int64(0)
    for i in facets:
        if i < 0 or k == d:
            continue
        row, size = H[k], 0.0
        for j in range(d):
            row[j] = X[i, j] if i < n else (1.0 if j == i - n else 0.0)
            size += row[j] * row[j]
        size = np.sqrt(size)
        for j in range(d):
            row[j] /= size
        for p in range(k):
            _reflect(H[p], row, p)
        rest = 0.0
        for j in range(k, d):
            rest += row[j] * row[j]
        rest = np.sqrt(rest)
        if rest > DEPENDENT:
            for j in range(d):
                row[j] = row[j] / rest if j >= k else 0.0
            first = abs(row[k])  # of a unit vector, to which a unit of the same sign is added
            row[k] += 1.0 if row[k] >= 0.0 else -1.0
            length = np.sqrt(1.0 + first)
            for j in range(k, d):
                row[j] /= length
            k += 1
    return k


@kernel(error_model="numpy")
def _conic(X, used, q, a):  # type: ignore[no-untyped-def]
    """Return the rows of ``(a I + (1 - a) q q') N`` for each block, and which block each is of.

    N is an orthonormal basis of the vectors orthogonal to the facets in use, of those that depend
    on others but for rounding one alone: the last axes as Householder's reflections turn them.
    """
    m, d = q.shape
    out, owner = np.zeros((m * d, d)), np.empty(m * d, np.int64)
    total = 0
    H = np.empty((d, d))
    for b in range(m):
        k = _mirrors(X, used[b], H)
        for axis in range(k, d):
            row = out[total]
            row[axis] = 1.0
            for p in range(k - 1, -1, -1):
                _reflect(H[p], row, p)
            along = 0.0
            for j in range(d):
                along += q[b, j] * row[j]
            for j in range(d):
                row[j] = a[b] * row[j] + (1.0 - a[b]) * along * q[b, j]
            owner[total] = b
            total += 1
    return out[:total], owner[:total]
