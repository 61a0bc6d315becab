"""What every model can do that knows its output: predict, and be written to a file."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.fields import declaration

if TYPE_CHECKING:
    from os import PathLike
    from typing import Self

    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, LabelArray


@declaration
class Predictor:
    """Base of the models that know their output and, as a field, the `classes` it names.

    The labels of `classes` are, of one output, what a negative and a positive one stand for; of
    several, what the largest stands for. None for regression.

    A field whose metadata say ``saved=False`` is not written to files, and is None when read.
    """

    if TYPE_CHECKING:

        @property
        def classes(self) -> LabelArray | None:
            """Return the labels, None for regression."""

    def decision_function(self, X: ArrayLike) -> Array:
        """Return the output on each example."""
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
        """Write the model to a ``.npz`` file, without pickle.

        Parameters
        ----------
        path : path
        """
        from convexnn.contract.system.files import write_npz

        arrays, plain = {}, {}
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, np.ndarray):
                arrays[f.name] = value
            elif value is not None and f.metadata.get("saved", True):
                plain[f.name] = value
        arrays["meta"] = np.array(json.dumps({"kind": type(self).__name__, **plain}))
        write_npz(path, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a model that `save` wrote: the same to the last bit.

        Parameters
        ----------
        path : path

        Returns
        -------
        Predictor
            Of the class that it is called on.

        Raises
        ------
        FileError
            If the file is damaged or holds something else.
        """
        from convexnn.contract.system.files import FileError, read_npz

        known: Any = {f.name for f in fields(cls) if f.metadata.get("saved", True)}
        arrays, plain = read_npz(path, cls.__name__, lambda meta: known)
        foreign = sorted(set(plain) - known)
        if foreign:
            raise FileError(f"{path} is a damaged {cls.__name__} file: it has a {foreign[0]!r}")
        try:
            return cls(**arrays, **plain)
        except Exception as error:  # whatever building from wrong values raises
            raise FileError(f"{path} is a damaged {cls.__name__} file: {error}") from None
