"""Canonical forms: records of plain arrays, the only things that engines read.

A builder writes its problem in one or more of these; an engine says which it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convexnn.contract.arrays import taken
from convexnn.contract.checks import ProblemError
from convexnn.contract.clock import look
from convexnn.contract.form import Engines
from convexnn.contract.points import floats, kept
from convexnn.relu import preference
from convexnn.relu.cones import Facets
from convexnn.relu.dual_parts import (
    checked_covers,
    checked_facets,
    checked_lifted,
    checked_matrix,
    checked_relaxed,
)
from convexnn.relu.products import adjoint, forward
from convexnn.relu.starts import check_neurons, placed

if TYPE_CHECKING:
    from convexnn.contract.arrays import Array, BoolArray, IndexArray, SignArray
    from convexnn.contract.problem import Problem
    from convexnn.functions.losses import Loss
    from convexnn.functions.norms import Norm
    from convexnn.relu.lift import Lifted
    from convexnn.relu.pricing.pricing_bound import Cover
    from convexnn.relu.relaxation import Relaxed

ENTRIES = 1 << 22  # entries of the patterns that are written between two looks at the clock


class Neurons(NamedTuple):
    """Primal point of a two-layer program: one neuron a column.

    Attributes
    ----------
    V : array of shape (d, P)
        Neurons that add to the output (of a gated program, all of them). Of k outputs ``(d, k P)``,
        the first output's before the second's.
    W : array of shape (d, Q)
        Neurons that subtract from it; of k outputs ``(d, k Q)``.
    skip : array of shape (d,), or (d, k) of k outputs
        Free linear part of the output, an entry for each of its columns; zeros where the problem
        has none.
    """

    V: Array
    W: Array
    skip: Array

    def fitted(self, name: str, like: Neurons) -> Neurons:
        """Return neurons that can be graded; see `convexnn.contract.points`.

        Their number is open where the other point has none, and is the same for each output.
        """
        found, d, outputs = {}, len(like.V), outputs_of(like.skip)
        none = like.V.shape[1] + like.W.shape[1] == 0
        for side in ("V", "W"):
            count = None if none else getattr(like, side).shape[1]
            found[side] = floats(f"{name}.{side}", getattr(self, side), (d, count))
            if found[side].shape[1] % outputs:
                raise ProblemError(
                    f"{name}.{side} must have as many columns for each of {outputs} outputs, "
                    f"got {found[side].shape[1]}"
                )
        return kept(self, {**found, "skip": floats(f"{name}.skip", self.skip, like.skip.shape)})


class Dual(NamedTuple):
    """Dual point of a two-layer program.

    Attributes
    ----------
    mu : array of shape (n,), or (n, k) of k outputs
        Multiplier of each prediction; minus a (sub)gradient of the loss at an optimum.
    facets : Facets or None
        Guess of the active facets of each neuron's cone, V's before W's. It only saves time.
    matrix : array of bool, shape (n, P), or None
        Patterns that the facets are of, where the problem does not list its own.
    common : array of shape (n,) or None
        Of a majorant: what the multipliers of an output's two bounds share, the lower one's
        being ``common + max(mu, 0)``, the upper one's ``common + max(-mu, 0)``.
    kinks : array of shape (n, 2 P) or None
        Of a majorant: guess of the activation's subgradients at ``X V`` and ``X W``. It only
        saves time.
    covers : tuple of Cover or None
        Over all patterns: proofs of what neurons are worth, those that add to an output and those
        that subtract from it, of one output after the other. None where there is no proof.
    relaxed : Relaxed or None
        Over all patterns: a dual point of the relaxation, whose bound may be the better one.
    lifted : Lifted or None
        Over all patterns: one of the lifted relaxation.
    """

    mu: Array
    facets: Facets | None = None
    matrix: BoolArray | None = None
    common: Array | None = None
    kinks: Array | None = None
    covers: tuple[Cover | None, ...] = ()
    relaxed: Relaxed | None = None
    lifted: Lifted | None = None

    def fitted(self, name: str, like: Dual) -> Dual:
        """Return a point that can be graded; see `convexnn.contract.points`.

        What only saves time may be of other blocks, and what proves more of other cones.
        """
        mu = floats(f"{name}.mu", self.mu, like.mu.shape)
        parts: dict[str, Any] = {"mu": mu, "covers": checked_covers(f"{name}.covers", self.covers)}
        if self.facets is not None:
            parts["facets"] = checked_facets(f"{name}.facets", self.facets)
        if self.matrix is not None:
            parts["matrix"] = checked_matrix(f"{name}.matrix", self.matrix, len(mu))
        if self.common is not None:
            parts["common"] = floats(f"{name}.common", self.common, mu.shape)
        if self.kinks is not None:
            parts["kinks"] = floats(f"{name}.kinks", self.kinks, (len(mu), None))
        if self.relaxed is not None:
            parts["relaxed"] = checked_relaxed(f"{name}.relaxed", self.relaxed, mu)
        if self.lifted is not None:
            parts["lifted"] = checked_lifted(f"{name}.lifted", self.lifted, mu)
        return kept(self, parts)


class GroupForm(NamedTuple):
    """Minimise ``loss(sum_p S_p * (X u_p) + X s, y) + beta sum_p ||u_p||`` over ``u`` and ``s``.

    With ``signs``, each pattern has two blocks, ``u_p = v_p - w_p``, both penalised and both
    in the cone ``{v : signs_p * (X v) >= 0}``. Without, ``u_p`` is free. Of k outputs, each has
    blocks of its own over the same patterns, and the norm is of each block or, where it is
    `Nuclear`, of the k blocks of a pattern together.

    Attributes
    ----------
    X : array of shape (n, d)
    y : array of shape (n,), or (n, k) of k outputs
    slopes : array of shape (n, P)
    signs : int8 array of shape (P, n) or None
    loss : Loss
    norm : Norm
    beta : float
    skip : bool
        Whether the free linear part ``X s`` is there.
    columns : array of shape (n, l) or None
        Those of the free part, ``C s`` in the place of ``X s``; None for X itself.
    monotone : int8 array of shape (d,) or None
        Signs that the entries of every ``v_p`` have, and those of every ``w_p`` have not; 0 where
        either is allowed.
    """

    X: Array
    y: Array
    slopes: Array
    signs: SignArray | None
    loss: Loss
    norm: Norm
    beta: float
    skip: bool
    columns: Array | None = None
    monotone: SignArray | None = None

    @classmethod
    def suited(cls, problem: Problem[Any]) -> Engines:
        """Return the engines by shapes, loss and penalty."""
        return preference.grouped(problem, cls)

    def admit(self, primal: Neurons, dual: Dual | None) -> tuple[Neurons, Dual | None]:
        """Return a start with a neuron for each block."""
        if self.signs is not None:
            return placed(primal, dual, self.X, self.signs.T > 0, self.outputs)
        check_neurons(primal, self.X.shape[1], self.outputs, self.blocks)
        return primal, dual

    @property
    def span(self) -> Array:
        """Return the columns of the free part."""
        return self.X if self.columns is None else self.columns

    @property
    def outputs(self) -> int:
        """Return the number of outputs."""
        return outputs_of(self.y)

    @property
    def cones(self) -> tuple[Array, SignArray]:
        """Return the rows and the signs of the blocks' cones, as `project_blocks` takes them.

        They are the examples and the patterns; with `monotone` the unit vectors that bound each
        block come after the examples, and there are signs for every block.
        """
        assert self.signs is not None
        if self.monotone is None:
            return self.X, self.signs
        own = np.flatnonzero(self.monotone)
        rows = np.vstack([self.X, np.eye(self.X.shape[1])[own]])
        signs = np.tile(self.signs, (2 * self.outputs, 1))
        side = np.repeat(np.array([1, -1], np.int8), len(signs) // 2)
        return rows, np.hstack([signs, side[:, None] * self.monotone[own]])

    @property
    def blocks(self) -> int:
        """Return the number of penalised blocks, P or 2 P for each output."""
        return self.outputs * int(self.slopes.shape[1]) * (1 if self.signs is None else 2)

    @property
    def bag(self) -> int:
        """Return the number of rows of `X` that an example has."""
        return 1

    @property
    def separable(self) -> bool:
        """Tell whether the program is one for each output."""
        alone = self.loss.separable and self.loss.additive and self.norm.separable
        return self.outputs == 1 or alone

    def predict(self, rows: Array) -> Array:
        """Return ``sum_p S_p * (X u_p)`` for blocks given one a row, in the shape of `y`."""
        if self.signs is not None:
            half = len(rows) // 2
            rows = rows[:half] - rows[half:]
        if self.y.ndim == 1:
            return forward(self.X, self.slopes, rows)
        parts = np.split(rows, self.outputs)
        return np.column_stack([forward(self.X, self.slopes, part) for part in parts])

    def correlate(self, r: Array) -> Array:
        """Return the adjoint of `predict` at ``r``, one block a row."""
        if r.ndim == 1:
            rows = adjoint(self.X, self.slopes, r)
        else:
            columns = np.ascontiguousarray(r.T)
            rows = np.concatenate([adjoint(self.X, self.slopes, column) for column in columns])
        return rows if self.signs is None else np.concatenate([rows, -rows])

    def free(self, skip: Array) -> Array:
        """Return the output of the free linear part, zeros where the program has none."""
        return self.span @ skip if self.skip else np.zeros_like(self.y)

    def block(self, p: int) -> Array:
        """Return the block of a pattern, ``S_p * X``."""
        return self.slopes[:, p, None] * self.X

    def column_square(self) -> float:
        """Return the mean square length of a column of the blocks."""
        squares = np.sum(np.square(self.X)) / self.X.shape[1] * np.mean(np.square(self.slopes))
        return float(squares)

    def gram(self) -> Array:
        """Return ``A A'``, (n, n), for the blocks side by side, ``A = [S_1 * X, ..., S_P * X]``."""
        products = self.slopes @ self.slopes.T
        products *= self.X @ self.X.T
        return products

    def normal(self, entries: int) -> Array:
        """Return ``A'A``, (d P, d P); of the rows of A, so many entries are held at a time."""
        (n, d), P = self.X.shape, self.slopes.shape[1]
        products = np.zeros((P * d, P * d))
        rows = max(1, entries // (P * d))
        for i in range(0, n, rows):
            look()
            part = self.slopes[i : i + rows, :, None] * self.X[i : i + rows, None, :]
            flat = part.reshape(-1, P * d)
            products += flat.T @ flat
        return products

    def gathered(self, hidden: Array) -> Array:
        """Return the output of hidden values: of each row of `X` a row, of each block a column."""
        return summed(hidden, self.y)

    def still(self) -> Array:
        """Return a free linear part of zeros."""
        return np.zeros((self.span.shape[1], *self.y.shape[1:]))

    def neurons(self, rows: Array, skip: Array) -> Neurons:
        """Return blocks given one a row as a primal point."""
        half = self.outputs * self.slopes.shape[1]
        return Neurons(rows[:half].T, rows[half:].T, skip)

    def single(self) -> tuple[GroupForm, ...]:
        """Return the program of each output, for a separable one."""
        if self.y.ndim == 1:
            return (self,)
        return tuple(self._replace(y=np.ascontiguousarray(column)) for column in self.y.T)

    def joined(self, points: Sequence[tuple[Neurons, Dual]]) -> tuple[Neurons, Dual]:
        """Return the points of each output's program as one of this program."""
        if self.y.ndim == 1:
            return points[0]
        primals, duals = [primal for primal, _ in points], [dual for _, dual in points]
        primal = Neurons(
            np.hstack([part.V for part in primals]),
            np.hstack([part.W for part in primals]),
            np.column_stack([part.skip for part in primals]),
        )
        mu = np.column_stack([dual.mu for dual in duals])
        facets = [dual.facets for dual in duals if dual.facets is not None]
        if len(facets) < len(duals):
            return primal, Dual(mu)
        example, value = (_interleaved(parts) for parts in zip(*facets, strict=True))
        return primal, Dual(mu, Facets(example, value))

    def rows(self, neurons: Neurons) -> Array:
        """Return the blocks of a primal point, one a row; the inverse of `neurons`."""
        return np.ascontiguousarray(np.hstack([neurons.V, neurons.W]).T)


class PooledForm(GroupForm):
    """A `GroupForm` whose examples are bags of K rows of `X`, the output their rows' mean.

    Example i has the rows ``K i, ..., K i + K - 1`` of `X` and of `slopes` (n K, P), and the
    program is over ``loss(sum_p A_p u_p, y)`` with the pooled blocks ``A_p = mean_k S_kp X_k``.
    There is no free linear part.
    """

    @classmethod
    def suited(cls, problem: Problem[Any]) -> Engines:
        """Return the engines by shapes and loss."""
        return preference.pooled(problem, cls)

    @property
    def bag(self) -> int:
        """Return the number of rows of `X` that an example has, K."""
        return len(self.X) // len(self.y)

    @cached_property
    def features(self) -> Array:
        """The pooled blocks side by side, (n, P d): K times smaller than ``S_p * X``."""
        n, K = len(self.y), self.bag
        slopes = self.slopes.reshape(n, K, -1).transpose(0, 2, 1)
        rows = self.X.reshape(n, K, -1)
        blocks: Array = np.empty((n, slopes.shape[1], rows.shape[2]), np.result_type(slopes, rows))
        step = max(1, ENTRIES // (K * slopes.shape[1]))
        for first in range(0, n, step):
            look()
            some = slice(first, first + step)
            np.matmul(slopes[some], rows[some], out=blocks[some])
        blocks /= self.X.dtype.type(K)
        return blocks.reshape(n, -1)

    def _replace(self, **changes: Any) -> PooledForm:
        other = super()._replace(**changes)
        if other.X is self.X and other.slopes is self.slopes and len(other.y) == len(self.y):
            other.features = self.features  # they depend on nothing else
        return other

    def predict(self, rows: Array) -> Array:
        """Return ``sum_p A_p u_p`` for blocks given one a row, in the shape of `y`."""
        if self.signs is not None:
            half = len(rows) // 2
            rows = rows[:half] - rows[half:]
        z: Array = self.features @ rows.reshape(self.outputs, -1).T
        return z.reshape(self.y.shape)

    def correlate(self, r: Array) -> Array:
        """Return the adjoint of `predict` at ``r``, one block a row."""
        rows = (r.reshape(len(r), -1).T @ self.features).reshape(-1, self.X.shape[1])
        return rows if self.signs is None else np.concatenate([rows, -rows])

    def block(self, p: int) -> Array:
        """Return the pooled block of a pattern."""
        d = self.X.shape[1]
        return self.features[:, p * d : (p + 1) * d]

    def column_square(self) -> float:
        """Return the mean square length of a column of the blocks."""
        return float(np.sum(np.square(self.features)) / self.features.shape[1])

    def gram(self) -> Array:
        """Return ``A A'``, (n, n)."""
        return self.features @ self.features.T

    def normal(self, entries: int) -> Array:
        """Return ``A'A``, (d P, d P); all of A is at hand."""
        return self.features.T @ self.features

    def gathered(self, hidden: Array) -> Array:
        """Return the output of hidden values, the mean over the rows of each example."""
        return means(summed(hidden, self.y), self.bag)


class MajorantForm(NamedTuple):
    """Minimise ``sum_k h(low_k, up_k; y_k) + beta sum_p (||v_p|| + ||w_p||)``, no constraints.

    With ``act(t) = max(t, leak t)`` the network's output lies between

        low = (S * X V) 1 - act(X W) 1 + X s,      up = act(X V) 1 - (S * X W) 1 + X s

    since ``act(t) >= S t``, and ``h`` is the largest loss between the two: ``l(low)`` or ``l(up)``
    by the label for classification, ``l(y + max(y - low, up - y))`` for a loss of the residual's
    size. The value is never below the network's own objective, and equal to it where ``S`` holds
    every neuron's own pattern.

    Attributes
    ----------
    X : array of shape (n, d)
    y : array of shape (n,)
    slopes : array of shape (n, P)
    loss : Loss
        Even in ``z - y`` unless it is a classification loss.
    norm : Norm
    beta : float
    leak : float
    skip : bool
    columns : array of shape (n, l) or None
        Those of the free part, ``C s`` in the place of ``X s``; None for X itself.
    """

    X: Array
    y: Array
    slopes: Array
    loss: Loss
    norm: Norm
    beta: float
    leak: float
    skip: bool
    columns: Array | None = None

    @classmethod
    def suited(cls, problem: Problem[Any]) -> Engines:
        """Return ADMM, or an interior point where data are such that it crawls."""
        return preference.majorant(problem, cls)

    @property
    def span(self) -> Array:
        """Return the columns of the free part."""
        return self.X if self.columns is None else self.columns

    @property
    def blocks(self) -> int:
        """Return the number of penalised blocks, 2 P."""
        return 2 * int(self.slopes.shape[1])

    def admit(self, primal: Neurons, dual: Dual | None) -> tuple[Neurons, Dual | None]:
        """Return a start with a neuron of either sign for each pattern."""
        return placed(primal, dual, self.X, self.slopes == 1.0, 1)

    def bounds(self, neurons: Neurons) -> tuple[Array, Array]:
        """Return ``low`` and ``up``."""
        A, B, S = self.X @ neurons.V, self.X @ neurons.W, self.slopes
        free = self.span @ neurons.skip if self.skip else 0.0
        low = (S * A).sum(axis=1) - np.maximum(B, self.leak * B).sum(axis=1) + free
        up = np.maximum(A, self.leak * A).sum(axis=1) - (S * B).sum(axis=1) + free
        return low, up

    def worst(self, low: Array, up: Array) -> Array:
        """Return the predictions whose loss is the largest between the bounds."""
        return worst_prediction(self.loss, self.y, low, up)

    def objective(self, neurons: Neurons) -> float:
        """Return the majorant's value."""
        penalty = self.norm.value(neurons.V.T).sum() + self.norm.value(neurons.W.T).sum()
        loss = self.loss.value(self.worst(*self.bounds(neurons)), self.y).sum()
        return float(loss + self.beta * penalty)

    def dual(self, neurons: Neurons) -> Dual:
        """Return the dual point that a primal one suggests: slopes of the loss, of the kinks."""
        low, up = self.bounds(neurons)
        slope = np.abs(self.loss.gradient(self.worst(low, up), self.y))
        below = self.y > 0.0 if self.loss.classification else self.y - low > up - self.y
        weights = np.hstack([neurons.V, neurons.W])
        kinks = np.where(self.X @ weights > 0.0, 1.0, self.leak)
        return Dual(np.where(below, slope, -slope), common=np.zeros_like(slope), kinks=kinks)


class NetworkForm(NamedTuple):
    """Minimise ``loss(act(X V) 1 - act(X W) 1 + X s, y) + beta (sum_j ||v_j|| + sum_j ||w_j||)``.

    The non-convex training problem itself, over networks of any width: ``act(t) = max(t, leak
    t)``, and each neuron's two layers are merged into one vector. Of k outputs, each neuron has
    one: the sums are over the neurons of each.

    Attributes
    ----------
    X : array of shape (n, d)
    y : array of shape (n,), or (n, k) of k outputs
    loss : Loss
    norm : Norm
    beta : float
    leak : float
    skip : bool
    cells : array of bool, shape (n, P), or None
        Every activation pattern of the data, where they are few enough to list.
    columns : array of shape (n, l) or None
        Those of the free part, ``C s`` in the place of ``X s``; None for X itself.
    monotone : int8 array of shape (d,) or None
        As in `GroupForm`.
    """

    X: Array
    y: Array
    loss: Loss
    norm: Norm
    beta: float
    leak: float
    skip: bool
    cells: BoolArray | None
    columns: Array | None = None
    monotone: SignArray | None = None

    @classmethod
    def suited(cls, problem: Problem[Any]) -> Engines | None:
        """Return the engines that search, unless few patterns are listed."""
        return preference.searching(problem, GroupForm)

    def admit(self, primal: Neurons, dual: Dual | None) -> tuple[Neurons, Dual | None]:
        """Return the start itself, of neurons of this length; there may be any number of them."""
        check_neurons(primal, self.X.shape[1], outputs_of(self.y))
        return primal, dual

    @property
    def span(self) -> Array:
        """Return the columns of the free part."""
        return self.X if self.columns is None else self.columns

    @property
    def separable(self) -> bool:
        """Tell whether the problem is one for each output."""
        return self.y.ndim == 1 or (self.loss.separable and self.loss.additive)

    def single(self) -> tuple[NetworkForm, ...]:
        """Return the problem of each output, for a separable one."""
        if self.y.ndim == 1:
            return (self,)
        return tuple(self._replace(y=np.ascontiguousarray(column)) for column in self.y.T)

    def activate(self, t: Array, out: Array | None = None) -> Array:
        """Return ``max(t, leak t)``, in an array that is given or a new one."""
        result: Array = np.maximum(t, self.leak * t if self.leak else 0.0, out=out)
        return result

    def gated(self, t: Array, back: Array, out: Array | None = None) -> Array:
        """Return ``back`` times the activation's slope at t, 0 or the leak where t is 0."""
        on = t > 0.0
        slope = np.where(on, 1.0, self.leak) if self.leak else on
        result: Array = np.multiply(back, slope, out=out)
        return result

    def predict(self, neurons: Neurons) -> Array:
        """Return the network's output."""
        positive = summed(self.activate(self.X @ neurons.V), self.y)
        negative = summed(self.activate(self.X @ neurons.W), self.y)
        result = self.pooled(positive - negative)
        return result + self.span @ neurons.skip if self.skip else result

    def still(self) -> Array:
        """Return a free linear part of zeros."""
        return np.zeros((self.span.shape[1], *self.y.shape[1:]))

    def pooled(self, values: Array) -> Array:
        """Return what each example has of values at the rows of `X`: those of its own row."""
        return values

    def spread(self, slope: Array) -> Array:
        """Return the adjoint of `pooled` at ``slope``."""
        return slope

    def objective(self, neurons: Neurons) -> float:
        """Return the network's objective."""
        penalty = self.norm.value(neurons.V.T).sum() + self.norm.value(neurons.W.T).sum()
        loss = self.loss.value(self.predict(neurons), self.y).sum()
        return float(loss + self.beta * penalty)

    def sampled(self, rows: slice | IndexArray) -> NetworkForm:
        """Return the problem of some of the examples, its penalty less by as much.

        A slice is of neighbours, and copies nothing.
        """
        bag, y = len(self.X) // len(self.y), self.y[rows]
        if isinstance(rows, slice):
            of_X: Any = slice(bag * rows.start, bag * rows.stop)
        else:
            of_X = (bag * rows[:, None] + np.arange(bag)).ravel()
        return self._replace(
            X=self.X[of_X],
            y=y,
            loss=self.loss.part(rows),
            beta=self.beta * len(y) / len(self.y),
            cells=None,
            columns=None if self.columns is None else self.columns[rows],
        )

    def single_precision(self) -> NetworkForm:
        """Return the problem with its data in single precision, for the products of a search."""
        columns: Any = None if self.columns is None else self.columns.astype(np.float32)
        return self._replace(X=self.X.astype(np.float32), columns=columns)

    def over(self, matrix: BoolArray) -> GroupForm:
        """Return the convex program over these patterns."""
        slopes, signs = cone_arrays(matrix, self.leak)
        kind = self.loss, self.norm, self.beta, self.skip, self.columns, self.monotone
        return GroupForm(self.X, self.y, slopes, signs, *kind)

    def majorant(self, matrix: BoolArray) -> MajorantForm:
        """Return the convex program without cones over these patterns, and without signs."""
        slopes, _ = cone_arrays(matrix, self.leak)
        return MajorantForm(
            *(self.X, self.y, slopes, self.loss, self.norm, self.beta),
            *(self.leak, self.skip, self.columns),
        )


class PooledNetworkForm(NetworkForm):
    """A `NetworkForm` whose examples are bags of K rows of `X`, the output their rows' mean.

    The rows are in the order of `PooledForm`; there is no free linear part.
    """

    @property
    def bag(self) -> int:
        """Return the number of rows of `X` that an example has, K."""
        return len(self.X) // len(self.y)

    def pooled(self, values: Array) -> Array:
        """Return the mean of values at the rows of each example."""
        return means(values, self.bag)

    def spread(self, slope: Array) -> Array:
        """Return the adjoint of `pooled` at ``slope``: an equal share for each row."""
        return np.repeat(slope / self.bag, self.bag, axis=0)

    def over(self, matrix: BoolArray) -> PooledForm:
        """Return the convex program over these patterns."""
        return PooledForm(*super().over(matrix))


def outputs_of(y: Array) -> int:
    """Return the number of outputs that targets ask for.

    Examples
    --------
    >>> outputs_of(np.zeros(5)), outputs_of(np.zeros((5, 3)))
    (1, 3)
    """
    return 1 if y.ndim == 1 else int(y.shape[1])


def summed(hidden: Array, y: Array) -> Array:
    """Return the sum over the columns of ``hidden`` that belong to each output, in y's shape.

    Examples
    --------
    >>> summed(np.array([[1.0, 2.0, 3.0, 4.0]]), np.zeros((1, 2)))
    array([[3., 7.]])
    """
    total: Array = hidden.reshape(len(hidden), outputs_of(y), -1).sum(axis=2)
    return total[:, 0] if y.ndim == 1 else total


def means(values: Array, bag: int) -> Array:
    """Return the means of so many rows at a time.

    Examples
    --------
    >>> means(np.array([1.0, 3.0, 5.0, 5.0]), 2)
    array([2., 5.])
    """
    mean: Array = values.reshape(-1, bag, *values.shape[1:]).mean(axis=1)
    return mean


def _interleaved(parts: Sequence[Any]) -> Any:
    """Stack arrays whose rows are V's before W's, so that all V's come before all W's."""
    halves = [np.split(part, 2) for part in parts]
    return np.concatenate([half[side] for side in (0, 1) for half in halves])


def worst_prediction(loss: Loss, y: Array, low: Array, up: Array) -> Array:
    """Return the predictions in ``[low, up]`` of the largest loss; its even mirror for residuals.

    Examples
    --------
    >>> from convexnn.functions.losses import LOSSES
    >>> worst_prediction(LOSSES["squared"], np.zeros(1), np.array([-3.0]), np.array([2.0]))
    array([3.])
    """
    if loss.classification:
        return np.where(y > 0.0, low, up)
    result: Array = y + np.maximum(y - low, up - y)
    return result


def cone_arrays(matrix: BoolArray, leak: float) -> tuple[Array, SignArray]:
    """Return the slopes (n, P) and the signs (P, n) of patterns under ``act(t) = max(t, leak t)``.

    Examples
    --------
    >>> slopes, signs = cone_arrays(np.array([[True], [False]]), 0.1)
    >>> slopes.ravel(), signs.ravel()
    (array([1. , 0.1]), array([ 1, -1], dtype=int8))
    """
    n, P = matrix.shape
    slopes, signs = taken((n, P)), taken((P, n), np.int8)  # the kernels run along rows
    step = max(1, ENTRIES // n)
    for first in range(0, P, step):
        look()
        part = matrix[:, first : first + step]
        slopes[:, first : first + step] = np.where(part, 1.0, leak)
        signs[first : first + step] = np.where(part.T, 1, -1)
    return slopes, signs
