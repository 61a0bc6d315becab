"""What functions on tensors share: tensors as the engines read them, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.checks import ProblemError, shown
from convexnn.contract.system.optional import need

torch = need("torch", "torch")


def read(name: str, tensor: Any, last: tuple[str, ...]) -> Array:
    """Return the values of a tensor of real numbers in float64, all leading dimensions as one.

    Parameters
    ----------
    name : str
    tensor : torch.Tensor
    last : tuple of str
        What its last dimensions are called.

    Raises
    ------
    ProblemError
        If it is no tensor of finite floats, has too few dimensions or an empty one.

    Examples
    --------
    >>> read("losses", torch.ones(2, 2, 3), ("n",)).shape
    (4, 3)
    """
    shape = f"shape (..., {', '.join(last)})"
    if not isinstance(tensor, torch.Tensor) or not tensor.dtype.is_floating_point:
        kind = tensor.dtype if isinstance(tensor, torch.Tensor) else shown(tensor)
        raise ProblemError(f"{name} must be a tensor of floats of {shape}, got {kind}")
    if tensor.ndim < len(last) or 0 in tensor.shape:
        raise ProblemError(f"{name} must have {shape}, none of them 0, got {tuple(tensor.shape)}")
    values = tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
    if not np.isfinite(values).all():
        raise ProblemError(f"{name} must be finite, got NaN or inf")
    flat: Array = values.reshape(-1, *values.shape[values.ndim - len(last) :])
    return flat


def like(tensor: Any, values: Array, shape: tuple[int, ...]) -> Any:
    """Return values as a tensor of a shape, on the device and of the type of another.

    Examples
    --------
    >>> like(torch.ones(1), np.zeros(2), (2, 1)).dtype
    torch.float32
    """
    made = torch.from_numpy(np.ascontiguousarray(values, dtype=np.float64))
    return made.to(device=tensor.device, dtype=tensor.dtype).reshape(shape)
