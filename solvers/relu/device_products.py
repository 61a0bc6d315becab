"""Where the products of a `GroupForm` run: here or on a device, in double or in single precision.

Vectors over examples are NumPy's and double wherever the products run; blocks of weights live where
the products do, and only reported points come back. Nothing here touches a certificate.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np

from convexnn.contract.arrays import Array
from convexnn.contract.backend import BackendError
from convexnn.contract.system.optional import need
from convexnn.relu.forms import GroupForm
from convexnn.solvers.relu.block_prox import BlockProx
from convexnn.solvers.relu.coordinates import StretchedProx

PRECISIONS = ("float64", "float32")
LIBRARIES = ("numpy", "torch")
BLOCK = 1 << 26  # entries of a temporary on a device


class Products(Protocol):
    """The steps of a first-order method that touch blocks.

    Blocks are arrays that know ``+``, ``-`` and ``*`` by a number, one block a row.

    Attributes
    ----------
    single : bool
        Whether the products are rounded to single precision.
    growth : float
        Factor between the iterations whose points are certified, which happens here in double.
    """

    single: bool
    growth: float

    def send(self, rows: Array) -> Any:
        """Return blocks where the products run."""

    def fetch(self, rows: Any) -> Array:
        """Return blocks as a NumPy array in double precision."""

    def predict(self, rows: Any) -> Array:
        """Return ``sum_p S_p * (X u_p)``."""

    def correlate(self, r: Array) -> Any:
        """Return the adjoint of `predict`."""

    def prox(self, rows: Any, step: float) -> Any:
        """Return the prox of ``step`` times the penalty, in each block's cone."""

    def trial(self, rows: Any, at: Any, before: Any) -> tuple[Array, float, float]:
        """Return `predict`, ``||rows - at||^2`` and ``<rows - at, rows - before>``."""


class Host:
    """NumPy and the compiled kernels, on this processor.

    Parameters
    ----------
    form : GroupForm
    prox : BlockProx
    single : bool
        Round the data, and what they are multiplied by, to single precision; nothing else.
    """

    growth = 1.1

    def __init__(self, form: GroupForm, prox: BlockProx | StretchedProx, single: bool) -> None:
        self.single, self._prox = single, prox
        self._type: type[np.floating[Any]] = np.float32 if single else np.float64
        rounded: dict[str, Any] = {
            name: getattr(form, name).astype(self._type, copy=False) for name in ("X", "slopes")
        }
        self._form = form._replace(**rounded)

    def send(self, rows: Array) -> Array:
        """Return the blocks."""
        return rows

    def fetch(self, rows: Array) -> Array:
        """Return the blocks."""
        return rows

    def predict(self, rows: Array) -> Array:
        """Return ``sum_p S_p * (X u_p)``."""
        given: Any = rows.astype(self._type, copy=False)
        return self._form.predict(given).astype(np.float64, copy=False)

    def correlate(self, r: Array) -> Array:
        """Return the adjoint of `predict`."""
        given: Any = r.astype(self._type, copy=False)
        return self._form.correlate(given).astype(np.float64, copy=False)

    def prox(self, rows: Array, step: float) -> Array:
        """Return the prox of the penalty, in each block's cone."""
        return self._prox(rows, step)

    def trial(self, rows: Array, at: Array, before: Array) -> tuple[Array, float, float]:
        """Return `predict` and two inner products."""
        shift = rows - at
        moved, turned = np.vdot(shift, shift), np.vdot(shift, rows - before)
        return self.predict(rows), float(moved), float(turned)


class Library(NamedTuple):
    """The two ways between NumPy and an array library whose arrays live on a device.

    Its arrays know ``@``, ``.T``, ``.sum(axis)`` and ``.clip(low, high)``, as those of NumPy, CuPy
    and torch do.

    Attributes
    ----------
    send : callable
        Takes a NumPy array, keeps its precision.
    fetch : callable
        Returns a NumPy array.
    """

    send: Callable[[Any], Any]
    fetch: Callable[[Any], Any]


