"""Files: ``.npz`` with one JSON entry, written atomically and read without pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from os import PathLike


def to_json(value: Any) -> str:
    """Return `value` as JSON; numbers from NumPy become plain ones.

    Examples
    --------
    >>> to_json({"n": np.int64(3)})
    '{"n": 3}'
    """

    def plain(item: Any) -> Any:
        if isinstance(item, np.generic):
            return item.item()
        return repr(item)

    return json.dumps(value, default=plain)


DAMAGED = (  # what reading a file raises when some of its bytes are wrong
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(KeyError, TypeError, ValueError, AttributeError, RuntimeError),
)


def write_npz(path: str | PathLike[str], arrays: dict[str, Any]) -> None:
    """Write arrays to `path` through a temporary file beside it."""
    target = Path(path)
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {target.parent}")
    handle, name = tempfile.mkstemp(dir=target.parent or Path(), suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **arrays)
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def read_npz(path: str | PathLike[str], kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays and the JSON entry of a file of this kind.

    Raises
    ------
    ValueError
        If the file is damaged or of another kind.
    """
    with open(path, "rb") as handle:
        try:
            with np.load(handle, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            meta = dict(json.loads(str(arrays.pop("meta"))))
            found = meta.pop("kind")
        except DAMAGED as error:
            raise ValueError(f"{path} is not a {kind} file: {error}") from None
    if found != kind:
        raise ValueError(f"{path} holds a {found}, not a {kind}")
    return arrays, meta
