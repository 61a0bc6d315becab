"""Rows, columns, targets and classes as they are asked for, and what is said of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexnn.contract.checks import ProblemError
from convexnn.datasets import Reading, load_data, load_table

N = 200


@pytest.fixture
def csv(tmp_path: Path) -> Any:
    """Write columns x, z and a target of N rows; return the path."""

    def of(target: list[Any], name: str = "y") -> str:
        rows = [f"{k / 7:.3f},{k % 5 / 3:.3f},{value}" for k, value in enumerate(target)]
        (tmp_path / "t.csv").write_text("\n".join([f"x,z,{name}", *rows]))
        return str(tmp_path / "t.csv")

    return of


@pytest.mark.parametrize(
    ("values", "task", "says"),
    [
        (["no", "yes"], "classification", ""),
        (["True", "False"], "classification", ""),
        ([0, 1], "classification", ""),
        ([3, 7], "classification", ""),
        ([0.5, 1.5], "classification", ""),
        (["a", "b", "c"], "classification", ""),
        (
            [3, 4, 5, 6, 7, 8],
            "classification",
            "whole numbers of 6 values are classes; --task regr",
        ),
        (list(range(10)), "classification", "whole numbers of 10 values are classes"),
        (list(range(11)), "regression", "whole numbers of 11 values are numbers; --task classific"),
        (list(range(41)), "regression", "whole numbers of 41 values are numbers"),
        ([0.5, 1.5, 2.5], "regression", ""),
        ([1.0, 2.0, 3.0], "regression", ""),
    ],
)
def test_the_rule_of_tasks(values: list[Any], task: str, says: str, csv: Any) -> None:
    table = load_table(csv([values[k % len(values)] for k in range(N)]))
    assert table.target is not None
    assert table.target.task == task
    assert table.target.why.startswith(says)
    assert len(table.X) == N
    if task == "classification":
        assert table.target.counts == tuple(
            len(range(k, N, len(values))) for k in np.argsort([str(v) for v in values])
        )
    else:
        assert table.y.dtype == np.float64


def test_twenty_values_are_the_most_that_are_classes(tmp_path: Path) -> None:
    for values, task in ((20, "classification"), (21, "regression")):
        np.savez(tmp_path / "a.npz", X=np.arange(1000.0)[:, None], y=np.arange(1000) % values)
        target = load_table(str(tmp_path / "a.npz")).target
        assert target is not None
        assert target.task == task


def test_a_task_that_is_asked_for(csv: Any) -> None:
    path = csv([3 + k % 6 for k in range(N)])
    table = load_table(path, Reading(task="regression"))
    assert table.y.tolist() == [3.0 + k % 6 for k in range(N)]
    path = csv([k % 41 for k in range(N)])
    table = load_table(path, Reading(task="classification"))
    assert table.target is not None
    assert table.target.classes is not None
    assert table.target.classes.tolist() == list(range(41))
    with pytest.raises(
        ProblemError, match="task must be one of classification, regression, got 'x"
    ):
        load_table(path, Reading(task="x"))
    path = csv(["low", "high", "4"] * 60)
    with pytest.raises(
        ProblemError, match=r"--task regression wants numbers, but target 'y' holds"
    ):
        load_table(path, Reading(task="regression"))


def test_a_loss_of_numbers_takes_the_target_for_numbers(csv: Any) -> None:
    table = load_table(csv([3 + k % 6 for k in range(N)])).numbers("for --loss absolute")
    assert table.target is not None
    assert str(table.target) == "target 'y': regression (for --loss absolute)"
    with pytest.raises(
        ProblemError, match="for --loss absolute wants numbers, but target 'y' holds"
    ):
        load_table(csv(["a", "b"] * 100)).numbers("for --loss absolute")


def test_targets_that_tell_rows_apart_are_no_classes(csv: Any) -> None:
    path = csv([f"name {k}" for k in range(N)])
    with pytest.raises(
        ProblemError, match=r"target 'y' has 200 values in 200 rows, such as 'name 0"
    ):
        load_table(path)
    assert load_table(path, Reading(target="x", drop=("y",))).y[:2].tolist() == [0.0, 0.143]


def test_a_single_value_is_no_target(csv: Any) -> None:
    with pytest.raises(
        ProblemError, match=r"target 'y' must have at least two values, got 4 alone"
    ):
        load_table(csv([4] * N))


def test_columns_by_name_and_by_index(csv: Any) -> None:
    path = csv([k / 9 for k in range(N)], "price")
    for word in ("z", "1", "-2"):
        table = load_table(path, Reading(target=word))
        assert table.target is not None
        assert table.target.name == "z"
        assert table.columns.of_X == ("x", "price")
    table = load_table(path, Reading(features=("z", "0")))
    assert table.columns.of_X == ("z", "x")
    table = load_table(path, Reading(drop=("0",)))
    assert table.columns.of_X == ("z",)
    assert "left out 'x' by --drop" in table.notes
    table = load_table(path, Reading(features=("z",)))
    assert "left out 'x' by --features" in table.notes


@pytest.mark.parametrize(
    ("said", "says"),
    [
        (
            {"target": "prize"},
            r"--target 'prize' is neither a column nor an index .* is it 'price'\?",
        ),
        (
            {"target": "7"},
            r"--target '7' is neither a column nor an index of one: the columns are 'x'",
        ),
        ({"features": ("q",)}, "--features 'q' is neither"),
        ({"drop": ("q",)}, "--drop 'q' is neither"),
        ({"features": ("x", "price")}, "--features must not name the target 'price'"),
        ({"drop": ("price",)}, "--drop must not name the target 'price': say --target first"),
        ({"drop": ("x", "z")}, "has no column left to learn from beside the target 'price'"),
        ({"classes": ("a",)}, r"--classes goes with classes, but target 'price': regression"),
    ],
)
def test_columns_that_are_not_there(said: dict[str, Any], says: str, csv: Any) -> None:
    with pytest.raises(ProblemError, match=says):
        load_table(csv([k / 9 for k in range(N)], "price"), Reading(**said))


def test_classes_to_keep(csv: Any) -> None:
    path = csv(["a", "b", "c", "b"] * 50)
    table = load_table(path)
    with pytest.raises(
        ProblemError, match=r"this tells two classes apart, .*: keep two of them, for"
    ):
        table.pair("this")
    two = load_table(path, Reading(classes=("a", "c"))).pair("this")
    assert two.target is not None
    assert two.target.counts == (50, 50)
    assert set(two.y) == {"a", "c"}
    assert two.X.tolist() == table.X[np.isin(table.y, ["a", "c"])].tolist()
    assert "left out 100 rows of the class b" in two.notes
    with pytest.raises(ProblemError, match="target 'y' has no class 'd', its classes are a, b, c"):
        load_table(path, Reading(classes=("a", "d")))
    with pytest.raises(ProblemError, match="--classes must name at least two, got a,a"):
        load_table(path, Reading(classes=("a", "a")))


def test_what_is_used_is_said(csv: Any) -> None:
    table = load_table(csv([3 + k % 3 for k in range(N)], "quality"), Reading(drop=("z",)))
    assert str(table).splitlines() == [
        "t: 200 rows, 1 column",
        "columns: x",
        "target 'quality': 3 classes, 3: 67, 4: 67, 5: 66 (whole numbers of 3 values are classes; "
        "--task regression takes them for numbers)",
        "header: the first line",
        "left out 'z' by --drop",
    ]
    assert table.summary == {
        "name": "t",
        "rows": 200,
        "columns": ["x"],
        "target": "quality",
        "task": "classification",
        "why": table.target.why,  # type: ignore[union-attr]
        "classes": {"3": 67, "4": 67, "5": 66},
        "notes": ["header: the first line", "left out 'z' by --drop"],
    }


def test_columns_that_were_not_chosen_may_miss_values(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,gap,y\n1,,0\n2,,1\n3,5,0\n4,,1\n")
    assert load_table(str(tmp_path / "t.csv"), Reading(drop=("gap",))).X.shape == (4, 1)


def test_a_table_takes_other_data_likewise(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    (tmp_path / "t.csv").write_text("x,kind,y\n1,a,0\n2,b,1\n3,a,0\n4,c,1\n5,b,1\n6,c,1\n")
    columns = load_table(str(tmp_path / "t.csv"), Reading(encode=True)).columns
    other = pd.DataFrame({"kind": ["c", "a"], "more": [1, 2], "x": [7.5, 8.5]})
    assert columns(other).tolist() == [[7.5, 0.0, 0.0, 1.0], [8.5, 1.0, 0.0, 0.0]]
    with pytest.raises(
        ProblemError, match="column 'kind' has 'd' in row 2, its values are 'a', 'b'"
    ):
        columns(other.assign(kind=["a", "d"]))
    with pytest.raises(ProblemError, match="must have the columns 'x', 'kind', they lack 'x'"):
        columns(other.drop(columns="x"))
    with pytest.raises(ProblemError, match="column 'x' misses row 1"):
        columns(other.assign(x=[np.nan, 1.0]))


def test_a_split_is_scaled_by_what_it_trains_on(csv: Any) -> None:
    split = load_data(csv([k / 9 for k in range(N)]), seed=3)
    assert split.table is not None
    assert split.scaling is not None
    assert split.target_scaling is not None
    assert (len(split.X), len(split.X_test)) == (150, 50)
    np.testing.assert_allclose(split.X.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(split.X.std(axis=0), 1.0)
    rows = np.vstack([split.X, split.X_test]) * split.scaling.spread + split.scaling.mean
    np.testing.assert_allclose(np.sort(rows[:, 0]), np.sort(split.table.X[:, 0]), atol=1e-12)
    again = split.target_scaling(split.table.y)
    np.testing.assert_allclose(np.sort(again), np.sort(np.concatenate([split.y, split.y_test])))


def test_few_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n1,0\n2,1\n3,0\n")
    with pytest.raises(ProblemError, match="t must have at least 4 examples, got 3"):
        load_data(str(tmp_path / "t.csv"))