class Device:
    """Products, prox and blocks in an array library, for programs without cones.

    Parameters
    ----------
    form : GroupForm
    prox : BlockProx
        For a norm whose prox is not written here: its blocks go there and back.
    library : Library
    single : bool
        Single precision for all that is on the device.
    """

    growth = 1.5  # a certificate costs many iterations of a fast device

    def __init__(
        self, form: GroupForm, prox: BlockProx | StretchedProx, library: Library, single: bool
    ) -> None:
        self.single, self._form, self._prox, self._library = single, form, prox, library
        self._type = np.float32 if single else np.float64
        self._X, self._slopes = self._sent(form.X), self._sent(form.slopes)
        (n, d), P = form.X.shape, form.slopes.shape[1]
        self._by_columns = d <= P  # the smaller side carries the temporary
        step = max(1, BLOCK // min(d, P))
        self._parts = [slice(i, i + step) for i in range(0, n, step)]
        outputs = form.y.size // n  # each has P blocks of its own
        self._own = [slice(j * P, (j + 1) * P) for j in range(outputs)]

    def _sent(self, array: Array) -> Any:
        return self._library.send(np.array(array, self._type))

    def send(self, rows: Array) -> Any:
        """Return the blocks on the device."""
        return self._sent(rows)

    def fetch(self, rows: Any) -> Array:
        """Return the blocks as a NumPy array."""
        result: Array = self._library.fetch(rows).astype(np.float64)
        return result

    def predict(self, rows: Any) -> Array:
        """Return ``sum_p S_p * (X u_p) = rowsum(X * (S U'))``."""
        z = np.empty((len(self._form.y), len(self._own)))
        for part in self._parts:
            X, S = self._X[part], self._slopes[part]
            for j, own in enumerate(self._own):
                U = rows[own]
                terms = X * (S @ U) if self._by_columns else S * (X @ U.T)
                z[part, j] = self._library.fetch(terms.sum(1))
        return z.reshape(self._form.y.shape)

    def correlate(self, r: Array) -> Any:
        """Return ``S' (r * X)``, the adjoint of `predict`."""
        columns = r.reshape(len(r), -1)
        total = self._sent(np.zeros((columns.shape[1] * self._slopes.shape[1], self._X.shape[1])))
        for part in self._parts:
            X, S, weights = self._X[part], self._slopes[part], self._sent(columns[part])
            for j, own in enumerate(self._own):
                w = weights[:, j : j + 1]
                total[own] += S.T @ (w * X) if self._by_columns else (w * S).T @ X
        return total

    def prox(self, rows: Any, step: float) -> Any:
        """Return the prox of the penalty; of any other norm, by way of NumPy."""
        weight = step * self._form.beta
        if self._form.norm.name == "l2":
            length = (rows * rows).sum(1) ** 0.5
            return (1.0 - weight / length).clip(0.0, 1.0)[:, None] * rows
        if self._form.norm.name == "l1":
            return rows - rows.clip(-weight, weight)
        return self.send(self._prox(self.fetch(rows), step))

    def trial(self, rows: Any, at: Any, before: Any) -> tuple[Array, float, float]:
        """Return `predict` and two inner products."""
        shift = rows - at
        moved, turned = (shift * shift).sum(), (shift * (rows - before)).sum()
        return self.predict(rows), float(moved), float(turned)


def workplace(
    form: GroupForm, prox: BlockProx | StretchedProx, dtype: Any, array: Any, device: Any
) -> Callable[[str], Products]:
    """Return what makes the products in a given precision, after checking an engine's options.

    Parameters
    ----------
    form : GroupForm
    prox : BlockProx
    dtype : {"float64", "float32"}
    array : {"numpy", "torch"}
    device : str or None
        Of torch: "cpu", "cuda", "cuda:1", ...; None is "cuda".

    Raises
    ------
    ValueError
        If an option has another value, or torch is asked to run a program with cones.
    ImportError
        If the library is not installed; the message names the extra.
    BackendError
        If the device is not there; the message says what was found.
    """
    _one_of("dtype", dtype, PRECISIONS)
    _one_of("array", array, LIBRARIES)
    if array == "numpy":
        if device is not None:
            raise ValueError(f"device needs array='torch', got device={device!r}")
        return lambda precision: Host(form, prox, precision == "float32")
    if form.signs is not None:
        raise ValueError("array='torch' takes programs without cones, such as GatedReluTraining")
    if form.bag > 1:
        raise ValueError("array='torch' takes no convolutions")
    library = torch_library("cuda" if device is None else device)
    return lambda precision: Device(form, prox, library, precision == "float32")


def torch_library(device: Any) -> Library:
    """Return torch's arrays on a device; the errors are those of `workplace`."""
    if not isinstance(device, str) or re.fullmatch(r"cpu|cuda(:\d+)?", device) is None:
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:K', got {device!r}")
    torch = need("torch", "torch")
    if device != "cpu":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(device.partition(":")[2] or 0) >= count:
            found = ", ".join(torch.cuda.get_device_name(k) for k in range(count)) or "no GPU"
            raise BackendError(
                f"device {device!r} is not there: torch {torch.__version__} finds {found}"
            )
    return Library(
        lambda array: torch.from_numpy(array).to(device), lambda tensor: tensor.cpu().numpy()
    )


def _one_of(name: str, value: Any, known: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"{name} must be {' or '.join(map(repr, known))}, got {value!r}")
