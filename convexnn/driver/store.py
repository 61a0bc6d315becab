"""Codecs of what a saved file holds: problems, and the points of their answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, fields, is_dataclass
from importlib import import_module
from typing import Any

import numpy as np

import convexnn
from convexnn import forms
from convexnn.contract.arrays import Sparse
from convexnn.contract.preparation import Preparation
from convexnn.contract.problem import Renews
from convexnn.contract.system.files import FileError
from convexnn.driver.problems import PROBLEMS
from convexnn.functions.curves import PiecewiseLinear
from convexnn.functions.losses import KINDS, Loss
from convexnn.functions.risks import RISKS, Risk
from convexnn.functions.terms import SAVED, Term

PREPARED = ("preparation.mean", "preparation.spread")
SPARSE = ("data", "indices", "indptr")


def members(meta: dict[str, Any]) -> set[str]:
    """Return the arrays that a saved solution may have, by what its JSON entry says."""
    known = {"history", "stages", "drawn", *PREPARED}
    known |= {*_arrays_of(meta["primal"]), *_arrays_of(meta["dual"])}
    for f in fields(_kind(meta["problem"])):
        known |= {f"problem.{f.name}{part}" for part in ("", ".matrix", ".generators", ".groups")}
        known |= {f"sparse.{f.name}.{part}" for part in SPARSE}
        value = meta["problem"]["fields"].get(f.name)
        if isinstance(value, dict) and "terms" in value:
            for i, part in enumerate(value["terms"]):
                known |= {f"term.{i}.{g.name}" for g in fields(SAVED[part["type"]])}
    return known


def _arrays_of(meta: Any) -> Iterator[str]:
    """Yield the arrays that a point names."""
    if isinstance(meta, str):
        yield meta
    elif isinstance(meta, dict | list):
        for part in meta if isinstance(meta, list) else meta["parts"].values():
            yield from _arrays_of(part)


def _kind(meta: dict[str, Any]) -> Any:
    """Return the class of a saved problem."""
    name = meta["type"]
    if name not in PROBLEMS:
        raise FileError(f"its problem {name!r} is not known: a newer convexnn may have written it")
    return getattr(import_module(PROBLEMS[name]), name)


def problem_to(arrays: dict[str, Any], problem: Any) -> dict[str, Any]:
    """Return a problem as JSON, its arrays put into `arrays`."""
    if not is_dataclass(problem):
        raise TypeError(f"only dataclass problems can be saved, got {type(problem).__name__}")
    plain: dict[str, Any] = {}
    for f in fields(problem):
        if not f.init:
            continue
        value = getattr(problem, f.name)
        if isinstance(value, np.ndarray):
            arrays[f"problem.{f.name}"] = value
        elif isinstance(value, convexnn.Patterns):
            arrays[f"problem.{f.name}.matrix"] = value.matrix
            if value.generators is not None:
                arrays[f"problem.{f.name}.generators"] = value.generators
        elif isinstance(value, PiecewiseLinear):
            plain[f.name] = {g.name: getattr(value, g.name).tolist() for g in fields(value)}
        elif isinstance(value, tuple) and any(isinstance(part, Term) for part in value):
            plain[f.name] = {"terms": [_term_to(arrays, i, part) for i, part in enumerate(value)]}
        elif isinstance(value, Sparse):
            arrays |= {f"sparse.{f.name}.{g}": getattr(value, g) for g in SPARSE}
            plain[f.name] = {"sparse": value.shape}
        elif isinstance(value, tuple) and any(callable(part) for part in value):
            raise TypeError(
                f"a problem whose {f.name} holds callables cannot be saved: functions are no data"
            )
        elif isinstance(value, Risk):
            if RISKS.get(type(value).__name__) is not type(value):
                raise TypeError(
                    f"a problem with the risk {type(value).__name__} cannot be saved: only "
                    f"{', '.join(RISKS)} can"
                )
            told = {g.name: getattr(value, g.name) for g in fields(value)}  # type: ignore[arg-type]  # every risk is a dataclass
            if "groups" in told:
                arrays[f"problem.{f.name}.groups"] = told.pop("groups")
            plain[f.name] = {"risk": type(value).__name__, **told}
        elif isinstance(value, Loss):
            if KINDS.get(value.name) is not type(value):
                raise TypeError(
                    f"a problem with the loss {type(value).__name__} cannot be saved: only "
                    f"{', '.join(KINDS)} can"
                )
            plain[f.name] = {"loss": value.name, **asdict(value)}  # type: ignore[call-overload]  # every loss is a dataclass
        else:
            plain[f.name] = value
    return {"type": type(problem).__name__, "fields": plain}


def problem_from(arrays: dict[str, Any], meta: dict[str, Any]) -> Any:
    """Return the problem that `problem_to` wrote, validated as at its first construction."""
    values: dict[str, Any] = {}
    for name, value in meta["fields"].items():
        if isinstance(value, dict) and "slopes" in value:
            values[name] = PiecewiseLinear(**value)
        elif isinstance(value, dict) and "terms" in value:
            values[name] = [_term_from(arrays, i, part) for i, part in enumerate(value["terms"])]
        elif isinstance(value, dict) and "sparse" in value:
            from scipy.sparse import csr_array

            parts = tuple(arrays[f"sparse.{name}.{g}"] for g in SPARSE)
            values[name] = csr_array(parts, shape=value["sparse"])  # the problem checks it
        elif isinstance(value, dict) and "risk" in value:
            values[name] = _risk_from(arrays.get(f"problem.{name}.groups"), value)
        elif isinstance(value, dict):
            parameters = dict(value)
            loss = parameters.pop("loss")
            if loss not in KINDS:
                raise FileError(
                    f"its loss {loss!r} is not known: a newer convexnn may have written it"
                )
            values[name] = KINDS[loss](**parameters)
        else:
            values[name] = value
    for key, array in arrays.items():
        if not key.startswith("problem."):
            continue
        name = key.removeprefix("problem.")
        if name.endswith(".matrix"):
            stem = name.removesuffix(".matrix")
            values[stem] = convexnn.Patterns(array, arrays.get(f"problem.{stem}.generators"))
        elif not name.endswith((".generators", ".groups")):
            values[name] = array
    return _kind(meta)(**values)


def _risk_from(groups: Any, meta: dict[str, Any]) -> Risk:
    parameters = dict(meta)
    kind = parameters.pop("risk")
    if kind not in RISKS:
        raise FileError(f"its risk {kind!r} is not known: a newer convexnn may have written it")
    if groups is not None:
        parameters["groups"] = groups
    return RISKS[kind](**parameters)


def preparation_to(arrays: dict[str, Any], done: Preparation | None) -> dict[str, Any] | None:
    """Return how data were prepared as JSON, its arrays put into `arrays`."""
    if done is None:
        return None
    plain = done._asdict()
    for name in PREPARED:
        arrays[name] = plain.pop(name.removeprefix("preparation."))
    return plain


def preparation_from(arrays: dict[str, Any], meta: dict[str, Any] | None) -> Preparation | None:
    """Return what `preparation_to` wrote."""
    if meta is None:
        return None
    held = {name.removeprefix("preparation."): arrays[name] for name in PREPARED}
    names = {name: tuple(meta[name]) for name in ("columns", "features")}
    return Preparation(**held, **{**meta, **names})


def _term_to(arrays: dict[str, Any], i: int, term: Term) -> dict[str, Any]:
    kind = type(term).__name__
    if SAVED.get(kind) is not type(term) or not is_dataclass(term):
        known = ", ".join(SAVED)
        raise TypeError(f"a problem with the term {kind} cannot be saved: only {known} can")
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


def record_to(arrays: dict[str, Any], prefix: str, value: Any) -> Any:
    """Return a point as JSON, its arrays put into `arrays` under names that begin with `prefix`."""
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, np.ndarray):
        arrays[prefix] = value
        return prefix
    if type(value) is tuple:
        return [record_to(arrays, f"{prefix}.{i}", part) for i, part in enumerate(value)]
    kind = type(value).__name__
    if getattr(forms, kind, None) is not type(value):
        raise TypeError(f"a point that holds a {kind} cannot be saved: convexnn.forms has no such")
    parts = {
        name: record_to(arrays, f"{prefix}.{name}", part) for name, part in value._asdict().items()
    }
    return {"type": kind, "parts": parts}


def record_from(arrays: dict[str, Any], meta: Any) -> Any:
    """Return the point that `record_to` wrote."""
    if meta is None or isinstance(meta, int | float):
        return meta
    if isinstance(meta, str):
        return arrays[meta]
    if isinstance(meta, list):
        return tuple(record_from(arrays, part) for part in meta)
    kind = meta["type"]
    if kind not in dir(forms):
        raise FileError(f"its point {kind!r} is not known: a newer convexnn may have written it")
    record = getattr(forms, kind)
    parts = {name: record_from(arrays, part) for name, part in meta["parts"].items()}
    # of an earlier version, what holds nothing says nothing
    return record(**{n: part for n, part in parts.items() if n in record._fields or part})


def dual_from(arrays: dict[str, Any], meta: Any, problem: Any) -> Any:
    """Return the dual point that `record_to` wrote, in this version or an earlier one."""
    if isinstance(meta, dict) and isinstance(problem, Renews):
        parts = {name: record_from(arrays, part) for name, part in meta["parts"].items()}
        dual = problem.renewed(parts)
        if dual is not None:
            return dual
    return record_from(arrays, meta)
