"""The networks that a user receives: their base, and the one of two layers, with export."""

from __future__ import annotations

from dataclasses import field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import ProblemError, function, real
from convexnn.contract.features import Names, examples
from convexnn.contract.fields import (
    Converted,
    declaration,
    default,
    fits,
    keep_arrays,
    keep_labels,
    keep_names,
    labelled,
)
from convexnn.contract.predictor import Predictor
from convexnn.relu.directions import directions as read
from convexnn.relu.directions import proved
from convexnn.relu.drawing import in_plane, on_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike
    from typing import Self

    import torch
    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike
    from torch import nn

    from convexnn.contract.arrays import Array, LabelArray
    from convexnn.contract.preparation import Preparation
    from convexnn.relu.interchange.foreign import Layers
    from convexnn.robust.worst_distribution import NetworkWorstCase


@declaration
class Network(Predictor):
    """Base of the networks."""


@declaration
class TwoLayerNetwork(Network):
    """``f(x) = sum_j alpha_j act(u_j'x + b_j) + s'x + c`` with ``act(t) = max(t, leak t)``.

    A gated network has ``1[h_j'x + g_j >= 0] (u_j'x + b_j)`` in the place of ``act``.

    Attributes
    ----------
    U : array of shape (d, m)
        First layer, one neuron a column.
    alpha : array of shape (m, k)
        Second layer.
    bias : array of shape (m,)
        Offsets of the first layer.
    leak : float
    skip : array of shape (d,) or None
    skip_bias : float
        The constant ``c``, of every output, with or without `skip`.
    gates : array of shape (d, m) or None
    gates_bias : array of shape (m,) or None
    classes : array of shape (2,) or (k,), or None
        Labels that the outputs stand for, see `Predictor`; None for regression.
    feature_names : tuple of str or None
        Names of the d inputs; a frame must have columns of these names, in this order.
    offsets : array of shape (k,) or None
        A constant of each output, beside `skip_bias`.
    adversary : callable or None
        Returns the worst distribution; it is saved with a solution, not with the model alone.

    Raises
    ------
    ProblemError
        If shapes do not fit, entries are not finite, or what is given is not used: a leak with
        gates, `gates_bias` without.

    Examples
    --------
    >>> net = TwoLayerNetwork(U=np.eye(2), alpha=np.array([[1.0], [-1.0]]), bias=np.zeros(2))
    >>> net.predict([[3.0, 1.0], [-1.0, 2.0]])
    array([ 2., -2.])
    """

    U: Converted[ArrayLike, Array]
    alpha: Converted[ArrayLike, Array]
    bias: Converted[ArrayLike, Array]
    leak: float = 0.0
    skip: Converted[ArrayLike | None, Array | None] = default(None)
    skip_bias: float = 0.0
    gates: Converted[ArrayLike | None, Array | None] = default(None)
    gates_bias: Converted[ArrayLike | None, Array | None] = default(None)
    classes: Converted[ArrayLike | None, LabelArray | None] = default(None)
    feature_names: Converted[Iterable[str] | None, Names] = default(None)
    offsets: Converted[ArrayLike | None, Array | None] = default(None)
    adversary: Callable[[], NetworkWorstCase] | None = field(
        default=None, repr=False, metadata={"saved": False}
    )

    def __post_init__(self) -> None:
        keep_arrays(self, U=2, alpha=2, bias=1, skip=1, gates=2, gates_bias=1, offsets=1)
        for name in ("leak", "skip_bias"):
            object.__setattr__(self, name, real(name, getattr(self, name)))
        keep_labels(self, "classes")
        if self.adversary is not None:
            function("adversary", self.adversary)
        kind = type(self).__name__
        if len(self.alpha) != self.U.shape[1] or not self.alpha.shape[1]:
            raise ProblemError(
                f"{kind} must have U (d, m) and alpha (m, k), got {self.U.shape} and "
                f"{self.alpha.shape}"
            )
        (d, m), k = self.U.shape, self.alpha.shape[1]
        fits(
            kind,
            {
                "U": (self.U, (d, m)),
                "alpha": (self.alpha, (m, k)),
                "bias": (self.bias, (m,)),
                "leak": (self.leak, ()),
                "skip": (self.skip, (d,)),
                "skip_bias": (self.skip_bias, ()),
                "gates": (self.gates, (d, m)),
                "gates_bias": (self.gates_bias, (m,)),
                "offsets": (self.offsets, (k,)),
            },
        )
        if self.gates is None and self.gates_bias is not None:
            raise ProblemError(f"{kind}.gates_bias goes with gates, which are None")
        if self.gates is not None and self.leak:
            raise ProblemError(f"{kind}.leak must be 0 with gates, got {self.leak}")
        labelled(kind, self.classes, k)
        keep_names(self, d)

    @cached_property
    def worst_case(self) -> NetworkWorstCase:
        """The worst case within the ball that the network was trained against, from both sides."""
        if self.adversary is None:
            raise ProblemError(
                "this network was not trained against a ball of distributions, or was saved "
                "without it: Solution.save keeps it"
            )
        return self.adversary()

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the network's output on each row of `X`.

        Parameters
        ----------
        X : array of shape (n, d)

        Returns
        -------
        array of shape (n,), or (n, k) for k > 1 outputs

        Raises
        ------
        ProblemError
            If `X` is not a finite matrix with d columns, those of `feature_names` if it is a
            frame.
        """
        X = examples(X, self.feature_names, len(self.U))
        hidden = X @ self.U + self.bias
        if self.gates is None:
            hidden = np.maximum(hidden, self.leak * hidden)
        else:
            offset = 0.0 if self.gates_bias is None else self.gates_bias
            hidden = hidden * (X @ self.gates + offset >= 0.0)
        output = hidden @ self.alpha
        if self.skip is not None:
            output = output + (X @ self.skip)[:, None]
        if self.skip_bias:
            output = output + self.skip_bias
        if self.offsets is not None:
            output = output + self.offsets
        result: Array = output[:, 0] if output.shape[1] == 1 else output
        return result

    def monotone(self, directions: ArrayLike | Mapping[str, int]) -> bool:
        """Tell whether the signs of the weights prove in which direction every output goes.

        A proof for all x, not for the data alone: ``alpha_j u_jk >= 0`` for all neurons j, and
        ``s_k >= 0``, where an output is never to fall in ``x_k``; <= 0 where it is never to rise. A
        network may be monotone without that. Of a gated network they prove nothing: a gate that
        closes may let the output fall.

        Parameters
        ----------
        directions : array of shape (d,) or dict of str to int
            Of 1 (never falls), -1 (never rises) and 0 (free); or by the names of inputs.

        Raises
        ------
        ProblemError
            If it is something else, or names an input that is not there.

        Examples
        --------
        >>> net = TwoLayerNetwork(U=[[1.0, -2.0], [1.0, 1.0]], alpha=[[1.0], [-1.0]], bias=[0, 0])
        >>> net.monotone([1, 0]), net.monotone([1, 1])
        (True, False)
        """
        asked = read(directions, self.feature_names, len(self.U))
        if self.gates is not None:
            return not asked.any()
        return proved(asked, self.U, self.alpha, self.skip, self.leak)

    def plot(
        self, X: ArrayLike | None = None, y: ArrayLike | None = None, ax: Axes | None = None
    ) -> Axes:
        """Draw a network of one or two inputs and where its neurons switch (extra: plot).

        Over one input the output, and its knots. Over two inputs the regions of the classes, or the
        output from above, and the line ``u_j'x + b_j = 0`` of each neuron (of a gated one ``h_j'x +
        g_j = 0``), as wide as ``|alpha_j| ||u_j||`` is beside the others'.

        Parameters
        ----------
        X : array of shape (n, d), optional
            Examples, which set the range and in the plane are drawn; without them the range is that
            of the knots and lines.
        y : array of shape (n,), or (n, k) for k outputs, optional
            Their targets or labels.
        ax : matplotlib axes, optional

        Returns
        -------
        matplotlib axes

        Raises
        ------
        ImportError
            Without matplotlib, naming the extra.
        ProblemError
            If the network has more than two inputs, or over two inputs several outputs and no
            classes, or X or y do not fit it.

        Examples
        --------
        >>> net = TwoLayerNetwork(U=[[1.0, 2.0]], alpha=[[1.0], [-1.0]], bias=[0.0, -1.0])
        >>> ax = net.plot()
        >>> [line.get_label() for line in ax.lines]
        ['network', '2 knots']
        """
        d = len(self.U)
        if d > 2:
            raise ProblemError(
                f"TwoLayerNetwork.plot draws networks of one or two inputs, this one has {d}"
            )
        given = None if X is None else examples(X, self.feature_names, d)
        normals, offsets, weight = self._switches()
        if d == 1:
            knots = np.unique(-offsets / normals[0])
            return on_line(self, knots, None if given is None else given[:, 0], y, ax)
        return in_plane(self, normals, offsets, weight, given, y, ax)

    def _switches(self) -> tuple[Array, Array, Array]:
        """Return where the neurons switch that matter, and what each weighs.

        Neuron j of normal ``h_j`` (d, m) and offset ``g_j`` (m,) does so where ``h_j'x + g_j = 0``.
        """
        weight = np.linalg.norm(self.U, axis=0) * np.linalg.norm(self.alpha, axis=1)
        normals, offsets = self.U, self.bias
        if self.gates is not None:
            weight = np.hypot(np.linalg.norm(self.U, axis=0), self.bias)
            weight = weight * np.linalg.norm(self.alpha, axis=1)
            normals = self.gates
            offsets = np.zeros(len(self)) if self.gates_bias is None else self.gates_bias
        used = (weight > 0.0) & normals.any(axis=0)
        return normals[:, used], offsets[used], weight[used]

    def unscaled(self, done: Preparation) -> TwoLayerNetwork:
        """Return the network of raw data whose standardised ones this one takes.

        Its `U` is in the units of the raw columns, its output in those of the raw target. Its
        `worst_case` stays in the standardised coordinates, where the ball is.
        """

        def layer(W: Array, b: Array | float) -> tuple[Array, Any]:
            raw = (W.T / done.spread).T
            return raw, b - done.mean @ raw

        U, bias = layer(self.U, self.bias)
        gates: Array | None = None
        gates_bias: Array | None = None
        skip: Array | None = None
        constant: Any = self.skip_bias
        if self.gates is not None:
            offset = 0.0 if self.gates_bias is None else self.gates_bias
            gates, gates_bias = layer(self.gates, offset)
        if self.skip is not None:
            linear, constant = layer(self.skip, self.skip_bias)
            skip = done.target_spread * linear
        constant = done.target_spread * constant + done.target_mean
        offsets: Any = None if self.offsets is None else done.target_spread * self.offsets
        if np.ndim(constant):  # of each of several targets
            constant, offsets = 0.0, constant + (0.0 if offsets is None else offsets)
        return TwoLayerNetwork(
            U,
            done.target_spread * self.alpha,
            bias,
            leak=self.leak,
            skip=skip,
            skip_bias=float(constant),
            gates=gates,
            gates_bias=gates_bias,
            classes=self.classes,
            feature_names=done.features or self.feature_names,
            offsets=offsets,
            adversary=self.adversary,
        )

    @classmethod
    def from_torch(cls, module: nn.Module) -> Self:
        """Return the network that a module is whose parts are Linear, ReLU, Linear, in order.

        Parameters
        ----------
        module : torch.nn.Module
            Dropout, Flatten and Identity are passed over; LeakyReLU gives `leak`. What `to_torch`
            makes of a network without gates is read as well, a free linear part included.

        Raises
        ------
        ProblemError
            If it is anything else; the message says what was found.
        """
        from convexnn.relu.interchange.foreign import of_torch

        return cls._of(of_torch(module))

    @classmethod
    def from_sklearn(cls, model: object) -> Self:
        """Return the network of a fitted `MLPClassifier` or `MLPRegressor`.

        Parameters
        ----------
        model : MLPClassifier or MLPRegressor
            With one hidden layer and ``activation="relu"``.

        Raises
        ------
        ProblemError
            If it is anything else; the message says what was found.
        """
        from convexnn.relu.interchange.foreign import of_sklearn

        return cls._of(of_sklearn(model))

    @classmethod
    def from_onnx(cls, path: str | PathLike[str]) -> Self:
        """Return the network of an ONNX graph, as `to_onnx` or PyTorch writes it (extra: onnx).

        Parameters
        ----------
        path : path

        Raises
        ------
        ImportError
            Without the onnx package, naming the extra.
        ProblemError
            If it is no network of one hidden layer of ReLUs; the message says what was found.
        """
        from convexnn.relu.interchange.foreign import of_onnx

        return cls._of(of_onnx(path))

    @classmethod
    def _of(cls, layers: Layers) -> Self:
        one = len(layers.offsets) == 1
        return cls(
            layers.U,
            layers.alpha,
            layers.bias,
            leak=layers.leak,
            skip=layers.skip,
            skip_bias=float(layers.offsets[0]) if one else 0.0,
            classes=layers.classes,
            offsets=None if one else layers.offsets,
        )

    def __len__(self) -> int:
        return int(self.U.shape[1])

    def __repr__(self) -> str:
        kind = "gated" if self.gates is not None else "ReLU"
        return f"TwoLayerNetwork({self.U.shape[0]} inputs, {len(self)} {kind} neurons)"

    def to_torch(self, *, dtype: torch.dtype | str | None = None) -> nn.Module:
        """Return an equal ``torch.nn.Module`` of named parts (extra: torch).

        ``Sequential(hidden=Linear, activation=ReLU or LeakyReLU, output=Linear)``; beside it, where
        there is a free linear part, ``skip=Linear``. Of a gated network the parts are ``hidden``,
        ``gates``, which are not trained, and ``output``. Its output is `decision_function`, in
        columns; labels are left behind.

        Parameters
        ----------
        dtype : torch.dtype or str, optional
            Of its parameters; double precision by default.

        Raises
        ------
        ImportError
            Without PyTorch, naming the extra.
        ProblemError
            If dtype is none of torch's for real numbers.
        """
        from convexnn.relu.interchange.export import to_torch

        module: nn.Module = to_torch(self, dtype)
        return module

    def to_onnx(self, path: str | PathLike[str]) -> None:
        """Write the network's output as an ONNX graph in double precision (extra: onnx).

        Parameters
        ----------
        path : path

        Raises
        ------
        ImportError
            Without the onnx package, naming the extra.
        """
        from convexnn.relu.interchange.export import to_onnx

        to_onnx(self, path)
