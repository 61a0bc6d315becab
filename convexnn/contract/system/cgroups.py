"""Control groups: the memory that a container, a service or a batch job may take, on Linux."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath

FILES = {"cgroup2": "memory.max", "cgroup": "memory.limit_in_bytes"}


@cache
def memory_allowed() -> float:
    """Return the bytes that the groups of this process allow, read once; inf where none does.

    Examples
    --------
    >>> memory_allowed() > 0.0
    True
    """
    return least_limit(Path("/proc/self"))


def least_limit(process: Path) -> float:
    """Return the least limit of a process's own group and all groups above it, in bytes.

    Parameters
    ----------
    process : path
        Folder with the files ``cgroup`` and ``mountinfo``, as ``/proc/self`` has them. Where there
        are none, as on other systems, nothing is limited.

    Returns
    -------
    float
    """
    limits = [_read(folder / FILES[kind]) for kind, folder in _folders(process)]
    return min(limits, default=float("inf"))


def _folders(process: Path) -> Iterator[tuple[str, Path]]:
    """Yield the folders of the groups, the process's own ones first, by their kind of hierarchy."""
    paths = _paths(_lines(process / "cgroup"))
    for kind, root, mount in _mounts(_lines(process / "mountinfo")):
        if kind not in paths:
            continue
        below = PurePosixPath()  # where the mount does not show the own group, it shows one above
        if paths[kind].is_relative_to(root):
            below = paths[kind].relative_to(root)
        if ".." in below.parts:
            below = PurePosixPath()
        yield from ((kind, mount / part) for part in (below, *below.parents))


def _paths(lines: list[str]) -> dict[str, PurePosixPath]:
    """Return the path of the process's group in each hierarchy that may limit memory."""
    found = {}
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            found["cgroup2"] = PurePosixPath(path)
        elif "memory" in controllers.split(","):
            found["cgroup"] = PurePosixPath(path)
    return found


def _mounts(lines: list[str]) -> Iterator[tuple[str, PurePosixPath, Path]]:
    """Yield the kind of each hierarchy that may limit memory, the root it shows, and where."""
    for line in lines:
        fields, _, rest = line.partition(" - ")
        root, mount = (_unescaped(field) for field in fields.split(" ")[3:5])
        kind, _, options = rest.split(" ", 2)
        if kind == "cgroup2" or (kind == "cgroup" and "memory" in options.split(",")):
            yield kind, PurePosixPath(root), Path(mount)


def _unescaped(field: str) -> str:
    """Return a field of ``mountinfo`` with its blanks, which are written as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []


def _read(path: Path) -> float:
    try:
        text = path.read_text().strip()
    except OSError:
        return float("inf")
    return float("inf") if text == "max" else float(text)
