"""Delimited text in the wild, each file with the numbers and labels that it holds."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convexnn.contract.checks import ProblemError
from convexnn.datasets import Reading, Table, load_table

X = np.array([[1.5, -2.0], [0.25, 3.0], [-7.125, 4.0], [1000.0, 5.5], [0.0, 6.0], [2.0, 0.5]])
Y = np.array(["no", "yes", "no", "yes", "yes", "no"])
ROWS = [f"{a!r},{b!r},{c}" for (a, b), c in zip(X.tolist(), Y.tolist(), strict=True)]
BODY = "\n".join(ROWS)
PLAIN = f"a,b,y\n{BODY}\n"


@pytest.fixture
def load(tmp_path: Path) -> Any:
    def of(content: str | bytes, name: str = "data.csv", **said: Any) -> Table:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return load_table(str(path), Reading(**said))

    return of


def numbered(rows: list[str], first: int = 0) -> str:
    return "\n".join(f"{i},{row}" for i, row in enumerate(rows, first))


DIALECTS: dict[str, tuple[str | bytes, str]] = {
    "commas": (PLAIN, "data.csv"),
    "no newline at the end": (PLAIN.strip(), "data.csv"),
    "a suffix in capitals": (PLAIN, "DATA.CSV"),
    "semicolons": (PLAIN.replace(",", ";"), "data.csv"),
    "decimal commas": (PLAIN.replace(",", ";").replace(".", ","), "data.csv"),
    "decimal commas in quotes": (
        "a,b,y\n"
        + "\n".join(f'"{a}","{b}",{c}'.replace(".", ",") for (a, b), c in zip(X, Y, strict=True)),
        "data.csv",
    ),
    "decimal commas without a header": (BODY.replace(",", ";").replace(".", ","), "data.csv"),
    "tabs": (PLAIN.replace(",", "\t"), "data.tsv"),
    "bars": (PLAIN.replace(",", "|"), "data.txt"),
    "spaces": (PLAIN.replace(",", "   "), "data.dat"),
    "spaces at both ends": (PLAIN.replace(",", "  ").replace("\n", " \n  "), "data.dat"),
    "spaces after commas": (PLAIN.replace(",", ", "), "data.csv"),
    "spaces before commas": (PLAIN.replace(",", " ,"), "data.csv"),
    "the separator in a line above": (f"sep=;\n{PLAIN.replace(',', ';')}", "data.csv"),
    "a tab among spaces without a header": (
        "\n".join(f"{a!r}   {b!r}\t{c}" for (a, b), c in zip(X.tolist(), Y.tolist(), strict=True)),
        "data.dat",
    ),
    "byte order mark": (b"\xef\xbb\xbf" + PLAIN.encode(), "data.csv"),
    "UTF-16": (PLAIN.encode("utf-16"), "data.csv"),
    "lines of Windows": (PLAIN.replace("\n", "\r\n"), "data.csv"),
    "lines of old": (PLAIN.replace("\n", "\r"), "data.csv"),
    "comments": (f"# made\n% by hand\n\n{PLAIN}# the end\n", "data.csv"),
    "a comment among rows": (PLAIN.replace(ROWS[3], f"# next\n{ROWS[3]}"), "data.csv"),
    "names in a comment": (f"# made by hand\n# a,b,y\n{BODY}", "data.csv"),
    "nameless index": (f",a,b,y\n{numbered(ROWS)}", "data.csv"),
    "index of R": (f'"a","b","y"\n{numbered(ROWS, 1)}', "data.csv"),
    "index saved again": (f"Unnamed: 0,a,b,y\n{numbered(ROWS)}", "data.csv"),
    "shuffled index": (
        ",a,b,y\n"
        + "\n".join(f"{i},{row}" for i, row in zip([9, 3, 5, 2, 8, 1], ROWS, strict=True)),
        "data.csv",
    ),
    "all in quotes": (
        "\n".join(",".join(f'"{word}"' for word in line.split(",")) for line in PLAIN.split()),
        "data.csv",
    ),
    "another separator in quoted words": (
        PLAIN.replace("no", '"x; no"').replace("yes", '"x; yes"'),
        "data.csv",
    ),
    "blank lines": (PLAIN.replace("\n", "\n\n"), "data.csv"),
    "rows of commas": (f"{PLAIN},,\n,,\n", "data.csv"),
    "commas at the ends of rows": ("a,b,y\n" + "".join(f"{row},\n" for row in ROWS), "data.csv"),
    "commas at all ends": (PLAIN.replace("\n", ",\n"), "data.csv"),
    "packed by gzip": (gzip.compress(PLAIN.encode()), "data.csv.gz"),
    "packed by bzip2": (bz2.compress(PLAIN.encode()), "data.csv.bz2"),
    "packed by xz": (lzma.compress(PLAIN.encode()), "data.CSV.xz"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_dialects_hold_the_same(dialect: str, load: Any) -> None:
    content, name = DIALECTS[dialect]
    table = load(content, name)
    np.testing.assert_array_equal(table.X, X)
    np.testing.assert_array_equal([word.removeprefix("x; ") for word in table.y], Y)
    if "without" not in dialect:
        assert table.columns.of_X == ("a", "b")
        assert table.target.name == "y"


def test_an_archive_holds_one_file(load: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "data.csv.zip", "w") as pack:
        pack.writestr("inner.csv", PLAIN)
    np.testing.assert_array_equal(load_table(str(tmp_path / "data.csv.zip")).X, X)
    with zipfile.ZipFile(tmp_path / "data.csv.zip", "a") as pack:
        pack.writestr("other.csv", PLAIN)
    with pytest.raises(ProblemError, match=r"must hold one file, got inner.csv, other.csv: unpack"):
        load_table(str(tmp_path / "data.csv.zip"))


@pytest.mark.parametrize("separator", [",", ";", "\t", "  "])
def test_without_a_header_no_row_is_eaten(separator: str, load: Any) -> None:
    table = load(BODY.replace(",", separator))
    np.testing.assert_array_equal(table.X, X)
    assert table.columns.of_X == ("0", "1")
    assert table.target.name == "2"
    assert "no header: columns are named 0, 1, ..." in table.notes


def test_names_that_are_numbers(load: Any) -> None:
    rows = [f"{k + 0.5},{k - 0.5},{2 * k + 0.5},{k % 2}" for k in range(6)]
    for names in ("0,1,2,3", "1,2,3,4", "0,1,2,kind"):
        table = load("\n".join([names, *rows]))
        assert table.X.shape == (6, 3), names
        assert "header: the first line" in table.notes
    years = "\n".join(["2019,2020,y", *ROWS])
    with pytest.raises(
        ProblemError, match=r"may be a header or a row, 2019, 2020, y: say --header"
    ):
        load(years)
    assert load(years, header=True).columns.of_X == ("2019", "2020")
    assert load(years.replace("y\n", "no\n"), header=False).X[0].tolist() == [2019.0, 2020.0]


def test_words_without_a_header(load: Any) -> None:
    rows = ["high,small,bad", "low,big,good", "low,small,bad", "high,big,good"]
    table = load("\n".join(rows), encode=True)
    assert table.X.tolist() == [[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]
    assert table.columns.of_X == ("0=low", "1=small")
    named = load("\n".join(["price,size,verdict", *rows]), encode=True)
    assert named.columns.of_X == ("price=low", "size=small")
    np.testing.assert_array_equal(named.X, table.X)


def test_what_is_said_goes_before_what_is_found(load: Any) -> None:
    assert load("a:b:y\n1:2:yes\n3:4:no\n", separator=":").X.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert load("1::2::yes\n3::4::no\n", separator="::").X.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert load(PLAIN.replace(",", "\t"), separator="tab").X.shape == (6, 2)
    assert load(PLAIN.replace(",", " "), separator="space").X.shape == (6, 2)
    assert load("x,1,y\n2,2,no\n3,4,yes", header=True).columns.of_X == ("x", "1")


@pytest.mark.parametrize(
    ("cells", "numbers", "said"),
    [
        (['"1,234"', '"12,345.5"', "7"], [1234.0, 12345.5, 7.0], "commas group the digits in 'a'"),
        (['"1,234,567"', '"0"', "7"], [1234567.0, 0.0, 7.0], "commas group the digits in 'a'"),
        (['"1,5"', '"1,234"', "7"], [1.5, 1.234, 7.0], "a comma is the decimal mark in 'a'"),
        (['"1.234,5"', '"1.234"', "7"], [1234.5, 1234.0, 7.0], "a comma is the decimal mark"),
        (["1e-3", "1E5", "+7"], [0.001, 100000.0, 7.0], ""),
        (["007", "-0", "12"], [7.0, 0.0, 12.0], ""),
        ([".5", "5.", "-.5"], [0.5, 5.0, -0.5], ""),
        (["TRUE", "false", "True"], [1.0, 0.0, 1.0], ""),
    ],
)
def test_numbers_as_people_write_them(
    cells: list[str], numbers: list[float], said: str, load: Any
) -> None:
    rows = [f"{cell},{k % 2}" for k, cell in enumerate([*cells, "1"] if "7" in cells else cells)]
    table = load("\n".join(["a,y", *rows]), header=True)
    assert table.X[: len(numbers), 0].tolist() == numbers
    assert not said or any(note.startswith(said) for note in table.notes)


def test_points_stay_points_beside_decimal_commas(load: Any) -> None:
    table = load("a;b;y\n1,5;1.5;1\n2,5;2.25;0\n3;3.125;1\n")
    assert table.X.tolist() == [[1.5, 1.5], [2.5, 2.25], [3.0, 3.125]]


def test_commas_that_may_be_either_are_asked_for(load: Any) -> None:
    text = "a;y\n1,234;1\n1,345;0\n2,000;1\n"
    with pytest.raises(ProblemError, match=r"column 'a' has '1,234', which may be .* --decimal \."):
        load(text)
    assert load(text, decimal=",").X[:, 0].tolist() == [1.234, 1.345, 2.0]
    assert load(text, decimal=".").X[:, 0].tolist() == [1234.0, 1345.0, 2000.0]
    with pytest.raises(ProblemError, match=r"decimal must be \. or , \(a comma\), got 'x'"):
        load(text, decimal="x")


@pytest.mark.parametrize("word", ["", " ", "?", "NA", "N/A", "nan", "NULL", "None", "#N/A"])
def test_missing_labels_are_no_class(word: str, load: Any) -> None:
    text = PLAIN + f"1,2,{word}\n3,4,{word}\n"
    with pytest.raises(ProblemError, match=r"2 of 8 rows miss a value: target 'y' in rows 7, 8"):
        load(text)
    table = load(text, drop_missing=True)
    np.testing.assert_array_equal(table.X, X)
    assert table.target.classes.tolist() == ["no", "yes"]
    assert any("left out 2 of 8 rows, which miss a value: target 'y'" in n for n in table.notes)


@pytest.mark.parametrize("word", ["", "?", "NA", "-", "--", ".", "nan"])
def test_missing_numbers_are_named(word: str, load: Any) -> None:
    text = PLAIN + f"{word},2,no\n3,{word},yes\n"
    where = r"column 'a' in row 7; column 'b' in row 8"
    with pytest.raises(ProblemError, match=f"2 of 8 rows miss a value: {where}"):
        load(text)
    np.testing.assert_array_equal(load(text, drop_missing=True).X, X)


def test_whole_numbers_stay_whole_beside_missing_ones(load: Any) -> None:
    rows = [f"{k / 7},{'' if k == 5 else 3 + k % 4}" for k in range(100)]
    table = load("\n".join(["a,y", *rows]), drop_missing=True)
    assert table.target.classes.tolist() == [3, 4, 5, 6]


def test_spellings_of_a_missing_value_can_be_said(load: Any) -> None:
    text = PLAIN + "-999,2,None\n1,2,None\n"
    with pytest.raises(
        ProblemError, match=r"target 'y' in rows 7, 8 \(blank, or 'None'; --missing"
    ):
        load(text)
    table = load(text, missing=("-999",), drop_missing=True)
    assert table.target.classes.tolist() == ["None", "no", "yes"]
    assert table.X[:, 0].tolist() == [*X[:, 0], 1.0]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "data.csv is empty"),
        ("# a,b\n\n", "data.csv is empty"),
        ("a,b,y\n", "has no row below its header 'a', 'b', 'y'"),
        ("a,b,y\n1,2,yes\n", "target 'y' must have at least two values, got 'yes' alone"),
        (
            PLAIN.replace(ROWS[2], ROWS[2] + ",9"),
            r"line 4: 4 fields where most lines have 3: '-7.1",
        ),
        (PLAIN.replace(ROWS[2], "1,no"), r"line 4: 2 fields where most lines have 3: '1,no'"),
        ("a,b,c,d,y\n" + BODY, r"line 1: 5 fields where most lines have 3"),
        ("a:b:y\n1:2:yes\n3:4:no\n", r"no column left to learn from .* --separator says"),
        (
            PLAIN.replace(ROWS[2], "1x,2,no"),
            r"column 'a' holds numbers but for 1 cell \(row 3: 1x\)",
        ),
        (PLAIN.replace("-7.125", "inf"), r"column 'a' is infinite in row 3: .* --drop a"),
        (PLAIN.replace("-7.125", "1e999"), r"column 'a' is infinite in row 3"),
        (
            PLAIN.replace("-7.125", "12345678901234567"),
            r"column 'a' holds whole numbers of more dig",
        ),
        (
            PLAIN.replace("-7.125", "9" * 30),
            r"column 'a' holds whole numbers of more digits .*\(row",
        ),
        (b"\x00\x01\x02", "data.csv is no text"),
        ('a,b,y\n1,2,"yes\n2,3,no\n4,5,no\n', "cannot be read: .*EOF inside string"),
    ],
)
def test_what_is_no_table_is_said(text: str | bytes, says: str, load: Any) -> None:
    with pytest.raises(ProblemError, match=says):
        load(text)


def test_text_and_dates_are_refused_by_name(load: Any) -> None:
    rows = [f"p{k},{'mf'[k % 2]},2020-01-{k + 1:02d},{k % 7}.5,{k % 2}" for k in range(8)]
    text = "\n".join(["name,sex,day,dose,ill", *rows])
    with pytest.raises(ProblemError) as refused:
        load(text)
    said = str(refused.value)
    assert "column 'name' holds text of 8 values (row 1: 'p0')" in said
    assert "column 'sex' holds text of 2 values (row 1: 'm')" in said
    assert "column 'day' holds dates (row 1: '2020-01-01')" in said
    assert "--encode" in said
    assert "--drop name,sex,day leaves out" in said
    with pytest.raises(ProblemError, match=r"--drop name,day leaves out") as refused:
        load(text, encode=True)
    assert "--encode" not in str(refused.value)
    table = load(text, encode=True, drop=("name", "day"))
    assert table.columns.of_X == ("sex=m", "dose")
    assert table.X[:2].tolist() == [[1.0, 0.5], [0.0, 1.5]]
    assert "left out 'name', 'day' by --drop" in table.notes


def test_quoted_fields_keep_their_separators(load: Any) -> None:
    table = load('a,b,y\n1,2,"yes, sir"\n2,3,"no ""thanks"""\n4,5,"yes, sir"\n5,5,"yes, sir"\n')
    assert table.target.classes.tolist() == ['no "thanks"', "yes, sir"]


