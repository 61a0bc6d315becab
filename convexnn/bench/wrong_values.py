"""Kinds of parameters: which values are wrong for each, and which are right.

`KINDS` says of what kind each parameter of the public names is, by its name. A new parameter is in
the table, or nothing that has it can be tried.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import convexnn as cx
from convexnn import terms
from convexnn.functions import losses

HUGE = 10**400
RAGGED = [[1.0, 2.0], [3.0]]
MASKED = np.ma.array([1.0, 2.0], mask=[True, False])


class Unprintable:
    """A value whose repr fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


NOTHING: tuple[Any, ...] = (None, object(), Unprintable(), {}, 1j, b"x", float)
NO_NUMBERS = (*NOTHING, "0.5", "", True, np.True_, np.complex128(1), [1.0], np.ones(2), MASKED)
NO_NUMBERS += (np.ma.masked, np.datetime64("2020-01-01"), np.nan)
NO_LISTS = (*NOTHING, "0.5", "", True, np.True_, 1.0, MASKED, np.ma.masked)
NO_REALS = (*NO_NUMBERS, HUGE, -HUGE, np.inf, -np.inf)
TOO_FINE = (1e-310, 5e-324, 1e200)
NO_WHOLE = (*NO_NUMBERS, -HUGE, HUGE, 1.5, 2.0, np.inf, -1)
NO_TEXTS = (*NOTHING, 3, True, ["l1"], np.array(["l1", "l2"]), np.zeros(3), ("l1",))
NO_FUNCTIONS: tuple[Any, ...] = (object(), Unprintable(), {}, 1j, "x", 3, [], np.zeros(2))
NO_PATHS = (*NOTHING, 3, True, "", "a\0b", [], np.zeros(2))
NO_THINGS = (*NOTHING, 3, "x", True, [], (), np.zeros(3))
NO_ARRAYS: tuple[Any, ...] = (
    *(object(), Unprintable(), {}, 1j, b"x", float, "x", 3.0, True, RAGGED, [], [[]]),
    *(["a"], [["a"]], [None], [[1j]], [[np.nan]], [[np.inf]], [[HUGE]], [[object()]]),
    *(np.zeros((1, 1, 1, 1, 1)), np.array([["2020-01-01"]], "datetime64[D]")),
    *(np.ma.array([[1.0, 2.0]], mask=[[True, False]]), [MASKED, MASKED], MASKED),
)
SPANS = (np.full((6, 2), 1e200), np.full(6, 1e200), np.full((6, 2), 1e-310), np.full(6, 1e-310))

