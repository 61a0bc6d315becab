"""The names of the columns of X: a problem and its model remember them, and take no others."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import ProblemError, real_array, several, shown, truths, whole
from convexnn.contract.frames import columns_of
from convexnn.contract.words import quoted

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from convexnn.contract.arrays import Array, BoolArray

Names = tuple[str, ...] | None


def column_names(name: str, value: ArrayLike) -> Names:
    """Return the names of the columns of a frame; None of other data, and where none is a text.

    Raises
    ------
    ProblemError
        If some are texts and others are not.

    Examples
    --------
    >>> column_names("X", [[1.0, 2.0]]) is None
    True
    """
    labels = [label for label, _ in columns_of(value) or ()]
    names = tuple(label for label in labels if isinstance(label, str))
    if not names:
        return None
    if len(names) < len(labels):
        other = next(label for label in labels if not isinstance(label, str))
        raise ProblemError(
            f"{name} must name all of its columns by texts or none, "
            f"got {names[0]!r} and {shown(other)}"
        )
    return names


def feature_names(given: Iterable[str] | None, found: Names, count: int) -> Names:
    """Return the names that are given for the columns of X, else those that X came with.

    Raises
    ------
    ProblemError
        If those given are not `count` texts, or X came with others.

    Examples
    --------
    >>> feature_names(None, ("age", "income"), 2)
    ('age', 'income')
    """
    if given is None:
        return found
    names = several("feature_names", given, "texts, one for each column of X")
    if not all(isinstance(entry, str) for entry in names) or len(names) != count:
        raise ProblemError(
            f"feature_names must be {count} texts, one for each column of X, got {shown(given)}"
        )
    kept = tuple(map(str, names))
    if found is not None and found != kept:
        raise ProblemError(f"feature_names must be those of X: {_difference(found, kept)}")
    return kept


def examples(X: ArrayLike, names: Names, count: int, name: str = "X") -> Array:
    """Return examples as a finite matrix with the columns that a model takes.

    Raises
    ------
    ProblemError
        If it is something else, or a frame whose columns have other names or another order.

    Examples
    --------
    >>> examples([[1, 2]], ("age", "income"), 2)
    array([[1., 2.]])
    """
    found = column_names(name, X)
    if names is not None and found is not None and found != names:
        raise ProblemError(f"{name} must have the columns of training: {_difference(found, names)}")
    kept = real_array(name, X, 2)
    if kept.shape[1] != count:
        wanted = f"{count} columns" if count > 1 else "one column"
        raise ProblemError(f"{name} must have {wanted}, got shape {kept.shape}")
    return kept


def _difference(found: Sequence[str], known: Sequence[str]) -> str:
    absent = [name for name in known if name not in found]
    foreign = [name for name in found if name not in known]
    said = [f"it lacks {quoted(absent)}"] if absent else []
    said += [f"{quoted(foreign)} {'is' if len(foreign) == 1 else 'are'} unknown"] if foreign else []
    return "; ".join(said) or f"in the order {quoted(known)}, got {quoted(found)}"


def chosen_columns(name: str, value: Any, count: int, names: Names) -> BoolArray:
    """Return which columns are meant by a mask, by names or by indices; None means all.

    Raises
    ------
    ProblemError
        If it is none of these, a column is unknown or twice there, or zeros and ones, one for
        each column, could be either a mask or indices.

    Examples
    --------
    >>> chosen_columns("perturbed", ["age"], 3, ("age", "income", "rooms"))
    array([ True, False, False])
    >>> chosen_columns("perturbed", [0, 2], 3, None)
    array([ True, False,  True])
    """
    if value is None:
        return np.ones(count, np.bool_)
    whole(name, value)
    plain = isinstance(value, np.ndarray) and value.ndim == 1
    listed = list(value) if plain or isinstance(value, (list, tuple)) else []
    if listed and all(isinstance(one, str) for one in listed):
        known = names or ()
        foreign = [one for one in listed if one not in known]
        if foreign:
            raise ProblemError(
                f"{name} must be columns of X, {quoted(foreign)} "
                f"{'is' if len(foreign) == 1 else 'are'} unknown"
            )
        places = [known.index(one) for one in listed]
    else:
        places = [int(one) for one in listed if _is_index(one)]
        mask = len(places) == count > 1 and set(places) <= {0, 1}  # zeros and ones: either
        if not listed or len(places) < len(listed) or mask:
            return truths(name, value, count, "column of X")
        if not all(0 <= place < count for place in places):
            raise ProblemError(f"{name} must be in [0, {count - 1}], got {shown(value)}")
    if len(set(places)) < len(places):
        raise ProblemError(f"{name} must name each column once, got {shown(value)}")
    chosen = np.zeros(count, np.bool_)
    chosen[places] = True
    return chosen


def _is_index(one: object) -> bool:
    return isinstance(one, (int, np.integer)) and not isinstance(one, bool)
