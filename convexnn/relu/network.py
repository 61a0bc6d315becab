"""The networks that a user receives: prediction, saving; the one of two layers, with export."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import ProblemError, real, real_array
from convexnn.contract.fields import (
    Converted,
    declaration,
    default,
    fits,
    keep_arrays,
    keep_labels,
    labelled,
)

if TYPE_CHECKING:
    from os import PathLike
    from typing import Self

    from numpy.typing import ArrayLike
    from torch import nn

    from convexnn.contract.arrays import Array, LabelArray
    from convexnn.contract.preparation import Preparation


@declaration
class Network:
    """What every network can do that knows its output and, as a field, the `classes` it names.

    The labels of `classes` are, of one output, what a negative and a positive one stand for; of
    several, what the largest stands for. None for regression.
    """

    if TYPE_CHECKING:

        @property
        def classes(self) -> LabelArray | None:
            """Return the labels, None for regression."""

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the network's output on each example."""
        raise NotImplementedError

    def predict(self, X: ArrayLike) -> LabelArray:
        """Return the predicted label of each example, or the output itself for regression.

        Parameters
        ----------
        X : array
            Examples, as `decision_function` takes them.

        Returns
        -------
        array of shape (n,); (n, k) for k real targets
        """
        output = self.decision_function(X)
        if self.classes is None:
            return output
        index = output.argmax(axis=1) if output.ndim == 2 else (output > 0.0).astype(np.intp)
        labels: LabelArray = self.classes[index]
        return labels

    def save(self, path: str | PathLike[str]) -> None:
        """Write the network to a ``.npz`` file, without pickle.

        Parameters
        ----------
        path : path
        """
        from convexnn.contract.files import write_npz

        arrays, numbers = {}, {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                arrays[f.name] = value
            elif value is not None:
                numbers[f.name] = value
        arrays["meta"] = np.array(json.dumps({"kind": type(self).__name__, **numbers}))
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a network that `save` wrote.

        Parameters
        ----------
        path : path

        Returns
        -------
        Network
            Of the class that it is called on.

        Raises
        ------
        FileError
            If the file is damaged or holds something else.
        """
        from convexnn.contract.files import FileError, read_npz

        known = {f.name for f in fields(cls)}
        arrays, meta = read_npz(path, cls.__name__, lambda meta: known)
        try:
            return cls(**arrays, **meta)
        except Exception as error:  # whatever building from wrong values raises
            raise FileError(f"{path} is a damaged {cls.__name__} file: {error}") from None


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
        Labels that the outputs stand for, see `Network`; None for regression.

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

    def __post_init__(self) -> None:
        keep_arrays(self, U=2, alpha=2, bias=1, skip=1, gates=2, gates_bias=1)
        for name in ("leak", "skip_bias"):
            object.__setattr__(self, name, real(name, getattr(self, name)))
        keep_labels(self, "classes")
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
            },
        )
        if self.gates is None and self.gates_bias is not None:
            raise ProblemError(f"{kind}.gates_bias goes with gates, which are None")
        if self.gates is not None and self.leak:
            raise ProblemError(f"{kind}.leak must be 0 with gates, got {self.leak}")
        labelled(kind, self.classes, k)

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
            If `X` is not a finite matrix with d columns.
        """
        X = real_array("X", X, 2)
        if X.shape[1] != self.U.shape[0]:
            raise ProblemError(f"X must have {self.U.shape[0]} columns, got shape {X.shape}")
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
        result: Array = output[:, 0] if output.shape[1] == 1 else output
        return result

    def unscaled(self, done: Preparation) -> TwoLayerNetwork:
        """Return the network of raw data whose standardised ones this one takes.

        Its `U` is in the units of the raw columns, its output in those of the raw target.
        """

        def layer(W: Array, b: Array | float) -> tuple[Array, Any]:
            raw = (W.T / done.spread).T
            return raw, b - done.mean @ raw

        U, bias = layer(self.U, self.bias)
        gates: Array | None = None
        gates_bias: Array | None = None
        skip: Array | None = None
        constant = self.skip_bias
        if self.gates is not None:
            offset = 0.0 if self.gates_bias is None else self.gates_bias
            gates, gates_bias = layer(self.gates, offset)
        if self.skip is not None:
            linear, constant = layer(self.skip, self.skip_bias)
            skip = done.target_spread * linear
        return TwoLayerNetwork(
            U,
            done.target_spread * self.alpha,
            bias,
            leak=self.leak,
            skip=skip,
            skip_bias=float(done.target_spread * constant + done.target_mean),
            gates=gates,
            gates_bias=gates_bias,
            classes=self.classes,
        )

    def __len__(self) -> int:
        return int(self.U.shape[1])

    def __repr__(self) -> str:
        kind = "gated" if self.gates is not None else "ReLU"
        return f"TwoLayerNetwork({self.U.shape[0]} inputs, {len(self)} {kind} neurons)"

    def to_torch(self) -> nn.Module:
        """Return an equal ``torch.nn.Module`` in double precision (extra: torch).

        Raises
        ------
        ImportError
            Without PyTorch, naming the extra.
        """
        from convexnn.relu.export import to_torch

        return to_torch(self)

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
        from convexnn.relu.export import to_onnx

        to_onnx(self, path)
