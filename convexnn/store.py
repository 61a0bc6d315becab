"""Files: ``.npz`` with one JSON entry, written atomically and read without pickle."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
import zlib
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convexnn.balls import Adversary, Choice
from convexnn.cones import Facets
from convexnn.consensus import Agents, Prices
from convexnn.curves import PiecewiseLinear
from convexnn.demand import Order, Shift
from convexnn.forms import Dual, Neurons
from convexnn.linear_sum import Multipliers, Stacked
from convexnn.losses import Loss, as_loss
from convexnn.median import Location, Sight
from convexnn.network_lasso import Flows
from convexnn.patterns import Patterns
from convexnn.portfolio import Stress, Weights
from convexnn.robust import RobustDual
from convexnn.solution import Certificate, Solution, Stage, Status, Step, to_json
from convexnn.terms import SAVED, Term
from convexnn.wasserstein import Linear, Slopes

if TYPE_CHECKING:
    from os import PathLike

RECORDS: dict[str, type] = {
    record.__name__: record
    for record in (
        *(Neurons, Dual, RobustDual, Facets),
        *(Linear, Slopes, Weights, Stress),
        *(Adversary, Choice),
        *(Order, Shift),
        *(Location, Sight),
        *(Agents, Prices, Flows),
        *(Stacked, Multipliers),
    )
}

SPARSE = ("data", "indices", "indptr")
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


def save_solution(solution: Solution, path: str | PathLike[str]) -> None:
    """Write a solution; see `Solution.save`."""
    arrays: dict[str, Any] = {
        name: np.array(getattr(solution, name), dtype=np.float64) for name in ("history", "stages")
    }
    meta = {
        "kind": "Solution",
        "problem": _problem_to(arrays, solution.problem),
        "primal": _record_to(arrays, "primal", solution.primal),
        "dual": _record_to(arrays, "dual", solution.dual),
        "status": solution.status.name,
        "certificate": asdict(solution.certificate),
        "timings": solution.timings,
        "backend": solution.backend,
        "message": solution.message,
        "options": solution.options,
        "versions": solution.versions,
    }
    write_npz(path, {**arrays, "meta": np.array(to_json(meta))})


def load_solution(path: str | PathLike[str]) -> Solution:
    """Read a solution; see `convexnn.load`."""
    arrays, meta = read_npz(path, "Solution")
    try:
        return _graded(path, arrays, meta)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is a damaged Solution file: {error}") from None


def _graded(path: str | PathLike[str], arrays: dict[str, Any], meta: dict[str, Any]) -> Solution:
    problem = _problem_from(arrays, meta["problem"])
    primal = _record_from(arrays, meta["primal"])
    dual = _record_from(arrays, meta["dual"])
    certificate = problem.certify(primal, dual)
    stored = Certificate(**meta["certificate"])
    for name in ("objective", "bound", "violation"):
        ours, theirs = getattr(certificate, name), getattr(stored, name)
        if ours != theirs and not abs(ours - theirs) <= 1e-9 * max(1.0, abs(theirs)):
            raise ValueError(
                f"{path} does not certify: {name} is {ours!r}, the file says {theirs!r}"
            )
    status, tol = Status[meta["status"]], float(meta["options"]["tol"])
    if (status is Status.OPTIMAL) != stored.passes(tol):
        raise ValueError(
            f"{path} says {status.name}, but its certificate does not bear OPTIMAL out"
        )
    return Solution(
        status=status,
        certificate=certificate,
        model=problem.build_model(primal),
        primal=primal,
        dual=dual,
        history=tuple(Step(int(row[0]), *row[1:].tolist()) for row in arrays["history"]),
        timings=meta["timings"],
        backend=meta["backend"],
        message=meta["message"],
        problem=problem,
        options=meta["options"],
        versions=meta["versions"],
        stages=tuple(
            Stage(int(k), mu, int(iterations), gap)
            for k, mu, iterations, gap in arrays["stages"].tolist()
        ),
    )


def _problem_to(arrays: dict[str, Any], problem: Any) -> dict[str, Any]:
    if not is_dataclass(problem):
        raise TypeError(f"only dataclass problems can be saved, got {type(problem).__name__}")
    plain: dict[str, Any] = {}
    for f in fields(problem):
        value = getattr(problem, f.name)
        if isinstance(value, np.ndarray):
            arrays[f"problem.{f.name}"] = value
        elif isinstance(value, Patterns):
            arrays[f"problem.{f.name}.matrix"] = value.matrix
            if value.generators is not None:
                arrays[f"problem.{f.name}.generators"] = value.generators
        elif isinstance(value, PiecewiseLinear):
            plain[f.name] = {g.name: getattr(value, g.name).tolist() for g in fields(value)}
        elif isinstance(value, tuple) and any(isinstance(part, Term) for part in value):
            plain[f.name] = {"terms": [_term_to(arrays, i, part) for i, part in enumerate(value)]}
        elif hasattr(value, "tocsr"):
            arrays |= {f"sparse.{f.name}.{g}": getattr(value, g) for g in SPARSE}
            plain[f.name] = {"sparse": value.shape}
        elif isinstance(value, tuple) and any(callable(part) for part in value):
            raise TypeError(f"a problem whose {f.name} holds callables cannot be saved")
        elif isinstance(value, Loss):
            plain[f.name] = {"loss": value.name, **asdict(value)}  # type: ignore[call-overload]  # every loss is a dataclass
        else:
            plain[f.name] = value
    return {"type": type(problem).__name__, "fields": plain}


def _problem_from(arrays: dict[str, Any], meta: dict[str, Any]) -> Any:
    import convexnn

    values: dict[str, Any] = {}
    for name, value in meta["fields"].items():
        if isinstance(value, dict) and "slopes" in value:
            values[name] = PiecewiseLinear(**value)
        elif isinstance(value, dict) and "terms" in value:
            values[name] = [_term_from(arrays, i, part) for i, part in enumerate(value["terms"])]
        elif isinstance(value, dict) and "sparse" in value:
            from scipy.sparse import csr_array

            parts = tuple(arrays[f"sparse.{name}.{g}"] for g in SPARSE)
            values[name] = csr_array(parts, shape=value["sparse"])
        elif isinstance(value, dict):
            parameters = dict(value)
            values[name] = type(as_loss(parameters.pop("loss")))(**parameters)
        else:
            values[name] = value
    for key, array in arrays.items():
        if not key.startswith("problem."):
            continue
        name = key.removeprefix("problem.")
        if name.endswith(".matrix"):
            stem = name.removesuffix(".matrix")
            values[stem] = Patterns(array, arrays.get(f"problem.{stem}.generators"))
        elif not name.endswith(".generators"):
            values[name] = array
    if meta["type"] not in convexnn.PROBLEMS:
        raise ValueError(f"unknown problem {meta['type']!r}")
    return getattr(convexnn, meta["type"])(**values)


def _term_to(arrays: dict[str, Any], i: int, term: Term) -> dict[str, Any]:
    kind = type(term).__name__
    if SAVED.get(kind) is not type(term) or not is_dataclass(term):
        raise TypeError(f"a problem with the term {kind} cannot be saved")
    plain: dict[str, Any] = {"type": kind, "numbers": {}}
    for f in fields(term):
        value = getattr(term, f.name)
        if isinstance(value, np.ndarray):
            arrays[f"term.{i}.{f.name}"] = value
        else:
            plain["numbers"][f.name] = value
    return plain


def _term_from(arrays: dict[str, Any], i: int, meta: dict[str, Any]) -> Term:
    prefix = f"term.{i}."
    held = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    return SAVED[meta["type"]](**held, **meta["numbers"])


def _record_to(arrays: dict[str, Any], prefix: str, value: Any) -> Any:
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, np.ndarray):
        arrays[prefix] = value
        return prefix
    parts = {
        name: _record_to(arrays, f"{prefix}.{name}", part) for name, part in value._asdict().items()
    }
    return {"type": type(value).__name__, "parts": parts}


def _record_from(arrays: dict[str, Any], meta: Any) -> Any:
    if meta is None or isinstance(meta, int):
        return meta
    if isinstance(meta, str):
        return arrays[meta]
    parts = {name: _record_from(arrays, part) for name, part in meta["parts"].items()}
    return RECORDS[meta["type"]](**parts)