WRONG: dict[str, tuple[Any, ...]] = {
    "real": (*NO_NUMBERS[:-1], HUGE),
    "positive": (*NO_REALS, 0.0, -1, *TOO_FINE),
    "non-negative": (*NO_REALS, -1, *TOO_FINE),
    "positive or inf": (*NO_NUMBERS, HUGE, 0.0, -1, -np.inf, *TOO_FINE),
    "probability": (*NO_REALS, 0.0, 1.0, 2, -1, 1e-310),
    "share": (*NO_REALS, -0.1, 1.0, 1e-310),
    "tolerance": (*NO_REALS, 0.0, -1),
    "seconds": (*NO_NUMBERS, HUGE, 0, -1, -np.inf),
    "order": (*NO_REALS[:-2], -1, 1.5, np.complex128(1)),
    "count": (*NO_WHOLE, 0),
    "from zero": NO_WHOLE,
    "choice": (*NO_TEXTS, "no such"),
    "text": NO_TEXTS,
    "flag": (*NOTHING, 0, 1, 1.0, "yes", "", [], [True], np.array([True, False]), np.ones(1)),
    "function": NO_FUNCTIONS,
    "path": NO_PATHS,
    "array": NO_ARRAYS,
    "data": (*NO_ARRAYS, None, *SPANS),
    "rows": (None, 3.0, "x", object(), RAGGED, [], MASKED, [MASKED, MASKED]),
    "points": (*NO_ARRAYS, None),
    "labels": (*NO_ARRAYS, None, [1.0], np.zeros((6, 2, 2)), ["a", None] * 3, np.zeros(7)),
    "classes": (object(), 1j, RAGGED, [None], [1j], MASKED, np.array(["2020"], "datetime64[D]")),
    "names": (*NO_LISTS, [3], [None], ["a", 1.0], ["a", "b", "c"], [object()], RAGGED),
    "mask": (
        *NO_ARRAYS,
        [True],
        [1, 0],
        ["True", "False"],
        np.ones((2, 2), bool),
        np.ma.array([True, True], mask=[True, False]),
    ),
    "box": (3.0, "01", (1,), (2, 1), (np.nan, 1), ("0", "9"), (None, 1), (1j, 2), (8.0, 9.0)),
    "patterns": (*NO_ARRAYS[:-1], "some", 0, -3, 2.5, 1.0, np.full((6, 2), 0.5), np.ones((5, 2))),
    "graph": (
        *(
            None,
            object(),
            Unprintable(),
            {},
            "x",
            3,
            True,
            RAGGED,
            [[0.0, 1.0]],
            [[0, 9]],
            [[0, 0]],
        ),
        *([["0", "1"]], [[-1, 0]], np.ma.array([[0, 1]], mask=True), [[True, False]], [[0, 1, 2]]),
    ),
    "pair": (
        *NO_NUMBERS,
        "09",
        3,
        (1,),
        (1, 2, 3),
        ("0", "9"),
        (np.nan, 1),
        (2, 1),
        (1j, 2),
        (),
        (None, 1),
        (HUGE, 2),
        (True, 2),
    ),
    "columns": (*NO_NUMBERS, "01", 3, (0,), (0, 1, 1), ("0", "1"), (0.0, 1.0), (0, 9), (-1, 0)),
    "betas": (
        *NO_LISTS,
        np.ones(2),
        "21",
        3,
        [],
        [1.0, 2.0],
        [[1.0]],
        [np.nan],
        ["1"],
        [True],
        RAGGED,
        [HUGE],
        [1j],
        [-1.0],
        [0.0],
    ),
    "radii": (
        *NO_LISTS,
        np.ones(2),
        "21",
        [],
        [2.0, 1.0],
        [[1.0]],
        [np.nan],
        ["1"],
        RAGGED,
        [-1.0],
        [HUGE],
        [1j],
    ),
    "weights": (*NO_ARRAYS, [1.0], np.zeros(6), -np.ones(6), np.full(6, 1e308)),
    "edge weights": (*NO_ARRAYS, [1.0], np.zeros(6), -np.ones(6), np.full(6, 1e200)),
    "sequence": (*NO_THINGS[1:], [3], [None], [object()], {"admm"}),
    "solutions": (*NO_THINGS[:-3], [3], [None], ["x"]),
    "terms": (*NO_THINGS, [3], [None], ["x"], [terms.Ball]),
    "problem": (*NO_THINGS, cx.ReluTraining, cx.NetworkLasso, cx.Problem),
    "network": (*NO_THINGS, cx.TwoLayerNetwork, cx.ConvNetwork),
    "solution": (*NO_THINGS, cx.Solution),
    "backend": (*NO_THINGS, "no such", ["admm"], cx.Backend),
    "start": (
        object(),
        Unprintable(),
        {},
        1j,
        "x",
        3,
        True,
        [],
        (),
        (1, 2, 3),
        (1, 2),
        np.zeros(3),
    ),
    "risk": (*NO_THINGS, "no such", "cvar", 0.5, cx.Cvar, [cx.Cvar(0.5)]),
    "directions": (
        *(object(), 1j, 3.0, "x", RAGGED, [], [1], [1, 0, 1], [2, 0], [0.5, 0], ["+", "-"]),
        *({"no such": 1}, np.ones((2, 2)), np.array([np.nan, 0.0]), [True, False], MASKED),
    ),
    "mass": (*NO_REALS, 0.0, 2, -1, 1e-310),
    "groups": (*NOTHING[1:4], 1j, 3, "x", [], RAGGED, [None] * 6, np.ones((6, 2)), MASKED),
    "margin loss": (*NO_TEXTS, "no such", (3, 4), (np.abs,)),
    "loss": (*NO_TEXTS, "no such", losses.Huber),
    "leader": (*NO_THINGS[:6], 3, "x", [], np.zeros(3)),
    "holdout": (object(), 3, "x", True, [], (), (1, 2, 3), np.zeros(3), ("x", "y")),
    "axes": (object(), 3, "x", True, [], {}, float),
    "shapes": (object(), 3, "x", [3], [("2",)], [(2.0,)], [(True, 2)], [(7,)], [(-2, -1)], [None]),
    "first layer": tuple(v for v in NO_ARRAYS if not (isinstance(v, list) and v == [[]])),
    "nothing": (),
    "radius list": (*NO_LISTS, "21", [], [[1.0]], [np.nan], ["1"], RAGGED, [-1.0], [1j]),
    "pattern matrix": (*NO_ARRAYS, None, np.full((6, 2), 0.5)),
    "distances": (*NO_ARRAYS, np.ones((2, 2)), -np.ones((6, 6)), np.ones((6, 6))),
}

