"""Damaged files: saved solutions of every problem, changed in a thousand ways and read again.

Whatever a file says, reading it must end soon, within the memory that its size bears out, and
either refuse it with one named error or return what its own points certify to.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import convexnn as cx
from convexnn.bench.instances import FAMILIES, instance
from convexnn.contract.system.files import FileError

SECONDS = 30.0  # in which a file of some kilobytes is to be read, on a busy machine
ROOM = 2 << 30  # bytes that reading it may take beyond what the process had
SOLVE = 5.0  # seconds for each solution that is saved
VALUES: tuple[Any, ...] = (
    *(10**7, 10**9, 2**63, 1e308, 1e-310, -1, 0, 1, 0.5, float("nan"), float("inf")),
    *("", "nan", "softmax", None, True, [], {}, [[]], {"type": "ReluTraining"}),
)

# What may come of a damaged file: refused by a named error, read with a certificate of its own,
# another's error, no end within the time, more memory than it may take, or figures not its own.
VERDICTS = ("refused", "read", "raw", "hung", "memory", "forged")
GOOD = ("refused", "read")


class Reading(NamedTuple):
    """What came of one damaged file.

    Attributes
    ----------
    family, damage : str
    verdict : str
        One of `VERDICTS`.
    said : str
    content : bytes
    """

    family: str
    damage: str
    verdict: str
    said: str
    content: bytes


def campaign(count: int, seed: int, on_done: Callable[[], None] = lambda: None) -> list[Reading]:
    """Read `count` damaged files, families and damages in turn.

    Parameters
    ----------
    count, seed : int
    on_done : callable
        Called after each.
    """
    with tempfile.TemporaryDirectory(prefix="convexnn-") as name:
        return _campaign(Path(name), count, seed, on_done)


def _campaign(folder: Path, count: int, seed: int, on_done: Callable[[], None]) -> list[Reading]:
    found = []
    originals = saved(folder, seed)
    with Reader([whole for _, whole in originals]) as reader:
        damages = list(DAMAGES)
        for k in range(count):
            family, whole = originals[k % len(originals)]
            damage = damages[k // len(originals) % len(damages)]
            content = DAMAGES[damage](whole, np.random.default_rng([seed, k]))
            path = folder / f"{k}.npz"
            path.write_bytes(content)
            found.append(Reading(family, damage, *reader.read(path), content))
            path.unlink()
            on_done()
    return found


def saved(folder: Path, seed: int) -> list[tuple[str, bytes]]:
    """Return a saved solution of each family, and a saved network."""
    found = []
    for index, family in enumerate(FAMILIES):
        solution = cx.solve(instance(seed, index).problem, tol=1e-3, time_limit=SOLVE)
        solution.save(folder / "s.npz")
        found.append((family, (folder / "s.npz").read_bytes()))
        if family == "relu":
            solution.model.save(folder / "s.npz")
            found.append(("network", (folder / "s.npz").read_bytes()))
    return found


class Reader:
    """A process that reads files, replaced when one of them ends or holds it.

    Parameters
    ----------
    whole : list of bytes
        Files that it reads first, so that all that grades is loaded before memory is limited.
    """

    def __init__(self, whole: list[bytes]) -> None:
        self.whole = whole

    def __enter__(self) -> Reader:
        self._start()
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.join()

    def read(self, path: Path) -> tuple[str, str]:
        """Return the verdict on a file, and what was said."""
        try:
            self.line.send(str(path))
            if self.line.poll(SECONDS):
                verdict, said = self.line.recv()
                return str(verdict), str(said)
            result = "hung", f"no answer in {SECONDS:g} s"
        except (EOFError, BrokenPipeError):
            result = "raw", f"the process ended with {self.process.exitcode}"
        self.process.kill()
        self.process.join()
        self._start()
        return result

    def _start(self) -> None:
        processes = multiprocessing.get_context("spawn")
        self.line, other = processes.Pipe()
        self.process = processes.Process(target=_serve, args=(other, self.whole), daemon=True)
        self.process.start()
        other.close()
        self.line.recv()  # it is up


def _serve(line: Connection, whole: list[bytes]) -> None:
    with tempfile.NamedTemporaryFile(suffix=".npz") as file:
        for content in whole:
            Path(file.name).write_bytes(content)
            verdict, said = _read(file.name)
            if verdict != "read":
                raise ValueError(f"a file that is whole is {verdict}: {said}")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + ROOM, used + ROOM))
    line.send("ready")
    while True:
        line.send(_read(line.recv()))


def _read(path: str) -> tuple[str, str]:
    try:
        if b'"kind": "TwoLayerNetwork"' in _meta_of(path):
            cx.TwoLayerNetwork.load(path)
            return "read", ""
        solution = cx.load(path)
        again = solution.problem.certify(solution.primal, solution.dual)
    except FileError as error:
        return "refused", str(error)
    except MemoryError as error:
        return "memory", repr(error)
    except Exception as error:
        return "raw", repr(error)
    proved = solution.status is not cx.Status.OPTIMAL or again.passes(solution.options["tol"])
    return ("read", "") if proved and again == solution.certificate else ("forged", repr(again))


def _meta_of(path: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as file:
            return file.read("meta.npy").replace(b"\0", b"")
    except Exception:
        return b""


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(content)) as file:
        return {name: file.read(name) for name in file.namelist()}


def _packed(members: dict[str, bytes]) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def _npy(array: Any) -> bytes:
    buffer = BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), allow_pickle=False)
    return buffer.getvalue()


def _array(content: bytes) -> Any:
    return np.lib.format.read_array(BytesIO(content), allow_pickle=False)


@contextmanager
def _one(whole: bytes, rng: np.random.Generator) -> Iterator[tuple[dict[str, bytes], str, Any]]:
    """Yield the members, one of them by chance, and its array."""
    members = _members(whole)
    name = str(rng.choice([name for name in members if name != "meta.npy"]))
    yield members, name, _array(members[name])


def flipped(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with some bytes changed."""
    changed = bytearray(whole)
    for at in rng.integers(len(changed), size=int(rng.integers(1, 9))):
        changed[at] ^= int(rng.integers(1, 256))
    return bytes(changed)


