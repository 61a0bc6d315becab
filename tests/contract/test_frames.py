"""Frames, columns and lists as data: numbers in, what is none or missing by column and row."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

import convexnn as cx
from convexnn.contract.checks import real_array
from convexnn.contract.labels import labels, several_targets
from convexnn.terms import Box

Series: Any = pd.Series
FRAME = pd.DataFrame({"age": [1.5, 2.0, 4.0], "old": [True, False, True], "n": [1, 2, 3]})
NUMBERS = [[1.5, 1.0, 1.0], [2.0, 0.0, 2.0], [4.0, 1.0, 3.0]]


def arrow(frame: pd.DataFrame) -> Any:
    return pytest.importorskip("pyarrow").Table.from_pandas(frame)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.convert_dtypes(),
        FRAME.assign(n=FRAME["n"].astype("category")),
        FRAME.assign(n=Series([Decimal(1), 2, 3.0])),
        FRAME.assign(n=pd.arrays.SparseArray([1.0, 2.0, 3.0])),
        FRAME.to_numpy(),
        FRAME.to_numpy().tolist(),
    ],
    ids=["bools", "nullable", "category", "objects", "sparse", "array", "list"],
)
def test_numbers_and_bools_are_taken(frame: Any) -> None:
    assert real_array("X", frame, 2).tolist() == NUMBERS


def test_columns_of_arrow_are_taken() -> None:
    table = arrow(FRAME)
    assert real_array("X", table, 2).tolist() == NUMBERS
    kept = FRAME.convert_dtypes(dtype_backend="pyarrow")
    assert real_array("X", kept, 2).tolist() == NUMBERS
    with pytest.raises(cx.ProblemError, match="column 'n' of X has 1 missing of 3, in row 1"):
        real_array("X", arrow(FRAME.assign(n=Series([1, None, 2], dtype="Int64"))), 2)


@pytest.mark.parametrize(
    "build",
    [
        lambda frame: cx.GeometricMedian(frame).points,
        lambda frame: cx.DistributedMedian(frame, [[0, 1], [1, 2]]).points,
        lambda frame: cx.CvarPortfolio(frame, radius=0.1, level=0.5, risk_aversion=1.0).returns,
        lambda frame: cx.LinearlyConstrained([Box([0.0] * 3, [1.0] * 3)], frame, [1.0] * 3).A,
        lambda frame: cx.WassersteinRegression(frame, [1.0, 2.0, 3.0], radius=0.1).X,
    ],
)
def test_every_problem_takes_frames(build: Any) -> None:
    assert np.array_equal(build(FRAME.convert_dtypes()), NUMBERS)
    missing = FRAME.assign(n=Series([1, None, 2], dtype="Int64"))
    with pytest.raises(cx.ProblemError, match=r"column 'n' of \w+ has 1 missing of 3"):
        build(missing)


def test_points_and_clients_may_be_objects_and_not_sparse() -> None:
    mixed: Any = FRAME.to_numpy()
    assert cx.GeometricMedian(mixed).points.tolist() == NUMBERS
    assert cx.aggregate(mixed, method="mean").tolist() == [2.5, 2 / 3, 2.0]
    sparse: Any = csr_array(np.eye(3))
    with pytest.raises(cx.ProblemError, match="points is sparse"):
        cx.GeometricMedian(sparse)
    with pytest.raises(cx.ProblemError, match="points must hold real numbers, got 'f'"):
        cx.GeometricMedian(FRAME.assign(sex="f").to_numpy())


def test_a_blank_label_is_seen() -> None:
    with pytest.raises(cx.ProblemError, match="got 3: '', no, yes"):
        labels("y", ["", "no", "yes"], 3, classification=True)


def test_clients_in_a_frame_may_send_none() -> None:
    frame = FRAME.assign(age=[1.0, np.nan, 3.0])
    with pytest.warns(UserWarning, match="client 1 hold"):
        assert cx.aggregate(frame, method="mean").tolist() == [2.0, 1.0, 2.0]


def test_a_frame_of_one_column_is_an_array_of_one_axis() -> None:
    assert real_array("demand", FRAME[["n"]], 1).tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(cx.ProblemError, match=r"demand must have 1 axes, got shape \(3, 2\)"):
        real_array("demand", FRAME[["n", "age"]], 1)
    with pytest.raises(cx.ProblemError, match="column 'n' of demand must be finite, got inf"):
        real_array("demand", FRAME[["n"]].assign(n=[1.0, np.inf, 2.0]), 1)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME.assign(sex=["f", "m", "f"]), "column 'sex' of X must hold real numbers, got 'f'"),
        (
            FRAME.assign(sex=Series(["f", "m", "f"], dtype="category")),
            "column 'sex' of X must hold real numbers, got 'f'.*: encode text as numbers",
        ),
        (
            FRAME.assign(day=pd.to_datetime(["2020-01-01"] * 3)),
            "column 'day' of X must hold real numbers, got dtype datetime64",
        ),
        (FRAME.assign(age=[1.0, np.nan, 2.0]), "column 'age' of X has 1 missing of 3, in row 1 "),
        (FRAME.assign(age=[1.0, 2.0, np.inf]), "column 'age' of X must be finite, got inf"),
        (
            FRAME.assign(n=Series([None, 1, None], dtype="Int64")),
            r"column 'n' of X has 2 missing of 3, in rows 0, 2 \(the first is 0\)",
        ),
        ([[1.0, None], [2.0, 3.0], [4.0, 5.0]], "X has 1 missing of 6, in row 0"),
        ([[10**400], [1], [1]], "X must hold numbers that are floats"),
        (csr_array(np.eye(3)), r"X is sparse, of shape \(3, 3\), and must be dense: X.toarray"),
    ],
)
def test_what_is_no_number_is_named(frame: Any, message: str) -> None:
    with pytest.raises(cx.ProblemError, match=message):
        cx.ReluTraining(frame, [1.0, 2.0, 3.0], beta=1.0)


@pytest.mark.parametrize(
    "y",
    [
        Series([0, 1, 1]),
        Series([0, 1, 1], dtype="Int64"),
        Series([0, 1, 1], dtype="category"),
        Series([False, True, True], dtype="boolean"),
        Series([Decimal("0.5"), Decimal(1), Decimal(1)]),
        Series(["no", "yes", "yes"]),
        Series(["no", "yes", "yes"], dtype="string"),
        Series(["no", "yes", "yes"], dtype="category"),
        pd.DataFrame({"y": ["no", "yes", "yes"]}),
        pd.Index(["no", "yes", "yes"]),
        np.array([[0], [1], [1]]),
        np.array(["no", "yes", "yes"], dtype=object),
        [["no"], ["yes"], ["yes"]],
    ],
)
def test_labels_of_every_kind(y: Any) -> None:
    assert labels("y", y, 3, classification=True).targets.tolist() == [-1.0, 1.0, 1.0]


MISSING: dict[str, Any] = {
    "object": Series(["no", None, "yes"], dtype=object),
    "nullable": Series([0, None, 1], dtype="Int64"),
    "floats": Series([0.0, np.nan, 1.0]),
    "category": Series(["no", None, "yes"], dtype="category"),
    "dates": Series(["2020-01-01", None, "2020-01-02"], dtype="datetime64[ns]"),
    "frame": pd.DataFrame({"y": ["no", None, "yes"]}),
    "None": ["no", None, "yes"],
    "NaN": ["no", float("nan"), "yes"],  # NumPy makes the text 'nan' of it
    "NA": ["no", pd.NA, "yes"],
    "NaT": ["no", pd.NaT, "yes"],
    "column": [["no"], [None], ["yes"]],
    "array": np.array([0.0, np.nan, 1.0]),
    "decimals": [Decimal(0), Decimal("nan"), Decimal(1)],
}


@pytest.mark.parametrize("kind", MISSING)
def test_a_missing_label_is_said_to_be_missing(kind: str) -> None:
    with pytest.raises(cx.ProblemError, match="y has 1 missing of 3, in row 1 "):
        labels("y", MISSING[kind], 3, classification=True)


def test_missing_labels_are_counted() -> None:
    y: Any = [None] * 8
    with pytest.raises(cx.ProblemError, match="8 missing of 8, in rows 0, 1, 2, 3, 4 and 3 more"):
        labels("y", y, 8, classification=True)


@pytest.mark.parametrize("y", [["no", 1, "yes"], [True, "no", "yes"], [object(), 1, 2]])
def test_labels_of_several_kinds_are_refused(y: Any) -> None:
    with pytest.raises(cx.ProblemError, match="y must hold numbers or text, all of one kind, got"):
        labels("y", y, 3, classification=True)


def test_numbers_as_targets() -> None:
    for y in (Series([1, 2, 5], dtype="Int64"), pd.DataFrame({"y": [1.0, 2.0, 5.0]})):
        assert labels("y", y, 3, classification=False).targets.tolist() == [1.0, 2.0, 5.0]
    with pytest.raises(cx.ProblemError, match="y has 1 missing of 3"):
        labels("y", Series([1, None, 5], dtype="Int64"), 3, classification=False)
    two = pd.DataFrame({"a": [1, 2, 3], "b": [True, False, True]})
    assert several_targets("y", two, 3).targets.tolist() == [[1.0, 1.0], [2.0, 0.0], [3.0, 1.0]]
    with pytest.raises(cx.ProblemError, match="column 'b' of y has 1 missing of 3, in row 2"):
        several_targets("y", two.assign(b=[1.0, 2.0, np.nan]), 3)


X, IMAGES = np.random.default_rng(0).standard_normal((3, 2)), np.arange(27.0).reshape(3, 3, 3)
PROBLEMS: dict[str, Any] = {
    "relu": lambda y: cx.ReluTraining(X, y, beta=1.0, loss="hinge"),
    "softmax": lambda y: cx.ReluTraining(X, y, beta=1.0, loss="softmax"),
    "one-vs-rest": lambda y: cx.GatedReluTraining(
        X, y, beta=1.0, loss="hinge", multiclass="one-vs-rest"
    ),
    "sampled": lambda y: cx.SampledReluTraining(X, y, beta=1.0, loss="logistic"),
    "threshold": lambda y: cx.ThresholdTraining(X, y, beta=1.0, loss="hinge"),
    "convolution": lambda y: cx.ConvReluTraining(IMAGES, y, beta=1.0, loss="hinge"),
    "univariate": lambda y: cx.UnivariateReluTraining(X[:, 0], y, beta=1.0, loss="hinge"),
    "robust": lambda y: cx.RobustReluTraining(X, y, beta=1.0, radius=0.1),
    "wasserstein": lambda y: cx.WassersteinClassification(X, y, radius=0.1),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_every_problem_with_labels_takes_a_column_and_misses_none(name: str) -> None:
    kept = PROBLEMS[name](pd.DataFrame({"y": ["no", "yes", "yes"]})).y
    assert kept.tolist() == ["no", "yes", "yes"]
    for y in MISSING.values():
        with pytest.raises(cx.ProblemError, match="y has 1 missing of 3, in row 1 "):
            PROBLEMS[name](y)


def test_rows_in_another_order_are_not_taken_for_the_same() -> None:
    frame = pd.DataFrame(X, index=["a", "b", "c"], columns=["u", "v"])
    y = Series(["no", "yes", "yes"], index=["c", "a", "b"])
    model = cx.LinearModel([1.0, 0.0], 0.0, ["no", "yes"])
    network = cx.TwoLayerNetwork(np.eye(2), np.ones((2, 1)), np.zeros(2), classes=["no", "yes"])
    problem = cx.WassersteinClassification(frame, y.loc[frame.index], radius=0.1)
    weights = Series([1.0, 2.0, 3.0], index=["b", "a", "c"])
    for build in (
        lambda: cx.ReluTraining(frame, y, beta=1.0, loss="hinge"),
        lambda: cx.ReluTraining(frame, [1.0, 2.0, 3.0], beta=1.0, weights=weights),
        lambda: cx.RobustReluTraining(frame, y, beta=1.0, radius=0.1),
        lambda: cx.UnivariateReluTraining(frame["u"], y, beta=1.0, loss="hinge"),
        lambda: cx.WassersteinClassification(frame, y, radius=0.1),
        lambda: cx.WassersteinRegression(frame, [1.0, 2.0, 3.0], radius=0.1, weights=weights),
        lambda: problem.holdout(model, frame, y),
        lambda: problem.holdout(model, frame, problem.y, weights),
        lambda: cx.robustness(network, frame, y, radius=0.1),
    ):
        with pytest.raises(cx.ProblemError, match=r"must have its rows in the order of [Xx], and"):
            build()
    apart = y.set_axis([7, 8, 9])  # of other rows, as it seems: read as they come
    assert cx.WassersteinClassification(frame, apart, radius=0.1).y.tolist() == y.tolist()
    assert cx.WassersteinClassification(frame, y.tolist(), radius=0.1).y.tolist() == y.tolist()


def test_a_model_is_judged_on_columns_too() -> None:
    network = cx.TwoLayerNetwork(np.eye(2), np.ones((2, 1)), np.zeros(2), classes=["no", "yes"])
    y: list[Any] = [["yes"], ["yes"], ["no"]]
    plain = cx.robustness(network, X, ["yes", "yes", "no"], radius=0.1, norm="l2")
    columns = cx.robustness(network, X, y, radius=0.1, norm="l2")
    assert (columns.clean, columns.certified) == (plain.clean, plain.certified)
    with pytest.raises(cx.ProblemError, match="y has 1 missing of 3, in row 2"):
        cx.robustness(network, X, ["yes", "yes", None], radius=0.1, norm="l2")  # type: ignore[arg-type]  # the point
