"""Public signatures say what they take and return; each `Any` among them has its reason."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import cached_property
from types import FunctionType

import numpy as np
import pytest

import convexnn as cx

# Of callable and parameter, or "return".
REASONS = {
    "*.primal": "a point is a record of the problem's own family",
    "*.dual": "a point is a record of the problem's own family",
    "*.prune.return": "a point is a record of the problem's own family",
    "*.initial.return": "a point is a record of the problem's own family",
    "*.unwritten.return": "a point is a record of the problem's own family",
    "*.renewed.parts": "a point of an earlier version is known by its parts alone",
    "Backend.run.start": "a point is a record of the problem's own family",
    "Backend.*.form": "a form is of one of the kinds that the engine names",
    "Compiled.form": "a form is of one of the kinds that the engine names",
    "Solution.problem": "a solution is typed by its model, which problems of many classes build",
    "Selection.problem.return": "a solution is typed by its model, as above",
    "Radius.problem": "a problem is typed by its model, as above",
    "radius.return": "what was found holds the problem, as above",
    "load.return": "only the file says of which problem it holds a solution",
    "aggregate.return": "as each update is: an array, or a list or tuple of arrays",
    "Relu*CV.cv": "what scikit-learn's check_cv takes",
    "Relu*CV.scoring": "what scikit-learn's check_scoring takes",
    "one_vs_rest.fields": "handed on to the problem of each class, which names them",
    "robustness_curve.settings": "handed on to `robustness`, which names them",
}


def callables() -> Iterator[tuple[str, Callable[..., object]]]:
    """Yield the public functions, constructors and methods, properties too, by their names."""
    for name in dir(cx):
        value = getattr(cx, name)
        if callable(value) and not (inspect.isclass(value) and issubclass(value, Exception)):
            yield name, value
        for kind in getattr(value, "__mro__", ()):
            for method, held in vars(kind).items():
                known = kind.__module__.startswith("convexnn.") and not method.startswith("_")
                if known and isinstance(held, property) and held.fget is not None:
                    yield f"{kind.__name__}.{method}", held.fget
                elif known and isinstance(held, cached_property):
                    yield f"{kind.__name__}.{method}", held.func
                elif known and isinstance(held, classmethod | staticmethod):
                    yield f"{kind.__name__}.{method}", held.__func__
                elif known and isinstance(held, FunctionType):
                    yield f"{kind.__name__}.{method}", held


def annotated() -> Iterator[tuple[str, str]]:
    """Yield what each parameter and each return is annotated with."""
    for name, value in callables():
        signature = inspect.signature(value)
        given = {n: parameter.annotation for n, parameter in signature.parameters.items()}
        for n, annotation in {**given, "return": signature.return_annotation}.items():
            if annotation is not inspect.Signature.empty:
                yield f"{name}.{n}", str(getattr(annotation, "__forward_arg__", annotation))


FOUND = dict(annotated())


def loose(annotation: str) -> bool:
    nodes = ast.walk(ast.parse(annotation, mode="eval"))
    return any(isinstance(node, ast.Name) and node.id == "Any" for node in nodes)


def test_signatures_are_found() -> None:
    assert FOUND["solve.problem"] == "Problem[Model]"
    assert FOUND["ReluTraining.X"] == "Converted[ArrayLike, Array]"
    assert FOUND["Solution.save.path"] == "str | PathLike[str]"
    assert FOUND["Raw.message"] == "str"
    assert loose(FOUND["Solution.primal"])
    assert not loose("Converted[ArrayLike, LabelArray]")


def test_any_has_a_reason() -> None:
    vague = {name: given for name, given in FOUND.items() if loose(given)}
    assert not {name for name in vague if not any(fnmatch(name, known) for known in REASONS)}


@pytest.mark.parametrize("pattern", REASONS)
def test_every_reason_is_needed(pattern: str) -> None:
    assert any(fnmatch(name, pattern) and loose(given) for name, given in FOUND.items())


@pytest.mark.parametrize(
    "model",
    [
        cx.TwoLayerNetwork([[1.0]], [[2]], [0], classes=["no", "yes"]),
        cx.ConvNetwork([[[[1.0]]]], [[2]], [0], classes=["no", "yes"]),
        cx.NarrowNetwork([[1], [2]], [[0]], 0.0, "relu", classes=["no", "yes"]),
        cx.LinearModel([1], 0.0, ["no", "yes"]),
    ],
    ids=lambda model: type(model).__name__,
)
def test_models_are_made_of_what_is_array_like(
    model: cx.TwoLayerNetwork | cx.ConvNetwork | cx.NarrowNetwork | cx.LinearModel,
) -> None:
    X = np.ones((1, 1, 1)) if isinstance(model, cx.ConvNetwork) else np.ones((1, 1))
    assert model.predict(X).tolist() == ["yes"]
