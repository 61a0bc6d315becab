"""Files that are no delimited text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexnn.contract.checks import ProblemError
from convexnn.datasets import NAMES, Reading, load_table

X = np.array([[1.5, -2.0], [0.25, 3.0], [-7.125, 4.0], [1000.0, 5.5]])
Y = np.array(["no", "yes", "no", "yes"])
ARFF = """% comment
@RELATION flowers
@attribute 'petal width' numeric
@attribute kind {'tall one', short}
@attribute note string
@attribute class {1, 2, 3}
@DATA
1.5, 'tall one', 'hello, you', 1
2.5, short, "it's", 2
?, short, x, 2
% comment
4.5, 'tall one', y, 1
"""


def test_npz_with_names_and_a_column_of_targets(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=Y[:, None], feature_names=np.array(["w", "h"]))
    table = load_table(str(tmp_path / "a.npz"))
    np.testing.assert_array_equal(table.X, X)
    np.testing.assert_array_equal(table.y, Y)
    assert table.columns.of_X == ("w", "h")
    other = load_table(str(tmp_path / "a.npz"), Reading(target="h"))
    assert other.y.tolist() == X[:, 1].tolist()
    assert other.columns.of_X == ("w",)
    assert "left out the target 'y' that the data name" in other.notes


def test_npz_without_targets_has_them_in_its_last_column(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X)
    table = load_table(str(tmp_path / "a.npz"))
    assert table.X.tolist() == X[:, :1].tolist()
    assert table.y.tolist() == X[:, 1].tolist()


def test_npy_of_rows_and_of_named_fields(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    assert load_table(str(tmp_path / "a.npy")).y.tolist() == X[:, 1].tolist()
    np.save(
        tmp_path / "b.npy", np.array([(1.0, "a"), (2.0, "b")], dtype=[("x", "f8"), ("y", "U1")])
    )
    table = load_table(str(tmp_path / "b.npy"))
    assert table.columns.of_X == ("x",)
    assert table.y.tolist() == ["a", "b"]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zip"])
def test_damaged_packs_are_named(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a.csv{suffix}").write_bytes(b"a,b,y\n1,2,3\n")
    with pytest.raises(ProblemError, match=rf"data file .*a.csv{suffix} cannot be read"):
        load_table(str(tmp_path / f"a.csv{suffix}"))


def test_labels_of_bytes_are_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=Y.astype("S"))
    np.testing.assert_array_equal(load_table(str(tmp_path / "a.npz")).y, Y)


def test_blank_labels_of_arrays_are_missing(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=np.array(["no", "", "nan", "yes"]))
    with pytest.raises(ProblemError, match=r"2 of 4 rows miss a value: target 'y' in rows 2, 3"):
        load_table(str(tmp_path / "a.npz"))
    table = load_table(str(tmp_path / "a.npz"), Reading(drop_missing=True))
    assert table.X.tolist() == X[[0, 3]].tolist()
    assert table.y.tolist() == ["no", "yes"]


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"X": X * 1j, "y": Y}, "X has complex entries"),
        ({"X": X, "y": Y[:3]}, r"must hold X \(n, d\) and y \(n,\), got \(4, 2\) and \(3,\)"),
        ({"X": X[0], "y": Y}, r"X must hold one row an example, got shape \(2,\)"),
        ({"data": X}, "it has no array 'X', its arrays are data"),
        ({"X": X.astype(object), "y": Y}, "X must be an array of numbers or text and not of Pyth"),
        ({"X": np.where(X > 4, np.nan, X), "y": Y}, "column '0' in row 4; column '1' in row 4"),
        ({"X": np.where(X > 4, np.inf, X), "y": Y}, "column '0' is infinite in row 4"),
        ({"X": X, "y": np.where(X[:, 0] > 4, np.nan, X[:, 0])}, "target 'y' in row 4"),
        ({"X": X.astype(str), "y": Y}, r"column '0' holds text of 4 values \(row 1: '1.5'\)"),
        ({"X": X[:0], "y": Y[:0]}, "a.npz has no row"),
        ({"X": X[:0]}, "a.npz has no row"),
        ({"X": X[:, :0], "y": Y}, "a.npz has no column"),
        ({"X": X[:, :0]}, "a.npz has no column"),
    ],
)
def test_arrays_that_are_no_table(arrays: dict[str, Any], says: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ProblemError, match=says):
        load_table(str(tmp_path / "a.npz"))


def test_arff(tmp_path: Path) -> None:
    (tmp_path / "a.arff").write_text(ARFF)
    said = Reading(drop=("note",), encode=True, drop_missing=True)
    table = load_table(str(tmp_path / "a.arff"), said)
    assert table.columns.of_X == ("petal width", "kind=tall one")
    assert table.X.tolist() == [[1.5, 1.0], [2.5, 0.0], [4.5, 1.0]]
    assert table.y.tolist() == [1, 2, 1]
    assert any("column 'petal width' in row 3" in note for note in table.notes)
    with pytest.raises(ProblemError, match=r"column 'note' holds text of 3 values \(row 1: 'hello"):
        load_table(str(tmp_path / "a.arff"), Reading(encode=True, drop_missing=True))


def test_nominal_numbers_are_classes_however_many(tmp_path: Path) -> None:
    head = "@relation r\n@attribute x real\n@attribute c {" + ",".join(map(str, range(25))) + "}\n"
    rows = "\n".join(f"{k / 3},{k % 25}" for k in range(100))
    (tmp_path / "a.arff").write_text(f"{head}@data\n{rows}\n")
    target = load_table(str(tmp_path / "a.arff")).target
    assert target is not None
    assert target.classes is not None
    assert len(target.classes) == 25
    assert "categories are classes" in target.why


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            ARFF.replace("2.5, short", "2.5"),
            r"line 9: 3 fields for 4 attributes: '2.5, \"it",
        ),
        (ARFF.replace('2.5, short, "it\'s", 2', "{0 2.5}"), "line 9: a sparse row"),
        ("1,2\n3,4\n", "must have lines @attribute, and rows below @data"),
    ],
)
def test_damaged_arff(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "a.arff").write_text(text)
    with pytest.raises(ProblemError, match=says):
        load_table(str(tmp_path / "a.arff"))


def test_parquet_in_the_types_of_pandas(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(
        {
            "x": X[:, 0],
            "flag": [True, False, True, True],
            "level": pd.Categorical([3, 1, 3, 2]),
            "count": pd.array([1, 2, 3, 4], dtype="Int64"),
            "kind": pd.Categorical(list("abab")),
            "y": ["no", "yes", "no", "yes"],
        }
    )
    path = tmp_path / "a.parquet"
    frame.to_parquet(path)
    table = load_table(str(path), Reading(encode=True))
    assert table.columns.of_X == ("x", "flag", "level", "count", "kind=b")
    assert table.X[1].tolist() == [0.25, 0.0, 1.0, 2.0, 1.0]
    frame.convert_dtypes().set_index("count").to_parquet(path)
    table = load_table(str(path), Reading(drop=("kind",)))
    assert table.X[:, :3].tolist() == [[1.5, 1, 3], [0.25, 0, 1], [-7.125, 1, 3], [1000.0, 1, 2]]
    assert "left out the index 'count'" in table.notes
    frame.assign(x=pd.to_datetime(["2020-01-01"] * 2 + ["2021-05-06"] * 2)).to_parquet(path)
    with pytest.raises(
        ProblemError, match=r"column 'x' holds dates \(row 1: 2020-01-01 00:00:00\)"
    ):
        load_table(str(path))
    frame.assign(y=["no", None, "no", "yes"]).to_parquet(path)
    with pytest.raises(ProblemError, match="target 'y' in row 2"):
        load_table(str(path))


def test_cells_that_are_lists_are_refused(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"x": X[:, 0], "several": [[1], [2, 3], [1], []], "y": Y})
    frame.to_parquet(path)
    with pytest.raises(ProblemError, match=r"'several' holds values of type ndarray \(row 1\)"):
        load_table(str(path))
    for task in (None, "classification", "regression"):
        with pytest.raises(ProblemError, match="target 'several'"):
            load_table(str(path), Reading(target="several", task=task, drop=("y",)))


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a.csv", "data file .*a.csv does not exist"),
        ("a.xlsx", "is a spreadsheet: save the sheet as .csv"),
        ("a.json", "data must be one of breast_cancer, .* or a file .csv, "),
        ("a.npz.gz", "data must be one of"),
        ("iris2", "data must be one of"),
    ],
)
def test_names_of_no_data(name: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ProblemError, match=says):
        load_table(str(tmp_path / name))


def test_what_goes_with_text_is_refused_elsewhere(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", X=X, y=Y)
    for said in ({"separator": ";"}, {"header": False}, {"decimal": ","}, {"missing": ("x",)}):
        option = next(iter(said))
        with pytest.raises(
            ProblemError, match=f"--{option} goes with delimited text, not with .npz"
        ):
            load_table(str(tmp_path / "a.npz"), Reading(**said))
    with pytest.raises(ProblemError, match="--separator goes with delimited text, not with iris"):
        load_table("iris", Reading(separator=";"))


@pytest.mark.parametrize("name", NAMES)
def test_named_data_keep_all_rows_and_classes(name: str) -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    bunch = getattr(datasets, f"load_{name}")()
    table = load_table(name, supervised=False)
    np.testing.assert_array_equal(table.X, bunch.data)
    table = load_table(name)
    np.testing.assert_array_equal(table.y, bunch.target)
    assert len(table.X) == len(bunch.data)
    kept = [i for i, column in enumerate(bunch.data.T) if len(np.unique(column)) > 1]
    np.testing.assert_array_equal(table.X, bunch.data[:, kept])
    assert re.match(rf"{name}: {len(bunch.data)} rows, {len(kept)} columns", str(table))