GOOD: dict[str, tuple[Any, ...]] = {
    "positive": (np.float32(0.75), np.int64(1), np.array(0.75), 1),
    "non-negative": (np.float32(0.5), np.int64(0), np.array(0.5), 0),
    "positive or inf": (np.float32(50.0), np.int64(50), np.inf),
    "probability": (np.float32(0.5), np.array(0.5)),
    "tolerance": (np.float32(0.01), np.array(0.01)),
    "seconds": (np.int64(60), np.float32(60.0), np.inf),
    "count": (np.int64(2), np.array(2), np.uint8(2)),
    "from zero": (np.int64(0), np.array(0), np.uint8(1)),
    "flag": (np.False_, False),
}

KINDS: dict[str, str] = {
    **dict.fromkeys(("beta", "cost", "price", "penalty", "delta", "step", "weight"), "positive"),
    **dict.fromkeys(("radius", "risk_aversion"), "non-negative"),
    **dict.fromkeys(("flip_cost", "target_cost"), "positive or inf"),
    **dict.fromkeys(
        ("ratio", "level", "quantile", "confidence", "psi", "xi", "tau"), "probability"
    ),
    **dict.fromkeys(("skip_bias", "intercept", "offset", "origin"), "real"),
    **dict.fromkeys(("time_limit", "gib"), "seconds"),
    **dict.fromkeys(
        (
            *("max_iter", "threads", "filter_size", "stride", "neurons", "layers", "pieces"),
            *("group", "steps", "restarts", "count", "repeats", "starts", "width", "draws"),
            *("pooled", "limit", "folds", "n", "rounds", "length", "outputs"),
        ),
        "count",
    ),
    **dict.fromkeys(("seed", "faulty"), "from zero"),
    **dict.fromkeys(
        (
            *("norm", "multiclass", "formulation", "ball", "activation", "method", "kind"),
            *("invalid", "before", "rule", "errors", "bound"),
        ),
        "choice",
    ),
    **dict.fromkeys(
        ("bias", "skip", "per_component", "exact", "screen", "progress", "active", "floor"),
        "flag",
    ),
    **dict.fromkeys(("callback", "score", "function", "proximal", "dual", "adversary"), "function"),
    **dict.fromkeys(("X", "x", "margins", "demand", "returns"), "data"),
    **dict.fromkeys(("losses", "point", "centre", "low", "high", "P", "q", "slopes"), "points"),
    **dict.fromkeys(("intercepts", "A", "b", "updates", "matrix", "generators"), "points"),
    **dict.fromkeys(("U", "alpha", "gates", "gates_bias", "filters", "coef", "biases"), "array"),
    "amplitude": "array",
    "offsets": "array",
    "leak": "share",
    "tol": "tolerance",
    "y": "labels",
    "classes": "classes",
    "feature_names": "names",
    "box": "box",
    "perturbed": "mask",
    "patterns": "patterns",
    "graph": "graph",
    "support": "pair",
    "window": "pair",
    "betas": "betas",
    "radii": "radii",
    "weights": "weights",
    "edge_weights": "edge weights",
    "backends": "sequence",
    "reference": "solutions",
    "terms": "terms",
    "problem": "problem",
    "network": "network",
    "model": "network",
    "networks": "network",
    "solution": "solution",
    "backend": "backend",
    "start": "start",
    "loss": "loss",
    "risk": "risk",
    "monotone": "directions",
    "directions": "directions",
    "groups": "groups",
    "leader": "leader",
    "holdout": "holdout",
    "ax": "axes",
    "shapes": "shapes",
    "distances": "distances",
    "points": "points",
    "measure": "text",
    "path": "path",
    "order": "order",
    "columns": "mask",
}
