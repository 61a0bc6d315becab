"""Files: ``.npz`` with one JSON entry, written atomically and read without pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.contract.checks import file_path
from convexnn.contract.system.memory import GIB, memory_limit

if TYPE_CHECKING:
    from os import PathLike

Meta = dict[str, Any]

COPIES = 4.0  # of a file's arrays that are held while it is read, checked and graded
HEADERS: dict[tuple[int, int], Callable[[Any], tuple[Any, ...]]] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class FileError(ValueError):
    """A file is damaged, of another kind, or claims more than it may; the message says which."""


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


def writable(path: str | PathLike[str]) -> Path:
    """Return the path of a file that can be written, as far as that is known beforehand.

    Raises
    ------
    OSError
        If there is no such folder, nothing can be written to it, or the path is that of a folder,
        of a device or of a file that may not be written; the message says which.

    Examples
    --------
    >>> writable("no such folder/solution.npz")
    Traceback (most recent call last):
    FileNotFoundError: cannot write no such folder/solution.npz: there is no folder no such folder
    """
    target = Path(file_path("path", path))
    folder = target.absolute().parent
    why: OSError | None = None
    if not folder.is_dir():
        why = FileNotFoundError(f"there is no folder {target.parent}")
    elif target.is_dir():
        why = IsADirectoryError("it is a folder")
    elif target.exists() and not target.is_file():
        why = OSError("it is no regular file")
    elif target.exists() and not os.access(target, os.W_OK):
        why = PermissionError("it may not be written")
    else:
        try:  # what os.access says of root, and of file systems that take no files, is not true
            tempfile.TemporaryFile(dir=folder).close()
        except OSError as error:
            why = PermissionError(f"nothing can be written to {folder}: {error.strerror}")
    if why is not None:
        raise type(why)(f"cannot write {path}: {why}")
    return target


def write_npz(path: str | PathLike[str], arrays: dict[str, Any]) -> None:
    """Write arrays to `path` through a temporary file beside it."""
    target = writable(path)
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


def read_npz(
    path: str | PathLike[str], kind: str, names: Callable[[Meta], Iterable[str]]
) -> tuple[dict[str, Any], Meta]:
    """Return the arrays and the JSON entry of a file of this kind.

    Nothing is allocated before its size is known: what the members say of their lengths must agree
    with what their arrays claim, and together they must fit into `share_of_memory`.

    Parameters
    ----------
    path : path
    kind : str
        What the JSON entry must say that the file is.
    names : callable
        Takes the JSON entry and returns the members that it speaks of. Not all need be there, but
        no others may be.

    Raises
    ------
    FileError
        If the file is damaged, of another kind, or claims more than it may; with the member.
    OSError
        If it cannot be opened.
    """
    with open(file_path("path", path), "rb") as handle:
        try:
            with zipfile.ZipFile(handle) as file:
                members = _members(path, file)
                meta = _meta(path, kind, file, members)
                known = set(names(meta))
                foreign = sorted(set(members) - known)
                if foreign:
                    raise FileError(f"{path}: nothing in it speaks of its member {foreign[0]!r}")
                arrays = {name: _array(path, file, info) for name, info in members.items()}
        except (FileError, MemoryError):
            raise
        except Exception as error:  # whatever decoding wrong bytes raises: zip, zlib, JSON, ...
            raise FileError(f"{path} is not a {kind} file, or is damaged: {_said(error)}") from None
    return arrays, meta


def share_of_memory() -> float:
    """Return the bytes that a file's arrays may have: reading and grading hold some four copies.

    Examples
    --------
    >>> share_of_memory() > 0
    True
    """
    return memory_limit() * GIB / COPIES


def _said(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _members(path: str | PathLike[str], file: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the members by the names of their arrays."""
    found: dict[str, zipfile.ZipInfo] = {}
    for info in file.infolist():
        name = info.filename.removesuffix(".npy")
        if name == info.filename:
            raise FileError(f"{path}: its member {info.filename!r} is not an array")
        if name in found:
            raise FileError(f"{path}: it has two members {name!r}")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise FileError(f"{path}: its member {name!r} is packed in a way that is not read")
        found[name] = info
    claimed = sum(info.file_size for info in found.values())
    if claimed > share_of_memory():
        raise FileError(
            f"{path}: its arrays claim {claimed / GIB:.3g} GiB, and no more than "
            f"{share_of_memory() / GIB:.3g} are read with convexnn.memory_limit() at "
            f"{memory_limit():.3g}"
        )
    return found


def _reader(kind: Any) -> str:
    """Say what reads files of a kind, if something does."""
    if kind in (None, "Checkpoint"):
        return ""
    return f": convexnn.{'load' if kind == 'Solution' else f'{kind}.load'} reads it"


def _meta(
    path: str | PathLike[str],
    kind: str,
    file: zipfile.ZipFile,
    members: dict[str, zipfile.ZipInfo],
) -> Meta:
    """Take the JSON entry out of the members."""
    if "meta" not in members:
        raise FileError(
            f"{path} is not a {kind} file: an archive of arrays that does not say what it holds, "
            "as what convexnn saves does"
        )
    meta = json.loads(str(_array(path, file, members.pop("meta"), kinds="U")))
    found = meta.pop("kind") if isinstance(meta, dict) else None
    if found != kind:
        raise FileError(f"{path} holds a {found}, not a {kind}{_reader(found)}")
    return dict(meta)


def _array(
    path: str | PathLike[str], file: zipfile.ZipFile, info: zipfile.ZipInfo, kinds: str = "biufUS"
) -> Any:
    """Return one member's array, once its header agrees with its length."""
    name = info.filename.removesuffix(".npy")
    with file.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version not in HEADERS:
            raise FileError(f"{path}: its member {name!r} is of a version that is not read")
        shape, _, dtype = HEADERS[version](member)
        entries = prod(shape) * dtype.itemsize
        if dtype.kind not in kinds or dtype.hasobject:
            raise FileError(f"{path}: its member {name!r} holds {dtype}, which is not read")
        if min(shape, default=0) < 0 or member.tell() + entries != info.file_size:
            raise FileError(
                f"{path}: its member {name!r} claims an array of shape {shape}, "
                f"and has {info.file_size:,} bytes"
            )
    with file.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)
