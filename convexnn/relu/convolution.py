"""Patches of images, and the network of one hidden convolution with average pooling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from convexnn.contract.checks import ProblemError, positive_int, real_array
from convexnn.contract.fields import (
    Converted,
    declaration,
    default,
    fits,
    keep_arrays,
    keep_labels,
    labelled,
)
from convexnn.relu.network import Network

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, LabelArray

ENTRIES = 1 << 20  # of the hidden values that are held at a time


def checked_images(name: str, value: ArrayLike, size: int) -> Array:
    """Return a read-only float64 copy of images, (n, h, w) or (n, h, w, c).

    Raises
    ------
    ProblemError
        If they are not real and finite, have another number of axes, or are smaller than a filter.

    Examples
    --------
    >>> checked_images("X", np.ones((2, 3, 3)), 2).shape
    (2, 3, 3)
    """
    try:
        axes = np.ndim(value)
    except ValueError:
        raise ProblemError(f"{name} must hold images of one shape, got several shapes") from None
    if axes not in (3, 4):
        raise ProblemError(
            f"{name} must hold images, shape (n, h, w) or (n, h, w, c), got shape {np.shape(value)}"
        )
    images = real_array(name, value, axes)
    if size > min(images.shape[1:3]):
        raise ProblemError(
            f"filter_size must be at most the height and width of the images {images.shape[1:3]}, "
            f"got {size}"
        )
    return images


def patches(images: Array, size: int, stride: int = 1) -> Array:
    """Return the patches of images, one a row: those of an image in a block, row by row.

    Parameters
    ----------
    images : array of shape (n, h, w) or (n, h, w, c)
    size : int
        Height and width of a patch.
    stride : int, default 1
        Pixels from one patch to the next.

    Returns
    -------
    array of shape (n K, size size c)
        ``K = ((h - size) // stride + 1) ((w - size) // stride + 1)``.

    Examples
    --------
    >>> patches(np.arange(9.0).reshape(1, 3, 3), 2)
    array([[0., 1., 3., 4.],
           [1., 2., 4., 5.],
           [3., 4., 6., 7.],
           [4., 5., 7., 8.]])
    """
    deep = images if images.ndim == 4 else images[..., None]
    windows = np.lib.stride_tricks.sliding_window_view(deep, (size, size), axis=(1, 2))
    kept = windows[:, ::stride, ::stride].transpose(0, 1, 2, 4, 5, 3)
    return np.ascontiguousarray(kept).reshape(-1, size * size * deep.shape[3])


@declaration
class ConvNetwork(Network):
    """``f(x) = sum_j alpha_j mean_k max(u_j'x_k + b_j, 0)`` over the patches ``x_k`` of an image.

    A gated network has ``1[h_j'x_k + g_j >= 0] (u_j'x_k + b_j)`` in the place of the maximum.

    Attributes
    ----------
    filters : array of shape (m, k, k, c)
        First layer, the weights ``u_j``.
    alpha : array of shape (m, outputs)
        Second layer.
    bias : array of shape (m,)
        Offsets of the first layer.
    stride : int
    gates : array of shape (m, k, k, c) or None
    gates_bias : array of shape (m,) or None
    classes : array of shape (2,) or (outputs,), or None
        Labels that the outputs stand for, see `Predictor`; None for regression.

    Raises
    ------
    ProblemError
        If shapes do not fit, entries are not finite, or what is given is not used: `gates_bias`
        without gates.

    Examples
    --------
    >>> net = ConvNetwork(np.ones((1, 2, 2, 1)), np.array([[1.0]]), np.zeros(1))
    >>> net.predict([np.eye(3), -np.eye(3)])
    array([1.5, 0. ])
    """

    filters: Converted[ArrayLike, Array]
    alpha: Converted[ArrayLike, Array]
    bias: Converted[ArrayLike, Array]
    stride: int = 1
    gates: Converted[ArrayLike | None, Array | None] = default(None)
    gates_bias: Converted[ArrayLike | None, Array | None] = default(None)
    classes: Converted[ArrayLike | None, LabelArray | None] = default(None)

    def __post_init__(self) -> None:
        keep_arrays(self, filters=4, alpha=2, bias=1, gates=4, gates_bias=1)
        object.__setattr__(self, "stride", positive_int("stride", self.stride))
        keep_labels(self, "classes")
        m, size, _, channels = self.filters.shape
        kind, k = type(self).__name__, max(1, self.alpha.shape[1])
        if not size * channels:
            raise ProblemError(f"{kind}.filters must not be empty, got {self.filters.shape}")
        fits(
            kind,
            {
                "filters": (self.filters, (m, size, size, channels)),
                "alpha": (self.alpha, (m, k)),
                "bias": (self.bias, (m,)),
                "gates": (self.gates, self.filters.shape),
                "gates_bias": (self.gates_bias, (m,)),
            },
        )
        if self.gates is None and self.gates_bias is not None:
            raise ProblemError(f"{kind}.gates_bias goes with gates, which are None")
        labelled(kind, self.classes, k)

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the network's output on each image.

        Parameters
        ----------
        X : array of shape (n, h, w), or (n, h, w, c)

        Returns
        -------
        array of shape (n,), or (n, outputs) for several

        Raises
        ------
        ProblemError
            If `X` does not hold finite images of c channels, at least as large as a filter.
        """
        m, size, _, channels = self.filters.shape
        images = checked_images("X", X, size)
        found = images.shape[3] if images.ndim == 4 else 1
        if found != channels:
            raise ProblemError(f"X must have {channels} channels, got shape {images.shape}")
        bag = len(patches(images[:1], size, self.stride))
        step = max(1, ENTRIES // max(1, bag * m))
        output = np.empty((len(images), self.alpha.shape[1]))
        for i in range(0, len(images), step):
            rows = patches(images[i : i + step], size, self.stride)
            hidden = self._hidden(rows).reshape(len(rows) // bag, bag, m).mean(axis=1)
            output[i : i + step] = hidden @ self.alpha
        return output[:, 0] if output.shape[1] == 1 else output

    def _hidden(self, rows: Array) -> Array:
        values: Array = rows @ _columns(self.filters) + self.bias
        if self.gates is None:
            return np.maximum(values, 0.0)
        offset = 0.0 if self.gates_bias is None else self.gates_bias
        return values * (rows @ _columns(self.gates) + offset >= 0.0)

    def __len__(self) -> int:
        return len(self.filters)

    def __repr__(self) -> str:
        m, size, _, channels = self.filters.shape
        kind = "gated" if self.gates is not None else "ReLU"
        return f"ConvNetwork({m} {kind} filters of {size} x {size} x {channels})"


def _columns(filters: Array) -> Array:
    """Return filters as columns of weights, in the order of `patches`."""
    return filters.reshape(len(filters), int(np.prod(filters.shape[1:]))).T