def cut(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return the file without its end, its beginning or a middle part."""
    a, b = sorted(rng.integers(len(whole), size=2).tolist())
    return (whole[:a], whole[b:], whole[:a] + whole[b:])[int(rng.integers(3))]


def said_otherwise(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with one value of its JSON entry replaced by another."""
    members = _members(whole)
    meta = json.loads(str(_array(members["meta.npy"])))
    leaves = list(_leaves(meta))
    holder, key = leaves[int(rng.integers(len(leaves)))]
    value = VALUES[int(rng.integers(len(VALUES)))]
    if rng.random() < 0.2 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = value
    return _packed({**members, "meta.npy": _npy(json.dumps(meta))})


def _leaves(value: Any) -> Iterator[tuple[Any, Any]]:
    keys: Any = value if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _leaves(value[key])


def renamed(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with two members exchanged, one missing, or one more."""
    members = _members(whole)
    a, b = rng.choice(list(members), 2)
    kind = int(rng.integers(3))
    if kind == 0:
        members[a], members[b] = members[b], members[a]
    elif kind == 1:
        del members[a]
    else:
        members["more.npy"] = members[a]
    return _packed(members)


def boasting(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with an array's header claiming another shape or type."""
    with _one(whole, rng) as (members, name, array):
        shape: Any = [(10**12,), (10**6, 10**6), (-1,), (2**62, 2**62), (0,), ()]
        header = {
            "descr": str(rng.choice(["<f8", "|O", "<U9999999", "<c16", "<f4", "|b1", "<M8[s]"])),
            "fortran_order": bool(rng.integers(2)),
            "shape": shape[int(rng.integers(len(shape)))] if rng.random() < 0.7 else array.shape,
        }
        buffer = BytesIO()
        np.lib.format.write_array_header_1_0(buffer, header)
        members[name] = buffer.getvalue() + array.tobytes()
        return _packed(members)


def swollen(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with an array of zeros: tens of megabytes, packed into some kilobytes."""
    with _one(whole, rng) as (members, name, array):
        members[name] = _npy(np.zeros((2_500_000, *array.shape[1:]), array.dtype))
        return _packed(members)


def moved(whole: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with an array's numbers changed: scaled, turned, not finite, reshaped."""
    with _one(whole, rng) as (members, name, array):
        array = array.copy()
        kind = int(rng.integers(5))
        if kind == 0:
            array = array * 10.0 ** float(rng.uniform(-310, 300))
        elif kind == 1 and array.size:
            array = array.astype(np.float64)
            array.flat[int(rng.integers(array.size))] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
        elif kind == 2:
            array = rng.permutation(array) if array.ndim else -array
        elif kind == 3:
            array = array.reshape(-1)[: int(rng.integers(array.size + 1))]
        else:
            array = array.astype(rng.choice(["f4", "i8", "c16", "U8", "?"]))
        members[name] = _npy(array)
        return _packed(members)


DAMAGES: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "bytes changed": flipped,
    "cut": cut,
    "value replaced": said_otherwise,
    "members exchanged": renamed,
    "header that boasts": boasting,
    "array swollen": swollen,
    "numbers changed": moved,
}