def test_a_mark_of_inches_opens_no_quotes(load: Any) -> None:
    table = load(
        'size,disk,y\n1,5" disk,yes\n2,7" disk,no\n\n3,5" disk,yes\n4,7" disk,no\n', encode=True
    )
    assert table.X.tolist() == [[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 1.0]]
    assert "encoded 'disk': 5\" disk, 7\" disk" in table.notes


def test_values_that_are_partly_numbers_are_encoded_on_request(load: Any) -> None:
    rows = [f"{k / 3:.2f},{['2', '3', '5more'][k % 3]},{k % 2}" for k in range(12)]
    text = "\n".join(["x,doors,y", *rows])
    with pytest.raises(
        ProblemError, match=r"column 'doors' holds numbers but for 4 cells \(row 3: 5m"
    ):
        load(text)
    table = load(text, encode=True)
    assert table.columns.of_X == ("x", "doors=2", "doors=3", "doors=5more")
    assert table.X[2, 1:].tolist() == [0.0, 0.0, 1.0]


def test_two_columns_of_a_name(load: Any) -> None:
    table = load(PLAIN.replace("a,b", "a,a"))
    assert table.columns.of_X == ("a", "a.1")
    assert "a second column 'a' is called 'a.1'" in table.notes
    np.testing.assert_array_equal(table.X, X)


def test_other_encodings_are_said(load: Any) -> None:
    table = load(PLAIN.replace("yes", "sí").encode("latin-1"))
    assert table.target.classes.tolist() == ["no", "sí"]
    assert "decoded as Windows-1252: it is not UTF-8" in table.notes


def test_columns_that_tell_nothing_are_left_out_aloud(load: Any) -> None:
    rows = [f"{k},3,,{k * 0.37:.2f},{k % 2}" for k in range(30)]
    table = load("\n".join(["id,same,none,x,y", *rows]))
    assert table.columns.of_X == ("id", "x")
    for note in (
        "left out 'none': no values",
        "left out 'same': constant",
        "'id' counts the rows: --drop id if it is no feature",
    ):
        assert note in table.notes
